"""Networks in nested dictionaries of arrays, however a program of PyTorch has wrapped them.

A file may hold one state dict, several by name, or a checkpoint with optimizers, options and counters beside them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganzoo.interop.reading.constructors import ARRAYS, MODULES, as_array
from ganzoo.interop.reading.machine import Foreign, Meter, is_optimizer, named, put
from ganzoo.interop.reading.modules import PersistentObject

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
MAX_DEPTH = 4


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


def sort(content: dict[Any, Any], meter: Meter) -> Sorted:
    """Sort the items of a dictionary, and of the dictionaries in it, into networks, modules and facts."""
    found = Sorted()
    _Sorter(found, meter).sort(content, "", 0)
    loose = found.networks.pop("", {})
    for name, owners in BESIDE.items():
        owner = next((each for each in owners if each in found.networks), None)
        if owner and name in loose:
            put(found.networks[owner], name, loose.pop(name), "arrays")
    if loose and (found.networks or found.modules) and not any("." in name for name in loose):
        found.facts |= loose
        found.notes += [f"{named(name)}, an array beside the networks, is not used" for name in loose]
    elif loose:
        _merge(found.networks, whose(loose), loose)
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
        loose = groups.pop("")
        _merge(groups, whose(loose), loose)
    return groups


def _merge(networks: dict[str, dict[str, np.ndarray]], network: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Add arrays [...] to a network; refuse a second one of the same name."""
    own = networks.setdefault(network, {})
    for name, array in arrays.items():
        put(own, name, array, "arrays")


def _by_prefix(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    arrays = _unwrapped(arrays)
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        first, dot, rest = name.partition(".")
        known = bool(dot) and first in PREFIXES
        groups.setdefault(first if known else "", {})[rest if known else name] = array
    return {name: _unwrapped(group) for name, group in groups.items()}


@dataclass
class _Sorter:
    """Walk through nested dictionaries, in which one dictionary may have many places."""

    found: Sorted
    meter: Meter
    known: dict[tuple[int, int], bool] = field(default_factory=dict)
    """Whether a dictionary, by its identity and depth, holds arrays or modules."""

    def sort(self, content: dict[Any, Any], name: str, depth: int) -> None:
        """Sort the items of a dictionary of this name."""
        arrays: dict[str, np.ndarray] = {}
        for key, item in content.items():
            self.meter.part(f"{name}.{key}")
            if (array := array_of(item)) is not None:
                put(arrays, str(key), array, "arrays")
        groups = {name: _unwrapped(arrays)} if name and arrays else _by_prefix(arrays)
        for group, own in groups.items():
            _merge(self.found.networks, group, own)
        for key, item in content.items():
            full = str(key) if not name else name if key in WRAPPERS else f"{name}.{key}"
            if isinstance(item, MODULES) and not _is_optimizer(item):
                put(self.found.modules, full, item, "modules")
            elif _is_optimizer(item) or self.are_optimizers(item):
                self.found.notes.append(f"{named(full)}, the state of an optimizer, is not used")
            elif type(item) is dict and depth < MAX_DEPTH and self.holds_arrays(item, depth + 1):
                self.sort(item, "" if key in WRAPPERS and not name else full, depth + 1)
            elif str(key) not in arrays:
                self.found.facts[full] = item

    def are_optimizers(self, item: Any) -> bool:
        """Return whether this is a list of optimizers."""
        if type(item) is not list:
            return False
        self.meter.copy(item)
        return bool(item) and all(map(_is_optimizer, item))

    def holds_arrays(self, content: dict[Any, Any], depth: int) -> bool:
        """Return whether a dictionary, or one in it, holds arrays or modules."""
        key = id(content), depth
        if key not in self.known:
            self.known[key] = depth <= MAX_DEPTH and any(
                isinstance(item, (np.ndarray, *ARRAYS, *MODULES))
                or (type(item) is dict and self.holds_arrays(item, depth + 1))
                for item in content.values()
            )
        return self.known[key]


def _is_optimizer(item: Any) -> bool:
    return is_optimizer(item.state if isinstance(item, Foreign) else item)


def _unwrapped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays [...] without what stands before every one of their names."""
    result = dict(arrays)
    for prefix in PARALLEL:
        if result and all(name.startswith(prefix) for name in result):
            result = {name.removeprefix(prefix): array for name, array in result.items()}
    return result
