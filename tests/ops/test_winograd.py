"""Convolutions by fewer multiplications against the library's, in float64 and in the error of float32."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo.ops import conv as module
from ganzoo.ops import winograd
from ganzoo.ops.conv import Window, conv, conv_kernel_gradient, conv_transpose
from ganzoo.testing import comparison

TILES = [(2, 2), (2, 4), (4, 2)]
# size, padding: odd and even, smaller and larger than a tile, every edge apart
CASES = [
    ((8, 8), ((1, 1), (1, 1))),
    ((5, 7), ((1, 1), (1, 1))),
    ((3, 3), ((0, 0), (0, 0))),
    ((1, 2), ((1, 1), (2, 1))),
    ((6, 9), ((0, 0), (2, 2))),
    ((7, 4), ((3, 0), (1, 2))),
    ((4, 5), ((0, 4), (5, 3))),
]

assert_near = partial(comparison.assert_near, relative=1e-11, absolute=1e-11)


@pytest.fixture(autouse=True)
def _doubles():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=TILES, ids=str)
def tile(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family takes every 3x3 convolution, by the smallest oblong tile."""
    monkeypatch.setattr(winograd, "best_tile", lambda outputs, channels: (2, 4))


def operands(size: tuple, padding: tuple, channels: tuple[int, int] = (3, 5), examples: int = 2) -> tuple:
    """A window and x, kernel, y."""
    window = Window(size, (3, 3), 1, padding)
    draw = np.random.default_rng(0).normal
    shapes = (examples, *size, channels[0]), (3, 3, *channels), (examples, *window.output_size, channels[1])
    return window, *(jnp.asarray(draw(size=shape)) for shape in shapes)


def hold_at_most(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0: one example at a time."""
    for name in ("WINOGRAD_BYTES", "WINOGRAD_GRADIENT_BYTES", "WINOGRAD_GRADIENT_PIXELS"):
        monkeypatch.setattr(module, name, limit)


def plain(x: jax.Array, kernel: jax.Array, padding: tuple) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(("size", "padding"), CASES)
def test_the_convolution_and_its_kernel_gradient_are_those_of_the_library(
    size: tuple, padding: tuple, tile: tuple[int, int]
) -> None:
    _, x, kernel, y = operands(size, padding)
    expected, backward = jax.vjp(lambda kernel: plain(x, kernel, padding), kernel)
    assert_near(winograd.conv3x3(x, kernel, padding, tile), expected)
    assert_near(winograd.kernel_gradient3x3(x, y, padding, tile), backward(y)[0])


@pytest.mark.parametrize("size", [2, 4])
def test_a_transform_computes_a_correlation(size: int) -> None:
    x, kernel = np.arange(1.0, size + 3), np.array([2.0, -3.0, 5.0])
    matrices = winograd.transform(size)
    points = (np.array(matrices.kernel) @ kernel) * (np.array(matrices.inputs) @ x)
    np.testing.assert_allclose(np.array(matrices.outputs) @ points, np.correlate(x, kernel), rtol=1e-13)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("size", "padding"), CASES)
def test_first_and_second_derivatives_of_the_family(size: tuple, padding: tuple) -> None:
    window, x, kernel, y = operands(size, padding)

    def penalty(convolve, x, kernel):
        value, backward = jax.vjp(convolve, x, kernel)
        dx, dkernel = backward(jnp.sin(value))
        return jnp.sum(dx**3) + jnp.sum(dkernel**3)

    ours, theirs = partial(conv, padding=padding), partial(plain, padding=padding)
    assert_near(
        *(jax.jit(jax.value_and_grad(partial(penalty, f), (0, 1)))(x, kernel) for f in (ours, theirs)), relative=1e-9
    )

    where = {"stride": 1, "padding": padding}
    backward = jax.vjp(theirs, x, kernel)[1](y)
    assert_near(jax.jit(partial(conv_transpose, **where, size=window.size))(y, kernel), backward[0])
    assert_near(jax.jit(partial(conv_kernel_gradient, **where, kernel_size=(3, 3)))(x, y), backward[1])


@pytest.mark.usefixtures("everywhere")
def test_parts_of_the_batch_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    window, x, kernel, y = operands(*CASES[1], examples=6)
    functions = [
        (module._cpu_conv, x, kernel),
        (module._cpu_transpose, y, kernel),
        (module._cpu_kernel_gradient, x, y),
    ]
    whole = [jax.jit(partial(f, window))(*args) for f, *args in functions]
    hold_at_most(0, monkeypatch)
    assert_near([jax.jit(lambda a, b, f=f: f(window, a, b))(*args) for f, *args in functions], whole)


def gradients(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the penalty of a discriminator of one convolution."""

    def penalty(x, kernel):
        dx = jax.grad(lambda x: jnp.sum(conv(x, kernel, padding=(1, 1)) ** 3))(x)
        return jnp.sum(dx**2)

    return jax.grad(penalty, (0, 1))(x, kernel)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("limit", [0, 2**30])
@pytest.mark.parametrize("check_vma", [True, False])
def test_shards_of_the_batch_change_nothing(check_vma: bool, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, x, kernel, _ = operands(*CASES[0], examples=8)
    expected = jax.jit(lambda *args: gradients(*args))(x, kernel)
    hold_at_most(limit, monkeypatch)
    mesh, data, whole = Mesh(np.array(jax.devices()[:4]), ("data",)), PartitionSpec("data"), PartitionSpec()
    placed = jax.device_put(x, NamedSharding(mesh, data)), jax.device_put(kernel, NamedSharding(mesh, whole))
    assert_near(jax.jit(lambda *args: gradients(*args))(*placed), expected, relative=1e-10)

    def part(x, kernel):
        dx, dkernel = gradients(x, kernel)
        return dx, dkernel if check_vma else lax.psum(dkernel, "data")

    mapped = jax.shard_map(part, mesh=mesh, in_specs=(data, whole), out_specs=(data, whole), check_vma=check_vma)
    assert_near(jax.jit(mapped)(x, kernel), expected, relative=1e-10)

    pmapped = jax.pmap(lambda *args: gradients(*args), axis_name="data", in_axes=(0, None))
    dx, dkernel = pmapped(x.reshape(4, 2, *x.shape[1:]), kernel)
    assert_near((dx.reshape(x.shape), dkernel.sum(0)), expected, relative=1e-10)


@pytest.mark.usefixtures("everywhere")
def test_vmap_over_kernels() -> None:
    _, x, kernel, _ = operands(*CASES[0])
    kernels = jnp.stack([kernel, 2 * kernel])
    each = jax.jit(lambda *args: gradients(*args))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(each(x, k) for k in kernels))
    assert_near(jax.jit(jax.vmap(each, (None, 0)))(x, kernels), expected, relative=1e-10)


def errors(x: jax.Array, kernel: jax.Array, y: jax.Array, tile: tuple[int, int]) -> tuple[list[float], list[float]]:
    """The largest error of float32 over the largest value, of both formulations, for values and kernel gradients."""
    pad = ((1, 1), (1, 1))
    pairs = [
        (partial(winograd.conv3x3, padding=pad, tile=tile), partial(plain, padding=pad), (x, kernel)),
        (
            partial(winograd.kernel_gradient3x3, padding=pad, tile=tile),
            partial(module._library_kernel_gradient, Window(x.shape[1:3], (3, 3), 1, pad)),
            (x, y),
        ),
    ]
    ours, theirs = [], []
    for fast, direct, args in pairs:
        truth = jax.jit(direct)(*args)
        single = [a.astype(jnp.float32) for a in args]
        for results, f in ((ours, fast), (theirs, direct)):
            results.append(float(jnp.max(jnp.abs(jax.jit(f)(*single) - truth)) / jnp.max(jnp.abs(truth))))
    return ours, theirs


@pytest.mark.parametrize(("tile", "limit"), [((2, 2), 1.5e-6), ((2, 4), 2.5e-6)], ids=str)
def test_single_precision_is_about_that_of_the_definition(tile: tuple[int, int], limit: float) -> None:
    _, x, kernel, y = operands((8, 8), ((1, 1), (1, 1)), channels=(512, 512))
    ours, theirs = errors(*(a.astype(jnp.float32).astype(jnp.float64) for a in (x, kernel, y)), tile)
    assert max(ours) < limit, (ours, theirs)
    assert all(fast < 8 * direct for fast, direct in zip(ours, theirs, strict=True)), (ours, theirs)


@pytest.mark.parametrize(
    ("size", "channels", "stride", "expected"),
    [
        ((64, 64), (256, 256), 1, (2, 4)),
        ((32, 32), (128, 512), 1, (2, 4)),
        ((16, 8), (512, 512), 1, (2, 2)),
        ((4, 4), (512, 512), 1, None),
        ((64, 64), (64, 256), 1, (2, 4)),
        ((64, 64), (256, 32), 1, None),
        ((64, 64), (256, 256), 2, None),
    ],
)
def test_large_convolutions_are_taken(size: tuple, channels: tuple, stride: int, expected: tuple | None) -> None:
    window = Window(size, (3, 3), stride, ((1, 1), (1, 1)))
    assert module._winograd_tile(window, 8, (3, 3, *channels)) == expected


def test_other_kernels_are_left_alone() -> None:
    window = Window((64, 64), (4, 4), 1, ((1, 1), (1, 1)))
    assert module._winograd_tile(window, 8, (4, 4, 512, 512)) is None


@pytest.mark.parametrize(("kernel_size", "padding"), [((3, 3), (1, 0)), ((3, 2), (0, 1)), ((1, 1), (0, 0))])
@pytest.mark.parametrize("patch_rows", [0, 1024])
def test_strided_convolutions_by_patches(
    kernel_size: tuple, padding: tuple, patch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window((7, 8), kernel_size, 2, (padding, padding))
    draw = np.random.default_rng(0).normal
    x, kernel = jnp.asarray(draw(size=(4, 7, 8, 3))), jnp.asarray(draw(size=(*kernel_size, 3, 5)))
    for name, value in (("PATCH_CHANNELS", 1), ("PATCH_BYTES", 0), ("PATCH_ROWS", patch_rows)):
        monkeypatch.setattr(module, name, value)
    assert_near(module._cpu_conv(window, x, kernel), module._library_conv(window, x, kernel))
