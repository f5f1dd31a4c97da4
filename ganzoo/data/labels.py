"""Labels of a data set: one class or one vector per image.

Labels come from a ``dataset.json`` in NVIDIA's layout, ``{"labels": [["path", label], ...]}`` with class numbers or
vectors (``null`` for no labels), or else from the names of the folders. Hugging Face's tables: `ganzoo.data.metadata`.
"""

import json
import reprlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganzoo.errors import UserError, printable

MOST_CLASSES = 65_536
"""Largest number of classes; a larger class number is probably an identifier."""
MISSING = object()
"""What stands for a label that is not given."""
_PARTS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval")
"""Names, in lower case, of folders that are parts of a set and no classes."""
_LARGEST = float(np.finfo(np.float32).max)
_SHOWN = 32


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

    def present(self) -> np.ndarray:
        """Return the classes that have images, int64, in order; empty if labels are vectors."""
        return np.unique(self.values) if self.class_names else np.empty(0, np.int64)

    def lines(self, most: int = 10) -> list[str]:
        """Return a line for each class with images, at most ``most`` by name and the rest in one; [] for vectors."""
        if not self.class_names:
            return []
        counts = np.bincount(self.values, minlength=self.size)
        present = self.present().tolist()
        shown = present if len(present) <= most + 1 else present[:most]
        names = [printable(self.class_names[number], _SHOWN) for number in shown]
        width = max(map(len, names), default=0)
        lines = [f"{name:<{width}}  {counts[number]:>9,}" for name, number in zip(names, shown, strict=True)]
        if rest := [counts[number] for number in present[len(shown) :]]:
            lines.append(f"and {len(rest):,} more classes of {min(rest):,} to {max(rest):,} images")
        return lines

    def gaps(self) -> list[str]:
        """Return a sentence about classes without images; [] if there are none."""
        absent = sorted(set(range(len(self.class_names))) - set(self.present().tolist()))
        if not absent:
            return []
        shown = ", ".join(printable(self.class_names[number], _SHOWN) for number in absent[:5])
        more = ", ..." if len(absent) > 5 else ""
        return [
            f"{len(absent):,} of {self.size:,} classes have no images and are never drawn in samples: {shown}{more}"
        ]


def parts(labels: Labels | None) -> tuple[int, tuple[str, ...], bytes]:
    """Return what labels are, for a hash."""
    return (labels.size, labels.class_names, labels.values.tobytes()) if labels else (0, (), b"")


def of_classes(numbers: Sequence[int], class_names: Sequence[str]) -> Labels:
    """Build labels from n class numbers, each below ``len(class_names)``."""
    return Labels(np.asarray(numbers, np.int64), len(class_names), tuple(class_names))


def of_names(values: Sequence[str]) -> Labels:
    """Build labels from n names of classes, numbered in sorted order."""
    classes = sorted(set(values))
    number = {name: index for index, name in enumerate(classes)}
    return of_classes([number[value] for value in values], classes)


def from_folders(names: Sequence[str]) -> tuple[Labels | None, list[str]]:
    """Build labels from the names of the first-level folders, numbered in sorted order.

    Where these are parts of a set, such as train and val, the folders in them are the classes.

    Args:
        names: paths of the images with ``/`` between their parts.

    Returns:
        Labels and what is to be said of them. Labels are None unless every image is in a sub-folder and there are at
        least two sub-folders.
    """
    if not are_parts(names):
        return _by_folder(names)
    labels, notes = _by_folder([name.split("/", 1)[1] for name in names])
    parts = ", ".join(sorted({name.split("/", 1)[0] for name in names}))
    what = "the folders in them are the classes" if labels else "they are no classes"
    return labels, [f"parts of the set, read together: {parts}; {what}", *notes]


def are_parts(names: Sequence[str]) -> bool:
    """Say whether all first-level folders of images are parts of a set, such as train and val."""
    return all("/" in name and name.split("/", 1)[0].lower() in _PARTS for name in names)


def from_json(text: bytes, names: Sequence[str], where: str, others: Sequence[Sequence[str]] = ()) -> Labels | None:
    """Build labels from the text of a ``dataset.json``; entries for absent images are ignored.

    Args:
        text: content of the file.
        names: paths of the images, relative to the folder of the file, with ``/`` between their parts.
        where: name of the file, for messages.
        others: other lists of paths of the same images, used if the file has none of ``names``.

    Returns:
        Labels, or None if the file says ``"labels": null``.

    Raises:
        UserError: the JSON is broken or has another layout, an image has no label, or the labels are neither all class
            numbers nor all vectors of one length.
    """
    table = _read_table(text, where)
    if table is None:
        return None
    candidates = [(found, matched(table, found)) for found in (names, *others)]
    known = [values for _, values in candidates if any(value is not MISSING for value in values)]
    return of_values(known[0] if known else candidates[0][1], names, where)


def matched(table: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Return the values of a table for names, or `MISSING`.

    A name that is not in the table has the value of one that differs only in letter case, Unicode form or separators,
    if all such names have the same value.
    """
    if all(name in table for name in names):
        return [table[name] for name in names]
    folded: dict[str, Any] = {}
    for name, value in table.items():
        key = _folded(name)
        folded[key] = value if folded.get(key, value) == value else MISSING
    return [table[name] if name in table else folded.get(_folded(name), MISSING) for name in names]


def of_values(values: Sequence[Any], names: Sequence[str], where: str) -> Labels:
    """Build labels from class numbers, or from vectors, one for each name; raises as ``from_json``."""
    missing = [name for name, value in zip(names, values, strict=True) if value is MISSING]
    if missing:
        raise UserError(
            f"{where}: no label for {_quoted(missing[0])}{_others(len(missing) - 1)}; add the entries, or pass "
            f"--labels none"
        )
    return (_vectors if isinstance(values[0], list) else _classes)(values, names, where)


def _by_folder(names: Sequence[str]) -> tuple[Labels | None, list[str]]:
    """Build labels from first-level folders, whatever their names."""
    folders = sorted({name.split("/", 1)[0] for name in names if "/" in name})
    strays = [name for name in names if "/" not in name]
    if strays and len(folders) > 1:
        count = "1 image lies" if len(strays) == 1 else f"{len(strays):,} images lie"
        where = f"{count} outside of the {len(folders):,} folders ({printable(strays[0], 40)})"
        return None, [f"{where}: move or remove what is outside to use the folders as classes"]
    if strays or len(folders) < 2:
        return None, []
    return of_names([name.split("/", 1)[0] for name in names]), _alike(folders)


def _alike(classes: Sequence[str]) -> list[str]:
    """Return a sentence about classes whose names differ in letter case only."""
    first: dict[str, str] = {}
    for name in classes:
        if (other := first.setdefault(_folded(name), name)) != name:
            pair = f"{printable(other, _SHOWN)} and {printable(name, _SHOWN)}"
            return [f"two classes differ in letter case only: {pair}"]
    return []


def _folded(name: str) -> str:
    """Return a path in one of the forms that file systems take for the same."""
    parts = unicodedata.normalize("NFC", name.casefold()).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _read_table(text: bytes, where: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
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
        name = entry[0].replace("\\", "/").removeprefix("./")
        if name in table and table[name] != entry[1]:
            raise UserError(f"{where}: two different labels for {_quoted(name)}; keep one of them")
        table[name] = entry[1]
    return table


def _classes(values: Sequence[Any], names: Sequence[str], where: str) -> Labels:
    for name, value in zip(names, values, strict=True):
        if isinstance(value, list):
            raise UserError(
                f"{where}: {_quoted(name)} has a vector but {_quoted(names[0])} a number; use one kind for all"
            )
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_CLASSES:
            allowed = f"a class is a whole number from 0 to {MOST_CLASSES - 1:,}"
            raise UserError(f"{where}: the label of {_quoted(name)} is {_short(value)}; {allowed}")
    return of_classes(values, [str(number) for number in range(max(values) + 1)])


def _vectors(values: Sequence[Any], names: Sequence[str], where: str) -> Labels:
    size, first = len(values[0]), _quoted(names[0])
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, list):
            raise UserError(f"{where}: {_quoted(name)} has a number but {first} a vector; use one kind for all")
        if len(value) != size or size == 0:
            raise UserError(
                f"{where}: the label of {_quoted(name)} has {len(value)} values but the label of {first} has {size}; "
                f"give all vectors one length >= 1"
            )
        if not all(_is_finite_number(x) for x in value):
            raise UserError(f"{where}: the label of {_quoted(name)} is {_short(value)}; a vector holds finite numbers")
    return Labels(np.asarray(values, np.float32), size)


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST  # False for NaN


def _others(count: int) -> str:
    return f" and {count:,} others" if count > 0 else ""


def _quoted(name: str) -> str:
    return f"'{printable(name, 60)}'"


def _short(value: Any) -> str:
    return printable(reprlib.repr(value), 60)
