"""Data sets of image files in a folder, a .zip or a .tar, which all give the same arrays in the same order.

Endings of image files: `ganzoo.data.formats.ENDINGS`. Their layout: `ganzoo.data.layout`. Labels: `ganzoo.data.labels`
and `ganzoo.data.metadata`.
"""

import lzma
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.formats import BYTES_PER_PIXEL
from ganzoo.data.images import Look, Target, decode, look
from ganzoo.data.labels import Labels, are_parts, from_folders, from_json
from ganzoo.data.layout import LABELS_FILE, METADATA_FILES, PARQUET, Layout, arrange, base_name, counted, refusal
from ganzoo.data.metadata import Table, from_metadata
from ganzoo.data.packs import ENDING, MAGIC, open_pack
from ganzoo.data.parquet import open_parquet
from ganzoo.data.source import Source, digest
from ganzoo.data.stores import Store, folder_store, tar_store, zip_store
from ganzoo.disk import kind_of
from ganzoo.disk.instead import instead_of_file
from ganzoo.errors import UserError

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
ARCHIVES = (".zip", *_TAR_ENDINGS, PARQUET, ENDING)
"""Endings of files that hold many images."""
_BEGINNING = 512
_TABLE_BYTES, _TABLE_BYTES_PER_IMAGE = 2**24, 2**10
"""Largest size of a table of labels: of any, and for each image more."""


def open_files(path: Path, config: DataConfig) -> Source:
    """Open the images of a folder, a .zip, a .tar, of parquet files, or of a pack.

    Raises:
      UserError: ``path`` is nothing of that kind, cannot be read, is damaged, or holds no image file; or its labels are
        invalid. The message says what it is, and the remedy.
    """
    kind = kind_of(path)
    if kind == "other":
        raise UserError(f"{path} is a pipe, a socket or a device; give a folder, a .zip or a .tar of images")
    if kind == "folder":
        return _of_store(folder_store(path), config)
    try:
        with path.open("rb") as file:
            first = file.read(_BEGINNING)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    name = path.name.lower()
    if instead_of_file(first):
        raise refusal(path, first)
    if first.startswith(MAGIC) or name.endswith(ENDING):
        return open_pack(path, config)
    if first.startswith(b"PK") or name.endswith(".zip"):
        return _of_store(zip_store(path), config)
    if first[257:262] == b"ustar" or name.endswith(_TAR_ENDINGS):
        return _of_store(tar_store(path), config)
    if first.startswith(b"PAR1") or name.endswith(PARQUET):
        return open_parquet(path, [path], (), config)
    raise refusal(path, first)


def _of_store(store: Store, config: DataConfig) -> Source:
    path, layout = store.path, arrange(store)
    if layout.parquets:
        if store.kind != "folder":
            raise UserError(f"{path}: parquet files in a {store.kind}; unpack it and give the folder")
        return open_parquet(path, [path / name for name in layout.parquets], layout.notes, config)
    names, most = layout.images, config.max_pixels * BYTES_PER_PIXEL + _TABLE_BYTES

    def picture(index: int, target: Target) -> np.ndarray:
        return decode(store.read(names[index], most), target)

    def looked(index: int) -> Look:
        return look(store.read(names[index], most), config.max_pixels)

    labels, notes = _labels(store, layout) if config.labels == "auto" else (None, [])
    sizes = [str(store.stamps[name][0]) for name in names]
    dates = [str(store.stamps[name][1]) for name in names]
    content = digest(lines=[*names, *sizes])
    return Source(
        title=f"{path} ({store.kind})",
        names=names,
        picture=picture,
        look=looked,
        labels=labels,
        content=content,
        revision=digest(content, str(path.resolve()), path.stat().st_mtime_ns, lines=dates),
        notes=(*layout.notes, *notes),
        why_unlabelled="" if labels or not notes else notes[0],
    )


def _labels(store: Store, layout: Layout) -> tuple[Labels | None, list[str]]:
    """Return the labels, and what is to be said of them; where there are none, the reason comes first."""
    root = layout.root
    names = [name.removeprefix(root) for name in layout.images]
    notes = [
        f"{table} is not used: not all images lie in its folder"
        for table in layout.tables
        if base_name(table) == LABELS_FILE and table != root + LABELS_FILE
    ]
    if root + LABELS_FILE in layout.tables:
        return _from_json(store, layout, names, notes)
    tables = [
        Table(table.removesuffix(base_name(table)), f"{store.path}/{table}", _text(store, table, len(names)))
        for table in layout.tables
        if base_name(table) in METADATA_FILES
    ]
    if tables:
        labels, said = from_metadata(tables, layout.images)
        notes = [*notes, *said]
        if labels:
            return labels, notes
    labels, said = from_folders(names)
    if labels is None:
        return None, [*notes, *said]
    taken = [f"the classes are the folders in {root}"] if root and not are_parts(names) else []
    return labels, [*notes, *taken, *said, *_empty_folders(store, root, names)]


def _from_json(store: Store, layout: Layout, names: list[str], notes: list[str]) -> tuple[Labels | None, list[str]]:
    table = layout.root + LABELS_FILE
    text = _text(store, table, len(names))
    inner = [name.removeprefix(layout.folder) for name in layout.images]
    labels = from_json(text, names, f"{store.path}/{table}", (layout.images, inner))
    if labels is None:
        return None, [f'{table} says "labels": null', *notes]
    return labels, [*([f"the labels are those of {table}"] if layout.root else []), *notes]


def _text(store: Store, table: str, images: int) -> bytes:
    where = f"{store.path}/{table}"
    try:
        return store.read(table, _TABLE_BYTES + _TABLE_BYTES_PER_IMAGE * images)
    except UserError as error:
        raise UserError(f"{where}: {error}; rewrite the file, or pass --labels none") from None
    except MemoryError:
        raise UserError(f"{where}: too large for the memory; pass --labels none") from None
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        NotImplementedError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise UserError(f"{where}: cannot be read ({error}); rewrite the file, or pass --labels none") from None


def _empty_folders(store: Store, root: str, names: list[str]) -> list[str]:
    """Return a sentence about the folders beside those of classes that hold no image."""
    inside = [name.removeprefix(root) for name in store.folders if name.startswith(root)]
    used = {name.split("/", 1)[0] for name in names}
    beside = sorted({name for name in inside if name and "/" not in name} - {*used, "__MACOSX"})
    empty = [name for name in beside if not name.startswith(".")]
    return [f"no class, without an image: {counted(empty, 'folder')}"] if empty else []
