"""Common interface of all origins of images: a list of names, a function that decodes by index, optional labels."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ganzoo.data.images import Look, Target
from ganzoo.data.labels import Labels
from ganzoo.data.packed import Packed


class Pictures(Protocol):
    """Decoder of images by index; several threads may call it at once."""

    def __call__(self, index: int, target: Target) -> np.ndarray:
        """Decode image ``index`` to uint8 [H, W, C] of the target's shape; raise any exception if this fails."""
        ...


@dataclass(frozen=True)
class Source:
    """Data set before its images are decoded."""

    title: str
    """Name of the data set, for display: ``digits (built in)``, ``faces.zip (zip)``."""
    names: Sequence[str]
    """Names of the n images, for messages."""
    picture: Pictures
    """Function that reads and decodes an image."""
    look: Callable[[int], Look]
    """Function that says what an image file holds; raises any exception for one that cannot be read."""
    labels: Labels | None
    """Labels of the n images; None without labels."""
    content: str
    """Hash of the names and sizes: the same for the same data in another location or archive."""
    revision: str
    """Hash of `content`, location and dates: changes when a file is rewritten."""
    notes: tuple[str, ...] = ()
    """What the user should know of it, such as files that are left out; a sentence each."""
    why_unlabelled: str = ""
    """Why there are no labels, where that can be said."""
    packed: Packed | None = None
    """The images, where they are decoded already."""


def digest(*parts: object, lines: Iterable[str] = ()) -> str:
    """Return a hash of 32 hexadecimal digits of ``parts`` and ``lines``, which may hold undecodable bytes."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part if isinstance(part, bytes) else repr(part).encode())
        hasher.update(b"\0")
    for line in lines:
        hasher.update(line.encode("utf-8", "surrogateescape"))
        hasher.update(b"\0")
    return hasher.hexdigest()[:32]
