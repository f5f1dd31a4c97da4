"""Changes to files, from random bytes to whole parts of their formats: each takes draws and a file, and returns a file.

Formats are changed where programs that read them decide: opcodes and arguments of pickles, members and tables of
contents of zip archives, headers of arrays, values of JSON texts, chunks of PNG images whose checksums are mended.
"""

import contextlib
import io
import json
import pickle
import pickletools
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]
Members = list[tuple[str, bytes, int]]
"""Name, content and method of compression of each member of an archive."""

NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**64 - 1,
)
TEXTS = (
    "",
    "..",
    "/",
    "../x",
    "\x1b[2J\n",
    "\u202e",
    "\ud800",
    "x" * 3_000,
    "0",
    "G_ema.w",
    "state_dict",
    "<f4",
    "|O",
    "NaN",
)
NAMES = (
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "_codecs.encode", "builtins.set", "os.system",
    "torch_utils.persistence._reconstruct_persistent_obj", "dnnlib.tflib.network.Network", "argparse.Namespace",
    "copyreg._reconstructor", "torch.storage._load_from_bytes", "torch.nn.parameter.Parameter", "networks.Generator",
)  # fmt: skip
OPCODES = (
    b"(", b".", b"0", b"2", b"1", b"N", b"\x88", b"}", b"]", b")", b"\x8f", b"t", b"\x85", b"\x86", b"\x87", b"a",
    b"e", b"s", b"u", b"\x90", b"R", b"\x81", b"b", b"Q", b"\x94", b"\x93", b"h\x00", b"h\x05", b"q\x00", b"K\x01",
    b"J\xff\xff\xff\xff", b"C\x04\x00\x00\x00\x00", b"X\x01\x00\x00\x00w", b"G\x7f\xf0" + bytes(6),
    b"\x8a\x09" + b"\xff" * 9,
)  # fmt: skip
"""Programs of one operation."""
DEEP = json.loads("[" * 60 + "]" * 60)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 3, 2**31, 2**63, 10**400, -(10**30), 1e308, float("inf"), float("nan"), "",
    "auto", "\x1b]0;x\x07\n", "\ud800", "x" * 5_000, [], {}, [[]], [0] * 300, [None], {"": 0}, [1.5, "a"], DEEP,
    [["0.png", 3]],
)  # fmt: skip
"""Values that a JSON text may hold anywhere."""


def bytes_changed(draws: random.Random, content: bytes) -> bytes:
    """Change one to four places: a byte, a number of 1 to 8 bytes, a stretch left out or doubled; or cut the end."""
    result = bytearray(content)
    for _ in range(draws.randint(1, 4)):
        if not result:
            break
        reach = draws.choice((len(result), min(len(result), 512), min(len(result), 4096)))
        at, length = draws.randrange(reach), draws.choice((1, 2, 4, 8, 30, 64))
        at = len(result) - 1 - at if draws.random() < 0.2 else at  # tables of contents are at the end
        kind = draws.randrange(6)
        if kind == 0:
            result[at] ^= 1 << draws.randrange(8)
        elif kind == 1:
            result[at] = draws.randrange(256)
        elif kind == 2:
            size = draws.choice((1, 2, 4, 8))
            number = draws.choice(NUMBERS) % 256**size
            result[at : at + size] = number.to_bytes(size, draws.choice(("little", "big")))
        elif kind == 3:
            del result[at : at + length]
        elif kind == 4:
            result[at:at] = result[at : at + length] * draws.choice((1, 1, 50))
        elif draws.random() < 0.3:
            del result[at:]
    return bytes(result)


# Pickles ------------------------------------------------------------------------------------------------------------


def pickle_changed(draws: random.Random, content: bytes) -> bytes:
    """Change operations of a pickle: leave out, repeat, exchange, insert, or give another argument."""
    try:
        starts = [place for _, _, place in pickletools.genops(content) if place is not None]
    except ValueError:
        return bytes_changed(draws, content)
    parts = [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)], strict=True)]
    for _ in range(draws.randint(1, 4)):
        at, kind = draws.randrange(len(parts)), draws.randrange(7)
        if kind == 0 and len(parts) > 1:
            del parts[at]
        elif kind == 1:
            parts.insert(at, parts[draws.randrange(len(parts))])
        elif kind == 2:
            other = draws.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            parts.insert(at, draws.choice(OPCODES))
        elif kind == 4:
            parts[at:at] = parts[at : at + draws.randint(1, 40)] * draws.choice((1, 2, 100))
        else:
            parts[at] = _other_argument(draws, parts[at])
    return b"".join(parts)


def _other_argument(draws: random.Random, part: bytes) -> bytes:
    """Return an operation with another argument of the same kind; opcodes without arguments become others."""
    code = part[:1]
    if code in (b"X", b"\x8c"):
        text = draws.choice((*TEXTS, *NAMES)).encode("utf8", "surrogatepass")
        return b"X" + struct.pack("<I", len(text)) + text
    if code == b"c":
        home, _, name = draws.choice(NAMES).rpartition(".")
        return f"c{home}\n{name}\n".encode()
    if code in (b"K", b"M", b"J", b"\x8a"):
        number = draws.choice(NUMBERS) - draws.choice((0, 0, 1, 2**31))
        return b"\x8a" + bytes([len(coded := pickle.encode_long(number))]) + coded
    if code in (b"h", b"j", b"q", b"r"):
        return (b"j" if code in (b"h", b"j") else b"r") + struct.pack("<I", draws.choice((0, 1, 5, 40, 2**32 - 1)))
    return part[:-1] + draws.randbytes(1) if len(part) > 1 else draws.choice(OPCODES)


# Archives -----------------------------------------------------------------------------------------------------------


def members_of(content: bytes) -> Members:
    """Return the members of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]


def archive_of(members: Members) -> bytes:
    """Return a zip archive with these members, of which several may have one name."""
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        for name, content, method in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def archive_changed(inside: Mapping[str, Mutation]) -> Mutation:
    """Return a mutation of zip archives.

    Args:
      inside: mutations of members by the ends of their names; "" is of all others.
    """

    def changed(draws: random.Random, content: bytes) -> bytes:
        kind = draws.randrange(8)
        if kind == 0:
            return bytes_changed(draws, content)
        if kind == 1:
            return _directory_changed(draws, content)
        members = members_of(content)
        at = draws.randrange(len(members))
        name, raw, method = members[at]
        if kind == 2:
            members.insert(draws.randrange(len(members) + 1), members[at])
        elif kind == 3:
            del members[at]
        elif kind == 4:
            other = draws.choice(
                (*TEXTS[2:], name.upper(), f"./{name}", f"a/{name}", f"{name}/", name.replace("/", "\\"))
            )
            members[at] = other.encode("utf8", "ignore").decode() or "x", raw, method
        elif kind == 5:
            methods = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA
            members[at] = name, raw * draws.choice((1, 0, 3)), draws.choice(methods)
        else:
            mutation = next(each for end, each in inside.items() if name.endswith(end))
            members[at] = name, mutation(draws, raw), method
        return archive_of(members)

    return changed


def _directory_changed(draws: random.Random, content: bytes) -> bytes:
    """Change a field of an entry of the table of contents, of a member's own header, or of the end."""
    result = bytearray(content)
    sign = draws.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
    places = [at for at in range(len(result)) if result.startswith(sign, at)]
    if places:
        at, size = draws.choice(places) + draws.randrange(4, 46, 2), draws.choice((2, 4))
        number = draws.choice((*NUMBERS, len(content), draws.choice(places))) % 256**size
        result[at : at + size] = number.to_bytes(size, "little")
    return bytes(result)


# Headers ------------------------------------------------------------------------------------------------------------


def npy_changed(draws: random.Random, content: bytes) -> bytes:
    """Change the type, the shape or the text of the header of an array of NumPy."""
    (length,) = struct.unpack_from("<H", content, 8)
    header, data = content[10 : 10 + length].decode("latin1"), content[10 + length :]
    kinds = ("<f4", "<f8", "|O", "<U8", "<U0", "|V0", "|S0", "<c8", "?", "<M8[s]", "x", "<f4,<f4", "<f99")
    shapes = (
        "()",
        "(0,)",
        "(-1,)",
        "(2**40,)",
        "(1099511627776,)",
        "(0, 1099511627776)",
        "(1,)" + ",1" * 40,
        "(True,)",
        "3",
    )
    kind = draws.randrange(4)
    if kind == 0:
        header = header.replace(header.split("'descr': ")[-1].split(", ")[0], repr(draws.choice(kinds)))
    elif kind == 1:
        header = header.replace(header[header.find("(") : header.rfind(")") + 1], draws.choice(shapes))
    elif kind == 2:
        header = bytes_changed(draws, header.encode("latin1")).decode("latin1")
    else:
        data = data[: draws.randrange(len(data) + 1)]
    coded = header.encode("latin1")[:60_000]
    return b"\x93NUMPY" + bytes([draws.choice((1, 1, 1, 2, 3, 9)), 0]) + struct.pack("<H", len(coded)) + coded + data


def safetensors_changed(draws: random.Random, content: bytes) -> bytes:
    """Change the JSON text in the head of a file of safetensors, or the JSON text in its metadata."""
    (length,) = struct.unpack_from("<Q", content)
    head, data = content[8 : 8 + length], content[8 + length :]
    found = json.loads(head)
    texts = [name for name, text in found.get("__metadata__", {}).items() if text.startswith("{")]
    if texts and draws.random() < 0.5:
        name = draws.choice(texts)
        text = json_changed(draws, found["__metadata__"][name].encode())
        head = json.dumps({**found, "__metadata__": {name: text.decode("utf8", "replace")}}).encode()
    elif draws.random() < 0.8:
        head = json_changed(draws, head)
    else:
        return bytes_changed(draws, content)
    return struct.pack("<Q", len(head)) + head + data


def json_changed(draws: random.Random, content: bytes) -> bytes:
    """Change values or names of a JSON text: replace, leave out, double; sometimes its bytes."""
    try:
        found = json.loads(content)
    except ValueError:
        return bytes_changed(draws, content)
    for _ in range(draws.randint(1, 3)):
        found = _value_changed(draws, found)
    text = json.dumps(found).encode()
    if draws.random() < 0.1 and text.startswith(b"{") and len(text) > 2:
        text = b"{" + text[1:-1] + b"," + text[1:]  # every name twice
    return bytes_changed(draws, text) if draws.random() < 0.15 else text


def _value_changed(draws: random.Random, value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draws.random() < 0.1:
        return draws.choice(VALUES)
    key, kind = draws.choice(keys), draws.randrange(8)
    result = value.copy()
    if kind == 0:
        del result[key]
    elif kind == 1 and isinstance(result, dict):
        result[draws.choice(TEXTS)] = result.pop(key)
    elif kind == 2 and isinstance(result, list):
        result.insert(key, value[key])
    else:
        result[key] = _value_changed(draws, value[key])
    return result


def image_changed(draws: random.Random, content: bytes) -> bytes:
    """Change a chunk of a PNG and mend its checksum; change the bytes of other images."""
    if not content.startswith(b"\x89PNG") or draws.random() < 0.3:
        return bytes_changed(draws, content)
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    place = draws.randrange(len(chunks))
    kind, raw = chunks[place]
    choice = draws.randrange(5)
    if choice == 0:
        chunks.insert(place, chunks[draws.randrange(len(chunks))])
    elif choice == 1:
        del chunks[place]
    elif choice == 2 and kind == b"IDAT":
        with contextlib.suppress(zlib.error):
            chunks[place] = kind, zlib.compress(bytes_changed(draws, zlib.decompress(raw)))
    elif choice == 3:
        extra = draws.choice((b"tEXt", b"zTXt", b"iCCP", b"tRNS", b"PLTE", b"acTL", b"eXIf", b"gAMA", b"fcTL", b"sPLT"))
        chunks.insert(
            place, (extra, draws.choice((raw, draws.randbytes(20), b"a\x00\x00" + zlib.compress(bytes(10**6)))))
        )
    else:
        chunks[place] = kind, bytes_changed(draws, raw)
    return content[:8] + b"".join(
        struct.pack(">I", len(raw)) + kind + raw + struct.pack(">I", zlib.crc32(kind + raw)) for kind, raw in chunks
    )
