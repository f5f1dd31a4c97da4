"""Places that commands write to: what can be refused is refused before the work."""

import os
from pathlib import Path

from ganzoo.config import require
from ganzoo.disk import kind_of, require_writable
from ganzoo.errors import UserError

PICTURES = (".png", ".webp")
MOST_PIXELS = 100_000_000
"""Largest number of pixels of a grid: 64 images of 1024 x 1024 fit."""
LARGEST_WEBP = 16_383
"""Largest side in pixels of a WebP image."""
OTHER_FILES = frozenset((
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".avif", ".heic", ".svg"),
    *(".pdf", ".eps", ".mp4", ".webm", ".mov", ".avi", ".mkv", ".npy", ".npz", ".pt", ".pth", ".pkl", ".safetensors"),
    *(".json", ".txt", ".csv", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".h5", ".hdf5", ".parquet"),
))  # fmt: skip
"""Endings of names that can be meant for files only; a name such as samples_psi0.7 is that of a folder."""


def is_picture(path: Path) -> bool:
    """Return whether a name is that of an image file, not of a folder; ``UserError`` for that of another file."""
    ending = path.suffix.lower()
    if ending in OTHER_FILES:
        raise UserError(f"{path}: must end in .png or .webp for one grid, or have no ending for a folder of images")
    return ending in PICTURES


def require_picture(path: Path) -> None:
    """Raise ``UserError`` where an image file cannot be written, as far as that can be known before."""
    if path.suffix.lower() not in PICTURES:
        raise UserError(f"{path}: the name of an image file must end in .png or .webp")
    require_writable(path)


def require_grid(path: Path, count: int, columns: int, shape: tuple[int, ...], remedy: str) -> None:
    """Raise ``UserError`` for a grid that is too large.

    Args:
      path: the file.
      count: number of images.
      columns: images in a row.
      shape: (H, W, C) of an image.
      remedy: what makes the grid smaller.
    """
    height, width = (-(-count // columns)) * (shape[0] + 2), columns * (shape[1] + 2)
    size = f"{path}: {count:,} images of {shape[1]} x {shape[0]} make a grid of {width:,} x {height:,} pixels"
    if height * width > MOST_PIXELS:
        raise UserError(f"{size}, more than {MOST_PIXELS // 10**6} million; {remedy}")
    if path.suffix.lower() == ".webp" and max(height, width) > LARGEST_WEBP:
        raise UserError(f"{size}, and WebP ends at {LARGEST_WEBP:,}; write a .png, or {remedy}")


def require_folder(path: Path) -> None:
    """Raise ``UserError`` where ``options.make_folder`` or writing there would fail, as far as can be known before."""
    require(kind_of(path) in ("folder", "nothing"), "out", str(path), "be a folder, which this is not")
    there = next(place for place in (path, *path.absolute().parents) if kind_of(place) != "nothing")
    if kind_of(there) != "folder":
        raise UserError(f"{there} is no folder, so {path} cannot be made; give another folder by --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} cannot be written to; give another folder by --out")
