"""Snapshots as the training loops of NVIDIA write them: persistent objects, whose source text here is a comment."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stand_ins import stand_ins

HOME = "torch_utils.persistence"


@dataclass(frozen=True)
class Module:
    """A network: its class, the arguments of its constructor, its state dict, and attributes by dotted names."""

    class_name: str
    arguments: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Persistent:
    """What pickles as a call of ``_reconstruct_persistent_obj``."""

    def __init__(self, class_name: str, make: Any) -> None:
        self.class_name, self.make = class_name, make
        self.state: dict[str, Any] = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}}

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        meta = {"type": "class", "version": 6, "module_src": "# source", "class_name": self.class_name}
        return self.make, ({**meta, "state": self.state},)


def snapshot(networks: Mapping[str, Module]) -> bytes:
    """The pickle of a dictionary of networks, with what the training loops write beside them."""
    with stand_ins({HOME: ("_reconstruct_persistent_obj",)}) as made:
        make = made[HOME]._reconstruct_persistent_obj
        content = {name: _persistent(module, make) for name, module in networks.items()}
        return pickle.dumps({**content, "augment_pipe": None, "training_set_kwargs": {"path": "a.zip"}}, 3)


def _persistent(module: Module, make: Any) -> Persistent:
    whole = Persistent(module.class_name, make)
    whole.state |= {"_init_args": (), "_init_kwargs": dict(module.arguments)}

    def part(path: list[str]) -> dict[str, Any]:
        at = whole
        for name in path:
            at = at.state["_modules"].setdefault(name, Persistent("Layer", make))
        return at.state

    for name, array in module.arrays.items():
        *path, leaf = name.split(".")
        part(path)["_buffers"][leaf] = array
    for name, value in module.attributes.items():
        *path, leaf = name.split(".")
        part(path)[leaf] = value
    return whole
