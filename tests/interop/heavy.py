"""Small files of which a reader could make far more than they hold: by copies, by shared parts, by announced sizes.

Each would take memory or time that grows with the square of its size, or without an end.
"""

import io
import struct
import warnings
import zipfile

import hostile
from hostile import call, dictionary, number, numpy_array, program, raw, shape, text

ARRAY = numpy_array("f4", shape(1), raw(bytes(4)))
MANY = 20_000


def kept(place: int) -> bytes:
    """What is on the stack, put aside."""
    return b"r" + struct.pack("<I", place)


def again(place: int) -> bytes:
    """What was put aside, on the stack once more."""
    return b"j" + struct.pack("<I", place)


def items(*pairs: tuple[str, bytes]) -> bytes:
    """A dictionary of any names."""
    return b"}(" + b"".join(text(name) + value for name, value in pairs) + b"u"


def everywhere(value: bytes, names: str = "n", count: int = MANY) -> bytes:
    """A dictionary with one value in many places."""
    return items(*((f"{names}{i}", value + kept(7) if i == 0 else again(7)) for i in range(count)))


def calls(name: str, argument: bytes, *more: bytes) -> bytes:
    """A list of many calls with one argument."""
    home, _, last = name.rpartition(".")
    called = again(2) + again(1) + b"".join(more) + (b"\x85", b"\x86")[len(more)] + b"R"
    return program(b"](" + argument + kept(1) + f"c{home}\n{last}\n".encode() + kept(2) + called * MANY + b"e")


def laughs(levels: int) -> bytes:
    """A list of two of the list before, as often."""
    made = b"](" + number(1) * 2 + b"e" + kept(100)
    for level in range(levels):
        made += b"0](" + again(100 + level) * 2 + b"e" + kept(101 + level)
    return made


def zipped(*members: tuple[str, bytes]) -> bytes:
    """A zip archive whose members may have one name."""
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def overlapping(count: int) -> bytes:
    """A file of ``torch.save`` whose members are all in the place of the first."""
    whole = bytearray(hostile.archive(program(b"N"), **{f"_{i}": bytes(1000) for i in range(count)}))
    entries = [at for at in range(len(whole)) if whole.startswith(b"PK\x01\x02", at)]
    for at in entries[1:]:
        whole[at + 42 : at + 46] = whole[entries[1] + 42 : entries[1] + 46]
    return bytes(whole)


def files() -> dict[str, tuple[bytes, str]]:
    """All of them by name: the content, and a word that the refusal must have."""
    long = text("x" * 300_000)
    module, much = hostile.plain_module, "larger than the file"
    attributes = {f"a{i}": b"K\x01" for i in range(MANY)}
    network = hostile.tensorflow(dictionary(name=laughs(60)))
    options = b"cargparse\nNamespace\n)R" + items(*((f"o{i}", b"N") for i in range(900))) + b"b"
    storage = raw(hostile.storage_file(100_000, bytes(400_000)))
    variables = b"](" + b"".join(b"(" + text(f"v{i}") + ARRAY + b"t" for i in range(5)) + b"e"
    fact = b"](" + b"N" * 900 + b"e" + kept(3) + b"0"
    npy = "{'descr': %r, 'fortran_order': False, 'shape': %s}"
    twice = (
        b'{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    )
    views = {f"w{i}": again(1) if i else ARRAY + kept(1) for i in range(MANY)}
    return {
        # texts of what a file holds
        "laughs": (program(b"(" + network + b"t"), "a network whose name is list"),
        "laughs-as-class": (
            program(b"(cdnnlib.tflib.network\nNetwork\n(}" + laughs(60) + b"tR" + b"t"),
            "unusual arguments",
        ),
        "long-names": (program(dictionary(G=module(modules=dictionary(**{"m" * 100_000: module()})))), "a name of"),
        "long-global": (calls("torch.device", long)[:-1] + again(1) * 2 + b"\x93.", much),
        "long-class": (program(long + kept(1) + again(1) + b"\x93"), "a name of"),
        # copies
        "encoded": (calls("_codecs.encode", long, text("latin1")), much),
        "devices": (calls("torch.device", long, number(1)), much),
        "dictionaries": (calls("collections.OrderedDict", items(*((f"{i}", b"N") for i in range(MANY)))), much),
        "sets": (calls("builtins.set", b"](" + b"".join(map(number, range(MANY))) + b"e"), much),
        "storages": (calls("torch.storage._load_from_bytes", storage), much),
        "states": (
            program(b"](" + dictionary(**attributes) + kept(1)
                    + b"cdnnlib.tflib.network\nNetwork\n)\x81j\x01\x00\x00\x00b" * MANY + b"e"),
            much,
        ),
        "arguments": (
            program(b"](" + hostile.partial(b")", dictionary(**attributes)) + kept(1)
                    + (again(1) + b")R") * MANY + b"e"),
            much,
        ),
        # what is shared, walked
        "facts": (program(fact + items(("w", ARRAY), *((f"{i}", again(3)) for i in range(1_500)))), much),
        "modules": (program(dictionary(G=module(modules=everywhere(module(parameters=dictionary(**views)))))), much),
        "attributes": (program(dictionary(G=module(modules=everywhere(module(**attributes))))), much),
        "variables": (
            program(b"(" + b"".join(
                hostile.tensorflow(dictionary(name=text(f"n{i}"), components=b"}" if i else everywhere(
                    hostile.tensorflow(dictionary(variables=variables))))) for i in range(2)) + b"t"),
            much,
        ),
        "state-dicts": (program(everywhere(dictionary(w=ARRAY, **attributes))), much),
        "optimizers": (
            program(items(("w", ARRAY)) + b"(" + text("o") + b"](" + dictionary(state=b"}", param_groups=b"]") + kept(1)
                    + again(1) * MANY + b"e" + kept(2)
                    + b"".join(text(f"o{i}") + again(2) for i in range(MANY)) + b"u"),
            much,
        ),
        "options": (program(items(("args", options), *((f"n{i}", dictionary(w=ARRAY)) for i in range(1_500)))), much),
        # archives and arrays
        "overlapping": (overlapping(50), "overlap"),
        "void-npz": (hostile.npz(w=hostile.npy(npy % ("|V0", "(9007199254740993,)"))), "w holds |V0"),
        "empty-texts-npz": (hostile.npz(w=hostile.npy(npy % ("<U0", "(9007199254740993,)"))), "w holds <U0"),
        "records-npz": (hostile.npz(w=hostile.npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                                                  bytes(4))), "no type of numbers"),
        "announced-npz": (hostile.npz(w=hostile.npy(npy % ("<f8", "(500000000,)"))), "in 0 bytes"),
        "lzma-npz": (hostile.archive(b"", zipfile.ZIP_LZMA).replace(b"archive/data.pkl", b"archive/data.npy"),
                     "rare method"),
        # two of one name
        "twice-safetensors": (hostile.safetensors(twice), "two values of the name 'w'"),
        "twice-npz": (zipped(("w.npy", b""), ("w.npy", b"")), "two members of the name w.npy"),
        "twice-in-a-dictionary": (program(items(("w", ARRAY), ("w", ARRAY))), "two items of the name w"),
        "twice-in-pairs": (
            program(call("collections.OrderedDict", b"](" + (text("w") + b"N\x86") * 2 + b"e")),
            "two items of the name w",
        ),
        "twice-in-modules": (
            program(dictionary(G=module(parameters=dictionary(**{"a.w": ARRAY}),
                                        modules=dictionary(a=module(parameters=dictionary(w=ARRAY)))))),
            "two arrays of the name a.w",
        ),
        "twice-in-wrappers": (program(dictionary(model=dictionary(w=ARRAY), net=dictionary(w=ARRAY))), "two arrays"),
        "twice-a-variable": (
            program(hostile.tensorflow(dictionary(variables=b"](" + (b"(" + text("v") + ARRAY + b"t") * 2 + b"e"))),
            "two arrays of the name v",
        ),
        "two-descriptions": (zipped(("a/data.pkl", program(b"N")), ("b/data.pkl", program(b"N"))), "with 2 data.pkl"),
    }  # fmt: skip
