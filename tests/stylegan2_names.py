"""From the parameters of NVlabs/stylegan2-ada-pytorch, by their names there, to this library's names and layouts."""

import re
from collections.abc import Mapping

import numpy as np

BUFFERS = ("resample_filter",)
"""What is a constant of the config here."""


def tree(arrays: Mapping[str, np.ndarray], prefix: str = "") -> dict:
    """{"params": ..., "noise": ..., "statistics": ...} from the arrays below ``prefix``; gradients work as well."""
    result: dict = {"params": {}}
    for name, array in arrays.items():
        if not name.startswith(prefix):
            continue
        *modules, leaf = name.removeprefix(prefix).split(".")
        if leaf in BUFFERS:
            continue
        collection, leaf, array = _leaf(modules, leaf, np.asarray(array), arrays, name)
        at = result.setdefault(collection, {})
        for module in map(_module, modules):
            at = at.setdefault(module, {})
        at[leaf] = array
    return result


def _module(name: str) -> str:
    name = re.sub(r"^fc(\d+)$", r"dense\1", name)
    return {"fc": "dense", "torgb": "to_rgb", "fromrgb": "from_rgb"}.get(name, name)


def _leaf(modules, leaf, array, arrays, name) -> tuple[str, str, np.ndarray]:
    if leaf == "noise_const":
        return "noise", "constant", array
    if leaf == "w_avg":
        return "statistics", "w_average", array
    if leaf == "const":  # [C, h, w]
        return "params", "constant", array.transpose(1, 2, 0)
    if leaf != "weight":
        return "params", leaf, array
    if array.ndim == 4:  # OIHW -> HWIO; where the size doubles HWOI
        goes_up = modules[-1] in ("conv0", "skip") and "synthesis" in _kind(arrays, name)
        return "params", "kernel", array.transpose(2, 3, 0, 1) if goes_up else array.transpose(2, 3, 1, 0)
    if modules[-1] == "fc":  # the last features are flattened as C, h, w there and h, w, C here
        channels = array.shape[0]
        side = round((array.shape[1] // channels) ** 0.5)
        array = array.reshape(channels, channels, side, side).transpose(0, 2, 3, 1).reshape(channels, -1)
    return "params", "kernel", array.T


def _kind(arrays: Mapping[str, np.ndarray], name: str) -> str:
    """Whether a block's layer belongs to a synthesis network: only those have styles."""
    block = name.rsplit(".", 2)[0]
    with_styles = any(other.startswith(block) and ".affine." in other for other in arrays)
    return "synthesis" if with_styles else "discriminator"
