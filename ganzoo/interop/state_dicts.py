"""Networks in nested dictionaries of arrays, however a program of PyTorch has wrapped them.

A file may hold one state dict, several by name, or a checkpoint with optimizers, options and counters beside them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganzoo.interop.constructors import ARRAYS, MODULES, PersistentObject, as_array
from ganzoo.interop.machine import Foreign, named

PREFIXES = ("G", "D", "G_ema", "g_ema", "netG", "netD", "generator", "discriminator", "ema")
"""How the names of arrays of several networks begin, at the originals and here."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "models", "net", "params")
"""Names of dictionaries around the networks, which say nothing about them."""
PARALLEL = ("module.", "_orig_mod.")
"""What ``DataParallel`` and ``torch.compile`` put before every name."""
BESIDE: Mapping[str, tuple[str, ...]] = {"latent_avg": ("g_ema", "g")}
"""Arrays beside the networks that belong to the first of these networks that is there."""
DISCRIMINATOR = re.compile(r"b4\.(out|fc)\..*|final_linear\..*|main\.3\.running_mean")
GENERATOR = re.compile(r"main\.1\.running_mean")
"""Names that only a discriminator has, and names that only a generator has, which decide first."""
MAX_DEPTH, MAX_DICTIONARIES = 4, 1_000


@dataclass
class Sorted:
    """Parts of a file."""

    networks: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Arrays of each network by name."""
    modules: dict[str, PersistentObject | Foreign] = field(default_factory=dict)
    """Whole modules by name."""
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What is not used, one line each."""


def sort(content: dict[Any, Any]) -> Sorted:
    """Sort the items of a dictionary, and of the dictionaries in it, into networks, modules and facts."""
    found = Sorted()
    _sort(content, "", 0, found)
    loose = found.networks.pop("", {})
    for name, owners in BESIDE.items():
        owner = next((each for each in owners if each in found.networks), None)
        if owner and name in loose:
            found.networks[owner][name] = loose.pop(name)
    if loose and (found.networks or found.modules) and not any("." in name for name in loose):
        found.facts |= loose
        found.notes += [f"{named(name)}, an array beside the networks, is not used" for name in loose]
    elif loose:
        found.networks.setdefault(whose(loose), {}).update(loose)
    return found


def whose(names: Any) -> str:
    """Return "D" for the names of the arrays of a discriminator, else "G_ema"."""
    if any(map(GENERATOR.fullmatch, names)):
        return "G_ema"
    return "D" if any(map(DISCRIMINATOR.fullmatch, names)) else "G_ema"


def array_of(item: Any) -> np.ndarray | None:
    """Return an array [...] of NumPy or of an array record; None for anything else."""
    return item if isinstance(item, np.ndarray) else as_array(item)


def by_network(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Group arrays [...] by ``PREFIXES``; arrays without a prefix are one network, G_ema or D by their names."""
    groups = _by_prefix(arrays)
    if "" in groups:
        groups.setdefault(whose(groups[""]), {}).update(groups.pop(""))
    return groups


def _by_prefix(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    arrays = _unwrapped(arrays)
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        first, dot, rest = name.partition(".")
        known = bool(dot) and first in PREFIXES
        groups.setdefault(first if known else "", {})[rest if known else name] = array
    return {name: _unwrapped(group) for name, group in groups.items()}


def _sort(content: dict[Any, Any], name: str, depth: int, found: Sorted) -> None:
    arrays = {str(key): array for key, item in content.items() if (array := array_of(item)) is not None}
    groups = {name: _unwrapped(arrays)} if name and arrays else _by_prefix(arrays)
    for group, own in groups.items():
        found.networks.setdefault(group, {}).update(own)
    for key, item in content.items():
        full = str(key) if not name else name if key in WRAPPERS else f"{name}.{key}"
        if isinstance(item, MODULES) and not _is_optimizer(item):
            found.modules[full] = item
        elif _is_optimizer(item) or (type(item) is list and item and all(map(_is_optimizer, item))):
            found.notes.append(f"{named(full)}, the state of an optimizer, is not used")
        elif type(item) is dict and depth < MAX_DEPTH and _holds_arrays(item, depth + 1, [0]):
            _sort(item, "" if key in WRAPPERS and not name else full, depth + 1, found)
        elif str(key) not in arrays:
            found.facts[full] = item


def _holds_arrays(content: dict[Any, Any], depth: int, visited: list[int]) -> bool:
    """Return whether a dictionary, or one in it, holds arrays or modules."""
    visited[0] += 1
    if depth > MAX_DEPTH or visited[0] > MAX_DICTIONARIES:
        return False
    return any(
        isinstance(item, (np.ndarray, *ARRAYS, *MODULES))
        or (type(item) is dict and _holds_arrays(item, depth + 1, visited))
        for item in content.values()
    )


def _is_optimizer(item: Any) -> bool:
    content = item.state if isinstance(item, Foreign) else item
    return type(content) is dict and {"state", "param_groups"} <= set(content)


def _unwrapped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays [...] without what stands before every one of their names."""
    result = dict(arrays)
    for prefix in PARALLEL:
        if result and all(name.startswith(prefix) for name in result):
            result = {name.removeprefix(prefix): array for name, array in result.items()}
    return result
