"""Reading of PyTorch's files without PyTorch; ``torch.save`` has written two formats.

The zip format is an archive: ``data.pkl`` describes the object, and every storage is an uncompressed member.
The legacy format is a sequence of pickles (a magic number, a version, the system, the object, the keys of its
storages), then each storage after its number of elements; NVlabs' pickles hold a legacy file for every storage.
"""

import io
import struct
import sys
import zipfile
from typing import Any, BinaryIO

from ganzoo.errors import UserError
from ganzoo.interop.constructors import Storage, constructors, whole
from ganzoo.interop.machine import Constructor, Machine, Meter, Source, named

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
MAX_DIRECTORY = 16 * 2**20
"""Largest size in bytes of a zip archive's table of contents."""
DIRECTORY_END, DIRECTORY_END_64 = b"PK\x05\x06", b"PK\x06\x06"
TAIL = 2**16 + 22


class Storages(dict[str, Storage]):
    """Storages of one file by key, created when the pickle first refers to them."""

    def __call__(self, name: Any) -> Storage | Constructor:
        """Return the storage of the persistent id ``("storage", type, key, device, elements)``.

        Legacy files name the class of a module with its source, which is never read: ``("module", class, path, text)``.
        """
        if type(name) is tuple and len(name) == 4 and name[0] == "module" and isinstance(name[1], Constructor):
            return name[1]
        if type(name) is not tuple or not 5 <= len(name) <= 6 or name[0] != "storage":
            raise UserError(f"refused: a persistent id of {named(name)}")
        _, kind, key, _, count, *view = name
        if not isinstance(kind, Constructor) or kind.value is None or not isinstance(key, str) or not whole(count):
            raise UserError(f"refused: a storage of {named(kind)}")
        if view not in ([], [None]):
            raise UserError("refused: a storage that views another one")
        storage = self.setdefault(key, Storage(kind.value, count))
        if (storage.kind, storage.count) != (kind.value, count):
            raise UserError(f"refused: the storage {named(key)} with both {count} and {storage.count} elements")
        return storage


# The legacy format --------------------------------------------------------------------------------------------------


def read_legacy(file: BinaryIO, size: int, meter: Meter) -> Any:
    """Read the object of a legacy file that begins at the current position.

    Raises:
      UserError: the file has another format, is damaged, or holds anything but tensors in plain collections.
    """
    source, storages, known = Source(file, size), Storages(), constructors(meter)

    def unpickled() -> Any:
        return Machine(source, known, meter, storages).run()

    magic, version, system = (unpickled() for _ in range(3))
    if magic != LEGACY_MAGIC or version != LEGACY_VERSION:
        raise UserError("refused: not a file of torch.save, by its magic number and version")
    if type(system) is not dict or system.get("little_endian") is not True:
        raise UserError("refused: a file of torch.save in big-endian byte order")
    content, keys = unpickled(), unpickled()
    if type(keys) is not list or set(map(type, keys)) - {str} or set(keys) != set(storages):
        raise UserError("refused: a file of torch.save whose storages differ from its list of storages")
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", source.read(8))
        if count != storage.count:
            raise UserError(f"refused: the storage {named(key)} has {count} elements, not {storage.count}")
        raw = source.read(count * storage.kind.itemsize)
        storage.read = lambda raw=raw: raw
    return content


def nested_storage(meter: Meter) -> Any:
    """Return a replacement of ``torch.storage._load_from_bytes``, which reads a storage from a file in a pickle."""

    def load(content: Any) -> Storage:
        if not isinstance(content, bytes):
            raise UserError(f"refused: a storage in {named(content)}")
        if content[:2] == b"PK":
            storage = read_zip(io.BytesIO(content), len(content), meter)
        else:
            storage = read_legacy(io.BytesIO(content), len(content), meter)
        if not isinstance(storage, Storage):
            raise UserError(f"refused: {named(storage)} instead of a storage")
        return storage

    return load


# The zip format -----------------------------------------------------------------------------------------------------


def read_zip(file: BinaryIO, size: int, meter: Meter) -> Any:
    """Read the object of a zip file; ``file`` must stay open until the arrays are read.

    Raises:
      UserError: the file has another format, is damaged, or holds anything but tensors in plain collections.
    """
    check_directory(file, size)
    try:
        archive = zipfile.ZipFile(file)
        members = {info.filename: info for info in archive.infolist()}
        description = next((name for name in members if name.endswith("/data.pkl") or name == "data.pkl"), None)
        if description is None:
            raise UserError("refused: a zip archive without data.pkl, so not a file of torch.save")
        folder = description.removesuffix("data.pkl")
        order = _member(archive, members, f"{folder}byteorder", 16) if f"{folder}byteorder" in members else b"little"
        if order.decode("ascii", "replace") != "little" or sys.byteorder != "little":
            raise UserError(f"refused: a file of torch.save in the byte order {named(order.decode('latin1'))}")
        raw = _member(archive, members, description, size)
    except UserError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise _damaged(error) from error
    storages = Storages()
    content = Machine(Source(io.BytesIO(raw), len(raw)), constructors(meter), meter, storages).run()
    for key, storage in storages.items():
        expected = storage.count * storage.kind.itemsize
        storage.read = lambda key=key, expected=expected: _member(archive, members, f"{folder}data/{key}", expected)
    return content


def _member(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str, limit: int) -> bytes:
    """Return the content of an uncompressed member of at most ``limit`` bytes."""
    if name not in members:
        raise UserError(f"damaged: the archive has no member {named(name)}")
    info = members[name]
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise UserError(f"refused: the member {named(name)} is compressed or encrypted, unlike in files of torch.save")
    if info.file_size > limit or info.file_size != info.compress_size:
        raise UserError(f"refused: the member {named(name)} has {info.file_size} bytes, more than it can need")
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> UserError:
    return UserError(f"damaged: the zip archive cannot be read ({named(error)})")


def check_directory(file: BinaryIO, size: int) -> None:
    """Raise ``UserError`` if the table of contents of a zip archive is missing or too large to read quickly."""
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    at = tail.rfind(DIRECTORY_END)
    if at < 0 or len(tail) < at + 22:
        raise UserError("truncated: the zip archive has no table of contents at its end")
    (length,) = struct.unpack_from("<I", tail, at + 12)
    if length == 0xFFFFFFFF:
        wide = tail.rfind(DIRECTORY_END_64)
        length = struct.unpack_from("<Q", tail, wide + 40)[0] if wide >= 0 and len(tail) >= wide + 56 else length
    if length > MAX_DIRECTORY:
        raise UserError(f"refused: a zip archive whose table of contents has {length} bytes")
    file.seek(0)
