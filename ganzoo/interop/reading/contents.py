"""Contents of a file of networks: arrays by their stored names, settings of the networks, and other facts.

Supported are the snapshots of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3, the networks of NVlabs/stylegan,
stylegan2 and stylegan2-ada (TensorFlow), and state dicts written by ``torch.save``, ``numpy.savez`` and
``safetensors``. Nothing in a file is ever executed, and neither PyTorch nor TensorFlow is needed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ganzoo.disk import kind_of
from ganzoo.errors import UserError
from ganzoo.interop.reading import state_dicts, strangers
from ganzoo.interop.reading.archives import open_archive
from ganzoo.interop.reading.array_files import read_npz, read_safetensors
from ganzoo.interop.reading.constructors import (
    MODULES,
    Namespace,
    Storage,
    TensorFlowNetwork,
    constructors,
)
from ganzoo.interop.reading.machine import Constructor, Foreign, Machine, Meter, Source, named, put
from ganzoo.interop.reading.modules import PersistentObject
from ganzoo.interop.reading.torch_files import nested_storage, read_legacy, read_zip

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of legacy files of ``torch.save``: the pickle of the magic number."""
URLS = ("http:", "https:", "ftp:", "s3:", "gs:")
MODULES_PICKLED = "pickle of PyTorch modules"
SPARE = 16 * 2**20
"""Bytes that the arrays of a file may take beyond four times the size of the file."""
MAX_DEPTH = 16
"""Largest depth of nested modules and of nested facts."""
MAX_FACTS, MAX_TEXT, MAX_VALUES = 1_000, 500, 16
"""Largest numbers of parts of a fact, of letters of a text, and of values of an array in it."""


@dataclass(frozen=True)
class Network:
    """One network of a file."""

    kind: str
    """Class or function that built the network; empty if unknown."""
    arrays: Mapping[str, np.ndarray]
    """Parameters and buffers by name."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments with which the network was built, those without a name as a list ``*``."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Numbers, texts and names of types that its modules keep, by dotted names such as ``b8.conv0.activation``."""


@dataclass(frozen=True)
class Contents:
    """All networks of a file."""

    format: str
    networks: Mapping[str, Network]
    """Networks by their stored names: ``G``, ``D``, ``G_ema``; in TensorFlow pickles ``Gs`` is the EMA generator."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Other facts in the file, such as ``training_set_kwargs`` and ``augment_p``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Metadata in the header of a ``.safetensors`` file, or texts in an ``.npz`` file."""
    notes: tuple[str, ...] = ()
    """What in the file is not used, one line each."""


def read(path: Path) -> Contents:
    """Return the contents of a file, whatever its format, found by its first bytes.

    Raises:
      UserError: the file cannot be read, is damaged, or asks for anything but data; the message names what was refused.
    """
    check_address(path)
    if kind_of(path) == "other":
        raise UserError(f"{path}: no regular file, but a pipe or a device; give a file of networks")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(path, file, size)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not enough memory"
        raise UserError(f"{path} cannot be read: {reason or error}") from error
    except Exception as error:  # readers of archives and headers raise errors of many types for damaged files
        raise UserError(f"{path}: damaged ({type(error).__name__}: {named(error, 100)})") from error


def check_address(source: str | Path) -> None:
    """Raise ``UserError`` if a path is an address on the web."""
    if str(source).partition("/")[0] in URLS:
        raise UserError(f"{source}: an address, not a file; download it first")


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of one network by name; ``UserError`` where there are more networks."""
    networks = read(path).networks
    if len(networks) != 1:
        raise UserError(f"{path} holds {len(networks)} networks; give a file with the tensors of one")
    (network,) = networks.values()
    return dict(network.arrays)


def _read(path: Path, file: BinaryIO, size: int) -> Contents:
    start = file.read(512)
    file.seek(0)
    meter = Meter(bytes=4 * size + SPARE)
    if start[:2] == b"PK":
        archive = open_archive(file, size)
        members = {info.filename: info.file_size for info in archive.infolist()}
        if members and all(name.endswith(".npy") for name in members):
            if sum(members.values()) > meter.bytes:
                raise UserError(f"refused: arrays of {sum(members.values())} bytes, compressed into {size}")
            arrays = read_npz(archive, meter)
            texts = [name for name, array in arrays.items() if array.dtype.kind == "U" and not array.shape]
            metadata = {name: str(arrays.pop(name)) for name in texts}
            return replace(_state_dicts("arrays of numpy.savez", arrays, meter), metadata=metadata)
        if what := strangers.archive_of(name for name in members if not name.endswith("data.pkl")):
            raise UserError(f"no file of networks, but {what}")
        return _torch_file("file of torch.save", read_zip(archive, meter), meter)
    if start[8:9] == b"{":
        arrays, metadata = read_safetensors(path, file, size)
        for name in arrays:
            meter.part(name)
        networks = {name: Network("", found) for name, found in state_dicts.by_network(arrays).items()}
        return Contents("file of safetensors", networks, {}, metadata)
    if start.startswith(LEGACY_START):
        return _torch_file("file of torch.save (legacy format)", read_legacy(file, size, meter), meter)
    if start[:1] != b"\x80":
        what = strangers.format_of(start)
        but = f", but {what}" if what else ""
        raise UserError(f"neither a pickle, nor a file of torch.save, safetensors or numpy.savez{but}")
    return _snapshot(Machine(Source(file, size), constructors(meter, nested_storage(meter)), meter).run(), meter)


# Pickles ------------------------------------------------------------------------------------------------------------


def _snapshot(content: Any, meter: Meter, kind: str = MODULES_PICKLED) -> Contents:
    """Return the networks of a pickle: a dictionary of networks, a sequence (G, D, Gs), or a single network."""
    if isinstance(content, TensorFlowNetwork):
        content = (content,)
    if type(content) in (tuple, list) and content and all(isinstance(item, TensorFlowNetwork) for item in content):
        return _tensorflow(content, meter)
    if isinstance(content, MODULES):
        content = {_name_of(content, meter): content}
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    found = state_dicts.sort(content, meter)
    if not found.modules:
        return _sorted("pickle of arrays" if kind == MODULES_PICKLED else kind, found, meter)
    networks = {name: _module(item, meter) for name, item in found.modules.items()}
    for name, arrays in found.networks.items():
        put(networks, name, Network("", arrays), "networks")
    facts = {name: plain(item, meter) for name, item in found.facts.items()}
    pipe = networks.pop("augment_pipe", None)
    if pipe and pipe.arrays.get("p") is not None and pipe.arrays["p"].size == 1:
        facts["augment_p"] = float(pipe.arrays["p"].reshape(()))
    return Contents(kind, networks, facts, notes=tuple(found.notes))


def _name_of(module: PersistentObject | Foreign, meter: Meter) -> str:
    """Return the name of a network that is the whole file."""
    if module.class_name in ("Generator", "Discriminator"):
        return {"Generator": "G_ema", "Discriminator": "D"}[module.class_name]
    return (
        module.class_name if isinstance(module, PersistentObject) else state_dicts.whose(_module(module, meter).arrays)
    )


def _module(module: PersistentObject | Foreign, meter: Meter) -> Network:
    parts = _Parts(meter)
    parts.gather(module, "", 0)
    settings = _settings(module.state.get("_init_kwargs"), meter)
    unnamed = plain(module.state.get("_init_args"), meter)
    return Network(
        module.class_name, parts.arrays, {**settings, **({"*": unnamed} if unnamed else {})}, parts.attributes
    )


def _settings(arguments: Any, meter: Meter) -> dict[str, Any]:
    found = plain(arguments, meter)
    return found if type(found) is dict else {}


@dataclass
class _Parts:
    """Arrays and attributes of a network; each of its parts is paid for, wherever it is."""

    meter: Meter
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, item: Any) -> None:
        """Add an array of this name."""
        self.meter.part(name)
        array = state_dicts.array_of(item)
        if array is None:
            raise UserError(f"refused: {named(item)} where an array should be ({named(name)})")
        put(self.arrays, name, array, "arrays")

    def gather(self, module: Any, prefix: str, depth: int) -> None:
        """Add a module and its submodules: parameters and buffers by their names in a state dict, numbers and texts."""
        self.meter.part(prefix)
        if not isinstance(module, MODULES):
            raise UserError(f"refused: {named(module)} where a module should be ({named(prefix)})")
        if depth > MAX_DEPTH:
            raise UserError(f"refused: modules nested more than {MAX_DEPTH} deep")
        for group in ("_parameters", "_buffers"):
            for name, item in _attribute(module, group).items():
                if item is not None:
                    self.add(f"{prefix}{name}", item)
        self.meter.copy(module.state)
        for name, item in module.state.items():
            if not str(name).startswith("_") and type(item) in (int, float, str, type(None)):
                self.meter.part(f"{prefix}{name}")
                self.attributes[f"{prefix}{name}"] = item
            elif isinstance(item, Constructor):  # a type, such as torch.bfloat16
                self.meter.part(f"{prefix}{name}")
                self.attributes[f"{prefix}{name}"] = item.name
        for name, item in _attribute(module, "_modules").items():
            if item is not None:
                self.gather(item, f"{prefix}{name}.", depth + 1)

    def gather_variables(self, network: Any, prefix: str, depth: int) -> None:
        """Add the variables of a network of TensorFlow and of its components, named ``component/variable``."""
        self.meter.part(prefix)
        if not isinstance(network, TensorFlowNetwork):
            raise UserError(f"refused: {named(network)} where a component should be ({named(prefix)})")
        if depth > MAX_DEPTH:
            raise UserError(f"refused: components nested more than {MAX_DEPTH} deep")
        variables, components = network.state.get("variables", []), network.state.get("components", {})
        if type(variables) is not list or type(components) is not dict:
            raise UserError(
                f"refused: variables in {named(variables)}, components in {named(components)}: must be list and dict"
            )
        for variable in variables:
            if type(variable) not in (list, tuple) or len(variable) != 2 or not isinstance(variable[0], str):
                raise UserError(f"refused: a variable must be a name and a value, not {named(variable)}")
            name, value = variable
            is_number = type(value) in (float, int)
            self.add(f"{prefix}{name}", np.asarray(value, np.float32) if is_number else value)
        for key, component in components.items():
            name = component.state.get("name") if isinstance(component, TensorFlowNetwork) else None
            own = name if isinstance(name, str) else key
            self.gather_variables(component, f"{prefix}{own}/", depth + 1)


def _attribute(module: PersistentObject | Foreign, name: str) -> dict[str, Any]:
    found = module.state.get(name, {})
    if type(found) is not dict:
        raise UserError(f"refused: {name} of a {named(module.class_name)} must be a dictionary, not {named(found)}")
    return found


def _tensorflow(content: Sequence[TensorFlowNetwork], meter: Meter) -> Contents:
    """Return the networks of a sequence, which is (G, D, Gs) where there are three."""
    networks: dict[str, Network] = {}
    for i, network in enumerate(content):
        parts = _Parts(meter)
        parts.gather_variables(network, "", 0)
        name = ("G", "D", "Gs")[i] if len(content) == 3 else network.state.get("name")
        if not isinstance(name, str):
            raise UserError(f"refused: a network whose name is {named(name)}, not a text")
        built_by = network.state.get("build_func_name")
        settings = _settings(network.state.get("static_kwargs"), meter)
        made = Network(built_by if isinstance(built_by, str) else "", parts.arrays, settings)
        put(networks, name, made, "networks")
    of = "" if content[0].class_name == TensorFlowNetwork.class_name else f" of {content[0].class_name}"
    return Contents(f"pickle of TensorFlow networks{of}", networks)


# State dicts --------------------------------------------------------------------------------------------------------


def _torch_file(kind: str, content: Any, meter: Meter) -> Contents:
    """Return the networks of a file of ``torch.save``: of state dicts, or of whole modules."""
    is_module = isinstance(content, MODULES)
    return _snapshot(content, meter, kind) if is_module or type(content) is dict else _state_dicts(kind, content, meter)


def _state_dicts(kind: str, content: Any, meter: Meter) -> Contents:
    """Return the networks of a dictionary: of its arrays, grouped by prefix, and of the dictionaries in it."""
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    return _sorted(kind, state_dicts.sort(content, meter), meter)


def _sorted(kind: str, found: state_dicts.Sorted, meter: Meter) -> Contents:
    if not found.networks:
        names = [*found.facts, *found.notes]
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise UserError(f"the file holds no networks, only {', '.join(map(named, names[:10])) or 'nothing'}{more}")
    options = found.facts.get("args")
    is_told = isinstance(options, Namespace)
    networks = {
        name: Network("", arrays, _settings(options.state, meter) if isinstance(options, Namespace) else {})
        for name, arrays in found.networks.items()
    }
    facts = {name: plain(item, meter) for name, item in found.facts.items() if name != "args" or not is_told}
    return Contents(kind, networks, facts, notes=tuple(found.notes))


# Facts --------------------------------------------------------------------------------------------------------------


def plain(thing: Any, meter: Meter | None = None) -> Any:
    """Reduce an object of a pickle to what JSON can hold: short texts, numbers, lists and dictionaries.

    Args:
      thing: any object; of large or deep ones the first parts are kept.
      meter: pays for every part, where there are many such objects.
    """
    return _plain(thing, 0, [MAX_FACTS], meter or Meter(bytes=SPARE))


def _plain(thing: Any, depth: int, left: list[int], meter: Meter) -> Any:
    meter.part()
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        return "..."
    if isinstance(thing, bool | int | float | type(None)):
        return thing
    if isinstance(thing, str):
        return _short(thing)
    if isinstance(thing, Namespace):
        return _plain(thing.state, depth + 1, left, meter)
    if type(thing) is dict:
        pairs = itertools.takewhile(lambda pair: left[0] > 0, thing.items())
        return {_short(str(key)): _plain(item, depth + 1, left, meter) for key, item in pairs}
    if type(thing) in (list, tuple, set):
        return [_plain(item, depth + 1, left, meter) for item in itertools.takewhile(lambda item: left[0] > 0, thing)]
    if isinstance(thing, Constructor):
        return _short(thing.name)
    if isinstance(thing, Storage):
        return f"<{thing.count} x {thing.kind}>"
    array = state_dicts.array_of(thing)
    if array is None:
        return f"<{type(thing).__name__}>"
    return array.tolist() if 0 < array.size <= MAX_VALUES else f"<{array.dtype} {array.shape}>"


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
