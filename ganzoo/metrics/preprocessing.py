"""Conversion of generated or stored images to the input of feature extractors: RGB in 0..255."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from ganzoo.typing import Images, ImagesUint8


def quantize(images: Images | ImagesUint8) -> UInt8[Array, "n h w c"]:
    """Return images as an image file would hold them: ``x * 127.5 + 128``, clipped and truncated; uint8 as it is.

    Real images are stored in 8 bits, so generated images are evaluated in 8 bits. NVlabs/stylegan3,
    metrics/metric_utils.py:269.
    """
    if images.dtype == jnp.uint8:
        return jnp.asarray(images)
    return jnp.clip(jnp.asarray(images, jnp.float32) * 127.5 + 128, 0, 255).astype(jnp.uint8)


def rgb(images: Float[Array, "n h w c"]) -> Float[Array, "n h w 3"]:
    """Return images [N, H, W, 3] in 0..255 of images with any number of channels.

    Grey (1 channel) is repeated; images with alpha (2 or 4 channels) are laid over white, as ``ganzoo.data`` does for
    targets without alpha; of more than 4 channels, which are not colours, the first three are taken.
    """
    channels = images.shape[-1]
    if channels in (2, 4):
        opacity = images[..., -1:] / 255
        images = images[..., :-1] * opacity + 255 * (1 - opacity)
    if images.shape[-1] == 1:
        return jnp.repeat(images, 3, axis=-1)
    return images[..., :3]
