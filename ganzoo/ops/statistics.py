"""Normalisation and statistics of activations."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops import collective
from ganzoo.ops.pixels import at_least_float32

EPSILON = 1e-8


def pixel_norm(x: Float[Array, "*_n _c"], epsilon: float = EPSILON) -> Float[Array, "*_n _c"]:
    r"""Divide the channel vectors of x [..., C] by their root mean square.

    $$x'_c = \frac{x_c}{\sqrt{\frac{1}{C} \sum_j x_j^2 + \epsilon}}$$

    The mean is taken in float32 at least, and the result is of the type of ``x``.

    Karras et al. 2017, arXiv:1710.10196, section 4.2; the "normalised latent" of StyleGAN.
    """
    wide = at_least_float32(x)
    return (wide * lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + epsilon)).astype(x.dtype)


def instance_norm(x: Float[Array, "_n _h _w _c"], epsilon: float = EPSILON) -> Float[Array, "_n _h _w _c"]:
    """Normalise each channel of each image [N, H, W, C] over all pixels: ``(x - mean) / sqrt(var + epsilon)``.

    Mean and variance are taken in float32 at least, and the result is of the type of ``x``.

    Huang and Belongie 2017, arXiv:1703.06868, equation 8 without the style.
    """
    wide = at_least_float32(x)
    wide = wide - jnp.mean(wide, axis=(1, 2), keepdims=True)
    return (wide * lax.rsqrt(jnp.mean(jnp.square(wide), axis=(1, 2), keepdims=True) + epsilon)).astype(x.dtype)


def minibatch_stddev(
    x: Float[Array, "_n _h _w _c"], *, group_size: int | None, channels: int = 1
) -> Float[Array, "_n _h _w _c2"]:
    """Append ``channels`` feature maps that measure how much the images of a group differ.

    A new map holds one number: the standard deviation of each input channel over the images of a group, averaged over
    all pixels and over 1 / ``channels`` of the input channels. Groups are strided: with N images in groups of G, group
    j holds the images j, j + N / G, j + 2 N / G ... of the global batch.

    Args:
        x: [N, H, W, C].
        group_size: G, which must divide N; larger values are reduced to N, and None takes the whole batch.
        channels: number of maps to add; must divide C.

    Returns:
        [N, H, W, C + channels].

    Raises:
        ValueError: ``group_size`` does not divide the batch, or ``channels`` does not divide C.

    Karras et al. 2017, arXiv:1710.10196, section 3; groups as in NVlabs/stylegan2-ada-pytorch, networks.py:600.
    """
    local, height, width, features = x.shape
    n = collective.global_size(local)
    group = min(group_size or n, n)
    if n % group or features % channels:
        raise ValueError(f"groups of {group} in a batch of {n}, {channels} statistics of {features} features")
    whole = collective.all_gather(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
    y = whole.reshape(group, n // group, height, width, channels, features // channels)
    y = jnp.sqrt(jnp.mean(jnp.square(y - jnp.mean(y, axis=0, keepdims=True)), axis=0) + EPSILON)
    y = jnp.tile(jnp.mean(y, axis=(1, 2, 4)), (group, 1))  # [N, channels]
    mine = collective.local_part(y, local).reshape(local, 1, 1, channels)
    return jnp.concatenate([x, jnp.broadcast_to(mine, (local, height, width, channels)).astype(x.dtype)], axis=-1)
