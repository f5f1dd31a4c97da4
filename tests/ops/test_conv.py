"""The convolution family against the plain formulation of the library and its own automatic derivatives."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo.ops import conv as module
from ganzoo.ops.conv import Window, conv, conv_kernel_gradient, conv_transpose
from ganzoo.testing import comparison

# size, kernel, stride, padding, I, O: every kernel from 1 to 5 and stride from 1 to 3, odd and even, both edges apart
CASES = [
    ((8, 8), (4, 4), 2, ((1, 1), (1, 1)), 3, 5),
    ((6, 9), (3, 3), 2, ((1, 1), (0, 1)), 2, 4),
    ((7, 5), (5, 5), 2, ((2, 1), (1, 2)), 9, 2),
    ((8, 6), (5, 5), 2, ((2, 2), (2, 2)), 1, 3),
    ((5, 6), (3, 3), 1, ((1, 1), (1, 1)), 4, 3),
    ((6, 6), (1, 1), 1, ((0, 0), (0, 0)), 3, 7),
    ((6, 5), (1, 1), 2, ((0, 0), (0, 0)), 2, 3),
    ((5, 5), (1, 1), 1, ((1, 0), (0, 2)), 2, 2),
    ((9, 8), (2, 2), 3, ((0, 0), (1, 0)), 3, 2),
    ((8, 10), (4, 3), 3, ((2, 1), (0, 0)), 8, 1),
    ((7, 7), (2, 4), 2, ((0, 1), (3, 0)), 2, 9),
    ((4, 4), (4, 4), 1, ((0, 0), (0, 0)), 5, 1),
    ((6, 7), (5, 2), 1, ((0, 3), (1, 1)), 2, 2),
]

assert_near = partial(comparison.assert_near, relative=1e-12, absolute=1e-12)


@pytest.fixture(autouse=True)
def _doubles():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def case(request: pytest.FixtureRequest) -> tuple:
    """A window and matching x, y, kernel."""
    size, kernel_size, stride, padding, i, o = request.param
    window = Window(size, kernel_size, stride, padding)
    draw = np.random.default_rng(1).normal
    x, kernel = draw(size=(2, *size, i)), draw(size=(*kernel_size, i, o))
    y = draw(size=(2, *window.output_size, o))
    return window, jnp.asarray(x), jnp.asarray(y), jnp.asarray(kernel)


def family(window: Window) -> tuple[Callable, Callable, Callable]:
    """The public functions of (x, kernel), (y, kernel) and (x, y)."""
    where = {"stride": window.stride, "padding": window.padding}
    return (
        partial(conv, **where),
        partial(conv_transpose, **where, size=window.size),
        partial(conv_kernel_gradient, **where, kernel_size=window.kernel_size),
    )


def plain(window: Window) -> Callable:
    """The library's convolution of (x, kernel)."""
    return lambda x, kernel: lax.conv_general_dilated(
        x, kernel, (window.stride,) * 2, window.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def plain_family(window: Window, x: jax.Array, kernel: jax.Array) -> tuple[Callable, Callable, Callable]:
    """The same three functions by differentiating the library's."""
    forward = plain(window)
    return (
        forward,
        lambda y, kernel: jax.vjp(lambda x: forward(x, kernel), jnp.zeros_like(x))[1](y)[0],
        lambda x, y: jax.vjp(lambda kernel: forward(x, kernel), jnp.zeros_like(kernel))[1](y)[0],
    )


def value_and_gradients(f: Callable, *args: jax.Array) -> tuple:
    """f and its gradients for a cotangent that depends on the value."""
    result, backward = jax.vjp(f, *args)
    return result, backward(jnp.sin(result))


def test_the_family_and_its_gradients_are_those_of_the_library(case: tuple) -> None:
    window, x, y, kernel = case
    operands = (x, kernel), (y, kernel), (x, y)
    for ours, theirs, args in zip(family(window), plain_family(window, x, kernel), operands, strict=True):
        assert_near(*(jax.jit(partial(value_and_gradients, f))(*args) for f in (ours, theirs)))


def test_both_formulations_mean_the_same(case: tuple) -> None:
    window, x, y, kernel = case
    for name, args in (("conv", (x, kernel)), ("transpose", (y, kernel)), ("kernel_gradient", (x, y))):
        ours, theirs = (jax.jit(partial(getattr(module, f"_{by}_{name}"), window)) for by in ("cpu", "library"))
        assert_near(ours(*args), theirs(*args))


def test_parts_of_the_batch_add_up(case: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    window, x, y, kernel = case
    x, y = jnp.concatenate([x, x[::-1], 2 * x]), jnp.concatenate([y, 3 * y, y[::-1]])
    _, transpose, kernel_gradient = family(window)
    whole = jax.jit(transpose)(y, kernel), jax.jit(kernel_gradient)(x, y)
    monkeypatch.setattr(module, "PATCH_BYTES", 0)
    monkeypatch.setattr(module, "PATCH_ROWS", 4 * y.shape[1] * y.shape[2])  # four of the six examples: parts of three
    parts = jax.jit(lambda *args: transpose(*args))(y, kernel), jax.jit(lambda *args: kernel_gradient(*args))(x, y)
    assert_near(parts, whole)


def penalty(convolve: Callable, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """R1 of a discriminator of one convolution; cubed, so that no second derivative vanishes."""
    gradient = jax.grad(lambda x: jnp.sum(convolve(x, kernel) ** 3))(x)
    return jnp.sum(gradient**2)


def test_a_gradient_of_a_gradient(case: tuple) -> None:
    window, x, _, kernel = case
    ours, theirs = (jax.jit(jax.grad(partial(penalty, f), (0, 1))) for f in (family(window)[0], plain(window)))
    assert_near(ours(x, kernel), theirs(x, kernel), relative=1e-10)


def test_a_path_length_through_the_transpose(case: tuple) -> None:
    window, x, y, kernel = case
    ours, theirs = (
        jax.jit(jax.grad(partial(penalty, f), (0, 1))) for f in (family(window)[1], plain_family(window, x, kernel)[1])
    )
    assert_near(ours(y, kernel), theirs(y, kernel), relative=1e-10)


WINDOW = Window((8, 8), (4, 4), 2, ((1, 1), (1, 1)))


@pytest.fixture
def operands() -> tuple[jax.Array, jax.Array]:
    """Eight images and a kernel."""
    draw = np.random.default_rng(2).normal
    return jnp.asarray(draw(size=(8, 8, 8, 3))), jnp.asarray(draw(size=(4, 4, 3, 5)))


def test_vmap_jit_and_scan_change_nothing(operands: tuple) -> None:
    x, kernel = operands
    f = jax.jit(jax.grad(partial(penalty, family(WINDOW)[0]), (0, 1)))
    kernels = jnp.stack([kernel, 2 * kernel])
    each = [f(x, k) for k in kernels]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    assert_near(jax.vmap(f, (None, 0))(x, kernels), expected, relative=1e-10)
    assert_near(jax.jit(jax.vmap(f, (None, 0)))(x, kernels), expected, relative=1e-10)
    assert_near(jax.jit(lambda: lax.map(lambda k: f(x, k), kernels))(), expected, relative=1e-10)


def test_a_sharded_batch_changes_nothing(operands: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    x, kernel = operands
    f = jax.grad(partial(penalty, family(WINDOW)[0]), (0, 1))
    expected = jax.jit(f)(x, kernel)
    mesh = Mesh(np.array(jax.devices()), ("data",))
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    assert_near(jax.jit(f)(x, kernel), expected, relative=1e-10)
    monkeypatch.setattr(module, "PATCH_BYTES", 0)
    monkeypatch.setattr(module, "PATCH_ROWS", 0)
    assert_near(jax.jit(lambda x, kernel: f(x, kernel))(x, kernel), expected, relative=1e-10)


@pytest.mark.parametrize("patch_bytes", [0, module.PATCH_BYTES])
@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_sums_what_is_shared(
    operands: tuple, check_vma: bool, patch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, kernel = operands
    f = jax.jit(jax.grad(partial(penalty, family(WINDOW)[0]), (0, 1)))
    expected = f(x, kernel)
    monkeypatch.setattr(module, "PATCH_BYTES", patch_bytes)
    monkeypatch.setattr(module, "PATCH_ROWS", 0)
    data, whole = PartitionSpec("data"), PartitionSpec()

    def part(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        dx, dkernel = f(x, kernel)
        return dx, dkernel if check_vma else lax.psum(dkernel, "data")

    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    mapped = jax.shard_map(part, mesh=mesh, in_specs=(data, whole), out_specs=(data, whole), check_vma=check_vma)
    assert_near(jax.jit(mapped)(x, kernel), expected, relative=1e-10)


def test_pmap(operands: tuple) -> None:
    x, kernel = operands
    f = jax.jit(jax.grad(partial(penalty, family(WINDOW)[0]), (0, 1)))
    dx, dkernel = jax.pmap(f, axis_name="data", in_axes=(0, None))(x.reshape(8, 1, 8, 8, 3), kernel)
    assert_near((dx.reshape(x.shape), dkernel.sum(0)), f(x, kernel), relative=1e-10)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype: jnp.dtype) -> None:
    x, y = jnp.ones((1, 64, 64, 8), dtype), jnp.ones((1, 64, 64, 8), dtype)
    where = {"stride": 1, "padding": (1, 1)}
    gradient = conv_kernel_gradient(x, y, **where, kernel_size=(3, 3))
    assert gradient.dtype == dtype
    assert gradient[1, 1, 0, 0] == 64 * 64  # in half precision, ones stop adding up at 256 or 2048
    assert conv(x, gradient / 4096, **where).dtype == dtype
    assert conv_transpose(y, gradient / 4096, **where, size=(64, 64)).dtype == dtype


@pytest.mark.parametrize("case", [CASES[0], CASES[4]], indirect=True)
def test_matrix_products_of_bfloat16_are_summed_in_float32(case: tuple) -> None:
    window, *draws = case
    x, y, kernel = (a.astype(jnp.bfloat16) for a in draws)
    exact = [a.astype(jnp.float64) for a in (x, y, kernel)]
    for name, (a, b) in {"conv": (0, 2), "transpose": (1, 2), "kernel_gradient": (0, 1)}.items():
        ours = module.MATRIX_PRODUCTS[getattr(module, f"_cpu_{name}")]
        theirs = getattr(module, f"_library_{name}")
        narrow = jax.jit(partial(ours, window))((x, y, kernel)[a], (x, y, kernel)[b])
        assert narrow.dtype == jnp.float32
        assert_near(narrow.astype(jnp.float64), jax.jit(partial(theirs, window))(exact[a], exact[b]), relative=1e-6)


def test_mistakes_are_named() -> None:
    x, y, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((1, 4, 4, 5)), jnp.ones((4, 4, 3, 5))
    where = {"stride": 2, "padding": (1, 1)}
    with pytest.raises(ValueError, match="y has 3 channels"):
        conv_transpose(x, kernel, **where, size=(16, 16))
    with pytest.raises(ValueError, match="x has 5 channels"):
        conv(y, kernel, **where)
    with pytest.raises(ValueError, match=r"y is \(4, 4\), but \(10, 8\) is convolved to \(5, 4\)"):
        conv_transpose(y, kernel, **where, size=(10, 8))
    with pytest.raises(ValueError, match="1 examples, y 2"):
        conv_kernel_gradient(x, jnp.ones((2, 4, 4, 5)), **where, kernel_size=(4, 4))
    with pytest.raises(ValueError, match="does not fit"):
        conv(jnp.ones((1, 1, 1, 3)), kernel, **where)
    with pytest.raises(ValueError, match="stride is 0"):
        conv(x, kernel, stride=0, padding=(1, 1))
