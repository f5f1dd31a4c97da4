"""Strided convolutions with fast first-order and higher-order gradients.

For ``y = conv(x, k)`` let ``L(x, k, y') = <y', conv(x, k)>``. L is linear in each of its three arguments, and its
three partial derivatives are the three functions of this module:

    dL/dy' = conv(x, k)                    y[u] = sum_i x[s u + i - lo] k[i]
    dL/dx  = conv_transpose(y', k)         x[t] = sum_{s u + i - lo = t} k[i] y'[u]
    dL/dk  = conv_kernel_gradient(x, y')   k[i] = sum_u x[s u + i - lo]^T y'[u]

The gradients of each function are the other two, so derivatives of every order (R1, path length) stay within these
three functions and are equally fast. Forward-mode differentiation (``jax.jvp``, ``jax.linearize``) is not supported.

Activations are [N, H, W, C]; kernels are [height, width, I, O], where ``x`` (the larger image) has I channels and
``y`` (the smaller image) has O channels - also for ``conv_transpose``, which maps O to I channels.

On CPU the gradients are large matrix products (``_cpu_*``), because XLA multiplies the zeros inserted by a stride and
leaves its fast path in a kernel gradient. Large 3x3 convolutions, and large 4x4 ones with stride 2, use Winograd's
algorithm (``winograd``), which takes fewer multiplications. All other cases use XLA's convolution (``_library_*``).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops import processor, winograd
from ganzoo.ops.window import Padding, Pair, Window, require, require_output, window_of

Large: TypeAlias = Float[Array, "_n h w _i"]
Small: TypeAlias = Float[Array, "_n u v _o"]
Kernel: TypeAlias = Float[Array, "kh kw _i _o"]

PATCH_BYTES = 8 * 2**20
"""Bytes of patches that a CPU formulation holds at once: beyond the caches, page faults cost more than sums."""
PATCH_ROWS = 1024
"""Fewest rows of patches per matrix product, despite ``PATCH_BYTES``: fewer reread the other operand too often."""
PATCH_CHANNELS = 128
"""Fewest channels for the patch formulation: with fewer, XLA's strided convolution is as fast."""
WINOGRAD_BYTES = 256 * 2**20
"""Bytes of transformed images that Winograd's algorithm holds at once: a loop costs 10%, but bounds the memory."""
WINOGRAD_GRADIENT_BYTES = 32 * 2**20
"""The same for a kernel gradient, which is faster in parts."""
WINOGRAD_GRADIENT_PIXELS = 8192
"""Fewest pixels per part of such a kernel gradient: with fewer, adding the kernels takes as long as the products."""

STRIDED_TRANSPOSE_TILE = (2, 2)
"""The fastest tile of a transposed 4x4 convolution at every size: the sums of 2x4 tiles take longer than they save."""


def conv(x: Large, kernel: Kernel, *, stride: int = 1, padding: Padding = (0, 0)) -> Small:
    """Convolve: ``y[u] = sum_i x[stride u + i - lo] kernel[i]`` (a cross-correlation, as usual in deep learning).

    Args:
        x: [N, H, W, I].
        kernel: [height, width, I, O].
        stride: at least 1, the same for both axes.
        padding: zeros (before, after), for both axes or ((before, after), (before, after)) for height and width.

    Returns:
        [N, (H + before + after - height) // stride + 1, likewise the width, O] in the dtype of ``x``. Half precision
        is accumulated in float32.

    Raises:
        ValueError: the channels or the padding do not fit, or the kernel is larger than the padded image.
    """
    window = window_of(x.shape[1:3], kernel.shape[:2], stride, padding)
    require(x.shape[3] == kernel.shape[2], f"x has {x.shape[3]} channels, the kernel [h, w, I, O] {kernel.shape}")
    return _conv(window, *alike(x, kernel))


def conv_transpose(y: Small, kernel: Kernel, *, stride: int, padding: Padding, size: Sequence[int]) -> Large:
    """Compute the adjoint of ``conv`` in ``x``: ``x[t] = sum_{stride u + i - lo = t} kernel[i] y[u]``.

    The adjoint is the "transposed" or "fractionally strided" convolution of generators: stride 2 doubles the size.

    Args:
        y: [N, U, V, O].
        kernel: [height, width, I, O], the kernel of the forward convolution.
        stride: stride of the forward convolution.
        padding: padding of the forward convolution.
        size: (H, W) of the result; the forward convolution maps (H, W) to (U, V).

    Returns:
        [N, H, W, I] in the dtype of ``y``.

    Raises:
        ValueError: the channels do not fit, or the forward convolution does not map ``size`` to (U, V).
    """
    window = window_of(size, kernel.shape[:2], stride, padding)
    require(y.shape[3] == kernel.shape[3], f"y has {y.shape[3]} channels, the kernel [h, w, I, O] {kernel.shape}")
    require_output(window, y)
    return _transpose(window, *alike(y, kernel))


def conv_kernel_gradient(x: Large, y: Small, *, stride: int, padding: Padding, kernel_size: Sequence[int]) -> Kernel:
    """Compute the adjoint of ``conv`` in the kernel: ``kernel[i] = sum_{n, u} x[n, stride u + i - lo]^T y[n, u]``.

    Args:
        x: [N, H, W, I].
        y: [N, U, V, O], where the forward convolution maps (H, W) to (U, V).
        stride: stride of the forward convolution.
        padding: padding of the forward convolution.
        kernel_size: (height, width).

    Returns:
        [height, width, I, O] in the dtype of ``x``.

    Raises:
        ValueError: the batch sizes differ, or the forward convolution does not map (H, W) to (U, V).
    """
    window = window_of(x.shape[1:3], kernel_size, stride, padding)
    require(x.shape[0] == y.shape[0], f"x has {x.shape[0]} examples, y {y.shape[0]}")
    require_output(window, y)
    return _kernel_gradient(window, *alike(x, y))


# The family: each function's gradients are the other two ------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(window: Window, x: Array, kernel: Array) -> Array:
    return _choose(_cpu_conv, _library_conv, window, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transpose(window: Window, y: Array, kernel: Array) -> Array:
    return _choose(_cpu_transpose, _library_transpose, window, y, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    return _choose(_cpu_kernel_gradient, _library_kernel_gradient, window, x, y)


def _conv_backward(window: Window, residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    return _transpose(window, dy, kernel), _kernel_gradient(window, x, dy)


def _transpose_backward(window: Window, residuals: tuple[Array, Array], dx: Array) -> tuple[Array, Array]:
    y, kernel = residuals
    return _conv(window, dx, kernel), _kernel_gradient(window, dx, y)


def _kernel_gradient_backward(window: Window, residuals: tuple[Array, Array], dkernel: Array) -> tuple[Array, Array]:
    x, y = residuals
    return _transpose(window, y, dkernel), _conv(window, x, dkernel)


_conv.defvjp(lambda window, *args: (_conv(window, *args), args), _conv_backward)
_transpose.defvjp(lambda window, *args: (_transpose(window, *args), args), _transpose_backward)
_kernel_gradient.defvjp(lambda window, *args: (_kernel_gradient(window, *args), args), _kernel_gradient_backward)


def _choose(cpu: Callable, library: Callable, window: Window, a: Array, b: Array) -> Array:
    """Choose the formulation by platform; both compute the same function.

    Exports with a symbolic batch size (``jax.export``) use the library's formulation, because the CPU formulation
    splits the batch into parts.
    """
    if not isinstance(a.shape[0], int):
        return library(window, a, b)
    return lax.platform_dependent(a, b, cpu=partial(_on_cpu, cpu, window), default=partial(library, window))


def _on_cpu(function: Callable, window: Window, a: Array, b: Array) -> Array:
    """Compute half precision in float32, as accelerators add it up, except bfloat16 where the processor multiplies it.

    Winograd's algorithm, whose transforms would be rounded to bfloat16, and XLA's convolution are left out there. The
    choice follows measurements of matrix products on a processor with AMX; this code has not been measured on one.
    """
    if a.dtype == b.dtype == jnp.bfloat16 and processor.multiplies_bfloat16():
        return MATRIX_PRODUCTS[function](window, a, b).astype(a.dtype)
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return function(window, a.astype(wide), b.astype(wide)).astype(a.dtype)


# Formulations of the library ----------------------------------------------------------------------------------------


def _library_conv(window: Window, x: Array, kernel: Array) -> Array:
    strides = (window.stride, window.stride)
    return lax.conv_general_dilated(x, kernel, strides, window.padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _library_transpose(window: Window, y: Array, kernel: Array) -> Array:
    """Convolve the zero-dilated ``y`` with the flipped kernel."""
    padding = [
        (k - 1 - lo, size + lo - 1 - window.stride * (u - 1))
        for size, k, u, (lo, _) in zip(window.size, window.kernel_size, window.output_size, window.padding, strict=True)
    ]
    return lax.conv_general_dilated(
        y,
        lax.rev(kernel, (0, 1)),
        (1, 1),
        padding,
        lhs_dilation=(window.stride, window.stride),
        dimension_numbers=("NHWC", "HWOI", "NHWC"),
    )


def _library_kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Convolve ``x`` with the zero-dilated ``y`` as its kernel; batch and channels exchange their roles."""
    padding = [
        (lo, k + window.stride * (u - 1) - size - lo)
        for size, k, u, (lo, _) in zip(window.size, window.kernel_size, window.output_size, window.padding, strict=True)
    ]
    return lax.conv_general_dilated(
        x,
        y,
        (1, 1),
        padding,
        rhs_dilation=(window.stride, window.stride),
        dimension_numbers=("CHWN", "IHWO", "HWNC"),
    )


# Formulations for CPU -----------------------------------------------------------------------------------------------


def _cpu_conv(window: Window, x: Array, kernel: Array) -> Array:
    """Use XLA's convolution, except for small strided kernels and where ``winograd`` saves multiplications."""
    if window.is_matmul:
        return x @ kernel[0, 0]
    if tile := _winograd_tile(window, x.shape[0], kernel.shape):
        convolve = winograd.conv4x4 if window.stride == 2 else winograd.conv3x3
        length = _winograd_part(window, x, kernel.shape, tile, WINOGRAD_BYTES)
        return map_parts(lambda x: convolve(x, kernel, window.padding, tile), x, length)
    if window.stride > 1 and max(window.kernel_size) <= 3 and x.shape[-1] >= PATCH_CHANNELS:
        return _patch_conv(window, x, kernel)
    return _library_conv(window, x, kernel)


def _patch_conv(window: Window, x: Array, kernel: Array) -> Array:
    """Multiply the patches of all pixels of ``y`` by the kernel in one matrix product (im2col)."""
    matrix = kernel.reshape(-1, kernel.shape[-1])

    def some(x: Array) -> Array:
        return _product(jnp.concatenate(_row_patches(window, x), axis=-1), matrix, 1)

    return map_parts(some, x, _part(window, x, matrix.shape[0]))


def _cpu_transpose(window: Window, y: Array, kernel: Array) -> Array:
    """Use XLA's convolution with stride 1, and ``winograd`` where it saves multiplications; else matrix products."""
    if window.is_matmul:
        return y @ kernel[0, 0].T
    if tile := _winograd_tile(window, y.shape[0], kernel.shape):
        transpose = winograd.conv4x4_transpose if window.stride == 2 else winograd.conv3x3_transpose
        tile = STRIDED_TRANSPOSE_TILE if window.stride == 2 else tile
        length = _winograd_part(window, y, kernel.shape, tile, WINOGRAD_BYTES)
        return map_parts(lambda y: transpose(y, kernel, window.padding, window.size, tile), y, length)
    if window.stride == 1:
        return _library_transpose(window, y, kernel)
    return _patch_transpose(window, y, kernel)


def _patch_transpose(window: Window, y: Array, kernel: Array) -> Array:
    """Compute the contributions [N, U, V, kh, kw, I] of all ``y[u]`` in one product, then add up overlaps (col2im)."""
    matrix = kernel.reshape(-1, kernel.shape[-1]).T

    def some(y: Array) -> Array:
        return _add_patches(window, _product(y, matrix, 1).reshape(*y.shape[:3], *kernel.shape[:3]))

    return map_parts(some, y, _part(window, y, matrix.shape[1]))


def _add_patches(window: Window, patches: Array) -> Array:
    """Add each patch at its place: [N, U, V, kh, kw, I] -> [N, H, W, I].

    The pixels ``t = s p + a`` of one phase ``a`` receive the taps ``i = r + s m``, ``r = (a + lo) mod s``, from the
    patches ``u = p + (a + lo) // s - m``: sums of shifted dense arrays. The phases are interleaved at the end.
    """
    rows = []
    for row_taps in _phases(window, 0):
        columns = []
        for column_taps in _phases(window, 1):
            terms = [_shifted(window, patches, i, j) for i in row_taps for j in column_taps]
            zero = jnp.zeros_like(patches, shape=(*_phase_shape(window, patches), patches.shape[-1]))
            columns.append(sum(terms[1:], terms[0]) if terms else zero)
        rows.append(jnp.stack(columns, axis=3))
    image = jnp.stack(rows, axis=2)
    n, p, s, q, _, channels = image.shape
    return image.reshape(n, p * s, q * s, channels)[:, : window.size[0], : window.size[1]]


def _phases(window: Window, axis: int) -> list[list[Pair]]:
    """Return (tap, offset of the patch) for all taps of every phase along ``axis``."""
    s, lo = window.stride, window.padding[axis][0]
    return [[(i, (a + lo - i) // s) for i in range((a + lo) % s, window.kernel_size[axis], s)] for a in range(s)]


def _phase_shape(window: Window, patches: Array) -> tuple[int, int, int]:
    """Return (N, height, width) of one phase of the image."""
    height, width = (-(-size // window.stride) for size in window.size)
    return patches.shape[0], height, width


def _shifted(window: Window, patches: Array, row: Pair, column: Pair) -> Array:
    """Move the contributions of one tap to the pixels of its phase: ``out[p] = patches[p + offset]``."""
    tap = patches[:, :, :, row[0], column[0]]
    _, height, width = _phase_shape(window, patches)
    rows = (-row[1], height - tap.shape[1] + row[1], 0)
    columns = (-column[1], width - tap.shape[2] + column[1], 0)
    return lax.pad(tap, jnp.zeros((), tap.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))


def _cpu_kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Use matrix products, except where ``winograd`` saves multiplications."""
    kernel_shape = (*window.kernel_size, x.shape[-1], y.shape[-1])
    if tile := _winograd_tile(window, x.shape[0], kernel_shape):
        at_least = WINOGRAD_GRADIENT_PIXELS // (y.shape[1] * y.shape[2])
        length = _winograd_part(window, y, kernel_shape, tile, WINOGRAD_GRADIENT_BYTES, at_least)
        gradient = winograd.kernel_gradient4x4 if window.stride == 2 else winograd.kernel_gradient3x3
        return sum_parts(lambda x, y: gradient(x, y, window.padding, tile), x, y, length)
    return _patch_kernel_gradient(window, x, y)


def _patch_kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Compute one matrix product per kernel row, over all examples and positions; sum over parts of the batch."""
    kernel_shape = (*window.kernel_size, x.shape[-1], y.shape[-1])

    def some(x: Array, y: Array) -> Array:
        rows = [_product(patches, y, ((0, 1, 2), (0, 1, 2))) for patches in _row_patches(window, x)]
        return jnp.stack(rows).reshape(kernel_shape)

    return sum_parts(some, x, y, _part(window, y, math.prod(kernel_shape[:3])))


MATRIX_PRODUCTS: Mapping[Callable, Callable] = {
    _cpu_conv: _patch_conv,
    _cpu_transpose: _patch_transpose,
    _cpu_kernel_gradient: _patch_kernel_gradient,
}
"""The formulation by matrix products alone of each of the three."""


def _product(a: Array, b: Array, axes: int | tuple[Sequence[int], Sequence[int]]) -> Array:
    """Multiply matrices; half precision is added up, and returned, in float32."""
    return jnp.tensordot(a, b, axes, preferred_element_type=jnp.promote_types(a.dtype, jnp.float32))


def _row_patches(window: Window, x: Array) -> list[Array]:
    """Return the patches [N, U, V, kw * I] of every row of the kernel."""
    s, (kh, kw), (u, v) = window.stride, window.kernel_size, window.output_size
    (top, _), (left, _) = window.padding
    height, width = s * (u - 1) + 1, s * (v - 1) + 1
    below, right = kh - 1 + height - top - x.shape[1], kw - 1 + width - left - x.shape[2]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, below, 0), (left, right, 0), (0, 0, 0)))
    return [
        jnp.concatenate([x[:, i : i + height : s, j : j + width : s] for j in range(kw)], axis=-1) for i in range(kh)
    ]


def _winograd_tile(window: Window, examples: int, kernel_shape: Sequence[int]) -> Pair | None:
    """Return the fastest tile of ``winograd``; None where Winograd's algorithm is impossible or slower."""
    if (window.kernel_size, window.stride) not in (((3, 3), 1), ((4, 4), 2)):
        return None
    return winograd.best_tile(examples * math.prod(window.output_size), min(kernel_shape[2:]))


def _winograd_part(
    window: Window, image: Array, kernel_shape: Sequence[int], tile: Pair, limit: int, at_least: int = 1
) -> int:
    """Return how many examples to transform at once: the points of each tile hold I and O channels."""
    taps, blocks = (2, 4) if window.stride == 2 else (3, 1)
    points = (tile[0] + taps - 1) * (tile[1] + taps - 1) * math.prod(window.output_size) // math.prod(tile)
    channels = blocks * kernel_shape[2] + kernel_shape[3]
    return divisor(image.shape[0], max(limit // max(points * channels * image.itemsize, 1), at_least))


def _part(window: Window, image: Array, patch: int) -> int:
    """Return how many examples to process at once, with ``patch`` numbers for every pixel of ``y``."""
    rows = math.prod(window.output_size)
    return divisor(image.shape[0], max(PATCH_BYTES // (rows * patch * image.itemsize), PATCH_ROWS // rows))


def divisor(examples: int, limit: int) -> int:
    """Return the largest divisor of ``examples`` up to ``limit``, but at least 1."""
    divisors = (length for length in range(1, examples + 1) if examples % length == 0 and length <= max(limit, 1))
    return max(divisors, default=examples)


def map_parts(function: Callable, images: Array, length: int) -> Array:
    """Apply ``function`` to ``length`` examples at a time and concatenate the results."""
    if length == images.shape[0]:
        return function(images)
    parts = lax.map(function, images.reshape(-1, length, *images.shape[1:]))
    return parts.reshape(-1, *parts.shape[2:])


def sum_parts(function: Callable, x: Array, y: Array, length: int) -> Array:
    """Sum ``function(x, y)``, which is additive over the examples, over parts of ``length`` examples."""
    if length == x.shape[0]:
        return function(x, y)

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        return total + function(*part), None

    parts = x.reshape(-1, length, *x.shape[1:]), y.reshape(-1, length, *y.shape[1:])
    total = jax.eval_shape(function, x, y)
    return lax.scan(add, _varying_as(jnp.zeros(total.shape, total.dtype), x), parts)[0]


# Devices ------------------------------------------------------------------------------------------------------------


def alike(a: Array, b: Array) -> tuple[Array, Array]:
    """Mark a replicated operand as differing between devices, under ``shard_map``, if the other operand differs.

    The gradient rules of this module return gradients that differ between devices; the transpose of the mark sums
    those gradients over devices.
    """
    return _varying_as(a, b), _varying_as(b, a)


def _varying_as(array: Array, other: Array) -> Array:
    missing = jax.typeof(other).manual_axis_type.varying - jax.typeof(array).manual_axis_type.varying
    return lax.pcast(array, tuple(sorted(missing)), to="varying") if missing else array
