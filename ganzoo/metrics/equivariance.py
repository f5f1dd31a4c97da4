"""Equivariance of a generator: how well a move of its input moves its image, in dB.

Karras et al. 2021, arXiv:2106.12423, appendix E: EQ-T (whole pixels), EQ-T_frac (any distance) and EQ-R (any angle)
are the peak signal-to-noise ratios between the image of a moved input and the moved image, where both are known.
Numbers of filters are those of NVlabs/stylegan3, metrics/equivariance.py. No weights of another network are needed.

Moves are given for each image; results are pairs of images and masks, 1 where an image is known and 0 elsewhere.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ganzoo.gan import GAN
from ganzoo.metrics.features import PairSource, index_batches
from ganzoo.ops import affine, random
from ganzoo.typing import Images, Key, Labels, Latents, State

PerImage: TypeAlias = Float[Array, " n"]
Masks: TypeAlias = Float[Array, "n h w 1"]
REACH = 3
"""a of the Lanczos windows, in pixels."""
LONGEST = 2 * REACH
"""Half of the side of the filter of a rotation, in pixels: two windows, one of each image's grid."""
PERIOD = 64
"""Half of the side, in pixels, of the square in which filters are convolved."""
FINE = 4
"""Samples per pixel of the image from which a rotation takes its pixels."""
LEAST_TURNED = 24
"""Fewest pixels of a side with which a turned image has a middle that is known."""
LARGEST_SHIFT = 0.125
"""Largest translation, in sides of the image."""
LATENTS, DRAWS = range(2)
"""Numbers that are folded into the key."""

# Operators ----------------------------------------------------------------------------------------------------------


def translate_integer(images: Images, x: PerImage, y: PerImage) -> tuple[Images, Masks]:
    """Move images [N, H, W, C] by shares [N] of the width to the right and of the height down, rounded to pixels."""
    height, width = images.shape[1:3]
    down, right = jnp.round(y * height), jnp.round(x * width)
    return _shifted(images, right, down, lambda offset: (offset == 0).astype(images.dtype), 0, 0)


def translate_fractional(images: Images, x: PerImage, y: PerImage) -> tuple[Images, Masks]:
    """Move images [N, H, W, C] by shares [N] of the width to the right and of the height down, by a Lanczos filter."""
    height, width = images.shape[1:3]
    return _shifted(images, x * width, y * height, lambda offset: _sinc(offset) * _lanczos(offset), REACH - 1, REACH)


def rotate(images: Images, angle: PerImage) -> tuple[Images, Masks]:
    """Turn images [N, H, W, C] by angles [N] in radians counter-clockwise, without aliasing of either pixel grid."""
    return jax.vmap(_rotated)(jnp.asarray(images), angle)


def pseudo_rotate(images: Images, angle: PerImage) -> tuple[Images, Masks]:
    """Filter images [N, H, W, C] as ``rotate`` by an angle [N] would have filtered them; they stay where they are.

    A turned image has lost frequencies that its turned pixel grid cannot hold; a fair comparison takes them from the
    other image, too. Karras et al. 2021, arXiv:2106.12423, appendix E.3.
    """

    def filtered(image: Array, angle: Array) -> tuple[Array, Array]:
        f = bandlimit_filter(-angle, 1)
        reach = f.shape[0] // 2
        padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)))
        y = _correlate(padded, f[:, :, None])[..., 0]
        known = [_inside(jnp.arange(size), reach, size - reach) for size in image.shape[:2]]
        return y, (known[0][:, None] * known[1][None, :])[..., None]

    return jax.vmap(filtered)(jnp.asarray(images), angle)


def bandlimit_filter(angle: Float[Array, ""], up: int = FINE) -> Float[Array, "k k"]:
    """Return the low-pass filter that a pixel grid and the one turned by an angle in radians share.

    The ideal filters of both grids, convolved, times their Lanczos windows, convolved; its ``up``^2 phases each sum to
    1 / up^2. Karras et al. 2021, arXiv:2106.12423, appendix E.3.

    Returns:
      [k, k] for k = 2 LONGEST up - 1, in samples of 1 / up pixel, centred.
    """
    side = PERIOD * up
    taps = jnp.arange(1 - side, side, dtype=jnp.float32) / up
    x, y = jnp.broadcast_to(taps[None, :], (2 * side - 1,) * 2), jnp.broadcast_to(taps[:, None], (2 * side - 1,) * 2)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    turned = (x * cosine + y * sine, y * cosine - x * sine)

    def shared(function: Callable[[Array], Array]) -> Array:
        """Convolve the function of both coordinates with the same on the turned grid."""
        parts = (jnp.fft.rfft2(jnp.fft.ifftshift(function(a) * function(b))) for a, b in ((x, y), turned))
        first, second = parts
        return jnp.fft.fftshift(jnp.fft.irfft2(first * second, s=x.shape))

    outside = (PERIOD - LONGEST) * up
    f = (shared(_sinc) * shared(_lanczos))[outside:-outside, outside:-outside]
    phases = jnp.pad(f, ((0, 1), (0, 1))).reshape(2 * LONGEST, up, 2 * LONGEST, up)
    phases = phases / (phases.sum((0, 2), keepdims=True) * up**2)
    return phases.reshape(2 * LONGEST * up, -1)[:-1, :-1]


def psnr(errors: float, known: float) -> float:
    """Return 10 log10(2^2 / MSE) in dB, of a sum of squared errors over ``known`` numbers in [-1, 1]; NaN of none."""
    if not known:
        return float("nan")
    return float(10 * np.log10(4 * known / errors)) if errors else float("inf")


def _sinc(x: Array) -> Array:
    return jnp.sinc(x)


def _lanczos(x: Array) -> Array:
    return jnp.where(jnp.abs(x) < REACH, jnp.sinc(x / REACH), 0)


def _inside(at: Array, low: Array | int, high: Array | int) -> Array:
    """Return 1.0 where low <= at < high."""
    return ((at >= low) & (at < high)).astype(jnp.float32)


def _shifted(
    images: Images, right: Array, down: Array, kernel: Callable[[Array], Array], before: int, after: int
) -> tuple[Array, Array]:
    """Move images by distances [N] in pixels: either axis is multiplied by the matrix kernel(p - q - distance).

    Known are the pixels whose whole filter, ``before`` to ``after`` pixels about them, lies in the image.
    """

    def along(size: int, distance: Array) -> tuple[Array, Array]:
        whole, place = jnp.floor(distance), jnp.arange(size, dtype=images.dtype)
        taps = kernel(jnp.arange(-before, after + 1, dtype=images.dtype) - (distance - whole))
        matrix = kernel(place[:, None] - place[None, :] - distance) / taps.sum()
        return matrix, _inside(place, whole + after, size + whole - before)

    def one(image: Array, right: Array, down: Array) -> tuple[Array, Array]:
        (rows, known_rows), (columns, known_columns) = along(image.shape[0], down), along(image.shape[1], right)
        moved = jnp.einsum("ph,qw,hwc->pqc", rows, columns, image, precision=lax.Precision.HIGHEST)
        return moved, (known_rows[:, None] * known_columns[None, :])[..., None]

    return jax.vmap(one)(jnp.asarray(images), right, down)


def _rotated(image: Float[Array, "h w c"], angle: Float[Array, ""]) -> tuple[Array, Array]:
    """Return one image turned, by linear interpolation between ``FINE`` samples a pixel, and its mask.

    Of sample ``FINE b + s`` the value is the sum over j of image[b + j] f[FINE j - s], with f centred.
    """
    sizes, edge = image.shape[:2], 2 * LONGEST - 1
    phases = jnp.pad(bandlimit_filter(angle), ((0, 1), (0, 1))).reshape(2 * LONGEST, FINE, 2 * LONGEST, FINE)
    phases = phases[:, ::-1, :, ::-1].transpose(0, 2, 1, 3).reshape(2 * LONGEST, 2 * LONGEST, FINE**2)
    fine = _correlate(jnp.pad(image, ((edge, edge), (edge, edge), (0, 0))), phases * FINE**2)
    fine = fine.reshape(*fine.shape[:3], FINE, FINE).transpose(0, 3, 1, 4, 2)
    fine = fine.reshape(fine.shape[0] * FINE, -1, image.shape[2])  # pixel b is sample FINE (b + LONGEST)

    down, across = (jnp.asarray((np.arange(size) + 0.5) / size * 2 - 1, jnp.float32) for size in sizes)
    x, y = affine.mapped(affine.rotation(angle[None]), across[None, :], down[:, None])
    y, x = (((at + 1) * size / 2 - 0.5 + LONGEST) * FINE for at, size in zip((y, x), sizes, strict=True))
    turned = affine.bilinear(fine[None], x, y)[0]
    low = 2 * LONGEST * FINE - 1  # the original's edge of what is known, by the number of its sample
    known = (_inside(jnp.round(at[0] + 1), low, size * FINE - 1) for at, size in zip((y, x), sizes, strict=True))
    rows, columns = known
    return turned, (rows * columns)[..., None]


def _correlate(image: Float[Array, "h w c"], kernels: Float[Array, "k k p"]) -> Float[Array, "h2 w2 c p"]:
    """Correlate each channel with each of P kernels."""
    planes = image.transpose(2, 0, 1)[..., None]
    y = lax.conv_general_dilated(
        planes, kernels[:, :, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,
    )  # fmt: skip
    return y.transpose(1, 2, 0, 3)


# Metrics ------------------------------------------------------------------------------------------------------------

Move: TypeAlias = Callable[[Float[Array, "n 2"], tuple[int, int]], tuple[Array, Callable[[Images, Images], tuple]]]
"""``move(draws, (height, width))``: transforms [n, 3, 3] of the input, and ``compared(still, moved)``: two images that
should be the same, and the mask of what is known of both. Draws are uniform in [-1, 1)."""


def _by_pixels(draws: Float[Array, "n 2"], size: tuple[int, int]) -> tuple[Array, Callable]:
    shorter = min(size)
    return _translated(jnp.round(draws * LARGEST_SHIFT * shorter) / shorter, size, translate_integer)


def _by_fractions(draws: Float[Array, "n 2"], size: tuple[int, int]) -> tuple[Array, Callable]:
    return _translated(draws * LARGEST_SHIFT, size, translate_fractional)


def _translated(shift: Float[Array, "n 2"], size: tuple[int, int], operator: Callable) -> tuple[Array, Callable]:
    """Return a translation by ``shift`` in shorter sides of the image."""
    x, y = (shift[:, axis] * min(size) / size[1 - axis] for axis in (0, 1))

    def compared(still: Images, moved: Images) -> tuple[Images, Images, Masks]:
        expected, known = operator(still, x, y)
        return expected, moved, known

    return affine.translation(-shift[:, 0], -shift[:, 1]), compared


def _by_angles(draws: Float[Array, "n 2"], size: tuple[int, int]) -> tuple[Array, Callable]:
    del size
    angle = draws[:, 0] * jnp.pi

    def compared(still: Images, moved: Images) -> tuple[Images, Images, Masks]:
        (expected, known), (filtered, also) = rotate(still, angle), pseudo_rotate(moved, angle)
        return expected, filtered, known * also

    return affine.rotation(angle), compared


MOVES = {"eqt": _by_pixels, "eqt_frac": _by_fractions, "eqr": _by_angles}
"""The moves of each metric."""


def errors_of(
    name: str,
) -> Callable[[GAN, Key, State, Int[Array, " n"], Labels | None], tuple[PerImage, PerImage]]:
    """Return ``(gan, key, state, indices, labels) -> (squared errors [n], known numbers [n])`` of a metric.

    Image i and its move depend on the key and i alone.
    """

    def errors(
        gan: GAN, key: Key, state: State, indices: Int[Array, " n"], labels: Labels | None
    ) -> tuple[PerImage, PerImage]:
        draw = partial(random.uniform, shape=(2,), low=-1.0, high=1.0)
        draws = random.for_indices(draw, jax.random.fold_in(key, DRAWS), indices)
        latents = gan.latents(jax.random.fold_in(key, LATENTS), indices)
        return move_errors(name, gan, state, latents, labels, draws)

    return errors


def move_errors(
    name: str, gan: GAN, state: State, latents: Latents, labels: Labels | None, draws: Float[Array, "n 2"]
) -> tuple[PerImage, PerImage]:
    """Return squared errors [n] of images of latents [n, z], moved as drawn, and the numbers [n] that were compared."""
    space = gan.styles
    assert space is not None, "only of models whose input moves"
    transforms, compared = MOVES[name](draws, gan.image_shape[:2])
    ws = space.map(state, latents, labels)
    still, moved = space.synthesise(state, ws), space.synthesise(state, ws, transform=transforms)
    expected, found, known = compared(still, moved)
    squares = jnp.square(expected - found) * known
    return squares.sum((1, 2, 3)), known.sum((1, 2, 3)) * gan.image_shape[2]


def equivariance(pairs: PairSource, count: int, *, batch_size: int) -> float:
    """Return the PSNR in dB over ``count`` images, of a source ``indices [n] -> (squared errors [n], numbers [n])``."""
    sums = np.zeros(2)
    for start, indices in enumerate(index_batches(count, batch_size)):
        left = count - start * batch_size
        sums += [np.asarray(part, np.float64)[:left].sum() for part in pairs(indices)]
    return psnr(*sums)
