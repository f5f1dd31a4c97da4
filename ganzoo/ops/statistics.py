"""Normalisations and statistics of activations."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.config import require
from ganzoo.ops import collective

EPSILON = 1e-8


def pixel_norm(x: Float[Array, "*_n _c"], epsilon: float = EPSILON) -> Float[Array, "*_n _c"]:
    """Every vector of channels divided by the root of its mean square: ``x / sqrt(mean(x^2) + epsilon)``.

    Karras et al. 2017, arXiv:1710.10196, section 4.2; the "normalised latent" of StyleGAN.
    """
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon)


def instance_norm(x: Float[Array, "_n _h _w _c"], epsilon: float = EPSILON) -> Float[Array, "_n _h _w _c"]:
    """Every feature of every image with mean 0 and variance 1 over its places: ``(x - mean) / sqrt(var + epsilon)``.

    Huang and Belongie 2017, arXiv:1703.06868, equation 8 without its style.
    """
    x = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=(1, 2), keepdims=True) + epsilon)


def minibatch_stddev(
    x: Float[Array, "_n _h _w _c"], *, group_size: int | None, channels: int = 1
) -> Float[Array, "_n _h _w _c2"]:
    """``x`` with ``channels`` more: how much the images of a group differ from one another.

    The standard deviation of each feature over a group of images, averaged over places and over 1 / ``channels`` of
    the features, the same for all images of the group. The groups are strided: of N images in groups of G, group j
    holds the images j, j + N / G, j + 2 N / G ... of the batch on all devices.

    Args:
        x: [N, H, W, C].
        group_size: G, at most N; None for the whole batch. Must divide N.
        channels: how many maps to add; must divide C.

    Returns:
        [N, H, W, C + channels].

    Raises:
        ValueError: ``group_size`` does not divide the batch, or ``channels`` the features.

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


def require_groups(together: int, group: int | None, channels: int) -> None:
    """Raise ``UserError`` unless the groups of ``minibatch_stddev`` divide the images that are looked at together."""
    fits = not group or not channels or together % min(group, together) == 0
    require(fits, "minibatch_std_group", group, f"divide the (micro-)batch of {together} images")
