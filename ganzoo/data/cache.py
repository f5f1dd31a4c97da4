"""Small answers about data sets that are costly to find again, kept between runs.

They lie in ``$GANZOO_CACHE`` (default ``~/.cache/ganzoo``) and may be deleted at any time; where that folder cannot
be written, every run finds its answers anew.
"""

import json
import os
from pathlib import Path
from typing import Any

from ganzoo.disk import write_whole


def recall(key: str) -> Any | None:
    """What `remember` kept under ``key``; None if there is nothing (readable)."""
    try:
        return json.loads(_file(key).read_bytes())
    except (OSError, ValueError, RuntimeError):
        return None


def remember(key: str, answer: Any) -> None:
    """Keeps ``answer`` (of JSON types) under ``key`` (of letters and digits); a failure to write is not an error."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(answer).encode())
    except (OSError, RuntimeError):
        return


def _file(key: str) -> Path:
    root = Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()
    return root / "data" / f"{key}.json"
