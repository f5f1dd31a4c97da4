"""Configs as frozen dataclasses: validated on construction, written as JSON, compared field by field."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from ganzoo.errors import UserError, nearest

T = TypeVar("T")


def check_types(config: Any) -> None:
    """Raise ``UserError`` unless every field has its annotated type; call this first in ``__post_init__``."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if not _fits(value, hint):
            raise UserError(f"{field.name} = {value!r}: must be {_spoken(hint)}{_guess(value, hint)}")


def require(holds: bool, name: str, value: Any, must: str) -> None:
    """Raise ``UserError`` "name = value: must ..." unless ``holds``."""
    if not holds:
        raise UserError(f"{name} = {value!r}: must {must}")


def require_at_least(low: int, config: Any, *names: str) -> None:
    """Raise ``UserError`` unless the named fields are finite numbers of at least ``low``."""
    for name in names:
        value = getattr(config, name)
        must = "be 0 or more" if low == 0 else f"be at least {low}"
        require(low <= value < math.inf, name, value, f"{must}, and finite" if isinstance(value, float) else must)


def require_positive(config: Any, *names: str) -> None:
    """Raise ``UserError`` unless the named fields are finite numbers above 0."""
    for name in names:
        require(0 < getattr(config, name) < math.inf, name, getattr(config, name), "be positive and finite")


def require_share(config: Any, *names: str, below_one: bool = False) -> None:
    """Raise ``UserError`` unless the named fields are None or in [0, 1], or in [0, 1) with ``below_one``."""
    for name in names:
        value = getattr(config, name)
        fits = value is None or (0 <= value < 1 if below_one else 0 <= value <= 1)
        require(fits, name, value, f"be in [0, 1{')' if below_one else ']'}")


def replaced(config: T, changes: Mapping[str, Any]) -> T:
    """Return ``config`` with some fields changed.

    Raises:
      UserError: a field does not exist; the message suggests the nearest name.
    """
    known = [field.name for field in dataclasses.fields(config)]  # ty: ignore[invalid-argument-type]
    for name in changes:
        if name not in known:
            raise UserError(f"{type(config).__name__} has no field {name!r};{nearest(name, known)}")
    return dataclasses.replace(config, **changes)  # ty: ignore[invalid-argument-type]


def to_json(config: Any) -> dict[str, Any]:
    """Return the config as plain dicts, lists and numbers."""
    return dataclasses.asdict(config)


def from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build a config of class ``kind`` from the result of ``to_json``.

    Raises:
      UserError: a field does not exist or has an invalid value.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{kind.__name__} cannot be made from {values!r}: must be a mapping of field names to values")
    hints = typing.get_type_hints(kind)
    built = {}
    for name, value in values.items():
        if name not in hints:
            raise UserError(f"{kind.__name__} has no field {name!r};{nearest(name, hints)}")
        nested = dataclasses.is_dataclass(hints[name])
        built[name] = from_json(hints[name], value) if nested else tuple(value) if isinstance(value, list) else value
    return kind(**built)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line ``name: old -> new`` for every field that differs between two ``to_json`` results."""
    lines = []
    for name in {**old, **new}:
        before, after = old.get(name, "absent"), new.get(name, "absent")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{name}.")
        elif _plain(before) != _plain(after):
            lines.append(f"{prefix}{name}: {before!r} -> {after!r}")
    return lines


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if _is_choice(hint):
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _guess(value: Any, hint: Any) -> str:
    close = difflib.get_close_matches(str(value), map(str, typing.get_args(hint)), n=1) if _is_choice(hint) else []
    return f" (did you mean {close[0]!r}?)" if close else ""


def _is_choice(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal


def _spoken(hint: Any) -> str:
    if _is_choice(hint):
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(hint))
    names = {int: "a whole number", float: "a number", str: "a string", bool: "True or False", type(None): "None"}
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(names.get(part, str(part)) for part in parts)
