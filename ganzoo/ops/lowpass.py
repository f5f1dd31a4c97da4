"""Low-pass filters of networks without aliasing, and the leaky ReLU between an upsampling and a downsampling.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv:2106.12423, section 3.1 and appendix C: a
pointwise nonlinearity adds frequencies without limit, so it is computed at a higher sampling rate, and what the final
rate cannot hold is filtered out.

With U the upsampling, D the downsampling and s(u) the slope of the activation at u, which is constant almost
everywhere, the function ``y = D act(U x)`` and its derivatives form a closed family:

    forward      v -> D s(U x) U v
    transposed   g -> U^T s(U x) D^T g

Each of the two is the adjoint of the other in its last argument, and has no derivative in x, so derivatives of every
order are two resamplings. None of them keeps anything but x for a backward pass: the upsampled image, four or more
times as large, is computed again. Forward-mode differentiation (``jax.jvp``) is not supported.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops import fir
from ganzoo.ops.fir import Filter, Padding, Window
from ganzoo.typing import AnyArray

# Filters ------------------------------------------------------------------------------------------------------------


def design(taps: int, cutoff: float, width: float, rate: float, *, radial: bool = False) -> np.ndarray | None:
    """Design a Kaiser low-pass filter that sums to 1.

    Args:
      taps: number of taps along an axis; 1 is no filter.
      cutoff: frequency at which half of the amplitude passes, in cycles per unit of length.
      width: of the transition band, in the same unit; sets the shape of the Kaiser window.
      rate: samples per unit of length.
      radial: the same response in all directions (a jinc), which is not separable.

    Returns:
      float64 [taps], or [taps, taps] of a radial filter; None for a single tap.

    Karras et al. 2021, arXiv:2106.12423, appendix C; NVlabs/stylegan3, training/networks_stylegan3.py:364-384.
    """
    if taps == 1:
        return None
    import scipy.signal  # takes longer to import than all of this library
    import scipy.special

    if not radial:
        return scipy.signal.firwin(numtaps=taps, cutoff=cutoff, width=width, fs=rate)
    at = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.maximum(np.hypot(at[:, None], at[None, :]), 1e-12)  # at 0 the quotient below is the cutoff
    ideal = scipy.special.j1(2 * np.pi * cutoff * radius) / (np.pi * radius)
    window = np.kaiser(taps, scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, width / (rate / 2))))
    shaped = ideal * np.outer(window, window)
    return shaped / shaped.sum()


# Activation ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Nonlinearity:
    """A leaky ReLU with gain and clamp between two resamplings."""

    up: tuple[Window, ...]
    down: tuple[Window, ...]
    slope: float
    gain: float
    clamp: float | None

    def value(self, u: Array) -> Array:
        """Return ``clip(gain * lrelu(u), -clamp, clamp)``."""
        y = u * self._branch(u)
        return y if self.clamp is None else jnp.clip(y, -self.clamp, self.clamp)

    def derivative(self, u: Array) -> Array:
        """Return the derivative of ``value`` at u."""
        branch = self._branch(u)
        if self.clamp is None:
            return branch
        return jnp.where(jnp.abs(u * branch) < self.clamp, branch, jnp.zeros_like(branch))

    def _branch(self, u: Array) -> Array:
        gain, slope = (jnp.asarray(number, u.dtype) for number in (self.gain, self.gain * self.slope))
        return jnp.where(u > 0, gain, slope)


def filtered_lrelu(
    x: Float[Array, "_n _h _w c"],
    up_filter: Filter,
    down_filter: Filter,
    bias: Float[Array, " c"] | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0),
    slope: float = 0.2,
    gain: float = 2**0.5,
    clamp: float | None = None,
    correlate: bool = False,
) -> Float[Array, "_n _h2 _w2 c"]:
    """Add a bias, upsample, activate, downsample.

    Args:
      x: [N, H, W, C].
      up_filter: of the upsampling, ``up``^2 times brighter, so that the result is as bright as ``x``.
      down_filter: of the downsampling. Taps for both axes, a matrix, or None for either filter.
      bias: [C], added before anything else, so not to the padding.
      up: upsampling factor.
      down: downsampling factor.
      padding: zeros (before, after) around the upsampled image; negative numbers crop.
      slope: factor of negative numbers.
      gain: factor of all numbers.
      clamp: largest magnitude of an activation, after the gain; None does not clip.
      correlate: correlate with the filters instead of convolving.

    Returns:
      [N, ((H up + before + after - taps of up_filter + 1) - taps of down_filter) // down + 1, likewise the width, C]
      in the dtype of ``x``; half precision is filtered in float32.

    Karras et al. 2021, arXiv:2106.12423, section 3.2 and figure 4b.
    """
    upsampling = fir.windows(up_filter, up=up, padding=padding, gain=up * up, correlate=correlate)
    downsampling = fir.windows(down_filter, down=down, correlate=correlate)
    if bias is not None:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x = (x.astype(wide) + bias.astype(wide).reshape(1, 1, 1, -1)).astype(x.dtype)
    return _activated(Nonlinearity(upsampling, downsampling, slope, gain, clamp), x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _activated(shape: Nonlinearity, x: Array) -> Array:
    return fir.resample(shape.down, shape.value(fir.resample(shape.up, x)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _forward(shape: Nonlinearity, x: Array, v: Array) -> Array:
    slopes = shape.derivative(fir.resample(shape.up, x))
    return fir.resample(shape.down, slopes * fir.resample(shape.up, v))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transposed(shape: Nonlinearity, x: Array, g: Array) -> Array:
    u = fir.resample(shape.up, x)
    back = fir.resample(fir.adjoint(shape.down, u.shape[1:3]), g)
    return fir.resample(fir.adjoint(shape.up, x.shape[1:3]), shape.derivative(u) * back)


def _again(x: Array) -> Array:
    """Return x such that what was computed of it before is not taken from memory but computed again."""
    return lax.optimization_barrier(x)


_activated.defvjp(
    lambda shape, x: (_activated(shape, x), x),
    lambda shape, x, g: (_transposed(shape, _again(x), g),),
)
_forward.defvjp(
    lambda shape, x, v: (_forward(shape, x, v), x),
    lambda shape, x, g: (None, _transposed(shape, _again(x), g)),
)
_transposed.defvjp(
    lambda shape, x, g: (_transposed(shape, x, g), x),
    lambda shape, x, v: (None, _forward(shape, _again(x), v)),
)


# Blur ---------------------------------------------------------------------------------------------------------------


def gaussian_blur(
    images: Float[AnyArray, "_n _h _w _c"], sigma: Float[Array, ""], largest: float
) -> Float[Array, "_n _h _w _c"]:
    """Blur images by the taps ``2^-(x / sigma)^2``, |x| <= floor(3 sigma), whose sum is 1; beyond an image is 0.

    One program serves all widths: either axis is multiplied by a banded matrix, whose entries follow from ``sigma``,
    and nothing is computed where there is one tap only. NVlabs/stylegan3, training/loss.py:52-57.

    Args:
      images: [N, H, W, C].
      sigma: [], in pixels; 0 does not blur.
      largest: the largest ``sigma`` that may occur.
    """
    reach = int(3 * largest)

    def weights(distance: np.ndarray) -> Array:
        x = jnp.asarray(np.abs(distance), images.dtype)
        tap = jnp.exp2(-jnp.square(x / jnp.maximum(sigma, 1e-3)))
        return jnp.where(x <= jnp.floor(3 * sigma), tap, 0)

    def blurred(images: Array) -> Array:
        total = jnp.sum(weights(np.arange(-reach, reach + 1)))
        rows, columns = (np.arange(size) for size in images.shape[1:3])
        down, across = (weights(at[:, None] - at[None, :]) / total for at in (rows, columns))
        exact = lax.Precision.HIGHEST
        images = jnp.einsum("yh,nhwc->nywc", down, images, precision=exact)
        return jnp.einsum("xw,nhwc->nhxc", across, images, precision=exact)

    return lax.cond(3 * sigma >= 1, blurred, lambda images: images, jnp.asarray(images))
