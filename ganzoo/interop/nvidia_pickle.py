"""Pickles that the tools of the original repositories open, by ``legacy.load_network_pkl`` there.

Those of StyleGAN2 are for NVlabs/stylegan2-ada-pytorch, those of StyleGAN3 for NVlabs/stylegan3.

Their own pickles carry source text. A pickle of this module names the classes instead: it calls one such as
``training.networks.Generator`` with its arguments by name, then ``load_state_dict``, ``requires_grad_(False)`` and
``eval`` of the module, so their repository must be on the path. The opcodes are written here, without PyTorch.
"""

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop import opcodes
from ganzoo.interop.convert import SETTINGS
from ganzoo.interop.families.shapes import Weights
from ganzoo.nn.pyramid import size_of

MODELS = ("stylegan2", "stylegan3")
"""Models that such pickles are written of."""
MODULE = "torch.nn"


@dataclass(frozen=True)
class Module:
    """A network: the name of its class there, its arguments, and its state dict."""

    class_name: str
    """Such as ``training.networks.Generator``."""
    arguments: Mapping[str, Any]
    arrays: Weights
    """Arrays [...] by their names in the state dict."""


@dataclass(frozen=True)
class _Call:
    """A call of a function or class by its name."""

    module: str
    name: str
    arguments: tuple[Any, ...]


def snapshot(arrays: Weights, settings: Mapping[str, Any]) -> bytes:
    """Return the pickle of one of the ``MODELS``, a dictionary such as the original repository writes in training.

    Args:
      arrays: arrays [...] by their original names, prefixed by ``G.``, ``D.`` or ``G_ema.``.
      settings: what ``convert.settings_of`` returns: the config, and the arguments of each network.

    Raises:
      UserError: the classes there are only of square images whose side is a power of two.
    """
    config = settings["config"]
    height, width = size_of(config["image_size"])
    if height != width or height & (height - 1) or config.get("smallest_size") is not None:
        raise UserError(f"image_size = {config['image_size']}: must be square and a power of two in original pickles")
    networks: dict[str, Any] = {}
    for name, arguments in settings["networks"].items():
        prefix, given = f"{name}.", dict(arguments)
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        networks[name] = Module(given.pop("class_name"), given, own)
    data_set = settings["facts"].get("training_set_kwargs")
    known = data_set if type(data_set) is dict else None
    beside = {**settings, "networks": {}}  # whose arguments the modules have
    return dumps({"training_set_kwargs": known, **networks, "augment_pipe": None, SETTINGS: beside})


def dumps(content: Mapping[str, Any]) -> bytes:
    """Return the pickle of a dictionary of modules and plain values."""
    program = [pickle.PROTO, b"\x04", pickle.EMPTY_DICT, pickle.MARK]
    for number, (name, value) in enumerate(content.items()):
        program += [_value(name), _network(value, number) if isinstance(value, Module) else _value(value)]
    return b"".join([*program, pickle.SETITEMS, pickle.STOP])


def _network(module: Module, number: int) -> bytes:
    """Return the program that builds a module, keeps it under a number in the memo, and leaves it on the stack.

    A pickle calls by positions only. ``functools.partial``, whose state holds arguments by name, is called by none.
    """
    home, _, name = module.class_name.rpartition(".")
    kind, own = _name(home, name), pickle.BINGET + bytes([number])
    tensors = {key: _Call("torch", "from_numpy", (array,)) for key, array in module.arrays.items()}
    return b"".join([
        _name("functools", "partial") + kind + pickle.TUPLE1 + pickle.REDUCE,
        opcodes.group((kind, pickle.EMPTY_TUPLE, _value(module.arguments), pickle.NONE)) + pickle.BUILD,
        pickle.EMPTY_TUPLE + pickle.REDUCE,
        pickle.BINPUT + bytes([number]),
        _method("load_state_dict", own + _value(tensors) + pickle.TUPLE2),
        _method("requires_grad_", own + pickle.NEWFALSE + pickle.TUPLE2),
        _method("eval", own + pickle.TUPLE1),
    ])  # fmt: skip


def _method(name: str, arguments: bytes) -> bytes:
    """Return the program that calls a method of a module and drops its result."""
    return _name(MODULE, f"Module.{name}") + arguments + pickle.REDUCE + pickle.POP


def _name(module: str, name: str) -> bytes:
    return _value(module) + _value(name) + pickle.STACK_GLOBAL


def _value(value: Any) -> bytes:
    """Return the program that puts a value on the stack."""
    match value:
        case None:
            return pickle.NONE
        case bool():
            return pickle.NEWTRUE if value else pickle.NEWFALSE
        case int():
            return opcodes.whole(value)
        case float():
            return pickle.BINFLOAT + struct.pack(">d", value)
        case str():
            return opcodes.text(value)
        case bytes():
            return pickle.BINBYTES8 + struct.pack("<Q", len(value)) + value
        case tuple():
            return opcodes.group(map(_value, value))
        case list():
            return b"".join([pickle.EMPTY_LIST, pickle.MARK, *map(_value, value), pickle.APPENDS])
        case Mapping():
            items = (part for pair in value.items() for part in map(_value, pair))
            return b"".join([pickle.EMPTY_DICT, pickle.MARK, *items, pickle.SETITEMS])
        case np.ndarray():
            return _array(value)
        case _Call(module, name, arguments):
            return _name(module, name) + _value(arguments) + pickle.REDUCE
    raise TypeError(f"{type(value).__name__} is no part of a pickle of networks")


def _array(array: np.ndarray) -> bytes:
    """Return the program that puts an array [...] of float32 on the stack, by the names of all NumPy versions."""
    kind = _value(_Call("numpy", "dtype", ("f4", False, True)))
    kind += _value((3, "<", None, None, None, -1, -1, 0)) + pickle.BUILD
    reconstruct = _name("numpy.core.multiarray", "_reconstruct")
    empty = opcodes.group((_name("numpy", "ndarray"), _value((0,)), _value(b"b")))
    raw = np.ascontiguousarray(array, "<f4").tobytes()
    state = opcodes.group((_value(1), _value(array.shape), kind, pickle.NEWFALSE, _value(raw)))
    return reconstruct + empty + pickle.REDUCE + state + pickle.BUILD
