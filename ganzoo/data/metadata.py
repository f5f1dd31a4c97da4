"""Labels in the tables of Hugging Face's image folders: ``metadata.jsonl`` or ``metadata.csv`` beside the images.

Each row names an image, relative to the folder of the table, in its column ``file_name``
(https://huggingface.co/docs/datasets/image_dataset). Labels are in a column ``label``: class numbers, names of
classes, or vectors. All other columns are named as not used.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.data.labels import MISSING, MOST_CLASSES, Labels, matched, of_names, of_values
from ganzoo.errors import UserError, printable

FILE, LABEL = "file_name", "label"


@dataclass(frozen=True)
class Table:
    """Content of a table."""

    folder: str
    """Folder of the table, "" or with a ``/`` at its end."""
    where: str
    """Name of the table, for messages."""
    text: bytes


def from_metadata(tables: Sequence[Table], names: Sequence[str]) -> tuple[Labels | None, list[str]]:
    """Build labels from tables.

    Args:
        tables: whose rows name images in and below their folders.
        names: paths of the images with ``/`` between their parts.

    Returns:
        Labels, or None if no table has both columns; and what is to be said of the tables.

    Raises:
        UserError: a table is broken, an image has no label, or the labels are neither all class numbers, nor all names,
            nor all vectors of one length.
    """
    values: dict[str, Any] = {}
    notes = []
    for table in tables:
        found, columns = _read(table)
        if not {FILE, LABEL} <= set(columns):
            absent = " and ".join(name for name in (FILE, LABEL) if name not in columns)
            notes.append(f"{table.where} gives no labels: it has no column {absent}, but {_listed(columns)}")
            continue
        values |= {table.folder + name: label for name, label in found.items()}
        if unused := [name for name in columns if name not in (FILE, LABEL)]:
            notes.append(f"{table.where}: columns that are not used: {_listed(unused)}")
    if not values:
        return None, notes
    where = " and ".join(table.where for table in tables)
    return _of(matched(values, names), names, where), notes


def _of(values: list[Any], names: Sequence[str], where: str) -> Labels:
    given = [value for value in values if value is not MISSING]
    texts = [value for value in given if isinstance(value, str)]
    if texts and len(texts) == len(values):
        if all(text.isascii() and text.isdigit() and len(text) < 9 for text in texts):
            return of_values([int(text) for text in texts], names, where)
        if len(set(texts)) > MOST_CLASSES:
            raise UserError(f"{where}: {len(set(texts)):,} classes, more than {MOST_CLASSES:,}; pass --labels none")
        return of_names(texts)
    return of_values(values, names, where)


def _read(table: Table) -> tuple[dict[str, Any], list[str]]:
    """Return the labels in a table by the names of the images, and its columns."""
    found: dict[str, Any] = {}
    columns: dict[str, None] = {}
    try:
        for row in _rows(table):
            columns |= dict.fromkeys(row)
            name, label = str(row.get(FILE, "")), row.get(LABEL, MISSING)
            if found.setdefault(name, label) != label:
                raise UserError(f"{table.where}: two different labels for {printable(name, 60)}; keep one of them")
    except UserError:
        raise
    except (ValueError, RecursionError, MemoryError, csv.Error) as error:
        raise UserError(f"{table.where}: damaged ({error}); rewrite the file, or pass --labels none") from None
    return found, list(columns)


def _rows(table: Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table by their columns, without the values that are absent."""
    text = io.TextIOWrapper(io.BytesIO(table.text), "utf-8-sig", newline="")
    if table.where.endswith(".csv"):
        for row in csv.DictReader(text, restkey=""):
            yield {name: value for name, value in row.items() if value is not None}
        return
    for line in text:
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("every line must be a JSON object")
            yield row


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(printable(name, 30) for name in columns[:6])
    return (shown or "none") + (", ..." if len(columns) > 6 else "")
