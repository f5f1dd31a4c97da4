"""Files of named arrays without networks around them: ``numpy.savez`` and ``safetensors``."""

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ganzoo.disk.documents import parse_json
from ganzoo.errors import UserError
from ganzoo.interop.reading.archives import read_member
from ganzoo.interop.reading.constructors import sizes
from ganzoo.interop.reading.machine import Meter, named

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""Readers of what stands before an array of NumPy, by the version of its format; version 3 is for records alone."""


def read_npz(archive: zipfile.ZipFile, meter: Meter) -> dict[str, np.ndarray]:
    """Return the arrays [...] of a file of ``numpy.savez`` by name.

    Raises:
      UserError: the file is damaged, holds objects or records, or more bytes than the meter allows.
    """
    arrays = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        meter.part(name)
        raw = read_member(archive, info, meter)
        try:
            arrays[name] = _npy(raw, name)
        except UserError:
            raise
        except Exception as error:  # NumPy's parser of headers raises errors of many types
            raise UserError(f"damaged: not a valid .npz file ({named(name)}: {named(error, 100)})") from error
    return arrays


def _npy(raw: bytes, name: str) -> np.ndarray:
    """Return an array [...] of ``numpy.save``, whose elements must be all that is in the file."""
    file = io.BytesIO(raw)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise UserError(f"refused: {named(name)} has version {version} of its format, which records need")
    with warnings.catch_warnings(action="ignore"):  # about files of Python 2, and of the parser about odd texts
        shape, is_fortran, kind = HEADERS[version](file)
    if kind.hasobject or kind.kind == "V" or not kind.itemsize:
        raise UserError(f"refused: {named(name)} holds {named(str(kind))}, which is no type of numbers")
    start, count = file.tell(), sizes(shape)
    if count * kind.itemsize != len(raw) - start:
        raise UserError(f"damaged: {named(name)} has the shape {named(shape)} of {kind} in {len(raw) - start} bytes")
    elements = np.frombuffer(raw, kind, count, start) if count else np.empty(0, kind)
    return elements.reshape(shape, order="F" if is_fortran else "C")


def read_safetensors(path: Path, file: BinaryIO, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays [...] of a file of ``safetensors`` by name, and the texts in its header.

    Args:
      path: of the file.
      file: the file, open at its beginning.
      size: of the file in bytes.

    Raises:
      UserError: the file is damaged, or two arrays have one name.
    """
    from safetensors import SafetensorError, safe_open

    (length,) = struct.unpack("<Q", file.read(8))
    try:
        if length > size - 8:
            raise UserError(f"a header of {length:,} bytes in a file of {size:,}")
        parse_json(file.read(length))  # for two arrays of one name, of which the library would return the last one
        with safe_open(path, framework="np") as opened:
            metadata = dict(opened.metadata() or {})
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"damaged: not a valid .safetensors file ({named(error, 160)})") from error
    return arrays, metadata
