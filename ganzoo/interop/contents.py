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
from ganzoo.interop.constructors import PersistentObject, Storage, TensorFlowNetwork, as_array, constructors
from ganzoo.interop.machine import Machine, Meter, Source, named
from ganzoo.interop.torch_files import check_directory, nested_storage, read_legacy, read_zip

LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of legacy files of ``torch.save``: the pickle of the magic number."""
SPARE = 16 * 2**20
"""Bytes that the arrays of a file may take beyond four times the size of the file."""
MAX_DEPTH = 16
"""Largest depth of nested modules and of nested facts."""
MAX_PARTS = 50_000
MAX_TEXT = 500
PREFIXES = ("G", "D", "G_ema", "generator", "discriminator", "ema")
"""How the names of arrays of several networks begin, at the originals and here."""


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


def read(path: Path) -> Contents:
    """Return the contents of a file, whatever its format, found by its first bytes.

    Raises:
      UserError: the file cannot be read, is damaged, or asks for anything but data; the message names what was refused.
    """
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


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of one network by name; ``UserError`` where there are more networks."""
    networks = read(path).networks
    if len(networks) != 1:
        raise UserError(f"{path} holds {len(networks)} networks; give a file with the tensors of one")
    (network,) = networks.values()
    return dict(network.arrays)


def _read(path: Path, file: BinaryIO, size: int) -> Contents:
    start = file.read(16)
    file.seek(0)
    meter = Meter(bytes=4 * size + SPARE)
    if start[:2] == b"PK":
        check_directory(file, size)
        if (expanded := _npz_size(path)) is not None:
            if expanded > 4 * size + SPARE:
                raise UserError(f"refused: arrays of {expanded} bytes, compressed into {size}")
            arrays = _npz(path)
            texts = {name: str(arrays.pop(name)) for name in list(arrays) if arrays[name].dtype.kind == "U"}
            return replace(_state_dicts("arrays of numpy.savez", arrays), metadata=texts)
        return _state_dicts("file of torch.save", read_zip(file, size, meter))
    if start[8:9] == b"{":
        return _safetensors(path)
    if start.startswith(LEGACY_START):
        return _state_dicts("file of torch.save (legacy format)", read_legacy(file, size, meter))
    if start[:1] != b"\x80":
        raise UserError("neither a pickle, nor a file of torch.save, safetensors or numpy.savez")
    return _snapshot(Machine(Source(file, size), constructors(meter, nested_storage(meter)), meter).run())


# Pickles ------------------------------------------------------------------------------------------------------------


def _snapshot(content: Any) -> Contents:
    """Return the networks of a pickle: a dictionary of networks, a sequence (G, D, Gs), or a single network."""
    if isinstance(content, TensorFlowNetwork):
        content = (content,)
    if type(content) in (tuple, list) and content and all(isinstance(item, TensorFlowNetwork) for item in content):
        names = ("G", "D", "Gs") if len(content) == 3 else [str(item.state.get("name")) for item in content]
        networks = {name: _tensorflow_network(item) for name, item in zip(names, content, strict=True)}
        return Contents("pickle of TensorFlow networks", networks)
    if isinstance(content, PersistentObject):
        content = {"G_ema" if content.class_name == "Generator" else content.class_name: content}
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    modules = {name: item for name, item in content.items() if isinstance(item, PersistentObject)}
    if not modules:
        return _state_dicts("pickle of arrays", content)
    networks = {str(name): _module(item) for name, item in modules.items()}
    facts = {str(name): plain(item) for name, item in content.items() if name not in modules}
    pipe = networks.pop("augment_pipe", None)
    if pipe and pipe.arrays.get("p") is not None and pipe.arrays["p"].size == 1:
        facts["augment_p"] = float(pipe.arrays["p"].reshape(()))
    return Contents("pickle of PyTorch modules", networks, facts)


def _module(module: PersistentObject) -> Network:
    arrays: dict[str, np.ndarray] = {}
    _gather(module, "", 0, arrays, [0])
    settings, unnamed = _settings(module.state.get("_init_kwargs")), plain(module.state.get("_init_args"))
    return Network(module.class_name, arrays, {**settings, **({"*": unnamed} if unnamed else {})}, _attributes(module))


def _attributes(module: PersistentObject, prefix: str = "") -> dict[str, Any]:
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
    if not isinstance(module, PersistentObject):
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


def _attribute(module: PersistentObject, name: str) -> dict[str, Any]:
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


def _state_dicts(kind: str, content: Any) -> Contents:
    """Return the networks of a dictionary: of its arrays, grouped by prefix, and of each inner dictionary of arrays."""
    if type(content) is not dict:
        raise UserError(f"the file holds no networks, but {named(content)}")
    arrays = {str(name): array for name, item in content.items() if (array := _as_array(item)) is not None}
    networks = {name: Network("", found) for name, found in _by_network(arrays).items()}
    rest = {name: item for name, item in content.items() if str(name) not in arrays}
    for name, item in rest.items():
        if type(item) is dict:
            inner = {str(key): array for key, part in item.items() if (array := _as_array(part)) is not None}
            if inner and len(inner) == len(item):
                networks[str(name)] = Network("", inner)
    facts = {str(name): plain(item) for name, item in rest.items() if str(name) not in networks}
    if not networks:
        raise UserError(
            f"the file holds no networks, only {', '.join(named(str(name)) for name in facts) or 'nothing'}"
        )
    return Contents(kind, networks, facts)


def _as_array(item: Any) -> np.ndarray | None:
    return item if isinstance(item, np.ndarray) else as_array(item)


def _by_network(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Group arrays by the prefixes ``NETWORKS``; arrays without a prefix are one network, G_ema or D by their names."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        first, dot, rest = name.partition(".")
        known = bool(dot) and first in PREFIXES
        groups.setdefault(first if known else "", {})[rest if known else name] = array
    if "" in groups:
        whose = "D" if any(name.startswith(("b4.out", "b4.fc")) for name in groups[""]) else "G_ema"
        groups.setdefault(whose, {}).update(groups.pop(""))
    return groups


def _safetensors(path: Path) -> Contents:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"damaged: not a valid .safetensors file ({named(error, 120)})") from error
    networks = {name: Network("", found) for name, found in _by_network(arrays).items()}
    return Contents("file of safetensors", networks, {}, metadata)


def _npz_size(path: Path) -> int | None:
    """Return the expanded size in bytes of an ``.npz`` file; None for other archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return None
    is_npz = members and all(member.filename.endswith(".npy") for member in members)
    return sum(member.file_size for member in members) if is_npz else None


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
    if type(thing) is dict:
        return {str(key): plain(item, depth + 1, left) for key, item in thing.items() if left[0] > 0}
    if type(thing) in (list, tuple, set):
        return [plain(item, depth + 1, left) for item in thing if left[0] > 0]
    if isinstance(thing, Storage):
        return f"<{thing.count} x {thing.kind}>"
    array = as_array(thing)
    if array is None:
        return f"<{type(thing).__name__}>"
    return array.tolist() if array.size <= 16 else f"<{array.dtype} {array.shape}>"
