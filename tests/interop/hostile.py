"""Files that are out for harm: what each is, and what the refusal must name.

They are built here, byte by byte where Python's own pickler would not. Those that try to run code try to make the
file ``CANARY`` in the working folder.
"""

import io
import os
import pickle
import struct
import subprocess
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

CANARY = "canary"
SOURCE = f"open({CANARY!r}, 'w').close()"
GENERATOR = b"ctraining.networks_stylegan3\nGenerator\n"


class Call:
    """Pickled, it is a call of ``name`` with these arguments."""

    def __init__(self, name: Callable[..., Any], *arguments: Any) -> None:
        self.name, self.arguments = name, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.name, self.arguments


def text(word: str) -> bytes:
    """A text on the stack."""
    raw = word.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def raw(content: bytes) -> bytes:
    """Bytes on the stack."""
    return b"B" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    """A whole number on the stack."""
    return b"J" + struct.pack("<i", value)


def call(name: str, *arguments: bytes) -> bytes:
    """A call of a name."""
    module, _, last = name.rpartition(".")
    return f"c{module}\n{last}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def dictionary(**items: bytes) -> bytes:
    """A dictionary."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def program(body: bytes, protocol: int = 4) -> bytes:
    """A whole pickle."""
    return b"\x80" + bytes([protocol]) + body + b"."


def persistent(state: bytes, kind: str = "class", name: str = "Generator") -> bytes:
    """An object of ``torch_utils.persistence`` with harmful source text."""
    meta = dictionary(
        type=text(kind), version=number(6), module_src=text(SOURCE), class_name=text(name), state=state
    )  # fmt: skip
    return call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def partial(positions: bytes, names: bytes, kind: bytes = GENERATOR) -> bytes:
    """A ``functools.partial`` of a network's class, whose state has these arguments."""
    return call("functools.partial", GENERATOR) + b"(" + kind + positions + names + b"Ntb"


def shape(*sizes: int) -> bytes:
    """A tuple of numbers."""
    return b"(" + b"".join(map(number, sizes)) + b"t"


def numpy_array(code: str, sizes: bytes, content: bytes, order: str = "<") -> bytes:
    """A NumPy array."""
    kind = call("numpy.dtype", text(code), b"\x89", b"\x88")
    kind += b"(" + number(3) + text(order) + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    made = call("numpy.core.multiarray._reconstruct", b"cnumpy\nndarray\n", shape(0), raw(b"b"))
    return made + b"(" + number(1) + sizes + kind + b"\x89" + content + b"tb"


def foreign(state: bytes, name: str = "networks.Generator") -> bytes:
    """A module of a class that is nobody's, with its attributes."""
    home, _, last = name.rpartition(".")
    return f"c{home}\n{last}\n".encode() + b")\x81" + state + b"b"


def plain_module(parameters: bytes = b"}", modules: bytes = b"}", **more: bytes) -> bytes:
    """A module as PyTorch's own pickles have it."""
    return foreign(dictionary(_parameters=parameters, _buffers=b"}", _modules=modules, **more))


def storage_file(count: int, content: bytes, kind: str = "FloatStorage", *, declared: int | None = None) -> bytes:
    """A storage as a file of ``torch.save``, of the older kind."""
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    name = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu") + number(count) + b"NtQ"
    parts = [magic, pickle.dumps(1001, 2), pickle.dumps(system, 2), program(name, 2), pickle.dumps(["0"], 2)]
    return b"".join(parts) + struct.pack("<q", count if declared is None else declared) + content


def tensor(storage: bytes, offset: int, sizes: bytes, strides: bytes) -> bytes:
    """A tensor of PyTorch."""
    return call("torch._utils._rebuild_tensor_v2", storage, number(offset), sizes, strides, b"\x89", b"N")


def nested(file: bytes) -> bytes:
    """The storage of a file of ``torch.save`` in a pickle."""
    return call("torch.storage._load_from_bytes", raw(file))


def module(name: str, value: bytes) -> bytes:
    """A snapshot whose generator has one parameter."""
    return program(dictionary(G_ema=persistent(dictionary(_parameters=dictionary(**{name: value})))))


def archive(description: bytes, compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A file of ``torch.save``, of the newer kind."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("archive/data.pkl", description)
        for name, content in members.items():
            made.writestr(f"archive/data/{name.strip('_')}", content)
    return file.getvalue()


def zip_storage(count: int, sizes: bytes, strides: bytes) -> bytes:
    """A state dict of one tensor, for an archive."""
    name = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(count) + b"tQ"
    return program(dictionary(w=tensor(name, 0, sizes, strides)), 2)


def npz(**members: bytes) -> bytes:
    """A zip archive of arrays."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    """An array of NumPy with that header."""
    padded = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + content


def tensorflow(state: bytes, before: bytes = b"") -> bytes:
    """A network of ``dnnlib.tflib``."""
    return b"cdnnlib.tflib.network\nNetwork\n)\x81" + before + state + b"b"


def safetensors(header: bytes, size: int | None = None, content: bytes = b"") -> bytes:
    """A file of safetensors with that header."""
    return struct.pack("<Q", len(header) if size is None else size) + header + content


def files() -> dict[str, tuple[bytes, str]]:
    """All of them by name: the content, and a word that the refusal must have."""
    floats = np.arange(4, dtype="<f4").tobytes()
    good = nested(storage_file(4, floats))
    deep = b"N"
    for _ in range(60):
        deep = persistent(dictionary(_modules=dictionary(m=deep)))
    large = nested(storage_file(100_000, bytes(400_000))) + b"\x94"
    views = dictionary(**{f"w{i}": tensor(b"h\x00" if i else large, 0, shape(100_000), shape(1)) for i in range(60)})
    deep_modules = plain_module()
    for _ in range(40):
        deep_modules = plain_module(modules=dictionary(m=deep_modules))
    shared = plain_module(parameters=dictionary(w=numpy_array("f4", shape(1), raw(bytes(4)))))
    for level in range(14):  # 4^14 modules by name, few in the file
        kept = shared + b"r" + struct.pack("<I", 1000 + level)
        again = b"j" + struct.pack("<I", 1000 + level)
        shared = plain_module(modules=dictionary(a=kept, b=again, c=again, d=again))
    object_array = io.BytesIO()
    np.save(object_array, np.array([Call(os.system, f"touch {CANARY}")], dtype=object), allow_pickle=True)
    zeros = io.BytesIO()
    np.savez_compressed(zeros, w=np.zeros(20 * 2**20, np.uint8))
    corrupt = bytearray(archive(zip_storage(4, shape(4), shape(1)), _0=floats))
    at = corrupt.rindex(floats)
    corrupt[at] ^= 1
    return {
        # code by a call
        "os-system": (pickle.dumps(Call(os.system, f"touch {CANARY}"), 4), "posix.system"),
        "eval": (pickle.dumps(Call(eval, SOURCE), 2), "eval"),
        "exec": (pickle.dumps(Call(exec, SOURCE), 4), "builtins.exec"),
        "popen": (pickle.dumps(Call(subprocess.Popen, ["touch", CANARY]), 4), "subprocess.Popen"),
        "getattr": (pickle.dumps(Call(getattr, "", "join"), 4), "builtins.getattr"),
        "import": (program(call("builtins.__import__", text("os"))), "builtins.__import__"),
        "torch-load": (program(call("torch.load", text(CANARY))), "torch.load"),
        "dotted-name": (
            program(text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93"),
            "__globals__",
        ),
        "name-of-numbers": (program(number(1) + number(2) + b"\x93"), "a name of"),
        "lines-in-a-name": (program(text("os\n\x1b[2J") + text("system") + b"\x93"), "os\\n"),
        "new-object": (program(b"cos\n_wrap_close\n)\x81"), "os._wrap_close"),
        "instance": (program(b"(ios\nsystem\n"), "INST"),
        "object": (program(b"(cos\nsystem\no"), "os.system"),
        "call-of-text": (program(text("os.system") + b"(" + text(f"touch {CANARY}") + b"tR"), "a call of os.system"),
        "call-of-a-type": (program(b"cnumpy\nndarray\n)R"), "a call of numpy.ndarray"),
        "state-of-a-list": (program(b"]}b"), "attributes for list"),
        "state-of-a-name": (program(b"cnumpy\nndarray\n}b"), "attributes for Constructor"),
        # modules of unknown classes
        "class-alone": (program(b"cos\nsystem\n"), "os.system"),
        "class-as-data-called": (
            program(dictionary(f=b"cos\nsystem\n") + b"0cos\nsystem\n" + text("x") + b"\x85R"),
            "os.system",
        ),
        "class-with-arguments": (
            program(b"csubprocess\nPopen\n" + text(f"touch {CANARY}") + b"\x85\x81"),
            "subprocess.Popen",
        ),
        "object-without-state": (program(dictionary(G=b"cnetworks\nGenerator\n)\x81")), "networks.Generator"),
        "object-that-is-no-module": (program(dictionary(G=foreign(dictionary(x=number(1))))), "networks.Generator"),
        "object-of-a-list": (program(dictionary(G=foreign(b"]"))), "networks.Generator"),
        "object-with-items": (program(b"cnetworks\nGenerator\n)\x81" + text("k") + b"Ns"), "networks.Generator"),
        "object-as-key": (program(b"}" + plain_module() + b"Ns"), "key"),
        "object-by-copyreg": (
            program(call("copyreg._reconstructor", b"cos\nsystem\n", b"c__builtin__\nint\n", number(1))),
            "os.system",
        ),
        "copyreg-of-known": (
            program(call("copyreg._reconstructor", b"ctorch\nSize\n", b"c__builtin__\nobject\n", b"N")),
            "object",
        ),
        "default-of-text": (program(call("collections.defaultdict", text("os.system"))), "os.system"),
        "partial": (program(call("functools.partial", b"cos\nsystem\n", text("x"))), "functools.partial"),
        "partial-of-a-name": (program(call("functools.partial", b"cos\nsystem\n")), "os.system"),
        "partial-by-position": (program(partial(text("x") + b"\x85", b"}")), "a functools.partial of"),
        "partial-of-another": (program(partial(b")", b"}", b"cos\nsystem\n")), "os.system"),
        "partial-of-a-list": (program(partial(b")", b"]")), "a functools.partial of"),
        "partial-called-with-more": (program(partial(b")", b"}") + text("x") + b"\x85R"), "unusual arguments"),
        "partial-of-itself": (program(partial(b")", b"}") + b"\x94" + call("functools.partial", b"h\x00")), "partial"),
        "deep-modules": (program(dictionary(G=deep_modules)), "deep"),
        "shared-modules": (program(dictionary(G=shared)), "larger than the file"),
        "cyclic-foreign": (
            program(
                dictionary(
                    G=b"cnetworks\nGenerator\n)\x81\x94"
                    + dictionary(_parameters=b"}", _modules=dictionary(m=b"h\x00"))
                    + b"b"
                )
            ),
            "deep",
        ),
        "module-of-text": (program(dictionary(G=plain_module(modules=dictionary(m=text("m"))))), "a module should be"),
        "parameter-of-text": (
            program(dictionary(G=plain_module(parameters=dictionary(w=text("m"))))),
            "an array should be",
        ),
        "parameters-of-a-list": (program(dictionary(G=plain_module(parameters=b"]"))), "_parameters"),
        "deep-dictionaries": (program(b"}" + text("a") + (b"}" + text("a")) * 90 + b"N" + b"s" * 91), "networks"),
        # code in what is nested
        "source-in-source": (program(deep), "deep"),
        "source-of-no-class": (program(persistent(b"}", kind="module")), "persistent object"),
        "source-without-state": (program(persistent(b"N")), "state"),
        "call-in-a-storage": (program(nested(pickle.dumps(Call(os.system, f"touch {CANARY}"), 2))), "posix.system"),
        "storage-in-a-storage": (program(nested(program(good))), "torch.storage._load_from_bytes"),
        "call-in-an-archive": (archive(pickle.dumps(Call(os.system, f"touch {CANARY}"), 2)), "posix.system"),
        "call-as-a-variable": (
            program(tensorflow(dictionary(variables=b"](]" + text("w") + b"aNaae"))),
            "an array should be",
        ),
        # opcodes that nobody needs
        "extension": (program(b"\x82\x01"), "EXT1"),
        "persistent-text": (program(b"Pos.system\n"), "PERSID"),
        "persistent-id": (program(text("os.system") + b"Q"), "persistent id"),
        "out-of-band": (program(b"\x97", 5), "NEXT_BUFFER"),
        "pop": (program(b"]00"), "damaged"),
        "unknown-opcode": (program(b"\xff"), "unknown"),
        # sizes
        "huge-bytes": (program(b"\x8e" + struct.pack("<Q", 2**60)), "truncated"),
        "huge-text": (program(b"X" + struct.pack("<I", 2**32 - 1)), "truncated"),
        "huge-number": (program(b"\x8b" + struct.pack("<i", 2**20) + b"\x01" * 2**20), "bits"),
        "huge-memo": (program(b"]r" + struct.pack("<I", 2**32 - 1)), "networks"),
        "many-operations": (program(b"](" + b"N" * 1_000_000 + b"e"), "operations"),
        "many-marks": (program(b"(" * 1_000), "deep"),
        "equal-hashes": (
            program(
                b"}("
                + b"".join(b"\x8a\x09" + (k * (2**61 - 1)).to_bytes(9, "little") + b"N" for k in range(2, 250))
                + b"u"
            ),
            "key",
        ),
        "no-memory": (program(b"h\x07"), "number 7"),
        "tuples-as-key": (program(b"})" + b"\x94h\x00\x86" * 30 + b"Ns"), "key"),
        "huge-array": (module("w", numpy_array("f8", shape(2**31 - 1, 2**31 - 1), raw(floats))), "shape"),
        "huge-tensor": (module("w", tensor(good, 0, shape(2**31 - 1, 2**31 - 1), shape(0, 0))), "storage of 4"),
        "huge-storage": (
            module("w", tensor(nested(storage_file(2**31 - 1, floats)), 0, shape(1), shape(1))),
            "truncated",
        ),
        "one-storage-for-all": (
            program(dictionary(G_ema=persistent(dictionary(_parameters=views)))),
            "larger than the file",
        ),
        # arrays that are none
        "objects": (module("w", numpy_array("O8", shape(1), raw(bytes(8)), "|")), "O8"),
        "texts": (module("w", numpy_array("U4", shape(1), raw(bytes(16)))), "U4"),
        "few-bytes": (module("w", numpy_array("f4", shape(5), raw(floats))), "shape"),
        "negative-shape": (module("w", numpy_array("f4", shape(-1, -4), raw(floats))), "the shape"),
        "list-as-content": (module("w", numpy_array("f4", shape(1), b"]Na")), "an array of"),
        "empty-array": (
            module("w", call("numpy.core.multiarray._reconstruct", b"cnumpy\nndarray\n", shape(0), raw(b"b"))),
            "without content",
        ),
        "subclass": (
            module("w", call("numpy.core.multiarray._reconstruct", b"cnumpy\nmatrix\n", shape(0), raw(b"b"))),
            "numpy.matrix",
        ),
        "number-of-objects": (
            program(call("numpy.core.multiarray.scalar", call("numpy.dtype", text("O8")), raw(bytes(8)))),
            "O8",
        ),
        "beyond-storage": (module("w", tensor(good, 2, shape(3), shape(1))), "storage of 4"),
        "strides-beyond": (module("w", tensor(good, 0, shape(2, 2), shape(100, 1))), "storage of 4"),
        "negative-stride": (module("w", tensor(good, 3, shape(4), shape(-1))), "the shape"),
        "tensor-of-nothing": (module("w", tensor(b"N", 0, shape(1), shape(1))), "a tensor in"),
        "other-count": (
            module("w", tensor(nested(storage_file(4, floats, declared=3)), 0, shape(1), shape(1))),
            "elements",
        ),
        "unknown-storage": (program(nested(storage_file(4, floats, "QInt8Storage"))), "torch.QInt8Storage"),
        "encoding": (program(call("_codecs.encode", text("x"), text("zip"))), "encoded as zip"),
        # shapes of the whole
        "cyclic-list": (program(b"]\x94h\x00a"), "networks"),
        "cyclic-modules": (
            program(dictionary(G=persistent(b"}\x94(" + text("_modules") + dictionary(m=persistent(b"h\x00")) + b"u"))),
            "deep",
        ),
        "no-modules": (program(dictionary(G=persistent(dictionary(_modules=b"]")))), "_modules"),
        "cyclic-components": (program(tensorflow(dictionary(components=dictionary(m=b"h\x00")), b"\x94")), "deep"),
        "nothing": (program(b"N"), "networks"),
        "empty": (b"", "neither"),
        "prose": (b"Dear reader,\n", "neither"),
        "no-end": (b"\x80\x04]", "truncated"),
        "empty-stack": (b"\x80\x04.", "empty"),
        "frame": (program(b"\x95" + struct.pack("<Q", 2**60) + b"N"), "networks"),
        # archives
        "no-description": (npz()[:-22] + archive(b"").replace(b"data.pkl", b"data.txt"), "data.pkl"),
        "bomb": (archive(zip_storage(4, shape(4), shape(1)), zipfile.ZIP_DEFLATED, _0=bytes(10**7)), "compressed"),
        "large-member": (archive(zip_storage(4, shape(4), shape(1)), _0=bytes(10**5)), "more than it can need"),
        "small-member": (archive(zip_storage(4, shape(4), shape(1)), _0=bytes(8)), "8 bytes"),
        "missing-member": (archive(zip_storage(4, shape(4), shape(1))), "no member"),
        "corrupt-member": (bytes(corrupt), "damaged"),
        "huge-directory": (b"PK\x05\x06" + bytes(8) + struct.pack("<II", 2**31, 0) + bytes(2), "table of contents"),
        "cut-archive": (archive(zip_storage(4, shape(4), shape(1)), _0=floats)[:-30], "truncated"),
        # other formats
        "bomb-npz": (zeros.getvalue(), "compressed into"),
        "objects-npz": (npz(w=object_array.getvalue()), "w holds object"),
        "huge-npz": (npz(w=npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**60},)}}")), "the shape"),
        "code-npz": (npz(w=npy(f"{{'descr': {SOURCE}, 'fortran_order': False, 'shape': (1,)}}")), "npz"),
        "long-header": (safetensors(b"{}", 2**62), "safetensors"),
        "no-header": (safetensors(b"{nonsense}"), "safetensors"),
        "beyond-the-end": (safetensors(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'), "safetensors"),
    }
