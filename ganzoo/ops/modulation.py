"""Modulated convolutions: a separate kernel for every image of a batch, at the cost of a shared kernel."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops import collective
from ganzoo.ops.fir import Filter, Pair
from ganzoo.ops.resample import conv_resample

EPSILON = 1e-8


def modulated_conv(
    x: Float[Array, "n _h _w i"],
    kernel: Float[Array, "_kh _kw _a _b"],
    styles: Float[Array, "n i"],
    f: Filter = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Pair | tuple[Pair, Pair] = (0, 0),
    demodulate: bool = True,
    correlate: bool | None = None,
    noise: Float[Array, "_n2 _h2 _w2 1"] | None = None,
) -> Float[Array, "n _h2 _w2 _o"]:
    r"""Convolve each image with its kernel $k_{ijo} s_i$, scaled to unit standard deviation of the output.

    $$k'_{ijo} = \frac{s_i k_{ijo}}{\sqrt{\sum_{i,j} (s_i k_{ijo})^2 + \epsilon}}$$

    Scaling the input channels by the styles and the output channels by the demodulation coefficients is equivalent to
    scaling the kernel of each image (arXiv:1912.04958, section 2.2 and appendix B, equations 1-3).

    Args:
        x: [N, H, W, I].
        kernel: [height, width, I, O]; with ``up`` > 1 [height, width, O, I].
        styles: [N, I], factors of the input channels.
        f: filter of the resampling, as in ``conv_resample``.
        up, down, padding: as in ``conv_resample``.
        demodulate: divide each output channel by the norm of its modulated kernel.
        correlate: as in ``conv_resample``; None is False with ``up`` > 1 (a transposed convolution), else True.
        noise: [N or 1, H2, W2, 1], added to the result.

    Returns:
        [N, H2, W2, O] in the dtype of ``x``.
    """
    correlate = up == 1 if correlate is None else correlate
    into, out = (3, 2) if up > 1 else (2, 3)
    if demodulate and x.dtype == jnp.float16:  # otherwise the sums of squares overflow
        # demodulation cancels any scale of the kernel and of the styles
        fan_in = kernel.size // kernel.shape[out]
        largest = jnp.max(jnp.abs(kernel), axis=(0, 1, into), keepdims=True)
        kernel = kernel / (jnp.maximum(largest, EPSILON) * fan_in**0.5)
        styles = styles / jnp.maximum(jnp.max(jnp.abs(styles), axis=1, keepdims=True), EPSILON)
    demodulation = None
    if demodulate:
        power = jnp.sum(jnp.square(kernel), axis=(0, 1))
        power = power.T if up > 1 else power
        demodulation = lax.rsqrt(jnp.square(styles) @ power + EPSILON).astype(x.dtype)[:, None, None, :]
    x = x * styles.astype(x.dtype)[:, None, None, :]
    x = conv_resample(x, kernel.astype(x.dtype), f, up=up, down=down, padding=padding, correlate=correlate)
    if demodulation is not None:
        x = x * demodulation
    return x if noise is None else x + noise.astype(x.dtype)


def unit_power(
    kernel: Float[Array, "_kh _kw _i _o"], styles: Float[Array, "n i"]
) -> tuple[Float[Array, "_kh _kw _i _o"], Float[Array, "n i"]]:
    """Return a kernel with a mean square of 1 for every output, and styles with one of 1 over the batch of all devices.

    Demodulation cancels either scale but for its epsilon, so that an image depends on the others of its batch by less
    than rounding. NVlabs/stylegan3, training/networks_stylegan3.py:41-43.
    """
    kernel = kernel * lax.rsqrt(jnp.mean(jnp.square(kernel), axis=(0, 1, 2), keepdims=True))
    return kernel, styles * lax.rsqrt(collective.mean(jnp.mean(jnp.square(styles))))
