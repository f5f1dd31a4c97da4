"""Grids of images, and atomic writing of image files."""

import importlib
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ganzoo.disk import read_regular, write_file
from ganzoo.errors import UserError, several
from ganzoo.ops.pixels import to_uint8

MOST_PIXELS, MOST_BYTES = 2**26, 2**28
"""Largest number of pixels and of bytes of a picture that is read back."""


def grid(images: UInt8[np.ndarray, "n h w c"], columns: int, *, gap: int = 2) -> UInt8[np.ndarray, "gh gw c"]:
    """Arrange images [N, H, W, C] in rows of ``columns``, ``gap`` pixels apart: [GH, GW, C].

    The background, which also completes the last row, is white, and transparent if the images have alpha.
    """
    return grid_of(images, len(images), columns, gap=gap)


def grid_of(images: Iterable[np.ndarray], count: int, columns: int, *, gap: int = 2) -> UInt8[np.ndarray, "gh gw c"]:
    """Arrange ``count`` images [H, W, C] as ``grid`` does, each as it comes."""
    rows, canvas = -(-count // columns), np.empty((0, 0, 1), np.uint8)
    for i, image in enumerate(images):
        height, width, channels = image.shape
        if i == 0:
            background = np.full(channels, 255, np.uint8)
            if channels in (2, 4):
                background[-1] = 0
            canvas = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.uint8)
            canvas[:] = background
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def enlarged(image: UInt8[np.ndarray, "h w c"], smallest: int = 512) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Repeat the pixels of a small image by a whole factor until its longer side is about ``smallest`` pixels."""
    factor = max(1, round(smallest / max(image.shape[:2])))
    return image if factor == 1 else image.repeat(factor, axis=0).repeat(factor, axis=1)


def save_png(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write an image [H, W, C] as PNG: grey, grey + alpha, RGB or RGBA for C = 1 to 4, else its first three channels.

    The file appears only when complete.

    Raises:
      UserError: the file cannot be written.
    """
    from PIL import Image

    channels = image.shape[-1]
    picture = Image.fromarray(image[..., 0] if channels == 1 else image[..., :3] if channels > 4 else image)
    content = io.BytesIO()
    picture.save(content, format="png")
    write_file(path, content.getvalue())


def save_slides(path: Path, frames: Sequence[Path], *, longest: int = 120, largest: int = 1024) -> list[Path]:
    """Write image files as an animated WebP that shows each for 0.1 seconds and the last for 2 seconds.

    Args:
      path: file of the animation, which appears only when complete.
      frames: PNG files in order; those that cannot be read, or differ from the last one in size, are left out.
      longest: largest number of frames; a longer sequence is reduced to this many at equal distances.
      largest: largest longer side in pixels; larger frames are shrunk.

    Returns:
      The files that were left out although their turn had come.
    """
    if len(frames) > longest:
        frames = [frames[round(i * (len(frames) - 1) / (longest - 1))] for i in range(longest)]
    read = {frame: read_png(frame, largest) for frame in frames}
    found = [picture for picture in read.values() if picture is not None]
    pictures = [picture for picture in found if picture.shape == found[-1].shape]
    if pictures:
        durations = [100] * (len(pictures) - 1) + [2000]
        _save(path, pictures, format="webp", save_all=True, duration=durations, loop=0)
    return [frame for frame, picture in read.items() if picture is None or picture.shape != found[-1].shape]


def read_png(path: Path, largest: int) -> UInt8[np.ndarray, "h w c"] | None:
    """Return a PNG file as an array [H, W, 3 or 4], shrunk to at most ``largest`` pixels a side; None where that fails.

    No other format is tried, whatever the name of the file: some are read by programs that Pillow would start.
    """
    from PIL import Image

    try:
        content = read_regular(path, MOST_BYTES)
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            warnings.simplefilter("error")
            if picture.width * picture.height > MOST_PIXELS:
                return None
            small = picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
            small.thumbnail((largest, largest))
            return np.asarray(small)
    except Exception:  # Pillow raises errors of many types for broken files
        return None


def save_picture(path: Path, image: UInt8[np.ndarray, "h w c"]) -> None:
    """Write an image [H, W, C] as PNG or lossless WebP, depending on the suffix of ``path``.

    Raises:
      UserError: the suffix is another one, or the file cannot be written.
    """
    if path.suffix.lower() == ".png":
        save_png(path, image)
    elif path.suffix.lower() == ".webp":
        _save(path, [image], format="webp", lossless=True)
    else:
        raise UserError(f"{path}: the name of an image file must end in .png or .webp")


def _save(path: Path, frames: Sequence[np.ndarray], **options: Any) -> None:
    """Write images in RGB or RGBA by Pillow; with ``save_all``, the first image is followed by the others."""
    from PIL import Image

    pictures = [Image.fromarray(coloured(frame)) for frame in frames]
    more = {"append_images": pictures[1:]} if options.get("save_all") else {}
    content = io.BytesIO()
    pictures[0].save(content, **options, **more)
    write_file(path, content.getvalue())


def coloured(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c2"]:
    """Return an image [H, W, C] as RGB, or as RGBA if C is 2 or 4; with more channels, take the first three."""
    channels = image.shape[-1]
    if channels in (1, 2):
        return np.concatenate([image[..., :1].repeat(3, axis=-1), image[..., 1:]], axis=-1)
    return image if channels == 4 else image[..., :3]


def show(images: Any, columns: int | None = None, *, smallest: int = 680) -> None:
    """Show images as a grid below the cell of a notebook; elsewhere print the size of the grid.

    Args:
      images: [N, H, W, C], uint8 or float in [-1, 1].
      columns: images in a row; about as many as rows when absent.
      smallest: small grids are enlarged by a whole factor until the longer side is about this many pixels.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(f"images of shape {images.shape}: must be [N, H, W, C] with at least one image")
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    if pixels.shape[-1] > 4:
        pixels = pixels[..., :3]
    canvas = enlarged(grid(pixels, columns or math.ceil(len(pixels) ** 0.5)), smallest)
    try:
        ipython = importlib.import_module("IPython")  # an extra
    except ImportError:
        ipython = None
    if ipython is not None and ipython.get_ipython() is not None:
        from PIL import Image

        image = Image.fromarray(canvas[..., 0] if canvas.shape[-1] == 1 else canvas)
        ipython.display.display(image, include=["image/png", "text/plain"])
    else:
        print(f"{several(len(images), 'image')}, a grid of {canvas.shape[1]} x {canvas.shape[0]} pixels")
