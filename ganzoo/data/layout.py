"""How the files of a data set are laid out: what is an image, what holds labels, and what is left out.

Images are found at any depth and sorted by path. Whatever is left out is counted and named in notes, but for hidden
files that are no images and what operating systems leave behind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganzoo.data.formats import ENDINGS
from ganzoo.data.stores import Store
from ganzoo.disk.instead import instead_of_file
from ganzoo.errors import UserError, printable

LABELS_FILE = "dataset.json"
METADATA_FILES = ("metadata.jsonl", "metadata.csv")
PARQUET = ".parquet"
_MACOS, _SYSTEM = "__MACOSX", ("Thumbs.db", "desktop.ini")
_SHOWN = 4
_TFRECORDS = "TFRecords, which only TensorFlow reads: write their images into a folder or a .zip"
_ARCHIVE = "an archive of a kind that is not read: unpack it and give the folder"
_ARRAYS = "arrays: write them as image files into a folder or a .zip"
_TABLE = f"a table: give the folder of the images, with the table in it as {LABELS_FILE} or metadata.csv"
_REMEDIES = {
    **dict.fromkeys((".tfrecord", ".tfrecords"), _TFRECORDS),
    **dict.fromkeys((".7z", ".rar", ".xz", ".zst", ".gz", ".bz2", ".lz4"), _ARCHIVE),
    **dict.fromkeys((".npy", ".npz", ".h5", ".hdf5", ".mat", ".mdb", ".pkl", ".pt", ".safetensors"), _ARRAYS),
    **dict.fromkeys((".csv", ".tsv", ".json", ".jsonl", ".txt", ".xlsx"), _TABLE),
    **dict.fromkeys((".zip", ".tar"), "an archive: give it by itself, or unpack it"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), "a film: write its frames as image files"),
    **dict.fromkeys((".heic", ".heif", ".avif", ".psd", ".svg", ".eps", ".raw", ".dng"), "not read: convert it to PNG"),
}
"""Ending of a file that is no image file here -> what it is, and the remedy."""


@dataclass(frozen=True)
class Layout:
    """Files of a data set by their purpose."""

    images: Sequence[str]
    """Names of the images, sorted."""
    tables: Sequence[str]
    """Names of the files that may hold labels, sorted."""
    parquets: Sequence[str]
    """Names of the parquet files, sorted, where there are no images."""
    folder: str
    """The deepest folder that holds all images: "" or "faces/"."""
    root: str
    """That folder, or the first above it that holds a `LABELS_FILE`."""
    notes: tuple[str, ...]
    """What is left out, a sentence each."""


def arrange(store: Store) -> Layout:
    """Sort the files of a store by their purpose.

    Raises:
      UserError: there are neither images nor parquet files.
    """
    names = sorted(name for name in store.stamps if not _is_left_behind(name))
    seen = [name for name in names if not _is_hidden(name)]
    images = [name for name in seen if name.lower().endswith(ENDINGS)]
    tables = [name for name in seen if base_name(name) in (LABELS_FILE, *METADATA_FILES)]
    parquets = [] if images else [name for name in seen if name.lower().endswith(PARQUET)]
    used = {*images, *tables, *parquets}
    others = [name for name in seen if name not in used]
    if not images and not parquets:
        raise _nothing_here(store, others)
    hidden = [name for name in names if _is_hidden(name) and name.lower().endswith(ENDINGS)]
    notes = [
        *_note("skipped", others, "file"),
        *_note("skipped", hidden, "hidden image"),
        *_note("skipped", store.odd, "link or device"),
        *_note("more than once in the archive, of which the last counts", store.twice, "file"),
    ]
    folder = _common_folder(images) if images else ""
    return Layout(images, tables, parquets, folder, _root(folder, tables), tuple(notes))


def base_name(name: str) -> str:
    """Return the last part of a name with ``/`` between its parts."""
    return name.rpartition("/")[2]


def counted(names: Sequence[str], thing: str) -> str:
    """Return a count with names: ``2 files: a.txt, b.psd``; of many the first ones only."""
    shown = ", ".join(printable(name, 40) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{plural(len(names), thing)}: {shown}{more}"


def plural(count: int, thing: str) -> str:
    """Return a count with the name of what is counted: ``1 file``, ``2 classes``."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def refusal(path: Path, first: bytes) -> UserError:
    """Return the error for a file that is no data set, which says what it is.

    Args:
      path: of the file.
      first: its first bytes.
    """
    if instead := instead_of_file(first):
        what = instead
    elif path.name.lower().endswith(ENDINGS):
        what = "a single image: give the folder that holds the images"
    else:
        known = _remedy(path.name)
        what = known or "a file of a kind that is not read: give a folder, a .zip or a .tar of images"
    return UserError(f"{path} is no data set but {what}")


def _remedy(name: str) -> str | None:
    """Return what a file is by its ending, and the remedy."""
    name = name.lower()
    return _TFRECORDS if ".tfrecord" in name else _REMEDIES.get(PurePosixPath(name).suffix)


def _nothing_here(store: Store, others: Sequence[str]) -> UserError:
    endings = ", ".join(ending for ending in ENDINGS if ending not in (".jpe", ".jfif", ".pbm", ".pnm"))
    found = f"{store.path}: no images in this {store.kind}; it must hold {endings} files"
    if not others:
        return UserError(found)
    known = [(name, remedy) for name in others if (remedy := _remedy(name))]
    known.sort(key=lambda pair: pair[1] == _TABLE)  # a table beside the data is no part of them
    remedy = f"; {printable(known[0][0], 40)} is {known[0][1]}" if known else ""
    return UserError(f"{found}; {counted(others, 'other file')}{remedy}")


def _note(what: str, names: Iterable[str], thing: str) -> list[str]:
    names = list(names)
    if not names:
        return []
    count, _, listed = counted(names, thing).partition(":")
    return [f"{count} {what}:{listed}"]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name


def _is_left_behind(name: str) -> bool:
    """Say whether a file is one that operating systems make: ``__MACOSX/``, ``._a.png``, ``Thumbs.db``."""
    last = base_name(name)
    return last.startswith(("._", ".DS_Store")) or last in _SYSTEM or (_MACOS in name and _MACOS in name.split("/"))


def _common_folder(images: Sequence[str]) -> str:
    """Return the deepest folder that holds all images, whose names are sorted: "" or with a ``/`` at its end."""
    shared = []
    for one, other in zip(images[0].split("/")[:-1], images[-1].split("/")[:-1], strict=False):
        if one != other:  # the first and the last of the sorted names have in common what all have
            break
        shared.append(f"{one}/")
    return "".join(shared)


def _root(folder: str, tables: Sequence[str]) -> str:
    """Return ``folder``, or the first one above it that holds a `LABELS_FILE`."""
    holders = [table.removesuffix(LABELS_FILE) for table in tables if base_name(table) == LABELS_FILE]
    return min((holder for holder in holders if folder.startswith(holder)), key=len, default=folder)
