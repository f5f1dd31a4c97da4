"""Settings that change with the images seen, written as text: ``cosine(2e-4, 5e-5, 20e6)`` or ``linear(0, 0.5, 1e6)``.

A config field of a type such as ``ScheduledPositive`` holds a number or such a text, in JSON and on the command line
alike; ``value_at`` turns either into the number of a step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from ganzoo.config import Range, require
from ganzoo.errors import UserError, nearest, printable

LONGEST = 200
"""Most characters of a schedule's text."""
LARGEST = 3.4e38
"""Largest magnitude of a schedule's numbers, which become float32."""


@dataclass(frozen=True)
class Schedule:
    """A number for every count of images: ``first``, then on the way to ``last`` until ``end``, then ``last``."""

    kind: str
    """"linear" or "cosine": the way from ``first`` to ``last``; "constant" stays at ``first``."""
    first: float
    last: float = 0.0
    end: float = 0.0
    """Images seen from which on the number is ``last``."""
    begin: float = 0.0
    """Images seen until which the number is ``first``."""
    warmup: float = 0.0
    """Images over which the number rises from ``initial`` to ``first`` on a straight line, before ``begin``."""
    initial: float = 0.0

    def __call__(self, images: Any) -> Float[Array, "..."]:
        """Return the number after ``images`` seen: float32, or of the type of ``images`` where those are floating.

        cosine: last + (first - last) (1 + cos(pi t)) / 2 at the share t of the way, written without cancellation.
        Loshchilov and Hutter 2016, arXiv:1608.03983, equation 5, without restarts.
        """
        seen = jnp.asarray(images)
        seen = seen if jnp.issubdtype(seen.dtype, jnp.floating) else seen.astype(jnp.float32)
        if self.kind == "constant":
            return jnp.full_like(seen, self.first)
        share = jnp.clip((seen - self.begin) / (self.end - self.begin), 0, 1)
        if self.kind == "cosine":
            share = jnp.square(jnp.sin(share * (jnp.pi / 2)))
        value = self.first + (self.last - self.first) * share
        if not self.warmup:
            return value
        return jnp.where(seen < self.warmup, self.initial + (self.first - self.initial) * (seen / self.warmup), value)

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers between which the schedule moves."""
        moves = () if self.kind == "constant" else (self.last,)
        return (*moves, self.first, *((self.initial,) if self.warmup else ()))

    def __str__(self) -> str:
        """Return the text that ``parse`` takes."""
        if self.kind == "constant":
            return f"constant({self.first!r})"
        named = [f"{name}={getattr(self, name)!r}" for name in NAMED if getattr(self, name)]
        return f"{self.kind}({', '.join([repr(self.first), repr(self.last), repr(self.end), *named])})"


POSITIONAL: Mapping[str, tuple[str, ...]] = {
    "constant": ("first",),
    "linear": ("first", "last", "end"),
    "cosine": ("first", "last", "end"),
}
"""The kinds of schedules, and the numbers that each of them needs, in their order."""
NAMED = ("begin", "warmup", "initial")
"""Numbers that may follow by name, such as ``begin=1e6``."""
FORM = "cosine(FIRST, LAST, END), linear(FIRST, LAST, END) or constant(VALUE)"


@cache
def parse(text: str) -> Schedule:
    """Return the schedule of a text such as ``cosine(1, 0.1, 20e6, warmup=1e5)``.

    Raises:
      UserError: no such schedule, or one that ends before it begins.
    """
    shown = repr(printable(text))
    name, bracket, rest = text.strip().partition("(")
    name = name.strip()
    if len(text) > LONGEST or not bracket or not rest.rstrip().endswith(")"):
        raise UserError(f"{shown}: must be a number or a schedule, {FORM}")
    if name not in POSITIONAL:
        raise UserError(f"{shown}: unknown schedule {printable(name)!r};{nearest(name, POSITIONAL)}")
    given = [part.strip() for part in rest.rstrip()[:-1].split(",")]
    plain, named = [part for part in given if "=" not in part], [part for part in given if "=" in part]
    wanted = POSITIONAL[name]
    if len(plain) != len(wanted) or given[: len(plain)] != plain:
        order = ", ".join(each.upper() for each in wanted)
        raise UserError(f"{shown}: {name} takes {order} in this order; END is in images seen")
    numbers = {key: _number(shown, part) for key, part in zip(wanted, plain, strict=True)}
    for part in named:
        key, _, number = (piece.strip() for piece in part.partition("="))
        if key not in NAMED or name == "constant" or key in numbers:
            raise UserError(
                f"{shown}: {printable(key)!r} is no setting of {name}, or is there twice;{nearest(key, NAMED)}"
            )
        numbers[key] = _number(shown, number)
    numbers["begin"] = numbers.get("begin", numbers.get("warmup", 0.0))
    schedule = Schedule(name, **numbers)
    _check_order(shown, schedule, has_initial="initial" in numbers)
    return schedule


def _number(shown: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UserError(f"{shown}: {printable(text)!r} is no number") from None
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise UserError(f"{shown}: {printable(text)!r} must be finite and below {LARGEST:g}")
    return number


def _check_order(shown: str, schedule: Schedule, *, has_initial: bool) -> None:
    """Raise ``UserError`` unless 0 <= warmup <= begin <= end - 1."""
    if schedule.kind == "constant":
        return
    begin, end, warmup = schedule.begin, schedule.end, schedule.warmup
    if min(begin, end, warmup) < 0:
        raise UserError(f"{shown}: images seen must not be negative")
    if begin < warmup:
        raise UserError(f"{shown}: begins at {begin:,.0f} images, before its warmup ends at {warmup:,.0f}")
    if end < begin:
        raise UserError(f"{shown}: ends at {end:,.0f} images, before it begins at {begin:,.0f}")
    if end - begin < 1:  # which may be 0 in float32
        raise UserError(f"{shown}: must take at least 1 image; give a number for a value that does not change")
    if has_initial and not warmup:
        raise UserError(f"{shown}: initial is where a warmup starts; give warmup=IMAGES, too")


def value_at(setting: float | str, images: Any) -> Any:
    """Return a setting after ``images`` seen: a number as it is, a schedule's number as a float32 array []."""
    return parse(setting)(images) if isinstance(setting, str) else setting


def is_scheduled(*settings: float | str | None) -> bool:
    """Return whether one of the settings is a schedule."""
    return any(isinstance(each, str) for each in settings)


def at_start(setting: float | str) -> float:
    """Return a setting before the first image, as a Python number."""
    if not isinstance(setting, str):
        return setting
    schedule = parse(setting)
    return schedule.initial if schedule.warmup else schedule.first


# Types of config fields -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits(Range):
    """Limits of a number, or of the numbers of a schedule; a schedule may start or end at an excluded bound."""

    kind: ClassVar[str] = f"a number or a schedule, {FORM}"

    def check(self, name: str, value: Any) -> None:
        """Raise ``UserError`` where a number, or one of a schedule's, is out of range."""
        if not isinstance(value, str):
            super().check(name, value)
            return
        try:
            schedule = parse(value)
        except UserError as error:
            raise UserError(f"{name} = {error}") from None
        closed = Range(self.low, self.high, below=self.below)
        for each in schedule.values:
            require(closed.allows(each), name, value, f"{closed.rule(each)} at every count of images; {each:g} is not")
        require(any(self.allows(each) for each in schedule.values), name, value, self.rule(schedule.first))


Scheduled: TypeAlias = float | str
"""A number, or the text of a schedule."""
ScheduledPositive: TypeAlias = Annotated[Scheduled, Limits(0, above=True)]
"""A number above 0, or a schedule of such."""
ScheduledNonNegative: TypeAlias = Annotated[Scheduled, Limits(0)]
"""A number from 0 on, or a schedule of such."""
ScheduledShare: TypeAlias = Annotated[Scheduled, Limits(0, 1)]
"""A number in [0, 1], or a schedule of such."""
ScheduledShareBelowOne: TypeAlias = Annotated[Scheduled, Limits(0, 1, below=True)]
"""A number in [0, 1), or a schedule of such."""
