"""From the bytes of a picture file to uint8 [H, W, C].

A picture becomes grey (1 channel), grey + alpha (2), RGB (3) or RGBA (4), whatever its file holds:

- the EXIF orientation is applied, so the array is what a viewer shows;
- palettes and CMYK are expanded, 16-bit values keep their high byte, an animation gives its first frame;
- where alpha is asked of an opaque picture it is 255; where none is asked, the picture is laid over white;
- resizing weighs colours with their alpha (Pillow's rule), so transparent pixels do not bleed.
"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data.config import CropMode, ResizeFilter
from ganzoo.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Channels of an array -> Pillow's name for such pixels."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What may be decoded; the last two occur in TFDS only."""


@dataclass(frozen=True)
class Target:
    """The pixels that every picture is brought to."""

    height: int
    width: int
    channels: int
    crop: CropMode = "center"
    resize_filter: ResizeFilter = "lanczos"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UserError(f"images of {self.height} x {self.width} pixels do not exist; give sides >= 1")
        if self.channels not in MODES:
            raise UserError(
                f"picture files hold 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA) channels, not {self.channels}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels


def decode(data: bytes, target: Target) -> np.ndarray:
    """Decodes one PNG, JPEG or WebP file.

    Returns:
        uint8 [H, W, C] as ``target`` asks.

    Raises:
        Exception: whatever Pillow raises for a broken file (OSError, SyntaxError, ValueError, ...); `reason` puts it
            into words.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.load()
        return fit(_upright(image), target)


def fit(image: "Image.Image", target: Target) -> np.ndarray:
    """Brings an open picture to the wanted channels, aspect ratio and size: uint8 [H, W, C]."""
    from PIL import Image

    image = _convert(image, MODES[target.channels])
    box = _center_box(image.size, target) if target.crop == "center" else (0, 0, *image.size)
    resample = Image.Resampling[target.resize_filter.upper()]
    if (image.size, box) != ((target.width, target.height), (0, 0, target.width, target.height)):
        image = image.resize((target.width, target.height), resample, box=box)
    return np.asarray(image, np.uint8).reshape(target.shape)


def reason(error: Exception) -> str:
    """Why a picture could not be decoded, in a few words on one line."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a PNG, JPEG or WebP picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _convert(image: "Image.Image", mode: str) -> "Image.Image":
    """Changes the kind of pixels; ``mode`` is one of `MODES`."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey; Pillow reads 16-bit colour to its high byte by itself
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == mode and "transparency" not in image.info:
        return image
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    if mode not in ("LA", "RGBA"):
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _upright(image: "Image.Image") -> "Image.Image":
    """Applies the EXIF orientation; a picture whose EXIF block is malformed stays as it is, as in a viewer."""
    from PIL import ExifTags, ImageOps

    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        return image


def _center_box(size: tuple[int, int], target: Target) -> tuple[int, int, int, int]:
    """The largest central box (left, upper, right, lower) with the target's aspect ratio, in whole pixels."""
    width, height = size
    box_width = min(width, max(1, round(height * target.width / target.height)))
    box_height = min(height, max(1, round(width * target.height / target.width)))
    left, upper = (width - box_width) // 2, (height - box_height) // 2
    return left, upper, left + box_width, upper + box_height
