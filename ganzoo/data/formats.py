"""Image files as Pillow images: which formats are read, within which limits, and without a word on stderr.

Files are recognised by their first bytes. Images beyond `LARGE` pixels are decoded one at a time, whatever the number
of threads, so that memory is bounded by the largest image and not by the largest image times the threads.
"""

import contextlib
import io
import logging
import os
import struct
import threading
import warnings
from collections.abc import Callable, Generator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.data import png
from ganzoo.errors import UserError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

ENDINGS = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"
)  # fmt: skip
"""Endings of image files, in upper or lower case."""
FORMATS = "PNG, JPEG, WebP, TIFF, BMP, GIF or PPM"
LARGE = 2**24
"""Number of pixels from which on images are decoded one at a time."""
BYTES_PER_PIXEL = 4
"""Largest number of bytes of a file for each pixel that an image may have."""
_ORIENTED = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Keys under which Pillow keeps what may hold an orientation."""
_BEGINNING = 2**17
_GIF = (b"GIF87a", b"GIF89a")
_PPM = tuple(b"P%d" % kind for kind in range(1, 7))
_alone = threading.RLock()


class TooLarge(UserError):
    """An image of more pixels than allowed."""


@contextlib.contextmanager
def opened(data: bytes, max_pixels: int) -> Generator["ImageFile"]:
    """Open an image file; nothing but its head is decoded until its ``load`` is called.

    Args:
      data: content of the file.
      max_pixels: largest number of pixels.

    Raises:
      TooLarge: the image has more than ``max_pixels`` pixels.
      Exception: any error of Pillow for a broken file (OSError, SyntaxError, ValueError, ...).
    """
    if data.startswith(png.SIGNATURE):
        data = png.cleaned(data)
    size = _early_size(data)
    _require_small(size, max_pixels)
    with _turn(data, size, max_pixels), _head(data) as image:
        _require_small(image.size, max_pixels)
        with _turn(data, image.size, max_pixels):
            yield image


@contextlib.contextmanager
def loaded(data: bytes, max_pixels: int, smallest: int) -> Generator["Image.Image"]:
    """Decode an image file; its first image where it holds several. Raises as ``opened``.

    Args:
      data: content of the file.
      max_pixels: largest number of pixels.
      smallest: side in pixels that may be left of a JPEG of more than `LARGE` pixels, which is decoded at a half, a
        quarter or an eighth of its size if that is enough.
    """
    with opened(data, max_pixels) as image:
        if image.width * image.height > LARGE and image.format == "JPEG":
            factor = max(1, min(image.size) // smallest)
            image.draft(None, (image.width // factor, image.height // factor))
        image.load()
        mask = png.transparent_pixels(data) if data.startswith(png.SIGNATURE) else None
        yield image if mask is None else _with_alpha(image, mask)


def orientation(image: "Image.Image") -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 where its EXIF block is absent or malformed."""
    from PIL import ExifTags

    if not any(key in image.info for key in _ORIENTED):
        return 1  # Pillow would decode a whole PNG to find that out
    try:
        with _quiet():
            number = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, IndexError, OverflowError, struct.error):
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def reason(error: BaseException) -> str:
    """Return why an image could not be decoded, in a few words on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "too large for the memory"
    text = " ".join(str(error).split())
    return text if text and isinstance(error, OSError | SyntaxError | ValueError) else f"{type(error).__name__}: {text}"


def _head(data: bytes) -> "ImageFile":
    """Open a file by the reader of its format; Pillow's own search would also try programs, such as Ghostscript."""
    for is_format, reader in _readers():
        if is_format(data):
            warns = data.startswith(_GIF) or b"Exif" in data[:_BEGINNING]
            with _quiet() if warns else contextlib.nullcontext():
                return reader(io.BytesIO(data))
    raise UserError("a HEIF image, which is not read" if data[4:8] == b"ftyp" else f"not a {FORMATS} image")


@cache
def _readers() -> Sequence[tuple[Callable[[bytes], bool], Callable[[io.BytesIO], "ImageFile"]]]:
    """Return pairs of a test of a file's first bytes and Pillow's reader for such files."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    return (
        (lambda data: data.startswith(png.SIGNATURE), PngImagePlugin.PngImageFile),
        (lambda data: data.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
        (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
        (lambda data: data.startswith(_GIF), GifImagePlugin.GifImageFile),
        (lambda data: data.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
        (_is_tiff, TiffImagePlugin.TiffImageFile),
        (lambda data: data.startswith(_PPM), PpmImagePlugin.PpmImageFile),
    )


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _early_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) of a GIF or WebP file, which take memory as soon as they are opened; (0, 0) of others."""
    if data.startswith(_GIF) and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return 0, 0
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _require_small(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooLarge(f"{width} x {height} = {width * height:,} pixels, more than --max-pixels {max_pixels}")


@contextlib.contextmanager
def _turn(data: bytes, size: tuple[int, int], max_pixels: int) -> Generator[None]:
    """Wait until no other large image is decoded, where this one is large; let Pillow read it despite its own limit."""
    from PIL import Image

    if size[0] * size[1] <= LARGE and not _is_tiff(data):
        yield
        return
    with _quiet(), _silent_libtiff() if _is_tiff(data) else contextlib.nullcontext():
        usual = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = max(usual or 0, max_pixels) if usual else usual
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = usual


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep Pillow's warnings, which are about damage that viewers ignore as well, from stderr; one thread at a time."""
    logger = logging.getLogger("PIL")
    with _alone, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(usual)


@contextlib.contextmanager
def _silent_libtiff() -> Generator[None]:
    """Send what libtiff, a C library, writes to the process's stderr about damage nowhere; within ``_quiet``."""
    try:
        usual = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(usual, 2)
        os.close(usual)
        os.close(nowhere)


def _with_alpha(image: "Image.Image", transparent: np.ndarray) -> "Image.Image":
    """Return an RGB image with alpha 0 where ``transparent`` [H, W], and 255 elsewhere."""
    from PIL import Image

    image = image.copy()
    image.info.pop("transparency", None)
    image.putalpha(Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8)))
    return image
