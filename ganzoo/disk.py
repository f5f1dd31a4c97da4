"""Writing files that are there whole or not at all, and the cache of what is costly to find again.

The cache is in ``$GANZOO_CACHE`` (``~/.cache/ganzoo`` where that is unset or empty) and may be deleted at any time.
"""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def write_whole(path: Path, content: bytes) -> None:
    """Replace the content of a file atomically; after a power cut the file holds the old or the new content.

    Raises:
      OSError: the file cannot be written; no partial file remains.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")  # the process id keeps two writers of one file apart
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist; ``RuntimeError`` where there is no home folder."""
    return Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()


def recall(name: str, decode: Callable[[bytes], T]) -> T | None:
    """Return what ``remember`` kept under a name, decoded; None where there is nothing that can be read.

    Args:
      name: of the file in the cache, such as ``data/0a1b.json``.
      decode: from the bytes of the file; may raise for bytes that it does not expect.
    """
    try:
        return decode((cache_folder() / name).read_bytes())
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def remember(name: str, content: bytes) -> None:
    """Keep a file in the cache; where it cannot be written, do nothing."""
    try:
        file = cache_folder() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except (OSError, RuntimeError):
        return
