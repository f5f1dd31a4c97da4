"""Zip archives of unknown origin: whether their members are apart."""

import itertools
import zipfile
from collections.abc import Iterable

LOCAL_HEADER = 30
"""Smallest size in bytes of what stands before the content of a member."""


def overlap(members: Iterable[zipfile.ZipInfo]) -> bool:
    """Return whether members of an archive share bytes, by which a small file could hold anything."""
    places = sorted((info.header_offset, info.compress_size) for info in members)
    return any(
        start + LOCAL_HEADER + length > following for (start, length), (following, _) in itertools.pairwise(places)
    )
