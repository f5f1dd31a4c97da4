"""What was found out about real images, kept between runs.

Files lie in ``$GANZOO_CACHE/metrics`` (default ``~/.cache/ganzoo/metrics``) and may be deleted at any time; where they
cannot be read or written, every run looks at the images anew.
"""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.disk import write_whole
from ganzoo.metrics.statistics import Gathered, Statistics

LARGEST = 2**30
"""Bytes of features beyond which only the statistics are kept."""


def folder() -> Path:
    """Where the library keeps what it can find again."""
    return Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()


def recall(key: str, *, features: bool) -> Gathered | None:
    """What ``remember`` kept under ``key``; None where there is nothing, or no features although they are wanted."""
    try:
        with np.load(_file(key), allow_pickle=False) as arrays:
            kept = arrays["features"] if features else None
            return Gathered(Statistics(int(arrays["count"]), arrays["mean"], arrays["scatter"]), kept)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def remember(key: str, found: Gathered) -> None:
    """Keep it under ``key`` (letters and digits); that it cannot be written is no error."""
    statistics = found.statistics
    keep = found.features is not None and found.features.nbytes <= LARGEST
    features: dict[str, Any] = {"features": found.features} if keep else {}
    content = io.BytesIO()
    np.savez(content, count=statistics.count, mean=statistics.mean, scatter=statistics.scatter, **features)
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except (OSError, RuntimeError):
        return


def _file(key: str) -> Path:
    return folder() / "metrics" / f"{key}.npz"
