"""Settings of original networks: what becomes of each argument of a constructor.

A table has one line for every argument, named ``mapping_kwargs.activation`` where it is inside another one. An argument
is told by the arrays, becomes a config field, must have the value that this library computes, or is unused.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo.errors import UserError
from ganzoo.interop.families.shapes import Fields
from ganzoo.interop.reading.machine import named

NO_DEFAULT = object()
"""Default of an argument that implies nothing where it is absent."""


@dataclass(frozen=True)
class Told:
    """Argument that the names and shapes of the arrays tell, too."""


@dataclass(frozen=True)
class Becomes:
    """Argument that becomes a config field."""

    field: str
    default: Any = NO_DEFAULT
    """Value where the argument is absent, as in the original code."""
    change: Callable[[Any], Any] = lambda value: value
    """Function from the argument to the field; raises ``ValueError`` or ``TypeError`` for impossible values."""


@dataclass(frozen=True)
class Must:
    """Argument that changes the numbers, of which this library computes only some values."""

    values: tuple[Any, ...]
    """Possible values, the default first."""


@dataclass(frozen=True)
class Unused:
    """Argument that has no part in the numbers of this library."""

    reason: str
    values: tuple[Any, ...] = ()
    """Values that are not worth a note."""


Rule = Told | Becomes | Must | Unused
Rules = Mapping[str, Rule]
TOLD = Told()


def told(*names: str) -> dict[str, Rule]:
    """Return rules for arguments that the arrays tell."""
    return dict.fromkeys(names, TOLD)


def unused(reason: str, *names: str) -> dict[str, Rule]:
    """Return rules for arguments that are unused for the same reason."""
    return dict.fromkeys(names, Unused(reason))


def interpret(rules: Rules, given: Mapping[str, Any], *, ignores_others: bool = False) -> tuple[Fields, list[str]]:
    """Return the config fields that arguments imply, and a note for each unused one.

    Args:
      rules: the table of the constructor.
      given: arguments by the names of the table; see ``flat``.
      ignores_others: whether the constructor ignores arguments that it does not know.

    Raises:
      UserError: an argument is unknown, has a value that this library does not compute, or disagrees with another one
        that becomes the same field.
    """
    notes = []
    for name, value in given.items():
        rule, text = rules.get(name), f"{named(name)} = {shown(value)}"
        if rule is None and not ignores_others:
            raise UserError(f"{text}: unknown argument, which may change the numbers")
        if rule is None:
            notes.append(f"{text} is unused: unknown to the original code, which ignores it")
        elif isinstance(rule, Must) and value not in rule.values:
            raise UserError(f"{text}: must be {' or '.join(map(shown, rule.values))}")
        elif isinstance(rule, Unused) and value not in rule.values:
            notes.append(f"{text} is unused: {rule.reason}")
    return _fields(rules, given), notes


def assumed(rules: Rules, fields: Fields, given: Mapping[str, Any], known: tuple[str, ...] = ()) -> list[str]:
    """Return a note for each field that has the original's default because the file does not tell it.

    Args:
      rules: the table of the constructor.
      fields: the config fields of ``interpret``.
      given: arguments by the names of the table.
      known: fields that the file tells elsewhere.
    """
    becoming = {name: rule.field for name, rule in rules.items() if isinstance(rule, Becomes)}
    told_fields = {*known, *(becoming[name] for name in given if name in becoming)}
    return [
        f"{name} is not in the file: {shown(value)} is assumed"
        for name, value in fields.items()
        if name not in told_fields
    ]


def flat(rules: Rules, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by the names of the table, ``mapping_kwargs.activation``."""
    groups, result = {name.partition(".")[0] for name in rules if "." in name}, {}
    for name, value in settings.items():
        if name in groups and value is not None:
            if not isinstance(value, Mapping):
                raise UserError(f"{name} = {shown(value)}: must be a dictionary")
            result.update({f"{name}.{key}": item for key, item in value.items()})
        elif name not in groups:
            result[name] = value
    return result


def shown(value: Any) -> str:
    """Return a value of a file as a printable text."""
    return named(str(value))


def _fields(rules: Rules, given: Mapping[str, Any]) -> Fields:
    fields: Fields = {}
    origins: dict[str, str] = {}
    for name, rule in rules.items():
        if not isinstance(rule, Becomes) or (name not in given and rule.default is NO_DEFAULT):
            continue
        value = given.get(name, rule.default)
        try:
            result = rule.change(value)
        except (ValueError, TypeError) as error:
            raise UserError(f"{name} = {shown(value)}: must be {named(error)}") from error
        if rule.field in fields and fields[rule.field] != result:
            raise UserError(
                f"{name} = {shown(result)}, but {origins[rule.field]} = {shown(fields[rule.field])}: must be the same,"
                f" as {rule.field} is of all layers"
            )
        fields[rule.field] = result
        origins[rule.field] = name
    return fields


# Changes ------------------------------------------------------------------------------------------------------------


def number(value: Any) -> float:
    """Return a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


def number_or(absent: float) -> Callable[[Any], float]:
    """Return a function that returns a finite number, and ``absent`` for None."""
    return lambda value: absent if value is None else number(value)


def clamp(value: Any) -> float:
    """Return a limit of magnitudes, where 0 is none."""
    if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
        raise ValueError("None or positive")
    return float(value or 0)


def count_or_all(value: Any) -> int:
    """Return a group size, where 0 is the whole batch."""
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError("None or at least 1")
    return value or 0


def count_or_one(value: Any) -> int:
    """Return a group size, where 0 is no grouping at all."""
    if type(value) is not int or value < 0:
        raise ValueError("at least 0")
    return max(value, 1)


def taps(*, absent: tuple[float, ...]) -> Callable[[Any], tuple[float, ...]]:
    """Return a function that returns the taps of a separable filter, and ``absent`` for None."""

    def change(value: Any) -> tuple[float, ...]:
        if value is None:
            return absent
        found = value if isinstance(value, list | tuple) else [value]
        if not found or any(type(tap) not in (int, float) or not math.isfinite(tap) for tap in found):
            raise ValueError("the taps of a separable filter")
        return tuple(map(float, found))

    return change
