"""PNG files before they are decoded: checksums, blocks that nobody needs, and 16-bit colours with a transparent one.

Sections and chunk names are those of W3C, Portable Network Graphics (PNG) Specification (Third Edition), 2025.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHECKED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""Chunks that decide on the pixels: their checksums must be right."""
_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
"""Beginnings of texts that may hold the orientation of the image, as a chunk eXIf does."""
_LONGEST_TEXT = 2**20
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, and the steps of both, of the seven passes of an interlaced image (section 8.1)."""
_MOST_DEEP = 2**25
"""Largest number of pixels of an image of 16-bit colours with a transparent one, which is decoded in two halves."""


class Header(NamedTuple):
    """Content of the chunk IHDR (section 11.2.1)."""

    width: int
    height: int
    bits: int
    color: int
    """0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA."""
    compression: int
    filtering: int
    interlaced: int


def cleaned(data: bytes) -> bytes:
    """Return a PNG file without the chunks that do not decide on its pixels, and with the orientation at the front.

    Raises:
      ValueError: a chunk that decides on the pixels has a wrong checksum.
    """
    kept, oriented = [], []
    for kind, start, stop in _chunks(data):
        if kind in _CHECKED and stop + 4 <= len(data):
            (stored,) = struct.unpack(">I", data[stop : stop + 4])
            if zlib.crc32(memoryview(data)[start - 4 : stop]) != stored:
                raise ValueError(f"damaged: the checksum of the chunk {kind.decode()} at byte {start - 8:,} is wrong")
        chunk = data[start - 8 : stop + 4]
        if kind in _CHECKED:
            kept.append(chunk)
        elif kind == b"eXIf" or (data[start : start + 32].startswith(_TEXTS) and stop - start <= _LONGEST_TEXT):
            oriented.append(chunk)
    return b"".join((SIGNATURE, *kept[:1], *oriented, *kept[1:]))


def header(data: bytes) -> Header | None:
    """Return the header of a PNG file; None where it is cut off."""
    return Header(*struct.unpack(">IIBBBBB", data[16:29])) if len(data) >= 29 else None


def transparent_pixels(data: bytes) -> Bool[np.ndarray, "H W"] | None:
    """Return which pixels have the colour that a PNG file of 16-bit RGB declares transparent; None for other files.

    Decoders that reduce colours to 8 bits cannot say. The filters of PNG work on every byte of a pixel alone, at a
    distance of whole pixels (section 9.2), so the low bytes of 16-bit RGB are an 8-bit RGB image by themselves.

    Raises:
      ValueError: the image is larger than 2^25 pixels, or its data are incomplete.
    """
    head = header(data)
    chunks = [(kind, data[start:stop]) for kind, start, stop in _chunks(data) if kind in (b"tRNS", b"IDAT")]
    keys = [content for kind, content in chunks if kind == b"tRNS"]
    if head is None or (head.bits, head.color) != (16, 2) or not keys or len(keys[0]) != 6:
        return None
    if head.width * head.height > _MOST_DEEP:
        raise ValueError(f"16-bit colours with a transparent one, in more than {_MOST_DEEP:,} pixels; save 8 bits")
    passes = _passes(head)
    size = sum(rows * (1 + 6 * columns) for rows, columns in passes)
    raw = zlib.decompressobj().decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"), size)
    if len(raw) < size:
        raise ValueError("the image file is truncated")
    key = np.frombuffer(keys[0], np.uint8)
    return (_half(raw, head, passes, 0) == key[0::2]).all(-1) & (_half(raw, head, passes, 1) == key[1::2]).all(-1)


def _half(raw: bytes, head: Header, passes: Sequence[tuple[int, int]], half: int) -> np.ndarray:
    """Return the high (0) or low (1) bytes of 16-bit RGB, uint8 [H, W, 3], from the filtered rows of all passes."""
    from PIL import PngImagePlugin

    parts, at = [], 0
    for rows, columns in passes:
        lines = np.frombuffer(raw, np.uint8, rows * (1 + 6 * columns), at).reshape(rows, 1 + 6 * columns)
        at += lines.size
        parts.append(np.concatenate([lines[:, :1], lines[:, 1 + half :: 2]], axis=1).tobytes())
    shallow = struct.pack(">IIBBBBB", *head._replace(bits=8))
    chunks = ((b"IHDR", shallow), (b"IDAT", zlib.compress(b"".join(parts), 0)), (b"IEND", b""))
    with PngImagePlugin.PngImageFile(io.BytesIO(SIGNATURE + b"".join(_chunk(*each) for each in chunks))) as image:
        return np.asarray(image)


def _passes(head: Header) -> list[tuple[int, int]]:
    """Return the (rows, columns) of every pass that is not empty."""
    if not head.interlaced:
        return [(head.height, head.width)]
    sizes = [(-(-(head.height - y) // dy), -(-(head.width - x) // dx)) for y, x, dy, dx in _ADAM7]
    return [(rows, columns) for rows, columns in sizes if rows > 0 and columns > 0]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, first byte, byte after the last) of the content of every chunk; the last one may be cut off."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, at + 8, at + 8 + size
        if kind == b"IEND":
            return
        at += 12 + size
