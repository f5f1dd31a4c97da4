"""Decoding of image files to uint8 [H, W, C].

Every image file becomes grey (1 channel), grey + alpha (2), RGB (3) or RGBA (4), independent of its own format:

- the EXIF orientation is applied, so the array is what a viewer shows;
- palettes and CMYK are expanded, 16-bit values keep their high byte, an animation gives its first frame;
- an opaque image gets alpha 255 if the target has alpha; a transparent image is laid over white if the target has none;
- resizing weights colours by alpha (Pillow's rule), so transparent pixels do not bleed.
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
"""Number of channels -> Pillow's image mode."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""File formats that may be decoded; GIF and BMP occur in TFDS only."""


@dataclass(frozen=True)
class Target:
    """Size, channels and resizing rule of the decoded images."""

    height: int
    width: int
    channels: int
    crop: CropMode = "center"
    resize_filter: ResizeFilter = "lanczos"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UserError(f"images of {self.height} x {self.width} pixels are impossible; give sides >= 1")
        if self.channels not in MODES:
            raise UserError(
                f"image files hold 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA) channels, not {self.channels}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels


def decode(data: bytes, target: Target) -> np.ndarray:
    """Decode the bytes of a PNG, JPEG or WebP file.

    Returns:
        uint8 [H, W, C] of the target's shape.

    Raises:
        Exception: any error of Pillow for a broken file (OSError, SyntaxError, ValueError, ...); `reason` puts the
            error into words.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.load()
        return fit(_upright(image), target)


def fit(image: "Image.Image", target: Target) -> np.ndarray:
    """Convert an open image to the target's channels, aspect ratio and size: uint8 [H, W, C]."""
    from PIL import Image

    image = _convert(image, MODES[target.channels])
    box = _center_box(image.size, target) if target.crop == "center" else (0, 0, *image.size)
    resample = Image.Resampling[target.resize_filter.upper()]
    if (image.size, box) != ((target.width, target.height), (0, 0, target.width, target.height)):
        image = image.resize((target.width, target.height), resample, box=box)
    return np.asarray(image, np.uint8).reshape(target.shape)


def reason(error: Exception) -> str:
    """Return why an image could not be decoded, in a few words on one line."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a PNG, JPEG or WebP image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _convert(image: "Image.Image", mode: str) -> "Image.Image":
    """Convert an image to ``mode``, which is one of `MODES`."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself reduces 16-bit colour to the high byte
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
    """Apply the EXIF orientation; an image with a malformed EXIF block is returned unchanged, as in a viewer."""
    from PIL import ExifTags, ImageOps

    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        return image


def _center_box(size: tuple[int, int], target: Target) -> tuple[int, int, int, int]:
    """Return the largest central box (left, upper, right, lower) of the target's aspect ratio, in whole pixels."""
    width, height = size
    box_width = min(width, max(1, round(height * target.width / target.height)))
    box_height = min(height, max(1, round(width * target.height / target.width)))
    left, upper = (width - box_width) // 2, (height - box_height) // 2
    return left, upper, left + box_width, upper + box_height
