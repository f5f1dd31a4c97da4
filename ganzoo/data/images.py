"""Decoding of image files to uint8 [H, W, C], and what can be said of a file without that.

Every image file becomes grey (1 channel), grey + alpha (2), RGB (3) or RGBA (4), independent of its own format:

- the EXIF orientation is applied, so the array is what a viewer shows;
- palettes and CMYK are expanded, 16-bit values keep their high byte, a file of several images gives its first;
- an opaque image gets alpha 255 if the target has alpha; a transparent image is laid over white if the target has none;
- resizing weights colours by alpha (Pillow's rule), so transparent pixels do not bleed.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data import png
from ganzoo.data.config import MAX_PIXELS, CropMode, ResizeFilter
from ganzoo.data.formats import LARGE, loaded, opened, orientation
from ganzoo.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Number of channels -> Pillow's image mode."""
CHANNELS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}
"""Number of channels -> its name for display."""
_STRIP = 2**20
"""Number of pixels that are converted at once; larger images are converted strip by strip."""
_TWELVE_BITS = 1 << 12
_LONGEST_SIDE = 65_535


@dataclass(frozen=True)
class Target:
    """Size, channels and resizing rule of the decoded images."""

    height: int
    width: int
    channels: int
    crop: CropMode = "center"
    resize_filter: ResizeFilter = "lanczos"
    max_pixels: int = field(default=MAX_PIXELS, repr=False)
    """Largest number of pixels of an image file; does not change what is decoded, and so is no part of the text."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UserError(f"images of {self.height} x {self.width} pixels are impossible; give sides >= 1")
        if max(self.height, self.width) > _LONGEST_SIDE:
            raise UserError(f"images of {self.height} x {self.width} pixels are too large; give sides <= 65535")
        if self.channels not in MODES:
            raise UserError(
                f"image files hold 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA) channels, not {self.channels}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Look:
    """What an image file holds before it is cut and resized."""

    height: int
    width: int
    channels: int
    """1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA)."""
    is_deep: bool = False
    """Whether it has 16 bits a value."""
    is_dim: bool = False
    """Whether it has 16 bits a value and no value reaches 4096: data of 12 bits, of which next to nothing is left."""


def decode(data: bytes, target: Target) -> np.ndarray:
    """Decode the bytes of an image file of one of `ganzoo.data.formats.FORMATS`.

    Returns:
        uint8 [H, W, C] of the target's shape.

    Raises:
        UserError: the image has more pixels than the target allows.
        Exception: any error of Pillow for a broken file (OSError, SyntaxError, ValueError, ...); `reason` puts the
            error into words.
    """
    with loaded(data, target.max_pixels, smallest=2 * max(target.height, target.width)) as image:
        return fit(_upright(image), target)


def look(data: bytes, max_pixels: int) -> Look:
    """Return what the bytes of an image file hold, from its head; raises as ``decode``."""
    with opened(data, max_pixels) as image:
        width, height = image.size if orientation(image) < 5 else image.size[::-1]
        is_grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
        channels = (1 if is_grey else 3) + image.has_transparency_data
        head = png.header(data) if data.startswith(png.SIGNATURE) else None
        is_deep = image.mode.startswith("I") or (head is not None and head.bits == 16)
        return Look(height, width, channels, is_deep, is_deep and width * height <= LARGE and _is_dim(image))


def _is_dim(image: "Image.Image") -> bool:
    """Say whether no value of an image of 16 bits reaches 4096."""
    if image.mode.startswith("I"):
        return int(np.asarray(image).max()) < _TWELVE_BITS
    return int(np.asarray(image)[..., :3].max()) < _TWELVE_BITS >> 8  # Pillow keeps the high bytes of colours


def fit(image: "Image.Image", target: Target) -> np.ndarray:
    """Convert an open image to the target's channels, aspect ratio and size: uint8 [H, W, C]."""
    mode, size = MODES[target.channels], (target.width, target.height)
    box = _center_box(image.size, target) if target.crop == "center" else (0, 0, *image.size)
    if image.width * image.height > _STRIP:
        image = _resized_in_strips(image, mode, box, target)
    else:
        image = _convert(image, mode)
        if (image.size, box) != (size, (0, 0, *size)):
            image = image.resize(size, _resampling(target), box=box)
    return np.asarray(image, np.uint8).reshape(target.shape)


def _resized_in_strips(
    image: "Image.Image", mode: str, box: tuple[int, int, int, int], target: Target
) -> "Image.Image":
    """Return what ``_convert`` and ``resize`` give, bit for bit, without a second image of the same size.

    Pillow resizes rows first and columns second, with 8 bits between, in colours that are multiplied by alpha. Here
    the rows are converted and resized strip by strip.
    """
    from PIL import Image

    left, upper, right, lower = box
    filtered = (image.size, box) != ((target.width, target.height), (0, 0, target.width, target.height))
    weighted = {"LA": "La", "RGBA": "RGBa"}.get(mode, mode) if filtered and target.resize_filter != "nearest" else mode
    narrow = Image.new(weighted, (target.width, image.height))
    rows = max(1, _STRIP // image.width)
    for start in range(0, image.height, rows):
        stop = min(start + rows, image.height)
        strip = _convert(image.crop((0, start, image.width, stop)), mode).convert(weighted)
        strip = strip.resize((target.width, stop - start), _resampling(target), box=(left, 0, right, stop - start))
        narrow.paste(strip, (0, start))
    whole = narrow.resize((target.width, target.height), _resampling(target), box=(0, upper, target.width, lower))
    return whole.convert(mode)


def _resampling(target: Target) -> "Image.Resampling":
    from PIL import Image

    return Image.Resampling[target.resize_filter.upper()]


def _convert(image: "Image.Image", mode: str) -> "Image.Image":
    """Convert an image to ``mode``, which is one of `MODES`."""
    from PIL import Image

    if image.mode == "F":
        raise UserError("its values are floating-point numbers; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow itself reduces 16-bit colour to the high byte
        image = _high_byte(image)
    if image.mode == mode and "transparency" not in image.info:
        return image
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    if mode not in ("LA", "RGBA"):
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _high_byte(image: "Image.Image") -> "Image.Image":
    """Return 16-bit grey with the high bytes of its values, and with alpha where it has a transparent value."""
    from PIL import Image

    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65_535:
        raise UserError("its values have more than 16 bits; save it with 8 or 16 bits")
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _upright(image: "Image.Image") -> "Image.Image":
    """Apply the EXIF orientation."""
    from PIL import Image

    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _center_box(size: tuple[int, int], target: Target) -> tuple[int, int, int, int]:
    """Return the largest central box (left, upper, right, lower) of the target's aspect ratio, in whole pixels."""
    width, height = size
    box_width = min(width, max(1, round(height * target.width / target.height)))
    box_height = min(height, max(1, round(width * target.height / target.width)))
    left, upper = (width - box_width) // 2, (height - box_height) // 2
    return left, upper, left + box_width, upper + box_height
