"""Convolutions in groups of channels with fast first-order and higher-order gradients, of stride 1.

Each group of O / G output channels sees the I / G input channels of the same position. As in ``conv``, the function and
its gradient in the kernel form a family that is closed under differentiation: the gradient in the input is the same
convolution with the kernel turned around and its channels exchanged within each group. Forward-mode differentiation is
not supported.

Activations are [N, H, W, C]; kernels are [height, width, I / G, O], as in ``lax.conv_general_dilated``.

On CPU, the convolution multiplies the pixels under the kernel's height, in every column, by the whole kernel at once,
and adds up the kw products of each pixel: large products that share out among threads, and few copies. Elsewhere the
library convolves. The kernel's gradient is one product over all groups for each tap everywhere: the library's takes 350
times as long on CPU, and on GPUs as long as that of a dense convolution. Milliseconds on two cores with AVX2, 8 images
of 32 x 32 x 1536 in 96 groups: forward 72 to 107 (a product per row of the kernel, in parts of a cache: 222 to 312, the
same not in parts 143 to 187, im2col 234, PyTorch 58), gradient of the kernel 154 to 196 (by columns as well: 174 to
234, PyTorch 54). ``experiments/grouped_convolutions.py`` measures more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops.conv import alike, conv, divisor, map_parts, sum_parts

Pair: TypeAlias = tuple[int, int]

COLUMNS_BYTES = 96 * 2**20
"""Bytes of columns that a convolution holds at once on CPU: with fewer, its products do not share out among threads."""
PART_BYTES = 8 * 2**20
"""The same for the patches of a kernel gradient, whose parts are about a cache."""


@dataclass(frozen=True)
class Window:
    """Geometry of a grouped convolution: number of groups, size of the kernel, zeros (before, after) on each axis."""

    groups: int
    kernel_size: Pair
    padding: tuple[Pair, Pair]

    @property
    def adjoint(self) -> "Window":
        """The geometry of the gradient in the input."""
        pads = zip(self.kernel_size, self.padding, strict=True)
        (top, bottom), (left, right) = ((k - 1 - lo, k - 1 - hi) for k, (lo, hi) in pads)
        return replace(self, padding=((top, bottom), (left, right)))

    def output_size(self, x: Array) -> Pair:
        """Return height and width of the result for ``x`` [N, H, W, C]."""
        sizes = zip(x.shape[1:3], self.kernel_size, self.padding, strict=True)
        height, width = (size + lo + hi - k + 1 for size, k, (lo, hi) in sizes)
        return height, width


def grouped_conv(
    x: Float[Array, "n h w i"], kernel: Float[Array, "kh kw j o"], *, padding: Pair = (0, 0)
) -> Float[Array, "n h2 w2 o"]:
    """Convolve in groups: ``y[u, g] = sum_i x[u + i - lo, g] kernel[i, g]`` (a cross-correlation).

    Args:
        x: [N, H, W, I].
        kernel: [height, width, I / G, O]; its shape says the number of groups G. Group g has the output channels from
            g O / G on, and sees the input channels from g I / G on.
        padding: zeros (before, after), for both axes; less than the size of the kernel.

    Returns:
        [N, H + before + after - height + 1, likewise the width, O] in the dtype of ``x``. Half precision is accumulated
        in float32.

    Raises:
        ValueError: the channels or the padding do not fit.
    """
    (height, width, own, outputs), inputs = kernel.shape, x.shape[3]
    groups = inputs // own
    if groups * own != inputs or outputs % groups:
        raise ValueError(f"{inputs} channels and a kernel [h, w, I / G, O] {kernel.shape}: groups must divide both")
    if not 0 <= min(padding) <= max(padding) < min(height, width):
        raise ValueError(f"padding {padding}: must be from 0 on and less than the kernel, {(height, width)}")
    if groups == 1:
        return conv(x, kernel, padding=padding)
    return _conv(Window(groups, (height, width), (padding, padding)), *alike(x, kernel))


# The family: each function's gradients are made of the two ------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(window: Window, x: Array, kernel: Array) -> Array:
    return _choose(_cpu_conv, _library_conv, window, x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Compute ``kernel[i, g] = sum_{n, u} x[n, u + i - lo, g]^T y[n, u, g]``."""
    return _choose(_cpu_kernel_gradient, _taps_kernel_gradient, window, x, y)


def _choose(cpu: Callable, elsewhere: Callable, window: Window, a: Array, b: Array) -> Array:
    """Choose the formulation by platform; exports with a symbolic batch size, which has no parts, take the second."""
    if not isinstance(a.shape[0], int):
        return elsewhere(window, a, b)
    return lax.platform_dependent(a, b, cpu=partial(_in_float32, cpu, window), default=partial(elsewhere, window))


def _in_float32(function: Callable, window: Window, a: Array, b: Array) -> Array:
    """Compute half precision in float32: small products of a processor are no faster in it."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return function(window, a.astype(wide), b.astype(wide)).astype(a.dtype)


def _conv_backward(window: Window, residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    return _conv(window.adjoint, dy, _turned(window, kernel)), _kernel_gradient(window, x, dy)


def _kernel_gradient_backward(window: Window, residuals: tuple[Array, Array], dkernel: Array) -> tuple[Array, Array]:
    x, y = residuals
    return _conv(window.adjoint, y, _turned(window, dkernel)), _conv(window, x, dkernel)


_conv.defvjp(lambda window, *args: (_conv(window, *args), args), _conv_backward)
_kernel_gradient.defvjp(lambda window, *args: (_kernel_gradient(window, *args), args), _kernel_gradient_backward)


def _turned(window: Window, kernel: Array) -> Array:
    """Turn a kernel around and exchange its channels in each group: [h, w, I / G, O] -> [h, w, O / G, I]."""
    height, width, own, outputs = kernel.shape
    split = jnp.flip(kernel, (0, 1)).reshape(height, width, own, window.groups, outputs // window.groups)
    return split.transpose(0, 1, 4, 3, 2).reshape(height, width, -1, own * window.groups)


# Formulations ---------------------------------------------------------------------------------------------------------


def _library_conv(window: Window, x: Array, kernel: Array) -> Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), window.padding, dimension_numbers=numbers, feature_group_count=window.groups
    )


def _taps_kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Compute one product for each tap, batched over the groups."""
    (kh, kw), (height, width), groups = window.kernel_size, y.shape[1:3], window.groups
    x, y = _padded(window, x), _by_group(y, groups)
    taps = [x[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    wide = jnp.promote_types(x.dtype, jnp.float32)
    sums = [jnp.einsum("gnhwi,gnhwo->igo", _by_group(t, groups), y, preferred_element_type=wide) for t in taps]
    return jnp.stack(sums).reshape(kh, kw, sums[0].shape[0], -1).astype(x.dtype)


def _cpu_conv(window: Window, x: Array, kernel: Array) -> Array:
    """Multiply columns of pixels by the whole kernel, batched over the groups, and add up what belongs to a pixel."""
    kh, kw, own, outputs = kernel.shape
    groups = window.groups
    by_group = kernel.reshape(kh, kw, own, groups, outputs // groups).transpose(3, 0, 2, 1, 4)
    by_group = by_group.reshape(groups, kh * own, -1)  # [G, kh I / G, kw O / G]

    def some(x: Array) -> Array:
        _, width = window.output_size(x)
        products = jnp.einsum("gnhwi,gio->gnhwo", _columns(window, x), by_group)
        terms = [part[:, :, :, j : j + width] for j, part in enumerate(jnp.split(products, kw, axis=-1))]
        y = sum(terms[1:], terms[0]).transpose(1, 2, 3, 0, 4)
        return y.reshape(*y.shape[:3], outputs)

    return map_parts(some, x, _part(window, x, COLUMNS_BYTES))


def _cpu_kernel_gradient(window: Window, x: Array, y: Array) -> Array:
    """Sum the products of the taps over parts of the batch."""
    return sum_parts(partial(_taps_kernel_gradient, window), x, y, _part(window, x, PART_BYTES))


def _columns(window: Window, x: Array) -> Array:
    """Return the pixels [G, n, H', W + before + after, kh I / G] under the kernel's height, for every column."""
    kh, (height, _) = window.kernel_size[0], window.output_size(x)
    x = _by_group(_padded(window, x), window.groups)
    return jnp.concatenate([x[:, :, i : i + height] for i in range(kh)], axis=-1)


def _by_group(x: Array, groups: int) -> Array:
    """Return [N, H, W, C] as [G, N, H, W, C / G]."""
    return x.reshape(*x.shape[:3], groups, x.shape[3] // groups).transpose(3, 0, 1, 2, 4)


def _padded(window: Window, x: Array) -> Array:
    rows, columns = window.padding
    return jnp.pad(x, ((0, 0), rows, columns, (0, 0)))


def _part(window: Window, x: Array, most: int) -> int:
    """Return how many images to process at once, so that the patches of one axis of the kernel take ``most`` bytes."""
    return divisor(x.shape[0], most // (prod(x.shape[1:]) * window.kernel_size[1] * x.dtype.itemsize))
