"""Cache, kept between runs, of features and statistics of real images.

The cache is in ``$GANZOO_CACHE/metrics`` (default ``~/.cache/ganzoo/metrics``) and may be deleted at any time. If the
folder cannot be read or written, every run computes the features again.
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
"""Largest size in bytes of cached features; of larger ones only the statistics are kept."""


def folder() -> Path:
    """Return the cache folder of the library."""
    return Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()


def recall(key: str, *, features: bool) -> Gathered | None:
    """Return what ``remember`` stored under ``key``; None if the entry, or its ``features`` if wanted, are missing."""
    try:
        with np.load(_file(key), allow_pickle=False) as arrays:
            kept = arrays["features"] if features else None
            return Gathered(Statistics(int(arrays["count"]), arrays["mean"], arrays["scatter"]), kept)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def remember(key: str, found: Gathered) -> None:
    """Store ``found`` under ``key`` (letters and digits); a failure to write is ignored."""
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
