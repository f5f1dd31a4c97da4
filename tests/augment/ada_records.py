"""The recorded draws of the original's augmentations as the numbers of this library."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from golden_cases import Case, nhwc
from jax.scipy.special import erfinv

from ganzoo.augment import ada
from ganzoo.augment.ada import Chance, Pipeline

RECORDED = {"pre_rotation": "rotate_pre", "post_rotation": "rotate_post"}
NORMAL = ("scale", "aniso", "xfrac", "brightness", "contrast", "saturation", "imgfilter", "noise")
SIZES = {"xint": (2,), "xfrac": (2,), "cutout": (2,), "imgfilter": (4,)}
NAMES = list(ada.Transforms.__dataclass_fields__)


def pipeline(multipliers: Mapping[str, float], ranges: Mapping[str, Any]) -> Pipeline:
    """A record's arguments as a pipeline."""
    ranges = {name: tuple(value) if isinstance(value, list) else value for name, value in ranges.items()}
    return Pipeline(**multipliers, **ranges)


def recorded_numbers(case: Case) -> dict[str, Any]:
    """The draws of an ordinary run; transforms that the run does not have get some that do nothing."""
    draws = {name.split("_", 2)[2]: array for name, array in case.group("in/draw").items()}
    n = len(case["in/images"])
    numbers: dict[str, Any] = {}
    for name in NAMES:
        recorded = RECORDED.get(name, name)
        if name == "imgfilter" and f"{name}.band0.value" in draws:
            parts = [[draws[f"{name}.band{band}.{kind}"] for band in range(4)] for kind in ("value", "gate")]
            numbers[name] = Chance(*(np.stack(part, axis=1) for part in parts))
        elif f"{recorded}.gate" in draws:
            value = draws.get(f"{recorded}.value", draws.get(f"{recorded}.center"))
            numbers[name] = Chance(value.reshape(n, *SIZES.get(name, ())), draws[f"{recorded}.gate"].reshape(n))
        else:
            numbers[name] = idle(name, n)
    if "noise.pixels" in draws:
        numbers["pixels"] = nhwc(draws["noise.pixels"])
    return numbers


def idle(name: str, n: int) -> Chance:
    """Numbers of a transform that does not fire at any probability."""
    size = SIZES.get(name, ())
    gate = size if name == "imgfilter" else ()
    return Chance(np.full((n, *size), 0.7, np.float32), np.ones((n, *gate), np.float32))


def percentile_numbers(percentile: float, n: int, fired: Mapping[str, float]) -> dict[str, Any]:
    """What the original draws where it is asked for a percentile: the same for all images, and all of it fires.

    Of a normal distribution it takes erfinv(2 u - 1), which is the percentile divided by sqrt(2).
    """
    normal, half_normal = (float(erfinv(np.float32(u))) for u in (2 * percentile - 1, percentile))
    numbers: dict[str, Any] = {}
    for name in NAMES:
        numbers[name] = idle(name, n)
        multiplier = "rotate" if name.endswith("rotation") else name
        if multiplier in fired and name != "post_rotation":  # which it leaves out
            value = percentile if name not in NORMAL else half_normal if name == "noise" else normal
            numbers[name] = Chance(np.full_like(numbers[name].value, value), np.zeros_like(numbers[name].gate))
    return numbers
