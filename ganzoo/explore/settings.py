"""All that one image depends on besides the model, as the query of an address: ``seed=3&psi=0.7&class=2``.

The same text is in the address bar of the page, in a request for an image, and in a saved PNG.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl, quote, unquote

from ganzoo.errors import UserError, nearest, printable

LONGEST = 64_000
"""Largest number of characters of a query."""
LARGEST_SEED = 2**32 - 1
MOST_MARKS, MOST_PARTS = 64, 1024
"""Largest number of bookmarks on a path, and of parts of a list."""
Noise = Literal["const", "random", "none"]
Way = Literal["linear", "cubic", "slerp"]


@dataclass(frozen=True)
class Step:
    """A walk from where one is, in a plane through that point."""

    plane: int
    """Seed of the two directions of the plane."""
    x: float
    y: float
    """Along the first and the second direction, in units of the usual length of a latent."""


@dataclass(frozen=True)
class Settings:
    """What one image depends on."""

    seed: int = 0
    """Of the latent."""
    walk: tuple[Step, ...] = ()
    """Steps from that latent, one after another."""
    psi: float = 1.0
    """Truncation towards the mean style; 1 does not truncate."""
    cutoff: int | None = None
    """Truncate only the first ``cutoff`` style inputs; None: all."""
    label: tuple[tuple[int, float], ...] = ()
    """Entries of the label vector that are not 0; empty: the first class that had images in training."""
    noise: Noise = "const"
    """The network's own noise maps, some drawn from ``noise_seed``, or none."""
    noise_seed: int = 0
    strength: tuple[float, ...] = (1.0,)
    """Factor of the noise at each level, the smallest first; one number is for all levels."""
    mix: int | None = None
    """Seed of the latent whose styles are taken at ``mix_layers``; None: of no other."""
    mix_layers: tuple[int, int] | None = None
    """First and last such style input; None: the finer half."""
    pca: tuple[tuple[int, float], ...] = ()
    """Principal components along which the styles are moved, and how far, in standard deviations."""
    closed: tuple[tuple[int, float], ...] = ()
    """Eigenvectors of the modulation weights along which the styles are moved, and how far, in units of w."""
    layers: tuple[int, int] | None = None
    """First and last style input that is moved; None: all."""
    move: tuple[float, float] = (0.0, 0.0)
    """Move of the whole image to the right and down, in its shorter sides."""
    rotate: float = 0.0
    """Turn of the whole image, in degrees counter-clockwise."""
    scale: float = 1.0
    """Factor by which the whole image is enlarged."""
    styles: str = ""
    """Name of styles that the server keeps, which take the place of those of the seed."""
    weights: str = ""
    """Name of weights that the server keeps, which take the place of the model's."""
    path: tuple["Settings", ...] = ()
    """Bookmarks to go through; all other settings but ``at`` and ``way`` are then those of the bookmarks."""
    at: float = 0.0
    """Place on the path: 1.5 is halfway from the second bookmark to the third."""
    way: Way | None = None
    """How to go from bookmark to bookmark; None: straight in the styles, on the sphere where there are none."""


def parse(query: str) -> Settings:
    """Return the settings of a query; ``UserError`` for an unknown name or a value that is none."""
    if len(query) > LONGEST:
        raise UserError(f"an address of {len(query):,} characters, more than {LONGEST:,}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(READERS))
    except ValueError as error:
        raise UserError(f"{printable(query, 60)!r} is no list of settings ({error})") from error
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in READERS:
            raise UserError(f"unknown setting {printable(name, 40)!r};{nearest(name, READERS)}")
        field = name.replace("-", "_") if name != "class" else "label"
        if field in found:
            raise UserError(f"{name} is there twice; leave one out")
        try:
            found[field] = READERS[name](value)
        except UserError as error:
            raise UserError(f"{name} = {printable(value, 60)}: {error}") from error
        except (ValueError, OverflowError):
            raise UserError(f"{name} = {printable(value, 60)}: must be like {EXAMPLES[name]}") from None
    return Settings(**found)


def to_query(settings: Settings) -> str:
    """Return the shortest query of the settings: ``parse`` brings them back."""
    plain, parts = Settings(), []
    for each in fields(Settings):
        value = getattr(settings, each.name)
        if value != getattr(plain, each.name):
            name = "class" if each.name == "label" else each.name.replace("_", "-")
            parts.append(f"{name}={quote(_written(value), safe=',:|-.')}")
    return "&".join(parts)


# Values -------------------------------------------------------------------------------------------------------------


def _written(value: Any) -> str:
    if isinstance(value, Step):
        return f"{value.plane}:{_number(value.x)}:{_number(value.y)}"
    if isinstance(value, Settings):
        return quote(to_query(value) or "seed=0", safe="")
    if not isinstance(value, tuple):
        return _number(value) if isinstance(value, int | float) else str(value)
    if len(value) == 2 and type(value[0]) is int:  # an entry of a vector, or the ends of a range
        first, second = value
        return f"{first}-{second}" if type(second) is int else f"{first}:{_number(second)}"
    return ("|" if value and isinstance(value[0], Settings) else ",").join(map(_written, value))


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _real(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high:
            raise UserError(f"must be from {low:g} to {high:g}")
        return value

    return read


def _whole(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > most:
            raise UserError(f"must be a whole number from 0 to {most:,}")
        return int(text)

    return read


def _list(read: Callable[[str], Any], most: int = MOST_PARTS, mark: str = ",") -> Callable[[str], tuple[Any, ...]]:
    def read_all(text: str) -> tuple[Any, ...]:
        parts = text.split(mark) if text else []
        if len(parts) > most:
            raise UserError(f"must have at most {most} parts")
        return tuple(read(part) for part in parts)

    return read_all


def _entry(reach: float, default: float | None = None) -> Callable[[str], tuple[int, float]]:
    def read(text: str) -> tuple[int, float]:
        name, colon, value = text.partition(":")
        if not colon and default is not None:
            return _whole(65_535)(name), default
        return _whole(65_535)(name), _real(-reach, reach)(value)

    return read


def _span(text: str) -> tuple[int, int]:
    """Return the ends of a range such as ``4-7``."""
    first, dash, last = text.partition("-")
    found = (_whole(65_535)(first), _whole(65_535)(last if dash else first))
    if found[0] > found[1]:
        raise UserError("must begin with the smaller number")
    return found


def _step(text: str) -> Step:
    plane, x, y = text.split(":")
    return Step(_whole(LARGEST_SEED)(plane), _real(-100, 100)(x), _real(-100, 100)(y))


def _pair(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return _real(-100, 100)(x), _real(-100, 100)(y)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise UserError(f"must be one of {', '.join(names)}")
        return text

    return read


def _name(text: str) -> str:
    if not text.isascii() or not text.isalnum() or len(text) > 64:
        raise UserError("must be a name that this page was given")
    return text


def _mark(text: str) -> Settings:
    """Return the settings of a bookmark, which was quoted once more."""
    found = parse(unquote(text))
    if found.path:
        raise UserError("a bookmark on a path must be one image, not a path")
    return found


READERS: dict[str, Callable[[str], Any]] = {
    "seed": _whole(LARGEST_SEED),
    "walk": _list(_step),
    "psi": _real(-100, 100),
    "cutoff": _whole(65_535),
    "class": _list(_entry(100, default=1.0)),
    "noise": _one_of(get_args(Noise)),
    "noise-seed": _whole(LARGEST_SEED),
    "strength": _list(_real(-100, 100)),
    "mix": _whole(LARGEST_SEED),
    "mix-layers": _span,
    "pca": _list(_entry(1000)),
    "closed": _list(_entry(1000)),
    "layers": _span,
    "move": _pair,
    "rotate": _real(-36_000, 36_000),
    "scale": _real(0.01, 100),
    "styles": _name,
    "weights": _name,
    "path": _list(_mark, MOST_MARKS, "|"),
    "at": _real(0, MOST_MARKS),
    "way": _one_of(get_args(Way)),
}
"""What reads the value of each setting, by its name in a query."""
EXAMPLES = dict.fromkeys(READERS, "3") | {
    "walk": "7:0.5:-0.25", "psi": "0.7", "class": "3 or 3:0.5,4:0.5", "strength": "1,0.5", "mix-layers": "4-7",
    "pca": "0:1.5", "closed": "0:2", "layers": "0-3", "move": "0.1,0", "rotate": "30", "scale": "1.2",
}  # fmt: skip
"""A value of each setting, for messages."""
