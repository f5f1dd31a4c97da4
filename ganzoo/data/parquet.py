"""Images in parquet files, as Hugging Face's data sets are stored: a column of encoded images, another of labels.

https://huggingface.co/docs/hub/datasets-image, section "Parquet". The extra ``parquet`` installs what reads them.
"""

import bisect
import importlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.formats import BYTES_PER_PIXEL
from ganzoo.data.images import Look, Target, decode, look
from ganzoo.data.labels import Labels, of_classes, of_names, of_values
from ganzoo.data.layout import plural
from ganzoo.data.source import Source, digest
from ganzoo.errors import UserError, install, printable

IMAGES, LABELS = ("image", "img"), ("label", "labels")
"""Names of the columns, where the files do not say which ones hold images and classes."""
_MOST_GROUP = 2**30
"""Largest size in bytes of a row group, which is what can be read at once."""
_KEPT_BYTES = 2**28
"""Bytes of row groups that stay in memory."""
_BATCH = 16


@dataclass(frozen=True)
class _Columns:
    """Columns that are used."""

    image: str
    label: str | None
    class_names: tuple[str, ...]
    unused: tuple[str, ...]


def open_parquet(path: Path, files: Sequence[Path], notes: tuple[str, ...], config: DataConfig) -> Source:
    """Open the images of parquet files.

    Args:
      path: what the user gave.
      files: its parquet files, in order; of files named by splits, those of ``config.split`` are read.
      notes: what is to be said of other files.
      config: options of the data set.

    Raises:
      UserError: pyarrow is not installed, or the files are damaged, hold no images, or have invalid labels.
    """
    chosen, others = _of_split(path, files, config.split)
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(f"{path}: parquet files need the extra parquet: {install('parquet')}") from None
    opened = [_opened(parquet, file) for file in chosen]
    columns = _columns(path, opened[0])
    groups = _Groups(path, opened, columns.image)
    names = [f"row {index}" for index in range(len(groups))]
    most = config.max_pixels * BYTES_PER_PIXEL

    def picture(index: int, target: Target) -> np.ndarray:
        return decode(groups.read(index, most), target)

    def looked(index: int) -> Look:
        return look(groups.read(index, most), config.max_pixels)

    labels = _labels(path, opened, columns, names) if config.labels == "auto" else None
    content = digest([file.name for file in chosen], [file.stat().st_size for file in chosen], len(groups))
    said = [f"splits that are left out (--split): {', '.join(others)}"] if others else []
    if columns.unused:
        said.append(f"columns that are not used: {', '.join(printable(name, 30) for name in columns.unused[:6])}")
    return Source(
        title=f"{path} ({plural(len(chosen), 'parquet file')})",
        names=names,
        picture=picture,
        look=looked,
        labels=labels,
        content=content,
        revision=digest(content, str(path.resolve()), [file.stat().st_mtime_ns for file in chosen]),
        notes=(*notes, *said),
        why_unlabelled="" if labels else "the files have no column label",
    )


class _Groups:
    """Images by index, read by row groups, of which the last few stay in memory; for several threads."""

    def __init__(self, path: Path, files: Sequence[Any], column: str) -> None:
        self._path, self._column = path, column
        self._places = [(file, group) for file in files for group in range(file.metadata.num_row_groups)]
        self._ends = list(accumulate(file.metadata.row_group(group).num_rows for file, group in self._places))
        self._kept: OrderedDict[int, list[bytes | None]] = OrderedDict()
        self._lock = threading.Lock()
        if not len(self):
            raise UserError(f"{path}: parquet files without a row")

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, index: int, most: int) -> bytes:
        """Return the encoded image of a row; raise ``UserError`` for none, or for one of more than ``most`` bytes."""
        place = bisect.bisect_right(self._ends, index)
        row = index - (self._ends[place - 1] if place else 0)
        with self._lock:
            if place not in self._kept:
                self._kept[place] = self._group(place)
                while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > _KEPT_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(place)
            rows = self._kept[place]
        content = rows[row] if row < len(rows) else None
        if not isinstance(content, bytes):
            raise UserError("no bytes in this row")
        if len(content) > most:
            raise UserError(f"{len(content):,} bytes, more than {most:,}")
        return content

    def _group(self, place: int) -> list[bytes | None]:
        file, group = self._places[place]
        size = file.metadata.row_group(group).total_byte_size
        found: list[bytes | None] = []
        if size <= _MOST_GROUP:
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[self._column]):
                found += [cell.get("bytes") if isinstance(cell, dict) else cell for cell in batch.column(0).to_pylist()]
                size = max(size, _size(found))
                if size > _MOST_GROUP:
                    break
        if size > _MOST_GROUP:
            raise UserError(f"a row group of {size:,} bytes, more than {_MOST_GROUP:,}; write smaller ones")
        return found


def _size(rows: Sequence[bytes | None]) -> int:
    return sum(len(row) for row in rows if isinstance(row, bytes))


def _of_split(path: Path, files: Sequence[Path], split: str) -> tuple[list[Path], list[str]]:
    """Return the files of a split and the names of the other splits; all files where their names are of no split."""
    known = ("train", "validation", "valid", "val", "test", "dev")
    splits = {file: next((name for name in known if file.name.lower().startswith(name)), "") for file in files}
    if not any(splits.values()) or len(files) == 1:
        return list(files), []
    chosen = [file for file in files if splits[file] == split]
    others = sorted({name for name in splits.values() if name not in ("", split)})
    if not chosen:
        raise UserError(f"{path}: no parquet files of the split {split!r}; there: {', '.join(others)} (--split)")
    return chosen, others


def _opened(parquet: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error}); download it again") from None
    except (ValueError, MemoryError, RuntimeError, NotImplementedError) as error:  # pyarrow's errors are subclasses
        raise UserError(f"{file}: a broken parquet file ({error}); download it again") from None


def _columns(path: Path, file: Any) -> _Columns:
    """Return the columns of images and classes, from what Hugging Face's library wrote beside them if it did."""
    schema = file.schema_arrow
    features = _features(schema)
    images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    image = next((name for name in (*images, *IMAGES) if name in schema.names), None)
    if image is None or not (_holds_bytes(schema.field(image).type)):
        listed = ", ".join(printable(name, 30) for name in schema.names[:6])
        raise UserError(f"{path}: no column image of encoded images; the columns: {listed}")
    classes = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    label = next((name for name in (*LABELS, *classes) if name in schema.names and name != image), None)
    names = features.get(label or "", {}).get("names")
    class_names = tuple(map(str, names)) if isinstance(names, list) else ()
    return _Columns(image, label, class_names, tuple(name for name in schema.names if name not in (image, label)))


def _holds_bytes(kind: Any) -> bool:
    """Say whether a column's type is binary, or a struct with binary "bytes"."""
    text = str(kind)
    return text in ("binary", "large_binary") or (text.startswith("struct<") and "bytes: " in text)


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Return what Hugging Face's library says of the columns; {} where it says nothing that is understood."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in found.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _labels(path: Path, files: Sequence[Any], columns: _Columns, names: Sequence[str]) -> Labels | None:
    if columns.label is None:
        return None
    where = f"{path}, column {columns.label}"
    try:
        tables = [file.read(columns=[columns.label]) for file in files]
        values = [value for table in tables for value in table.column(0).to_pylist()]
    except (OSError, ValueError, MemoryError, RuntimeError, NotImplementedError, LookupError) as error:
        raise UserError(f"{where}: cannot be read ({error}); download the files again, or pass --labels none") from None
    if values and all(isinstance(value, str) for value in values):
        return of_names(values)
    labels = of_values(values, names, where)
    if labels.class_names and columns.class_names:
        if labels.size > len(columns.class_names):
            raise UserError(f"{where}: class {labels.size - 1} of {len(columns.class_names)}; pass --labels none")
        return of_classes(labels.values.tolist(), columns.class_names)
    return labels
