"""Common interface of all origins of images: a list of names, a function that decodes by index, optional labels."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ganzoo.data.images import Target
from ganzoo.data.labels import Labels


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
    labels: Labels | None
    """Labels of the n images; None without labels."""
    content: str
    """Hash of the names and sizes: the same for the same data in another location or archive."""
    revision: str
    """Hash of `content`, location and dates: changes when a file is rewritten."""


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


def printable(name: str) -> str:
    """Return a file name as printable text on one line, whatever bytes the name holds."""
    return "".join(
        letter if letter.isprintable() else "?" for letter in name.encode("utf-8", "replace").decode("utf-8")
    )
