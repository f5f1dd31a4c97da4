"""Affine maps of images without aliasing, with reflection at the borders and static shapes.

Karras et al. 2020, arXiv:2006.06676, appendix B: the image is reflected at its borders, upsampled to twice its size by
an orthogonal low-pass filter, mapped with bilinear interpolation, and downsampled by the transposed filter.
Translations by whole pixels are exact; flips and rotations are nearly exact, because no orthogonal filter of this kind
is symmetric.

The margin of reflection is as wide as the images of a batch need, with zeros beyond the margin. In the original code
the margin is the padding, so the padded shape depends on the drawn transforms. In this module the padding is always the
largest possible, and all pixels beyond the margin are set to zero, before and after the filter.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ganzoo.ops import affine, collective, fir
from ganzoo.ops.affine import Matrices
from ganzoo.typing import Images

SYM6 = fir.setup_filter(
    [
        0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
        0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
        0.0017677118642428036, -0.007800708325034148,
    ]
)  # fmt: skip
"""Low-pass taps of the sym6 wavelet, with sum 1. Daubechies 1992, "Ten Lectures on Wavelets", table 6.3."""
REACH = len(SYM6) // 4
"""Pixels that the filter reaches beyond a pixel on either side."""


def resampled(images: Images, inverse: Matrices) -> Images:
    """Apply an affine map to each image, given by the inverse of the map.

    Args:
      images: [N, H, W, C].
      inverse: [N, 3, 3] from points (x, y, 1) of the result to points of the image, in pixels from the centre.

    Returns:
      [N, H, W, C]. The margin of reflection is common to the global batch, and at most H - 1 and W - 1.
    """
    height, width = images.shape[1:3]
    (left, right), (top, bottom) = margins(inverse, height, width)

    padded = jnp.pad(images, ((0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0)), mode="reflect")
    padded = _within(padded, (top, height - 1 + bottom), (left, width - 1 + right), (height - 1, width - 1))
    fine = fir.upsample(padded, SYM6)  # its pixel j lies at pixel j / 2
    ends = (2 * top, 2 * (height + bottom) - 1), (2 * left, 2 * (width + right) - 1)
    fine = _within(fine, *ends, (2 * (height - 1), 2 * (width - 1)))

    x, y = (jnp.arange(-2 * REACH, 2 * (size + REACH)) / 2 - (size - 1) / 2 for size in (width, height))
    x, y = affine.mapped(inverse, x[None, :], y[:, None])
    x, y = (2 * (place + (size - 1) / 2 + (size - 1)) for place, size in ((x, width), (y, height)))
    mapped = affine.bilinear(fine, x, y)
    return fir.downsample(mapped, SYM6, padding=(-2 * REACH, -2 * REACH), correlate=True)


def margins(inverse: Matrices, height: int, width: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the margins of reflection (left, right), (top, bottom) in pixels, each an array [], for maps [N, 3, 3].

    The margins reach to the corners of all results of the global batch, plus twice the reach of the filter.
    NVlabs/stylegan2-ada-pytorch, training/augment.py:272-283.
    """
    x, y = (jnp.asarray([-1.0, 1.0]) * ((size - 1) / 2) for size in (width, height))
    corners = affine.mapped(lax.stop_gradient(inverse), x[None, :], y[:, None])

    def reach(places: Array, size: int) -> tuple[Array, Array]:
        farthest = [collective.largest(jnp.max(side)) for side in (-places, places)]
        before, after = (jnp.ceil(jnp.clip(far - (size - 1) / 2 + 2 * REACH, 0, size - 1)) for far in farthest)
        return before, after

    return reach(corners[0], width), reach(corners[1], height)


def _within(images: Array, rows: tuple, columns: tuple, origin: tuple[int, int]) -> Array:
    """Set pixels to 0 outside of the rows and columns -first .. last, counted from the origin."""
    inside = [
        (jnp.arange(size) - start >= -first) & (jnp.arange(size) - start <= last)
        for size, start, (first, last) in zip(images.shape[1:3], origin, (rows, columns), strict=True)
    ]
    return jnp.where((inside[0][:, None] & inside[1][None, :])[None, :, :, None], images, 0)
