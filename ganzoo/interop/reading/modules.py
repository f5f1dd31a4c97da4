"""Networks in a pickle as records: those that ``torch_utils.persistence`` keeps, and those that are built by calls.

A pickle of ``ganzoo.interop.nvidia_pickle`` calls a class with arguments by name, through ``functools.partial``, and
then methods of the module. Here a call makes a record of its arguments and arrays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import Built, Constructor, Meter, is_module, named

CLASSES = (
    "training.networks.Generator",
    "training.networks.Discriminator",
    "training.networks_stylegan2.Discriminator",
    "training.networks_stylegan3.Generator",
)
"""Classes of networks that a pickle may call: of stylegan2-ada-pytorch and R3GAN, and of stylegan3."""


@dataclass(frozen=True)
class PersistentObject:
    """Object of ``torch_utils.persistence``: the name of its class and its attributes."""

    class_name: str
    state: Mapping[str, Any]


class BuiltModule(PersistentObject, Built):
    """Module of one of the ``CLASSES``: called with its arguments, or as R3GAN writes it, as plain attributes."""

    def build(self, state: Any) -> None:
        """Add the attributes of a plain module, which was called without arguments; refuse any others."""
        if not is_module(state) or self.state != {"_init_kwargs": {}}:
            raise UserError(f"refused: a {named(self.class_name)} with {named(state)}")
        dict.update(self.state, state)


@dataclass(frozen=True)
class Partial(Constructor, Built):
    """A ``functools.partial`` of one of the ``CLASSES`` with arguments by name, to be called without any more."""

    whole: Constructor | None = None
    """The constructor of the class."""
    meter: Meter = field(default_factory=Meter)
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Set the arguments from (class, arguments by position, by name, attributes); refuse all but names."""
        whole, unnamed, arguments, attributes = state
        if whole is not self.whole or (unnamed, attributes) != ((), None) or type(arguments) is not dict:
            raise UserError(f"refused: a functools.partial of {named(whole)} with {named(unnamed)}")
        self.meter.copy(arguments)
        self.arguments.update(arguments)


def persistent_object(meta: Any) -> PersistentObject:
    """Return what ``torch_utils.persistence`` keeps of an object; its source text is not read."""
    if type(meta) is not dict or meta.get("type") != "class" or not isinstance(meta.get("class_name"), str):
        raise UserError(f"refused: a persistent object of {named(meta)}")
    state = meta.get("state")
    if type(state) is not dict:
        raise UserError(f"refused: a {named(meta['class_name'])} whose state is {named(state)}")
    return PersistentObject(meta["class_name"], state)


def module_calls(meter: Meter) -> dict[str, Callable[..., Any]]:
    """Return all that builds networks: the classes, arguments by name, a conversion, and three methods of a module."""
    return {
        **{name: partial(_built_module, name.rpartition(".")[2]) for name in CLASSES},
        "functools.partial": partial(_partial, meter),
        "torch.from_numpy": lambda array: array,
        "torch.nn.Module.load_state_dict": _load_state_dict,
        "torch.nn.Module.requires_grad_": lambda module, requires_grad: module,
        "torch.nn.Module.eval": lambda module: module,
    }


def _built_module(class_name: str, /, **arguments: Any) -> BuiltModule:
    return BuiltModule(class_name, {"_init_kwargs": arguments})


def _partial(meter: Meter, constructor: Any) -> Partial:
    if not isinstance(constructor, Constructor) or constructor.name not in CLASSES or isinstance(constructor, Partial):
        raise UserError(f"refused: a functools.partial of {named(constructor)}")
    arguments: dict[str, Any] = {}

    def call() -> BuiltModule:
        meter.copy(arguments)
        return _built_module(constructor.name.rpartition(".")[2], **arguments)

    return Partial(constructor.name, call, whole=constructor, meter=meter, arguments=arguments)


def _load_state_dict(module: Any, arrays: Any) -> None:
    if not isinstance(module, BuiltModule) or type(arrays) is not dict:
        raise UserError(f"refused: a state dict in {named(arrays)} for {named(module)}")
    dict.update(module.state, {"_buffers": arrays})
