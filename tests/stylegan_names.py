"""Recorded parameters of NVlabs/stylegan as variables of the modules here, by the library's own tables."""

import re
from collections.abc import Mapping

import numpy as np

from ganzoo.interop.families.stylegan_names import DISCRIMINATOR, GENERATOR, by_resolution


def generator(arrays: Mapping[str, np.ndarray]) -> dict:
    """{"params": ..., "noise": ..., "statistics": ...} of a synthesis or mapping network; gradients work as well."""
    named = {}
    for name, array in arrays.items():
        network = "G_mapping/" if re.match(r"Dense\d|LabelConcat", name) else "G_synthesis/"
        if not name.startswith("G_"):
            named[name if name in ("dlatent_avg", "lod") else network + name] = array
    ours = GENERATOR.to_ours(by_resolution(named))
    return {
        "params": {},
        **_tree({re.sub(r"^collections\.|(?:synthesis|mapping)\.", "", n): a for n, a in ours.items()}),
    }


def discriminator(arrays: Mapping[str, np.ndarray]) -> dict:
    """The parameters of a discriminator, or the gradients of them."""
    return _tree(DISCRIMINATOR.to_ours(by_resolution(arrays))).get("params", {})


def _tree(arrays: Mapping[str, np.ndarray]) -> dict:
    result: dict = {}
    for name, array in arrays.items():
        *parents, leaf = name.split(".")
        at = result
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = array
    return result
