"""Conversion between stored pixels (0..255) and the networks' range (-1..1)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from ganzoo.typing import AnyArray, Images, ImagesUint8


def to_float(images: Images | ImagesUint8) -> Images:
    """Return uint8 images [N, H, W, C] as ``x / 127.5 - 1``; float images, taken to be in [-1, 1], as they are."""
    if images.dtype == jnp.uint8:
        return jnp.asarray(images, jnp.float32) / 127.5 - 1
    return jnp.asarray(images)


def to_uint8(images: Float[Array, "*n h w c"] | Float[np.ndarray, "*n h w c"]) -> UInt8[np.ndarray, "*n h w c"]:
    """Return images [..., H, W, C] in [-1, 1] as uint8 on the host: ``x * 127.5 + 128``, clipped and truncated.

    This maps ``to_float(u)`` back to ``u``. NVlabs/stylegan3, metrics/metric_utils.py:269.
    """
    return np.clip(np.asarray(images, np.float32) * 127.5 + 128, 0, 255).astype(np.uint8)


def at_least_float32(x: AnyArray) -> Array:
    """Return an array in float32, or in float64 where it is float64 already."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
