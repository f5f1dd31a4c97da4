"""Cache, kept between runs, of small facts about data sets that are costly to compute.

The cache is in ``$GANZOO_CACHE/data`` (default ``~/.cache/ganzoo/data``) and may be deleted at any time. If the folder
is not writable, every run computes the facts again.
"""

import json
import os
from pathlib import Path
from typing import Any

from ganzoo.disk import write_whole


def recall(key: str) -> Any | None:
    """Return the value stored by `remember` under ``key``; None if there is no readable value."""
    try:
        return json.loads(_file(key).read_bytes())
    except (OSError, ValueError, RuntimeError):
        return None


def remember(key: str, answer: Any) -> None:
    """Store ``answer`` (of JSON types) under ``key`` (letters, digits, hyphens); a failure to write is ignored."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(answer).encode())
    except (OSError, RuntimeError):
        return


def _file(key: str) -> Path:
    root = Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()
    return root / "data" / f"{key}.json"
