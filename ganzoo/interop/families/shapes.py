"""Config fields that follow from the shapes of a network's weights."""

import re
from typing import Any, NamedTuple

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import named

MAX_TAPS = 64
"""Largest number of taps of a filter in a file; an outer product has the square of that."""

Fields = dict[str, Any]
"""Fields of a model's config by name."""
Weights = dict[str, np.ndarray]
"""Arrays by their names in a train state, without the prefix of the network."""


class Found(NamedTuple):
    """What a network of a file is in this library."""

    fields: Fields
    """Config fields that the network implies."""
    weights: Weights
    notes: tuple[str, ...] = ()
    """Settings that are unused or had to be assumed, one line each."""
    state: Weights | None = None
    """Arrays by their names in a train state that are of no network, such as the level of detail."""


def widths(sizes: list[int], features: list[int], told: tuple[float, int] | None = None) -> Fields:
    """Return ``channel_base`` and ``channel_max`` for channel counts ``min(channel_base // resolution, channel_max)``.

    Args:
      sizes: resolutions.
      features: channels at each resolution.
      told: base and maximum that the file tells; they are taken where they lead to ``features``.

    Raises:
      UserError: the channel counts ``features`` at the resolutions ``sizes`` do not follow the rule.
    """
    if told and [min(int(told[0] // size), told[1]) for size in sizes] == features:
        return {"channel_base": int(told[0]), "channel_max": told[1]}
    most = max(features)
    bases = [size * width for size, width in zip(sizes, features, strict=True) if width < most]
    base = max(bases, default=sizes[-1] * most)
    if [min(base // size, most) for size in sizes] != features:
        raise UserError(f"channel counts {features} do not fit min(channel_base // resolution, channel_max)")
    return {"channel_base": base, "channel_max": most}


def resolutions(weights: Weights, pattern: str, first: int = 4) -> list[int]:
    """Return the resolutions in the names that match a pattern.

    Raises:
      UserError: the resolutions are not ``first``, 2 ``first``, 4 ``first`` and so on.
    """
    sizes = sorted(int(match[1]) for name in weights if (match := re.fullmatch(pattern, name)))
    if not sizes or len(sizes) > 12 or sizes != [first << k for k in range(len(sizes))]:
        raise UserError(f"resolutions of blocks {sizes[:12]}: must be {first}, {2 * first}, {4 * first} and so on")
    return sizes


def count(weights: Weights, pattern: str) -> int:
    """Return how many names match a pattern."""
    return sum(1 for name in weights if re.fullmatch(pattern, name))


def needed(weights: Weights, name: str) -> np.ndarray:
    """Return the array [...] of the given name; raise ``UserError`` if it is missing."""
    if name not in weights:
        raise UserError(f"missing weight {name}: incomplete file, or another architecture")
    return weights[name]


def row_of(filter_: np.ndarray, name: str) -> tuple[float, ...]:
    """Return the taps of a filter [t] or [t, t], as whole numbers where they are multiples of the smallest one."""
    if filter_.ndim > 2 or max(filter_.shape, default=0) > MAX_TAPS:
        raise UserError(
            f"{named(name)} has the shape {named(filter_.shape)}: must be a filter of at most {MAX_TAPS} taps"
        )
    row = filter_.sum(axis=0) if filter_.ndim == 2 else filter_.reshape(-1)
    total = row.sum()
    if not total or (filter_.ndim == 2 and not np.allclose(filter_ * total, np.outer(row, row), atol=1e-6)):
        raise UserError(f"{named(name)}: must be an outer product of taps with a sum")
    scaled = row / np.abs(row[row != 0]).min()
    is_whole = np.abs(scaled - scaled.round()).max() < 1e-4
    return tuple(map(float, scaled.round() if is_whole else row))


def same_taps(taps: tuple[float, ...], others: tuple[float, ...]) -> bool:
    """Return whether two filters are the same but for their scale."""
    return len(taps) == len(others) and np.allclose(
        np.divide(taps, sum(taps)), np.divide(others, sum(others)), atol=1e-6
    )
