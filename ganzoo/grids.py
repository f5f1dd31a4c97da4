"""Pictures of many images: grids, and writing them without leaving half a file."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ganzoo.disk import write_whole
from ganzoo.errors import UserError


def grid(images: UInt8[np.ndarray, "n h w c"], columns: int, *, gap: int = 2) -> UInt8[np.ndarray, "gh gw c"]:
    """The images in rows of ``columns``, ``gap`` pixels apart, on white (transparent where there is alpha).

    A last row that is not full is filled up with background.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    background = np.full(channels, 255, np.uint8)
    if channels in (2, 4):
        background[-1] = 0
    canvas = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.uint8)
    canvas[:] = background
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def enlarged(image: UInt8[np.ndarray, "h w c"], smallest: int = 512) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Small pictures by a whole factor, pixel for pixel, until the longer side is about ``smallest``."""
    factor = max(1, round(smallest / max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def save_png(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write a PNG: grey, grey + alpha, RGB or RGBA by the number of channels; of more, the first three.

    The file appears when it is complete.
    """
    from PIL import Image

    channels = image.shape[-1]
    picture = Image.fromarray(image[..., 0] if channels == 1 else image[..., :3] if channels > 4 else image)
    content = io.BytesIO()
    try:
        picture.save(content, format="png")
        write_whole(path, content.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
