"""What the shapes of weights tell of the config of a network."""

import re
from typing import Any

import numpy as np

from ganzoo.errors import UserError

Fields = dict[str, Any]
"""Fields of the model's config by their names."""
Weights = dict[str, np.ndarray]
"""Arrays by their names in a train state, without the player in front."""


def widths(sizes: list[int], features: list[int]) -> Fields:
    """``channel_base`` and ``channel_max`` of ``min(channel_base // resolution, channel_max)``."""
    most = max(features)
    bases = [size * width for size, width in zip(sizes, features, strict=True) if width < most]
    base = max(bases, default=sizes[-1] * most)
    if [min(base // size, most) for size in sizes] != features:
        raise UserError(f"layers of {features} features from 4 x 4 on, which no channel_base and channel_max give")
    return {"channel_base": base, "channel_max": most}


def resolutions(weights: Weights, pattern: str, first: int = 4) -> list[int]:
    """The sizes in the names that a pattern matches, from ``first`` on, each twice the one before."""
    sizes = sorted(int(match[1]) for name in weights if (match := re.fullmatch(pattern, name)))
    if not sizes or len(sizes) > 12 or sizes != [first << k for k in range(len(sizes))]:
        raise UserError(f"blocks of the sizes {sizes[:12]}; they must be {first}, {2 * first}, {4 * first} and so on")
    return sizes


def count(weights: Weights, pattern: str) -> int:
    """How many names a pattern matches."""
    return sum(1 for name in weights if re.fullmatch(pattern, name))


def needed(weights: Weights, name: str) -> np.ndarray:
    """The array of that name; ``UserError`` where there is none."""
    if name not in weights:
        raise UserError(f"a network without {name}")
    return weights[name]
