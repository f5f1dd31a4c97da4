"""Files by name in a folder, a .zip or a .tar: what is there, and reading one of them within limits.

Names have ``/`` between their parts and Unicode's composed form (NFC) in every store, so that the same files have the
same names wherever they lie. Nothing is ever unpacked to a place that an archive names.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import tarfile
import tempfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from ganzoo.disk import read_regular
from ganzoo.disk.archives import overlap
from ganzoo.errors import UserError

Stamps = Mapping[str, tuple[int, int]]
"""Name -> (size in bytes, a number that changes when the file is rewritten)."""
Entry = TypeVar("Entry")

EXPANSION = 100
"""Largest size of what an archive holds, relative to the archive itself; images themselves hardly compress."""
EXPANDED = 2**28
"""Bytes that an archive of any size may hold."""
_untidy = re.compile(r"\\|/(?:\.?/|\.?$)|^\.?/|^\.$").search
_CHUNK = 2**20
_MOST_READ = 2**30
_MOST_HEADER = 2**20
"""Largest size in bytes of a name or another extension in a .tar."""
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""Errors of the standard library for damaged archives, besides OSError and ValueError."""


@dataclass(frozen=True)
class Store:
    """Files by name."""

    path: Path
    kind: str
    """What holds them, for display: folder, zip or tar."""
    stamps: Stamps
    read: Callable[[str, int], bytes]
    """(name, largest number of bytes) -> content; safe to call from several threads.

    Raises UserError for a larger file, OSError, ValueError and others for one that cannot be read.
    """
    folders: frozenset[str] = field(default_factory=frozenset)
    """Names of the folders, of which some may be empty."""
    twice: tuple[str, ...] = ()
    """Names of files that are more than once in an archive; the last one counts."""
    odd: tuple[str, ...] = ()
    """Names of members of an archive that are links or devices, which are not read."""


def folder_store(root: Path) -> Store:
    """Open a folder; links are followed but never in a circle, hidden files and folders are left out.

    Raises:
      UserError: a folder below cannot be listed.
    """
    files: dict[str, Path] = {}
    folders = set()
    for name, path in _walk(root):
        if path is None:
            folders.add(name)
        else:
            files[name if name not in files else path.relative_to(root).as_posix()] = path

    def read(name: str, most: int) -> bytes:
        return read_regular(files[name], most)

    return Store(root, "folder", {name: _stamp(path) for name, path in files.items()}, read, frozenset(folders))


def zip_store(path: Path) -> Store:
    """Open a .zip file, stored or compressed.

    Raises:
      UserError: the file is no intact .zip file, is encrypted, or holds far more than its own size.
    """
    with _guarded(path, ".zip"):
        archive = zipfile.ZipFile(path)
        size = path.stat().st_size
    infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
    entries, twice = _by_name((info.filename, info) for info in infos)
    if any(info.flag_bits & 1 for info in infos):
        archive.close()
        raise UserError(f"{path}: an encrypted .zip file; unpack it with its password and give the folder")
    if overlap(infos):
        raise UserError(f"{path}: a broken .zip file (members that overlap); pack it again")
    _require_bounded(path, sum(info.file_size for info in infos), size)
    lock = threading.Lock()

    def read(name: str, most: int) -> bytes:
        info = entries[name]
        if info.file_size > most:
            raise UserError(f"{info.file_size:,} bytes, more than {most:,}")
        with lock, archive.open(info) as file:  # all threads share one file handle; decoding happens outside
            return file.read(info.file_size)

    folders = {_tidy(info.filename) for info in archive.infolist() if info.filename.endswith("/")}
    stamps = {name: (info.file_size, info.CRC) for name, info in entries.items()}
    return Store(path, "zip", stamps, read, frozenset(folders), twice)


def tar_store(path: Path) -> Store:
    """Open a .tar file, also one compressed by gzip or bzip2, which is expanded into a file without a name.

    Raises:
      UserError: the file is no intact .tar file, or holds far more than its own size.
    """
    with _guarded(path, ".tar"), _expanded(path) as file:
        kept = _Kept(os.dup(file.fileno()))
        members = list(_members(file, file.seek(0, os.SEEK_END)))
    entries, twice = _by_name((member.name, member) for member in members if _is_plain(member))
    lock = threading.Lock()

    def read(name: str, most: int) -> bytes:
        member = entries[name]
        if member.size > most:
            raise UserError(f"{member.size:,} bytes, more than {most:,}")
        with lock:
            content = kept.read(member.offset_data, member.size)
        if len(content) < member.size:
            raise EOFError("the .tar file is cut off here")
        return content

    stamps = {name: (member.size, 0) for name, member in entries.items()}
    folders = {_tidy(member.name) for member in members if member.isdir()}
    odd = tuple(_tidy(member.name) for member in members if not (member.isdir() or _is_plain(member)))
    return Store(path, "tar", stamps, read, frozenset(folders), twice, odd)


def _walk(root: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield (name, path) of every file and (name, None) of every folder below ``root``, but for hidden ones."""

    def fail(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None

    seen = set()
    for folder, folders, files in os.walk(root, onerror=fail, followlinks=True):
        if os.path.realpath(folder) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{unicodedata.normalize('NFC', below)}/"
        if prefix:
            yield prefix.rstrip("/"), None
        for name in sorted(files):
            yield prefix + unicodedata.normalize("NFC", name), Path(folder, name)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # a dangling link; reading the file reports the error
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _tidy(name: str) -> str:
    """Return the name of an archive's member without ``./`` and with ``/`` between its parts."""
    if name.isascii() and not _untidy(name):  # a shortcut for millions of names
        return name
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _by_name(entries: Iterable[tuple[str, Entry]]) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """Return the members of an archive by tidy name, the last one of each name, and the names that occur again."""
    found: dict[str, tuple[str, Entry]] = {}
    twice = []
    for raw, entry in entries:
        name = _tidy(raw)
        if not name:
            continue
        if name in found and found[name][0] != raw:  # two names that only look the same
            name = raw
        if name in found:
            twice.append(name)
        found[name] = raw, entry
    return {name: entry for name, (_, entry) in found.items()}, tuple(dict.fromkeys(twice))


@contextlib.contextmanager
def _guarded(path: Path, kind: str) -> Generator[None]:
    """Turn the errors of opening an archive into a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
        raise UserError(f"{path}: a broken {kind} file ({error}); download or pack it again") from None
    except MemoryError:
        raise UserError(f"{path}: too large for the memory; unpack it and give the folder") from None
    except (*_DAMAGE, ValueError, LookupError, ArithmeticError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: a broken {kind} file ({error}); download or pack it again") from None


def _require_bounded(path: Path, content: int, size: int) -> None:
    most = max(EXPANDED, EXPANSION * size)
    if content > most:
        counts = f"{content:,} bytes in a file of {size:,}, more than {EXPANSION} times its size"
        raise UserError(f"{path}: {counts}; if you trust it, unpack it and give the folder")


def _expanded(path: Path) -> IO[bytes]:
    """Return a .tar file open for reading, expanded where it is compressed."""
    with path.open("rb") as file:
        first = file.read(6)
    opener = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}.get(first[:2])
    if opener is None:
        return path.open("rb")
    size, done = path.stat().st_size, 0
    whole = tempfile.TemporaryFile()  # noqa: SIM115, who reads the images keeps it open
    try:
        with opener(path) as packed:
            while chunk := packed.read(_CHUNK):
                done += len(chunk)
                _require_bounded(path, done, size)
                whole.write(chunk)
    except BaseException as error:
        whole.close()
        if isinstance(error, OSError) and error.errno is not None:
            where = f"no room to expand it in {tempfile.gettempdir()} ({error.strerror})"
            raise UserError(f"{path}: {where}; unpack it and give the folder, or set TMPDIR") from None
        raise
    return whole


class _Kept:
    """A file, by its descriptor, that is open as long as somebody may read from it; for one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        """Return the bytes from ``start`` on, fewer than ``size`` at the end of the file."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        parts = []
        while size and (part := os.read(self._descriptor, min(size, _MOST_READ))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class _Headers:
    """A file of which only headers are read: longer reads, for which a damaged .tar may ask, are refused."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        """Return the next bytes; raise ``ValueError`` for more than a header has."""
        if count > _MOST_HEADER:
            raise ValueError(f"a header of {count:,} bytes")
        return self._file.read(count)


def _members(file: IO[bytes], size: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of a .tar file, at most as many as have room in it."""
    file.seek(0)
    headers: Any = _Headers(file)
    with tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for _ in range(size // tarfile.BLOCKSIZE + 1):
            member = archive.next()
            if member is None:
                return
            yield member
    raise ValueError("its members have no end")


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse() and min(member.size, member.offset_data) >= 0
