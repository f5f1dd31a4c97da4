"""Image files in a folder or in a .zip file; both give the same arrays in the same order.

Image files end in .png, .jpg, .jpeg or .webp (in upper or lower case), are found at any depth, and are sorted by path;
hidden files and folders are left out. Labels: see `ganzoo.data.labels`.
"""

import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ganzoo.data.config import LabelMode
from ganzoo.data.images import Target, decode
from ganzoo.data.labels import Labels, from_folders, from_json
from ganzoo.data.source import Source, digest
from ganzoo.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
LABELS_FILE = "dataset.json"

Stamps = Mapping[str, tuple[int, int]]
"""Path with ``/`` between its parts -> (size in bytes, a number that changes when the file is rewritten)."""
Read = Callable[[str], bytes]
"""Path -> content of the file; safe to call from several threads."""


def open_folder(path: Path, labels: LabelMode) -> Source:
    """Open the image files below the folder ``path``.

    Raises:
        UserError: the folder cannot be read, holds no image file, or has invalid labels.
    """

    def read(name: str) -> bytes:
        return path.joinpath(name).read_bytes()

    return _source(path, "folder", dict(_walk(path)), read, labels)


def open_zip(path: Path, labels: LabelMode) -> Source:
    """Open the image files in the .zip file ``path``, stored or compressed.

    Raises:
        UserError: the file is no intact .zip file, is encrypted, holds no image file, or has invalid labels.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise UserError(f"{path}: a broken .zip file ({error}); download or pack it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None
    entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    if any(entry.flag_bits & 1 for entry in entries.values()):
        archive.close()
        raise UserError(f"{path}: an encrypted .zip file; unpack it with its password and give the folder")
    lock = threading.Lock()

    def read(name: str) -> bytes:
        with lock:  # all threads share one file handle; decoding, the costly part, happens outside of the lock
            return archive.read(entries[name])

    stamps = {name: (entry.file_size, entry.CRC) for name, entry in entries.items()}
    return _source(path, "zip", stamps, read, labels)


def _walk(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield (path, stamp) of every wanted file below ``root``; symbolic links are followed, but never in a circle."""

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None

    seen = set()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        if os.path.realpath(folder) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            file = Path(folder, name)
            if _is_wanted(name):
                yield file.relative_to(root).as_posix(), _stamp(file)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # a dangling link; reading the file reports the error
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _is_wanted(name: str) -> bool:
    return name == LABELS_FILE or name.lower().endswith(EXTENSIONS)


def _is_picture(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    return not hidden and path.lower().endswith(EXTENSIONS)


def _source(path: Path, kind: str, stamps: Stamps, read: Read, labels: LabelMode) -> Source:
    names = sorted(filter(_is_picture, stamps))
    if not names:
        raise UserError(f"{path}: no images in this {kind}; it must hold {', '.join(EXTENSIONS)} files")

    def picture(index: int, target: Target) -> np.ndarray:
        return decode(read(names[index]), target)

    sizes = [str(stamps[name][0]) for name in names]
    dates = [str(stamps[name][1]) for name in names]
    content = digest(lines=[*names, *sizes])
    return Source(
        title=f"{path} ({kind})",
        names=names,
        picture=picture,
        labels=_labels(path, names, stamps, read) if labels == "auto" else None,
        content=content,
        revision=digest(content, str(path.resolve()), path.stat().st_mtime_ns, lines=dates),
    )


def _labels(path: Path, names: list[str], stamps: Stamps, read: Read) -> Labels | None:
    if LABELS_FILE not in stamps:
        return from_folders(names)
    where = f"{path}/{LABELS_FILE}"
    try:
        text = read(LABELS_FILE)
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise UserError(f"{where}: cannot be read ({error}); rewrite the file, or pass --labels none") from None
    return from_json(text, names, where)
