"""Contents of a file of networks: arrays by their stored names, settings of the networks, and other facts.

Supported are the snapshots of NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3, the networks of NVlabs/stylegan,
stylegan2 and stylegan2-ada (TensorFlow), and state dicts written by ``torch.save``, ``numpy.savez`` and
``safetensors``. Nothing in a file is ever executed, and neither PyTorch nor TensorFlow is needed.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop import state_dicts, strangers
from ganzoo.interop.constructors import (
    MODULES,
    Namespace,
    PersistentObject,
    Storage,
    TensorFlowNetwork,
    as_array,
    constructors,
)
from ganzoo.interop.machine import Constructor, Foreign, Machine, Meter, Source, named
from ganzoo.interop.torch_files import check_directory, nested_storage, read_legacy, read_zip

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of legacy files of ``torch.save``: the pickle of the magic number."""
URLS = ("http:", "https:", "ftp:", "s3:", "gs:")
MODULES_PICKLED = "pickle of PyTorch modules"
SPARE = 16 * 2**20
"""Bytes that the arrays of a file may take beyond four times the size of the file."""
MAX_DEPTH = 16
"""Largest depth of nested modules and of nested facts."""
MAX_PARTS = 50_000
MAX_TEXT = 500


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
    """Numbers and texts that its modules keep, by dotted names such as ``b8.conv0.activation``."""


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
        check_directory(file, size)
        members = _members(path)
        if members and all(name.endswith(".npy") for name in members):
            expanded = sum(members.values())
            if expanded > 4 * size + SPARE:
                raise UserError(f"refused: arrays of {expanded} bytes, compressed into {size}")
            arrays = _npz(path)
            texts = {name: str(arrays.pop(name)) for name in list(arrays) if arrays[name].dtype.kind == "U"}
            return replace(_state_dicts("arrays of numpy.savez", arrays), metadata=texts)
        if what := strangers.archive_of(name for name in members if not name.endswith("data.pkl")):
            raise UserError(f"no file of networks, but {what}")
        return _torch_file("file of torch.save", read_zip(file, size, meter))
    if start[8:9] == b"{":
        return _safetensors(path)
    if start.startswith(LEGACY_START):
        return _torch_file("file of torch.save (legacy format)", read_legacy(file, size, meter))
    if start[:1] != b"\x80":
        what = strangers.format_of(start)
        but = f", but {what}" if what else ""
        raise UserError(f"neither a pickle, nor a file of torch.save, safetensors or numpy.savez{but}")
    return _snapshot(Machine(Source(file, size), constructors(meter, nested_storage(meter)), meter).run())


# Pickles ------------------------------------------------------------------------------------------------------------


def _snapshot(content: Any, kind: str = MODULES_PICKLED) -> Contents:
    """Return the networks of a pickle: a dictionary of networks, a sequence (G, D, Gs), or a single network."""
    if isinstance(content, TensorFlowNetwork):
        content = (content,)
    if type(content) in (tuple, list) and content and all(isinstance(item, TensorFlowNetwork) for item in content):
        names = ("G", "D", "Gs") if len(content) == 3 else [str(item.state.get("name")) for item in content]
        networks = {name: _tensorflow_network(item) for name, item in zip(names, content, strict=True)}
        of = "" if content[0].class_name == TensorFlowNetwork.class_name else f" of {content[0].class_name}"
        return Contents(f"pickle of TensorFlow networks{of}", networks)
    if isinstance(content, MODULES):
        content = {_name_of(content): content}
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    found = state_dicts.sort(content)
    if not found.modules:
        return _sorted("pickle of arrays" if kind == MODULES_PICKLED else kind, found)
    networks = {name: _module(item) for name, item in found.modules.items()}
    networks |= {name: Network("", arrays) for name, arrays in found.networks.items()}
    facts = {name: plain(item) for name, item in found.facts.items()}
    pipe = networks.pop("augment_pipe", None)
    if pipe and pipe.arrays.get("p") is not None and pipe.arrays["p"].size == 1:
        facts["augment_p"] = float(pipe.arrays["p"].reshape(()))
    return Contents(kind, networks, facts, notes=tuple(found.notes))


def _name_of(module: PersistentObject | Foreign) -> str:
    """Return the name of a network that is the whole file."""
    if module.class_name in ("Generator", "Discriminator"):
        return {"Generator": "G_ema", "Discriminator": "D"}[module.class_name]
    return module.class_name if isinstance(module, PersistentObject) else state_dicts.whose(_module(module).arrays)


def _module(module: PersistentObject | Foreign) -> Network:
    arrays: dict[str, np.ndarray] = {}
    _gather(module, "", 0, arrays, [0])
    settings, unnamed = _settings(module.state.get("_init_kwargs")), plain(module.state.get("_init_args"))
    return Network(module.class_name, arrays, {**settings, **({"*": unnamed} if unnamed else {})}, _attributes(module))


def _attributes(module: PersistentObject | Foreign, prefix: str = "") -> dict[str, Any]:
    """Return the numbers and texts of a module and its submodules, whose depth and number ``_gather`` has limited."""
    public = {name: item for name, item in module.state.items() if not str(name).startswith("_")}
    found = {f"{prefix}{name}": item for name, item in public.items() if type(item) in (int, float, str, type(None))}
    for name, item in _attribute(module, "_modules").items():
        found |= _attributes(item, f"{prefix}{name}.") if item is not None else {}
    return found


def _settings(arguments: Any) -> dict[str, Any]:
    found = plain(arguments)
    return found if type(found) is dict else {}


def _gather(module: Any, prefix: str, depth: int, arrays: dict[str, np.ndarray], visited: list[int]) -> None:
    """Add the parameters and buffers of a module and its submodules to ``arrays``, named as in a state dict."""
    visited[0] += 1
    if not isinstance(module, MODULES):
        raise UserError(f"refused: {named(module)} where a module should be ({named(prefix)})")
    if depth > MAX_DEPTH or visited[0] > MAX_PARTS:
        raise UserError(f"refused: modules nested more than {MAX_DEPTH} deep, or more than {MAX_PARTS} of them")
    for group in ("_parameters", "_buffers"):
        for name, item in _attribute(module, group).items():
            if item is not None:
                arrays[f"{prefix}{name}"] = _require_array(item, f"{prefix}{name}")
    for name, item in _attribute(module, "_modules").items():
        if item is not None:
            _gather(item, f"{prefix}{name}.", depth + 1, arrays, visited)


def _attribute(module: PersistentObject | Foreign, name: str) -> dict[str, Any]:
    found = module.state.get(name, {})
    if type(found) is not dict:
        raise UserError(f"refused: {name} of a {named(module.class_name)} must be a dictionary, not {named(found)}")
    return found


def _require_array(item: Any, name: str) -> np.ndarray:
    array = as_array(item)
    if array is None:
        raise UserError(f"refused: {named(item)} where an array should be ({named(name)})")
    return array


def _tensorflow_network(network: TensorFlowNetwork) -> Network:
    arrays: dict[str, np.ndarray] = {}
    _gather_variables(network, "", 0, arrays, [0])
    built_by = network.state.get("build_func_name")
    settings = _settings(network.state.get("static_kwargs"))
    return Network(built_by if isinstance(built_by, str) else "", arrays, settings)


def _gather_variables(network: Any, prefix: str, depth: int, arrays: dict[str, np.ndarray], visited: list[int]) -> None:
    """Add the variables of a network and its components to ``arrays``, named ``component/variable``."""
    visited[0] += 1
    if not isinstance(network, TensorFlowNetwork):
        raise UserError(f"refused: {named(network)} where a component should be ({named(prefix)})")
    if depth > MAX_DEPTH or visited[0] > MAX_PARTS:
        raise UserError(f"refused: components nested more than {MAX_DEPTH} deep, or more than {MAX_PARTS} of them")
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
        key = f"{prefix}{name}"
        arrays[key] = np.asarray(value, np.float32) if is_number else _require_array(value, key)
    for key, component in components.items():
        name = component.state.get("name") if isinstance(component, TensorFlowNetwork) else None
        own = name if isinstance(name, str) else key
        _gather_variables(component, f"{prefix}{own}/", depth + 1, arrays, visited)


# State dicts --------------------------------------------------------------------------------------------------------


def _torch_file(kind: str, content: Any) -> Contents:
    """Return the networks of a file of ``torch.save``: of state dicts, or of whole modules."""
    is_module = isinstance(content, MODULES)
    return _snapshot(content, kind) if is_module or type(content) is dict else _state_dicts(kind, content)


def _state_dicts(kind: str, content: Any) -> Contents:
    """Return the networks of a dictionary: of its arrays, grouped by prefix, and of the dictionaries in it."""
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    return _sorted(kind, state_dicts.sort(content))


def _sorted(kind: str, found: state_dicts.Sorted) -> Contents:
    if not found.networks:
        names = [*found.facts, *found.notes]
        raise UserError(f"the file holds no networks, only {', '.join(map(named, names)) or 'nothing'}")
    options = found.facts.get("args")
    settings = _settings(options.state) if isinstance(options, Namespace) else {}
    networks = {name: Network("", arrays, settings) for name, arrays in found.networks.items()}
    facts = {name: plain(item) for name, item in found.facts.items() if name != "args" or not settings}
    return Contents(kind, networks, facts, notes=tuple(found.notes))


def _safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"damaged: not a valid .safetensors file ({named(error, 120)})") from error
    networks = {name: Network("", found) for name, found in state_dicts.by_network(arrays).items()}
    return Contents("file of safetensors", networks, {}, metadata)


def _members(path: Path) -> dict[str, int]:
    """Return the expanded sizes in bytes of the members of a zip archive by name; nothing of a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.filename: member.file_size for member in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return {}


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile) as error:
        raise UserError(f"damaged: not a valid .npz file ({named(error, 120)})") from error


# Facts --------------------------------------------------------------------------------------------------------------


def plain(thing: Any, depth: int = 0, left: list[int] | None = None) -> Any:
    """Reduce an object of a pickle to what JSON can hold: short texts, numbers, lists and dictionaries."""
    left = [1_000] if left is None else left
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        return "..."
    if isinstance(thing, bool | int | float | type(None)):
        return thing
    if isinstance(thing, str):
        return thing if len(thing) <= MAX_TEXT else thing[:MAX_TEXT] + "..."
    if isinstance(thing, Namespace):
        return plain(thing.state, depth + 1, left)
    if type(thing) is dict:
        return {str(key): plain(item, depth + 1, left) for key, item in thing.items() if left[0] > 0}
    if type(thing) in (list, tuple, set):
        return [plain(item, depth + 1, left) for item in thing if left[0] > 0]
    if isinstance(thing, Constructor):
        return thing.name[:MAX_TEXT]
    if isinstance(thing, Storage):
        return f"<{thing.count} x {thing.kind}>"
    array = state_dicts.array_of(thing)
    if array is None:
        return f"<{type(thing).__name__}>"
    return array.tolist() if array.size <= 16 else f"<{array.dtype} {array.shape}>"
