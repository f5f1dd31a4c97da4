"""The one shape that every place of pictures has: a numbered list of names, their bytes, and perhaps labels."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ganzoo.data.images import Target
from ganzoo.data.labels import Labels


class Pictures(Protocol):
    """Gives pictures by number; safe to call from several threads."""

    def __call__(self, index: int, target: Target) -> np.ndarray:
        """Picture ``index`` as uint8 [H, W, C]; any exception says that it cannot be decoded."""
        ...


@dataclass(frozen=True)
class Source:
    """A data set before it is read."""

    title: str
    """What it is, for the reader: ``digits``, ``faces.zip (zip)``."""
    names: Sequence[str]
    """Names of the n pictures, for messages."""
    picture: Pictures
    """Reads and decodes one of them."""
    labels: Labels | None
    """Labels of the n pictures."""
    content: str
    """Hash of the names and sizes: the same for the same data in another place or packing."""
    revision: str
    """Hash of `content`, place and dates: changes when a file is written again."""


def digest(*parts: object, lines: Iterable[str] = ()) -> str:
    """A hash of 32 hexadecimal digits of ``parts`` and ``lines`` (names may hold undecodable bytes)."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part if isinstance(part, bytes) else repr(part).encode())
        hasher.update(b"\0")
    for line in lines:
        hasher.update(line.encode("utf-8", "surrogateescape"))
        hasher.update(b"\0")
    return hasher.hexdigest()[:32]


def printable(name: str) -> str:
    """A file name that can be printed on one line, whatever bytes it holds."""
    return "".join(
        letter if letter.isprintable() else "?" for letter in name.encode("utf-8", "replace").decode("utf-8")
    )
