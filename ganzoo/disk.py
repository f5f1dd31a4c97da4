"""Writing files that are there whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file by one with this content; after a power cut it is the old one or the new one.

    Raises:
      OSError: it cannot be written; nothing is left of the attempt.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write the same file
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
