"""Resampling of images by whole factors, and convolutions fused with FIR resampling in the cheapest order."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ganzoo.ops import fir
from ganzoo.ops.conv import conv, conv_transpose
from ganzoo.ops.fir import Filter, Pair, upfirdn


def upsample_nearest(x: Float[Array, "_n _h _w _c"], factor: int) -> Float[Array, "_n _h2 _w2 _c"]:
    """Repeat every pixel ``factor`` times in both directions: [N, H, W, C] -> [N, H factor, W factor, C]."""
    n, height, width, channels = x.shape
    y = jnp.broadcast_to(x[:, :, None, :, None], (n, height, factor, width, factor, channels))
    return y.reshape(n, height * factor, width * factor, channels)


def avg_pool(x: Float[Array, "_n _h _w _c"], factor: int) -> Float[Array, "_n _h2 _w2 _c"]:
    """Average squares of ``factor`` by ``factor`` pixels: [N, H, W, C] -> [N, H / factor, W / factor, C]."""
    n, height, width, channels = x.shape
    return jnp.mean(x.reshape(n, height // factor, factor, width // factor, factor, channels), axis=(2, 4))


def conv_resample(
    x: Float[Array, "_n _h _w _i"],
    kernel: Float[Array, "_kh _kw _a _b"],
    f: Filter = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Pair | tuple[Pair, Pair] = (0, 0),
    correlate: bool = True,
    correlate_filter: bool = False,
) -> Float[Array, "_n _h2 _w2 _o"]:
    """Upsample, pad, convolve, downsample; each resampling is filtered by ``f``.

    A transposed convolution of stride ``up`` replaces zero insertion and a convolution, a strided convolution replaces
    a convolution and decimation, and a 1x1 convolution runs at the smaller of the two sizes.

    Args:
        x: [N, H, W, I].
        kernel: [height, width, I, O]; with ``up`` > 1 it is [height, width, O, I], as transposed convolutions have it.
        f: filter of the resampling, as returned by ``fir.setup_filter``.
        up: factor of upsampling before the convolution.
        down: factor of downsampling after the convolution.
        padding: zeros (before, after) around the upsampled image, counted in upsampled pixels.
        correlate: True cross-correlates, the usual "convolution" of networks; False flips the kernel, which is a
            mathematical convolution and what a transposed convolution computes.
        correlate_filter: like ``correlate``, for ``f``.

    Returns:
        [N, (H up + before + after - height + 1) / down, ..., O] in the dtype of ``x``.

    Karras et al. 2019, arXiv:1912.04958, appendix B; NVlabs/stylegan2-ada-pytorch, torch_utils/ops/conv2d_resample.py.
    """
    size, pads = kernel.shape[:2], fir.pad_pairs(padding)
    if up > 1:
        pads = fir.add_padding(pads, fir.upsampling_padding(f, (up, up)))
        if down > 1:  # padding the upsampled image serves both filters
            pads = fir.add_padding(pads, fir.downsampling_padding(f, (down, down)))
        if correlate:
            kernel = jnp.flip(kernel, (0, 1))
        x = _upsampled(x, kernel, f, up, pads, correlate_filter)
        return x if down == 1 else upfirdn(x, f, down=down, correlate=correlate_filter)
    if not correlate:
        kernel = jnp.flip(kernel, (0, 1))
    if down == 1:
        return _cropping_conv(x, kernel, pads)
    pads = fir.add_padding(pads, fir.downsampling_padding(f, (down, down)))
    if size == (1, 1):
        return conv(upfirdn(x, f, down=down, padding=pads, correlate=correlate_filter), kernel)
    return conv(upfirdn(x, f, padding=pads, correlate=correlate_filter), kernel, stride=down)


def _upsampled(x: Array, kernel: Array, f: Filter, up: int, pads: tuple[Pair, Pair], correlate_filter: bool) -> Array:
    """Convolve the upsampled, padded image, then filter the result."""
    (height, width), (kh, kw) = x.shape[1:3], kernel.shape[:2]
    if (kh, kw) == (1, 1):
        y = conv(x, jnp.swapaxes(kernel, 2, 3))
        return upfirdn(y, f, up=up, padding=pads, gain=up * up, correlate=correlate_filter)
    # the full transposed convolution adds kernel - 1 pixels before the image and kernel - up pixels after the image
    size = ((height - 1) * up + kh, (width - 1) * up + kw)
    y = conv_transpose(x, kernel, stride=up, padding=(0, 0), size=size)
    (top, bottom), (left, right) = pads
    around = (top - (kh - 1), bottom - (kh - up)), (left - (kw - 1), right - (kw - up))
    return upfirdn(y, f, padding=around, gain=up * up, correlate=correlate_filter)


def _cropping_conv(x: Array, kernel: Array, pads: tuple[Pair, Pair]) -> Array:
    """Convolve with padding that may be negative."""
    (top, bottom), (left, right) = pads
    rows = slice(max(-top, 0), x.shape[1] - max(-bottom, 0))
    columns = slice(max(-left, 0), x.shape[2] - max(-right, 0))
    return conv(x[:, rows, columns], kernel, padding=((max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))))
