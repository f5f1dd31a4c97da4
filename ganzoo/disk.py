"""Atomic writing of files."""

import os
from pathlib import Path


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
