"""Writing of files that ``torch.load`` opens, without PyTorch: the zip format, with ``weights_only=True``, too.

An archive holds ``data.pkl``, which describes nested dictionaries of tensors, and one member for each tensor's storage.
Source of the format: pytorch/pytorch, torch/serialization.py and caffe2/serialize/inline_container.cc.
"""

import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop import opcodes
from ganzoo.interop.reading.constructors import contiguous

STORAGE_OF: Mapping[str, str] = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<f8": "DoubleStorage",
                                 "<i8": "LongStorage", "<i4": "IntStorage", "|u1": "ByteStorage"}  # fmt: skip
"""Storage classes of ``torch`` by the types of arrays."""
FOLDER, PICKLE_VERSION, FORMAT_VERSION = "archive", b"\x02", b"3\n"


def torch_file(content: Mapping[str, Any]) -> bytes:
    """Return a file of ``torch.save`` with nested dictionaries of arrays [...].

    Args:
      content: by name, arrays of any shape or dictionaries of the same kind.

    Raises:
      UserError: an array has a type that PyTorch lacks.
    """
    members: list[bytes] = []
    described = b"".join([pickle.PROTO, PICKLE_VERSION, _dictionary(content, members), pickle.STOP])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        parts = {"data.pkl": described, "byteorder": b"little"}
        parts |= {f"data/{number}": raw for number, raw in enumerate(members)} | {"version": FORMAT_VERSION}
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(f"{FOLDER}/{name}"), part)
    return file.getvalue()


def _dictionary(content: Mapping[str, Any], members: list[bytes]) -> bytes:
    """Return the program that puts an ordered dictionary on the stack; storages are added to ``members``."""
    items = []
    for name, value in content.items():
        items += [
            opcodes.text(name),
            _dictionary(value, members) if isinstance(value, Mapping) else _tensor(value, members),
        ]
    return b"".join([_name("collections", "OrderedDict"), pickle.EMPTY_TUPLE, pickle.REDUCE,
                     pickle.MARK, *items, pickle.SETITEMS])  # fmt: skip


def _tensor(array: np.ndarray, members: list[bytes]) -> bytes:
    """Return the program that puts a tensor of its own storage on the stack."""
    array = np.asarray(array)
    kind = array.dtype.newbyteorder("<").str
    if kind not in STORAGE_OF:
        raise UserError(f"an array of {array.dtype}: must be of a type that PyTorch has")
    key = str(len(members))
    members.append(np.asarray(array, kind, order="C").tobytes())
    storage = (
        opcodes.text("storage"),
        _name("torch", STORAGE_OF[kind]),
        opcodes.text(key),
        opcodes.text("cpu"),
        opcodes.whole(array.size),
    )
    return b"".join([
        _name("torch._utils", "_rebuild_tensor_v2"), pickle.MARK,
        opcodes.group(storage), pickle.BINPERSID,
        opcodes.whole(0), _sizes(array.shape), _sizes(contiguous(array.shape)), pickle.NEWFALSE,
        _name("collections", "OrderedDict"), pickle.EMPTY_TUPLE, pickle.REDUCE, pickle.TUPLE, pickle.REDUCE,
    ])  # fmt: skip


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _sizes(values: tuple[int, ...]) -> bytes:
    return opcodes.group(map(opcodes.whole, values))
