"""Zip archives of unknown origin: opened where every member has a name and a place of its own, and read within limits.

``torch.save`` and ``numpy.savez`` write such archives, the first without compression.
"""

import lzma
import struct
import zipfile
import zlib
from typing import BinaryIO

from ganzoo.disk.archives import overlap
from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import Meter, named

MAX_DIRECTORY = 16 * 2**20
"""Largest size in bytes of an archive's table of contents."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How the two programs store; the dictionaries of other methods may take any memory."""
DIRECTORY_END, DIRECTORY_END_64 = b"PK\x05\x06", b"PK\x06\x06"
TAIL = 2**16 + 22
DAMAGE = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""Errors of the standard library for damaged archives."""


def open_archive(file: BinaryIO, size: int, most: int = MAX_DIRECTORY) -> zipfile.ZipFile:
    """Open a zip archive.

    Args:
      file: open for reading; must stay open until the members are read.
      size: of the file in bytes.
      most: largest size in bytes of the table of contents.

    Raises:
      UserError: the archive is damaged, its table of contents is larger, or two members have one name or share bytes.
    """
    _require_small_directory(file, size, most)
    try:
        archive = zipfile.ZipFile(file)
    except DAMAGE as error:
        raise damaged(error) from error
    names = set()
    for info in archive.infolist():
        if info.filename in names:
            raise UserError(f"refused: two members of the name {named(info.filename)}")
        names.add(info.filename)
    if overlap(archive.infolist()):
        raise UserError("refused: a zip archive whose members overlap")
    return archive


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter) -> bytes:
    """Return the content of a member; ``UserError`` where it is damaged, encrypted, or more than the meter allows."""
    if info.flag_bits & 1 or info.compress_type not in METHODS:
        raise UserError(f"refused: the member {named(info.filename)} is encrypted, or compressed by a rare method")
    meter.spend(size=info.file_size)
    try:
        return archive.read(info)
    except DAMAGE as error:
        raise damaged(error) from error


def damaged(error: Exception) -> UserError:
    """Return the error of an archive that cannot be read."""
    return UserError(f"damaged: the zip archive cannot be read ({named(error)})")


def _require_small_directory(file: BinaryIO, size: int, most: int) -> None:
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
    if length > most:
        raise UserError(f"refused: a zip archive whose table of contents has {length} bytes")
    file.seek(0)
