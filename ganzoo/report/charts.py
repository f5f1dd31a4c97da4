"""Curves as SVG: readable without a script, which adds the values under the pointer or the arrow keys."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ganzoo.report.records import Curve, Group, scalar_names

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 50, 338, 10, 184
"""Edges of the area of the curves; letters of the groups stand to its right."""
STYLES = 8
"""Number of colours, after which they come again with another dash."""
LOGARITHMIC = 50
"""A scale is logarithmic where the largest value is so many times a small one (the 5th percentile)."""
LINE = 11
"""Least distance of two letters, in pixels."""

SECTIONS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("Metrics", "Of generated images, measured while training.", ("metric/",)),
    ("Losses", "", ("/loss",)),
    ("Logits of D", "Means over real and generated images, and the mean sign of the real ones.",
     ("discriminator/real", "discriminator/fake")),
    ("Augmentation", "r_t: the sign of D's logits of real images, by which p adapts. p: strength.", ("augment/",)),
    ("Gradient norms", "", ("/gradient_norm",)),
    ("Penalties", "", ("/r1", "/r2", "penalty", "path_length")),
    ("Speed", "Images per second since the row before, and seconds since the start.", ("images_per_s", "elapsed_s")),
    ("Others", "", ("",)),
)  # fmt: skip
"""Titles, explanations, and parts of the names of the scalars; each scalar is in the first section that fits."""


def sections(groups: Sequence[Group]) -> list[tuple[str, str, list[str]]]:
    """Return the sections that have scalars: title, explanation and names."""
    by_title: dict[str, list[str]] = {title: [] for title, *_ in SECTIONS}
    for name in scalar_names(groups):
        by_title[next(title for title, _, parts in SECTIONS if any(part in name for part in parts))].append(name)
    return [(title, text, by_title[title]) for title, text, _ in SECTIONS if by_title[title]]


class Charts:
    """Charts of scalars, and the numbers that their script needs."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._numbers: dict[str, Any] = {}

    @property
    def json(self) -> str:
        """The numbers of all charts."""
        return json.dumps(self._numbers, separators=(",", ":"))

    def chart(self, name: str) -> str:
        """Return the figure of a scalar; empty where no run has finite values of it."""
        found = [(place, group.curve(name)) for place, group in enumerate(self._groups)]
        curves = {place: curve for place, curve in found if curve is not None}
        if not curves:
            return ""
        scale = Scale(list(curves.values()))
        key = f"c{len(self._numbers)}"
        self._numbers[key] = {"scale": scale.numbers, "curves": {i: _numbers(curve) for i, curve in curves.items()}}
        ends = {self._groups[i].letter: shown(float(curve.mean[-1])) for i, curve in curves.items()}
        said = ", ".join(f"{letter} {value}" for letter, value in ends.items())
        note = ' <span class="note">logarithmic</span>' if scale.is_log else ""
        return (
            f'<figure class="chart" data-chart="{key}"><figcaption>{escape(name)}{note}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
            f'aria-label="{escape(name)} over images seen; at the end: {escape(said)}">'
            f"{scale.axes()}{''.join(_drawn(i, self._groups[i], curve, scale) for i, curve in curves.items())}"
            f"{self._letters(curves, scale)}</svg></figure>"
        )

    def _letters(self, curves: Mapping[int, Curve], scale: "Scale") -> str:
        """Return the letters of the groups at the ends of their curves, none upon another."""
        wanted = sorted((scale.y(float(curve.mean[-1])), i) for i, curve in curves.items())
        places: list[float] = []
        for y, _ in wanted:
            places.append(max(y, places[-1] + LINE) if places else y)
        for k in reversed(range(len(places))):  # pushed up from the bottom where there are many
            below = places[k + 1] - LINE if k + 1 < len(places) else BOTTOM
            places[k] = min(places[k], below)
        return "".join(
            f'<text class="letter {style(i)}" data-group="{i}" x="{scale.x(float(curves[i].images[-1])) + 6:.1f}"'
            f' y="{y + 4:.1f}">{escape(self._groups[i].letter)}</text>'
            for y, (_, i) in zip(places, wanted, strict=True)
        )


def style(place: int) -> str:
    """Return the CSS classes of a group by its place: a colour, and a dash for those that come later."""
    return f"g{place % STYLES}{' dashed' if place >= STYLES else ''}"


def shown(value: float) -> str:
    """Return a number with three or four digits, such as 12.3k."""
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):.3g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


class Scale:
    """How images seen and values become pixels."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        low = np.concatenate([curve.low for curve in curves])
        high = np.concatenate([curve.high for curve in curves])
        small = np.percentile(low, 5, method="lower")
        self.is_log = bool(low.min() > 0 and high.max() > LOGARITHMIC * small)
        first, last = self._axis(float(low.min())), self._axis(float(high.max()))
        margin = 0.05 * (last - first) or 0.05 * abs(first) or 1.0
        self._y = first - margin, last + margin
        seen = max(float(curve.images[-1]) for curve in curves)
        self._x = 0.0, seen or 1.0

    @property
    def numbers(self) -> list[float]:
        """What the script needs: first and last of both axes, and 1 where the scale is logarithmic."""
        return [*self._x, *self._y, float(self.is_log)]

    def _axis(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def x(self, images: float) -> float:
        """Return the pixel of a number of images."""
        return LEFT + (RIGHT - LEFT) * (images - self._x[0]) / (self._x[1] - self._x[0])

    def y(self, value: float) -> float:
        """Return the pixel of a value."""
        return BOTTOM - (BOTTOM - TOP) * (self._axis(value) - self._y[0]) / (self._y[1] - self._y[0])

    def axes(self) -> str:
        """Return the lines and numbers of both axes."""
        parts = []
        for value in self._value_ticks():
            y = self.y(value)
            parts.append(f'<line class="rule" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{shown(value)}</text>')
        for images in ticks(*self._x, most=4):
            x = self.x(images)
            where = "end" if x > RIGHT - 20 else "middle" if x > LEFT + 1 else ""
            parts.append(f'<text class="tick {where}" x="{x:.1f}" y="{BOTTOM + 16}">{shown(images)}</text>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}"/>')
        return "".join(parts)

    def _value_ticks(self) -> list[float]:
        if not self.is_log:
            return ticks(*self._y, most=5)
        first, last = math.ceil(self._y[0]), math.floor(self._y[1])
        step = max(1, -(-(last - first + 1) // 5))
        found = [10.0**power for power in range(first, last + 1, step)]
        return found if len(found) > 1 else [10**value for value in np.linspace(*self._y, 5)[1:-1].tolist()]


def ticks(first: float, last: float, *, most: int) -> list[float]:
    """Return round numbers from ``first`` to ``last``, ``most`` of them or a few less."""
    raw = (last - first) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * 0.999)
    start = math.ceil(first / step - 1e-9)
    return [round(k * step, 12) for k in range(start, math.floor(last / step + 1e-9) + 1)]


def _drawn(place: int, group: Group, curve: Curve, scale: Scale) -> str:
    """Return the line of the means of a group, and the band of its seeds behind it."""
    x = [scale.x(images) for images in curve.images]
    parts = []
    if len(group.runs) > 1:
        upper = [f"{a:.1f},{scale.y(v):.1f}" for a, v in zip(x, curve.high.tolist(), strict=True)]
        lower = [f"{a:.1f},{scale.y(v):.1f}" for a, v in zip(x, curve.low.tolist(), strict=True)]
        parts.append(f'<path class="band {style(place)}" d="M{" ".join(upper + lower[::-1])}Z"/>')
    points = [f"{a:.1f},{scale.y(v):.1f}" for a, v in zip(x, curve.mean.tolist(), strict=True)]
    if len(points) == 1:
        parts.append(f'<circle class="dot {style(place)}" cx="{x[0]:.1f}" cy="{points[0].split(",")[1]}" r="3"/>')
    parts.append(f'<path class="line {style(place)}" d="M{" ".join(points)}"/>')
    return f'<g data-group="{place}">{"".join(parts)}</g>'


def _numbers(curve: Curve) -> dict[str, list[float]]:
    of = {"x": curve.images, "m": curve.mean, "l": curve.low, "h": curve.high, "n": curve.count}
    return {
        name: [float(f"{value:.5g}") if name != "x" else value for value in array.tolist()]
        for name, array in of.items()
    }
