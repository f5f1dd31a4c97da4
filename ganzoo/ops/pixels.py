"""Conversion between stored pixels (0..255) and the networks' range (-1..1)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from ganzoo.typing import Images, ImagesUint8


def scaled(images: Images | ImagesUint8) -> Images:
    """Scale uint8 images [N, H, W, C] by ``x / 127.5 - 1``; return float images, assumed in [-1, 1], unchanged."""
    if images.dtype == jnp.uint8:
        return jnp.asarray(images, jnp.float32) / 127.5 - 1
    return jnp.asarray(images)


def stored(images: Float[Array, "*n h w c"] | Float[np.ndarray, "*n h w c"]) -> UInt8[np.ndarray, "*n h w c"]:
    """Convert images [..., N, H, W, C] in [-1, 1] to uint8 on the host: ``x * 127.5 + 128``, clipped and truncated.

    ``stored(scaled(u))`` equals ``u``. NVlabs/stylegan3, metrics/metric_utils.py:269.
    """
    return np.clip(np.asarray(images, np.float32) * 127.5 + 128, 0, 255).astype(np.uint8)
