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
from ganzoo.interop.reading.archives import open_archive, read_member
from ganzoo.interop.reading.constructors import Storage, constructors, whole
from ganzoo.interop.reading.machine import Constructor, Machine, Meter, Source, named

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
NESTED_DIRECTORY = 2**16
"""Largest size in bytes of the table of contents of an archive in a pickle, of which there may be many."""


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
    if type(keys) is not list or set(map(type, keys)) - {str} or sorted(map(str, keys)) != sorted(storages):
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
            storage = read_zip(open_archive(io.BytesIO(content), len(content), NESTED_DIRECTORY), meter)
        else:
            storage = read_legacy(io.BytesIO(content), len(content), meter)
        if not isinstance(storage, Storage):
            raise UserError(f"refused: {named(storage)} instead of a storage")
        return storage

    return load


# The zip format -----------------------------------------------------------------------------------------------------


def read_zip(archive: zipfile.ZipFile, meter: Meter) -> Any:
    """Read the object of a zip file; the file must stay open until the arrays are read.

    Raises:
      UserError: the file has another format, is damaged, or holds anything but tensors in plain collections.
    """
    members = {info.filename: info for info in archive.infolist()}
    descriptions = [name for name in members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(descriptions) != 1:
        raise UserError(
            f"refused: a zip archive with {len(descriptions) or 'no'} data.pkl, so not a file of torch.save"
        )
    folder = descriptions[0].removesuffix("data.pkl")

    def member(name: str, most: int | None = None) -> bytes:
        return _stored(archive, members.get(f"{folder}{name}"), name, meter, most)

    order = member("byteorder", 16) if f"{folder}byteorder" in members else b"little"
    if order != b"little" or sys.byteorder != "little":
        raise UserError(f"refused: a file of torch.save in the byte order {named(order.decode('latin1'))}")
    raw, storages = member("data.pkl"), Storages()
    content = Machine(Source(io.BytesIO(raw), len(raw)), constructors(meter), meter, storages).run()
    for key, storage in storages.items():
        expected = storage.count * storage.kind.itemsize
        storage.read = lambda key=key, expected=expected: member(f"data/{key}", expected)
    return content


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo | None, name: str, meter: Meter, most: int | None) -> bytes:
    """Return the content of an uncompressed member of at most ``most`` bytes."""
    if info is None:
        raise UserError(f"damaged: the archive has no member {named(name)}")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise UserError(f"refused: the member {named(name)} is compressed or encrypted, unlike in files of torch.save")
    if info.file_size != info.compress_size or (most is not None and info.file_size > most):
        raise UserError(f"refused: the member {named(name)} has {info.file_size} bytes, more than it can need")
    return read_member(archive, info, meter)
