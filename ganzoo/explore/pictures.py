"""Pictures on their way to and from a browser: PNG with the settings inside, and uploads decoded in memory."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ganzoo import __version__
from ganzoo.data.formats import reason
from ganzoo.data.images import CHANNELS, Target, decode
from ganzoo.errors import UserError, printable

MOST_UPLOADED, MOST_PIXELS = 32 * 2**20, 2**26
"""Largest number of bytes and of pixels of an uploaded picture."""
TEXT = "ganzoo"
"""Name of the text in a PNG that holds the settings, as JSON."""


def png(image: UInt8[np.ndarray, "h w c"], about: Mapping[str, Any] | None = None) -> bytes:
    """Return an image [H, W, C] as a PNG: of more than four channels, the first three.

    Args:
      image: grey, grey + alpha, RGB or RGBA for C = 1 to 4.
      about: written as JSON into the text ``ganzoo`` of the file; None for a picture that is only looked at.
    """
    from PIL import Image, PngImagePlugin

    channels = image.shape[-1]
    picture = Image.fromarray(image[..., 0] if channels == 1 else image[..., :3] if channels > 4 else image)
    content, texts = io.BytesIO(), PngImagePlugin.PngInfo()
    if about is not None:
        texts.add_text(TEXT, json.dumps(about))
        texts.add_text("Software", f"ganzoo {__version__}")
    picture.save(content, format="png", pnginfo=texts, compress_level=1 if about is None else 6)
    return content.getvalue()


def uploaded(content: bytes, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "h w c"]:
    """Return an uploaded picture, cropped in the middle and resized to the shape (H, W, C) of the model's images.

    Raises:
      UserError: it is no picture, is damaged, or is too large.
    """
    height, width, channels = shape
    if channels not in CHANNELS:
        raise UserError(f"pictures have 1 to 4 channels, where this model's images have {channels}")
    if not content:
        raise UserError("the file is empty; choose a picture")
    try:
        return decode(content, Target(height, width, channels, max_pixels=MOST_PIXELS))
    except UserError as error:
        raise UserError(f"the picture cannot be read: {printable(error, 200)}") from error
    except Exception as error:  # Pillow raises errors of many types for broken files
        why = printable(reason(error), 200)
        raise UserError(f"the picture cannot be read: {why}; save it again as PNG or JPEG") from error
