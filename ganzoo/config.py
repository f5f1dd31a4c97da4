"""Configs as frozen dataclasses: validated on construction, written as JSON, compared field by field."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from ganzoo.errors import UserError, guess, nearest, printable

T = TypeVar("T")
LARGEST = {int: 2**40, float: 3.4e38}
"""Largest magnitude of whole numbers, which are sizes and counts, and of numbers, which become float32."""
MOST_NUMBERS = 256
"""Largest length of a list of numbers."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Limits of a number, as metadata of a field's annotation: ``Annotated[float, Range(0, 1)]``."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    """Whether ``low`` itself is excluded."""
    below: bool = False
    """Whether ``high`` itself is excluded."""

    kind: ClassVar[str] = ""
    """What a message calls a value of the annotated type; empty: the type's name."""

    def check(self, name: str, value: Any) -> None:
        """Raise ``UserError`` unless the value of the field ``name`` is within the limits."""
        require(self.allows(value), name, value, self.rule(value))

    def allows(self, value: float) -> bool:
        """Return whether a finite number is within the limits."""
        fits_low = value > self.low if self.above else value >= self.low
        fits_high = value < self.high if self.below else value <= self.high
        return fits_low and fits_high and math.isfinite(value)

    def rule(self, value: float) -> str:
        """Return what follows "must" in a message about ``value``."""
        if self.high < math.inf and isinstance(value, int) and not self.below:
            return f"be {self.low:g} to {self.high:g}"
        if self.high < math.inf:
            return f"be in {'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"
        if self.above and self.low == 0:
            return "be positive and finite"
        least = "be 0 or more" if self.low == 0 else f"be at least {self.low:g}"
        return f"{least}, and finite" if isinstance(value, float) else least


Share: TypeAlias = Annotated[float, Range(0, 1)]
"""A number in [0, 1]."""
ShareBelowOne: TypeAlias = Annotated[float, Range(0, 1, below=True)]
"""A number in [0, 1)."""
Positive: TypeAlias = Annotated[float, Range(0, above=True)]
"""A finite number above 0."""
NonNegative: TypeAlias = Annotated[float, Range(0)]
"""A finite number from 0 on."""
Count: TypeAlias = Annotated[int, Range(1)]
"""A whole number from 1 on."""
CountOrZero: TypeAlias = Annotated[int, Range(0)]
"""A whole number from 0 on."""


def check_fields(config: Any) -> None:
    """Raise ``UserError`` where a field's value is not of its annotated type or outside its ``Range``.

    Call it first in ``__post_init__``.
    """
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), hints[field.name]
        if not _fits(value, hint):
            raise UserError(f"{field.name} = {_shown(value)}: must be {_spoken(hint)}{_guess(value, hint)}")
        _require_bounded(field.name, value)
        for limits in ranges(hint):
            if value is not None:
                limits.check(field.name, value)


def require(holds: bool, name: str, value: Any, must: str) -> None:
    """Raise ``UserError`` "name = value: must ..." unless ``holds``."""
    if not holds:
        raise UserError(f"{name} = {_shown(value)}: must {must}")


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
        raise UserError(
            f"{kind.__name__} cannot be made from {_shown(values)}: must be a mapping of field names to values"
        )
    hints = typing.get_type_hints(kind)
    built = {}
    for name, value in values.items():
        if name not in hints:
            raise UserError(f"{kind.__name__} has no field {_shown(name)};{nearest(str(name), hints)}")
        nested = dataclasses.is_dataclass(hints[name])
        built[name] = from_json(hints[name], value) if nested else tuple(value) if isinstance(value, list) else value
    for field in dataclasses.fields(kind):  # ty: ignore[invalid-argument-type]
        is_open = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if is_open and field.name not in built:
            raise UserError(f"{kind.__name__} lacks its field {field.name!r}")
    return kind(**built)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field of two configs that is not equal."""

    field: str
    """Its path, such as ``training.batch_size``."""
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.old)} -> {_shown(self.new)}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """Return every field of two ``to_json`` results that is not equal; a missing one is "absent"."""
    found = []
    for name in {**old, **new}:
        before, after = old.get(name, "absent"), new.get(name, "absent")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{name}.")
        elif _plain(before) != _plain(after):
            found.append(Difference(f"{prefix}{name}", before, after))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def ranges(hint: Any) -> list[Range]:
    """Return the limits in an annotation, also those of a part of a union."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [limits for part in typing.get_args(hint) for limits in ranges(part)]
    return [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Range)]


def _bare(hint: Any) -> Any:
    """Return an annotation without its metadata."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _fits(value: Any, hint: Any) -> bool:
    hint = _bare(hint)
    origin = typing.get_origin(hint)
    if _is_choice(hint):
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, tuple) and _fit(value, typing.get_args(hint))
    return isinstance(value, origin or hint)


def _fit(values: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    """Return whether the elements of a tuple are of their types; ``...`` repeats the type before it."""
    if hints[-1:] == (...,):
        hints = hints[:1] * len(values)
    return len(values) == len(hints) and all(map(_fits, values, hints))


def _require_bounded(name: str, value: Any) -> None:
    """Raise ``UserError`` for numbers that no array could have, as a value or in a tuple."""
    is_list = isinstance(value, tuple)
    numbers = [each for each in (value if is_list else (value,)) if type(each) in LARGEST]
    require(len(numbers) <= MOST_NUMBERS, name, value, f"be at most {MOST_NUMBERS} numbers")
    for each in numbers:
        if is_list or abs(each) != math.inf:  # whether a single number may be infinite is for its range to say
            most = LARGEST[type(each)]
            limit = f"be at most {most:,}" if type(each) is int else f"be below {most:g}"
            require(abs(each) <= most, name, each, limit)


def _shown(value: Any) -> str:
    """Return a value as Python writes it, shortened."""
    try:
        return printable(repr(value), 120)
    except (ValueError, RecursionError):  # of numbers with thousands of digits
        return "a value too long to print"


def _guess(value: Any, hint: Any) -> str:
    choices = _choices(hint)
    given = value if isinstance(value, tuple) else (value,)
    wrong = next((each for each in given if each not in choices), None)
    hint = guess(str(wrong), map(str, choices)) if choices and wrong is not None else ""
    return f";{hint}" if hint else ""


def _is_choice(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that a choice, or a tuple of choices of any length, allows; none for other types."""
    args = typing.get_args(hint)
    is_tuple = typing.get_origin(hint) is tuple and args[1:] == (...,)
    return typing.get_args(args[0]) if is_tuple and _is_choice(args[0]) else args if _is_choice(hint) else ()


def _spoken(hint: Any) -> str:
    if choices := _choices(hint):
        return ("one of " if _is_choice(hint) else "some of ") + ", ".join(map(repr, choices))
    names = {int: "a whole number", float: "a number", str: "a string", bool: "True or False", type(None): "None"}
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kinds = ["".join(limits.kind for limits in ranges(part)) for part in parts]
    return " or ".join(
        kind or names.get(_bare(part), str(_bare(part))) for kind, part in zip(kinds, parts, strict=True)
    )
