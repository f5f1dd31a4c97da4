"""Labels of a data set: one class or one vector per image.

Labels come from a ``dataset.json`` in NVIDIA's layout, ``{"labels": [["path", label], ...]}`` with class numbers or
vectors (``null`` for no labels), or else from the names of the first-level folders.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganzoo.errors import UserError

MOST_CLASSES = 65_536
"""Largest number of classes; a larger class number is probably an identifier."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Labels:
    """Labels of n images.

    Classes are stored as numbers and become one-hot rows when read, so a thousand classes cost no memory.
    """

    values: np.ndarray
    """int64 [n] class numbers or float32 [n, k] vectors."""
    size: int
    """k, the length of a label vector."""
    class_names: tuple[str, ...] = ()
    """k class names; empty if labels are vectors."""

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Return the label vectors of the images ``indices`` (int [N]): float32 [N, k]."""
        values = self.values[indices]
        if not self.class_names:
            return values
        rows = np.zeros((len(values), self.size), np.float32)
        rows[np.arange(len(values)), values] = 1
        return rows

    def take(self, indices: np.ndarray) -> "Labels":
        """Return the labels of the images ``indices`` (int [N]), with all classes."""
        return Labels(self.values[indices], self.size, self.class_names)

    def lines(self, most: int = 10) -> list[str]:
        """Return a line with the count of each class, at most ``most`` by name and the rest in one; [] for vectors."""
        if not self.class_names:
            return []
        counts = np.bincount(self.values, minlength=self.size)
        shown = self.size if self.size <= most + 1 else most
        width = max(len(name) for name in self.class_names[:shown])
        lines = [f"{name:<{width}}  {count:>9,}" for name, count in zip(self.class_names[:shown], counts, strict=False)]
        if rest := counts[shown:].tolist():
            lines.append(f"and {len(rest):,} more classes of {min(rest):,} to {max(rest):,} images")
        return lines


def of_classes(numbers: Sequence[int], class_names: Sequence[str]) -> Labels:
    """Build labels from n class numbers, each below ``len(class_names)``."""
    return Labels(np.asarray(numbers, np.int64), len(class_names), tuple(class_names))


def from_folders(names: Sequence[str]) -> Labels | None:
    """Build labels from the names of the first-level folders, numbered in sorted order.

    Args:
        names: paths of the images with ``/`` between their parts.

    Returns:
        Labels, or None unless every image is in a sub-folder and there are at least two sub-folders.
    """
    if any("/" not in name for name in names):
        return None
    folders = [name.split("/", 1)[0] for name in names]
    classes = sorted(set(folders))
    if len(classes) < 2:
        return None
    number = {name: index for index, name in enumerate(classes)}
    return of_classes([number[folder] for folder in folders], classes)


def from_json(text: bytes, names: Sequence[str], where: str) -> Labels | None:
    """Build labels from the text of a ``dataset.json``; entries for absent images are ignored.

    Args:
        text: content of the file.
        names: paths of the images with ``/`` between their parts.
        where: name of the file, for messages.

    Returns:
        Labels, or None if the file says ``"labels": null``.

    Raises:
        UserError: the JSON is broken or has another layout, an image has no label, or the labels are neither all class
            numbers nor all vectors of one length.
    """
    table = _read_table(text, where)
    if table is None:
        return None
    missing = [name for name in names if name not in table]
    if missing:
        raise UserError(
            f"{where}: no label for {missing[0]!r}{_others(len(missing) - 1)}; add the entries, or pass --labels none"
        )
    values = [table[name] for name in names]
    if isinstance(values[0], list):
        return _vectors(values, names, where)
    return _classes(values, names, where)


def _read_table(text: bytes, where: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error}); rewrite the file, or pass --labels none") from None
    if not isinstance(content, dict) or "labels" not in content:
        raise UserError(f'{where}: no "labels" entry; write {{"labels": [["path", label], ...]}} or {{"labels": null}}')
    if content["labels"] is None:
        return None
    if not isinstance(content["labels"], list):
        raise UserError(f'{where}: "labels" must be a list of ["path", label] pairs or null')
    table: dict[str, Any] = {}
    for place, entry in enumerate(content["labels"]):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str):
            raise UserError(f'{where}: entry {place} of "labels" is not a ["path", label] pair: {_short(entry)}')
        name = entry[0].replace("\\", "/")
        if name in table and table[name] != entry[1]:
            raise UserError(f"{where}: two different labels for {name!r}; keep one of them")
        table[name] = entry[1]
    return table


def _classes(values: list[Any], names: Sequence[str], where: str) -> Labels:
    for name, value in zip(names, values, strict=True):
        if isinstance(value, list):
            raise UserError(f"{where}: {name!r} has a vector but {names[0]!r} a number; use one kind for all")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_CLASSES:
            allowed = f"a class is a whole number from 0 to {MOST_CLASSES - 1:,}"
            raise UserError(f"{where}: the label of {name!r} is {_short(value)}; {allowed}")
    return of_classes(values, [str(number) for number in range(max(values) + 1)])


def _vectors(values: list[Any], names: Sequence[str], where: str) -> Labels:
    size = len(values[0])
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, list):
            raise UserError(f"{where}: {name!r} has a number but {names[0]!r} a vector; use one kind for all")
        if len(value) != size or size == 0:
            raise UserError(
                f"{where}: the label of {name!r} has {len(value)} values but the label of {names[0]!r} has {size}; "
                f"give all vectors one length >= 1"
            )
        if not all(_is_finite_number(x) for x in value):
            raise UserError(f"{where}: the label of {name!r} is {_short(value)}; a vector holds finite numbers")
    return Labels(np.asarray(values, np.float32), size)


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST  # False for NaN


def _others(count: int) -> str:
    return f" and {count:,} others" if count > 0 else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
