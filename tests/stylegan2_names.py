"""Recorded parts of StyleGAN2 and StyleGAN3 as trees of this library, by the library's own tables of names."""

import re
from collections.abc import Mapping

import numpy as np

from ganzoo.interop.families import stylegan3_names
from ganzoo.interop.families.names import Table
from ganzoo.interop.families.stylegan2_names import GENERATOR, discriminator_table


def tree(arrays: Mapping[str, np.ndarray], prefix: str = "") -> dict:
    """{"params": ..., "noise": ..., "statistics": ...} from the arrays below ``prefix``; gradients work as well.

    The arrays may be those of a generator, of its mapping or synthesis network alone, or of a discriminator.
    """
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    table, part = _table(own)
    result: dict = {"params": {}}
    for name, array in table.to_ours({f"{part}{name}": array for name, array in own.items()}).items():
        *modules, leaf = name.removeprefix("collections.").replace(f".{part}", ".", 1).split(".")
        at = result
        for module in modules:
            at = at.setdefault(module, {})
        at[leaf] = array
    return result


def _table(names: Mapping[str, np.ndarray]) -> tuple[Table, str]:
    """The table of these names, and what is left out at their beginnings."""
    if any(re.match(r"(synthesis\.)?(input|L\d+_)", name) for name in names):
        return stylegan3_names.GENERATOR, "" if any(name.startswith("synthesis.") for name in names) else "synthesis."
    if any(name.startswith("synthesis.") for name in names):
        return GENERATOR, ""
    if any(re.match(r"fc\d+\.|embed\.", name) for name in names):
        return GENERATOR, "mapping."
    if any(".affine." in name for name in names):
        return GENERATOR, "synthesis."
    return discriminator_table(4, 4), ""
