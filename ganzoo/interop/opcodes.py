"""Opcodes of pickles that are written here, without the program whose objects they describe."""

import pickle
import struct
from collections.abc import Iterable


def text(value: str) -> bytes:
    """Return the program that puts a text on the stack."""
    coded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(coded)) + coded


def whole(value: int) -> bytes:
    """Return the program that puts a whole number on the stack."""
    coded = pickle.encode_long(value)
    return pickle.LONG1 + struct.pack("<B", len(coded)) + coded


def group(items: Iterable[bytes]) -> bytes:
    """Return the program that puts a tuple on the stack, from those of its items."""
    return b"".join([pickle.MARK, *items, pickle.TUPLE])
