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
from ganzoo.ops.conv import Window, conv
from ganzoo.testing import comparison

# size, padding: odd and even, smaller and larger than a tile, every edge apart
THREE = [
    ((8, 8), ((1, 1), (1, 1))),
    ((5, 7), ((1, 1), (1, 1))),
    ((3, 3), ((0, 0), (0, 0))),
    ((1, 2), ((1, 1), (2, 1))),
    ((6, 9), ((0, 0), (2, 2))),
    ((7, 4), ((3, 0), (1, 2))),
    ((4, 5), ((0, 4), (5, 3))),
]
FOUR = [
    ((8, 12), ((1, 1), (1, 1))),
    ((7, 11), ((0, 0), (2, 1))),
    ((1, 4), ((2, 1), (0, 0))),
    ((9, 6), ((3, 2), (0, 5))),
]
# tiles of 4 along columns and along rows in turn; and square tiles
CASES = [
    *(
        (kernel, case, ((2, 4), (4, 2))[i % 2])
        for kernel, cases in ((3, THREE), (4, FOUR))
        for i, case in enumerate(cases)
    ),
    *((kernel, case, (2, 2)) for kernel, case in ((3, THREE[1]), (4, FOUR[3]))),
]

assert_near = partial(comparison.assert_near, relative=1e-11, absolute=1e-11)


@pytest.fixture(autouse=True)
def _doubles():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family takes every 3x3 convolution, and every 4x4 one with stride 2, by the smallest tile."""
    monkeypatch.setattr(winograd, "best_tile", lambda outputs, channels: (2, 2))


def operands(
    size: tuple, padding: tuple, channels: tuple[int, int] = (3, 5), examples: int = 2, kernel_size: int = 3
) -> tuple:
    """A window and x, kernel, y; kernels of 4x4 have stride 2."""
    window = Window(size, (kernel_size, kernel_size), kernel_size - 2, padding)
    draw = np.random.default_rng(0).normal
    y = examples, *window.output_size, channels[1]
    shapes = (examples, *size, channels[0]), (*window.kernel_size, *channels), y
    return window, *(jnp.asarray(draw(size=shape)) for shape in shapes)


def by_definition(window: Window, x: np.ndarray, kernel: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """The convolution of (x, kernel), its transpose of (y, kernel) and its kernel gradient of (x, y), tap by tap."""
    (above, below), (left, right) = window.padding
    padded = np.pad(x, ((0, 0), (above, below), (left, right), (0, 0)))
    forward, image, gradient = np.zeros(y.shape), np.zeros(padded.shape), np.zeros(kernel.shape)
    for i, j in np.ndindex(window.kernel_size):
        rows, columns = (
            slice(k, k + window.stride * n, window.stride) for k, n in zip((i, j), y.shape[1:3], strict=True)
        )
        forward += padded[:, rows, columns] @ kernel[i, j]
        image[:, rows, columns] += y @ kernel[i, j].T
        gradient[i, j] = np.tensordot(padded[:, rows, columns], y, ((0, 1, 2), (0, 1, 2)))
    return forward, image[:, above : above + x.shape[1], left : left + x.shape[2]], gradient


def hold_at_most(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0: one example at a time."""
    for name in ("WINOGRAD_BYTES", "WINOGRAD_GRADIENT_BYTES", "WINOGRAD_GRADIENT_PIXELS"):
        monkeypatch.setattr(module, name, limit)


def plain(x: jax.Array, kernel: jax.Array, padding: tuple, stride: int = 1) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize(("kernel_size", "case", "tile"), CASES, ids=str)
def test_the_three_functions_follow_their_definition(kernel_size: int, case: tuple, tile: tuple[int, int]) -> None:
    window, x, kernel, y = operands(*case, kernel_size=kernel_size)
    kind = f"{kernel_size}x{kernel_size}"
    convolve, transpose, gradient = (
        getattr(winograd, name) for name in (f"conv{kind}", f"conv{kind}_transpose", f"kernel_gradient{kind}")
    )

    @jax.jit
    def three(x, kernel, y):
        pad = window.padding
        return (
            convolve(x, kernel, pad, tile),
            transpose(y, kernel, pad, window.size, tile),
            gradient(x, y, pad, tile),
        )

    assert_near(three(x, kernel, y), by_definition(window, *map(np.asarray, (x, kernel, y))))


@pytest.mark.parametrize(("size", "taps"), [(2, 2), (4, 2), (2, 3), (4, 3)])
def test_a_transform_computes_a_correlation(size: int, taps: int) -> None:
    x, kernel = np.arange(1.0, size + taps), np.array([2.0, -3.0, 5.0])[:taps]
    matrices = winograd.transform(size, taps)
    points = (np.array(matrices.kernel) @ kernel) * (np.array(matrices.inputs) @ x)
    np.testing.assert_allclose(np.array(matrices.outputs) @ points, np.correlate(x, kernel), rtol=1e-13)


@pytest.mark.parametrize(
    ("kernel_size", "size", "padding"), [(3, (15, 18), ((1, 1), (1, 1))), (4, (30, 37), ((1, 3), (0, 1)))], ids=str
)
def test_first_and_second_derivatives_of_the_family(kernel_size: int, size: tuple, padding: tuple) -> None:
    window, x, kernel, _ = operands(size, padding, (64, 64), examples=1, kernel_size=kernel_size)
    assert module._winograd_tile(window, 1, kernel.shape) == (2, 2)
    where = {"stride": window.stride, "padding": padding}

    def derivatives(convolve, x, kernel):
        def penalty(x, kernel):
            value, backward = jax.vjp(convolve, x, kernel)
            dx, dkernel = backward(jnp.sin(value))
            return jnp.sum(dx**3) + jnp.sum(dkernel**3), (dx, dkernel)

        return jax.value_and_grad(penalty, (0, 1), has_aux=True)(x, kernel)

    x, kernel = x / 8, kernel / 8
    ours, theirs = (jax.jit(partial(derivatives, partial(f, **where)))(x, kernel) for f in (conv, plain))
    assert_near(ours, theirs, relative=1e-9)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_parts_of_the_batch_change_nothing(kernel_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    window, x, kernel, y = operands(*THREE[1], examples=6, kernel_size=kernel_size)
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


@pytest.mark.slow
@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("limit", "check_vma"), [(0, True), (2**30, False)])
def test_shards_of_the_batch_change_nothing(limit: int, check_vma: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _, x, kernel, _ = operands(*THREE[0], examples=8)
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
    _, x, kernel, _ = operands(*THREE[0])
    kernels = jnp.stack([kernel, 2 * kernel])
    each = jax.jit(lambda *args: gradients(*args))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(each(x, k) for k in kernels))
    assert_near(jax.jit(jax.vmap(each, (None, 0)))(x, kernels), expected, relative=1e-10)


@pytest.mark.parametrize(("tile", "limit"), [((2, 2), 1.5e-6), ((2, 4), 2.5e-6)], ids=str)
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_single_precision_is_about_that_of_the_definition(
    kernel_size: int, tile: tuple[int, int], limit: float
) -> None:
    channels = (512, 512) if kernel_size == 3 else (128, 512)
    window, *draws = operands((8, 8), ((1, 1), (1, 1)), channels, kernel_size=kernel_size)
    x, kernel, y = (a.astype(jnp.float32) for a in draws)
    kind, pad = f"{kernel_size}x{kernel_size}", window.padding
    ours = (
        jax.jit(partial(getattr(winograd, f"conv{kind}"), padding=pad, tile=tile))(x, kernel),
        jax.jit(partial(getattr(winograd, f"kernel_gradient{kind}"), padding=pad, tile=tile))(x, y),
    )
    truth = by_definition(window, *(np.asarray(a, np.float64) for a in (x, kernel, y)))
    errors = [np.max(np.abs(a - t)) / np.max(np.abs(t)) for a, t in zip(ours, (truth[0], truth[2]), strict=True)]
    assert max(errors) < limit, errors


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


@pytest.mark.parametrize(
    ("kernel_size", "stride", "expected"),
    [((4, 4), 1, None), ((4, 4), 2, (2, 4)), ((5, 5), 2, None), ((4, 2), 2, None), ((4, 4), 4, None)],
)
def test_other_kernels_are_left_alone(kernel_size: tuple, stride: int, expected: tuple | None) -> None:
    window = Window((64, 64), kernel_size, stride, ((1, 1), (1, 1)))
    assert module._winograd_tile(window, 8, (*kernel_size, 512, 512)) == expected


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
