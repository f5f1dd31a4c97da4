"""From the variables of NVlabs/stylegan, by their names there, to this library's names and layouts."""

import re
from collections.abc import Mapping

import numpy as np

LAYERS = {"Const": 0, "Dense": 0, "Conv0_up": 0, "Conv0": 0, "Conv": 1, "Conv1": 1, "Conv1_down": 1}
"""The place of a layer in its block."""


def generator(arrays: Mapping[str, np.ndarray], levels: int) -> dict:
    """{"params": ..., "noise": ..., "statistics": ...} of a synthesis or mapping network; gradients work as well."""
    result: dict = {"params": {}}
    for name, array in arrays.items():
        *path, leaf = name.split("/")
        if path[:1] == ["G_synthesis"]:
            continue
        if name == "dlatent_avg":
            result.setdefault("statistics", {})["w_average"] = array
        elif match := re.fullmatch(r"noise(\d+)", name):
            block, layer = divmod(int(match[1]), 2)
            _put(result, ["noise", f"b{4 << block}", f"epilogue{layer}", "constant"], array[0, 0])
        elif path:
            _put(result["params"], *_generator_leaf(path, leaf, array, levels))
    return result


def _generator_leaf(path: list[str], leaf: str, array: np.ndarray, levels: int) -> tuple[list[str], np.ndarray]:
    if match := re.fullmatch(r"ToRGB_lod(\d+)", path[0]):
        return [f"to_rgb{_resolution(levels, int(match[1]))}", _kernel(leaf)], array
    if match := re.fullmatch(r"Dense(\d+)", path[0]):
        return [f"dense{match[1]}", _kernel(leaf)], array
    if path[0] == "LabelConcat":
        return ["label_kernel"], array
    block, layer = f"b{path[0].split('x')[0]}", LAYERS[path[1]]
    epilogue = [block, f"epilogue{layer}"]
    if path[2:] == ["StyleMod"]:
        return [*epilogue, "affine", _kernel(leaf)], array
    if path[2:] == ["Noise"]:
        return [*epilogue, "noise_strength"], array
    if leaf == "bias":
        return [*epilogue, "bias"], array
    if leaf == "const":
        return [block, "constant"], array[0].transpose(1, 2, 0)
    if path[1] == "Dense":  # features are C, h, w there and h, w, C here
        inputs, outputs = array.shape
        return [block, "input", "kernel"], array.reshape(inputs, outputs // 16, 16).swapaxes(1, 2).reshape(inputs, -1)
    doubles = layer == 0
    return [block, f"conv{layer}", "kernel"], array.swapaxes(2, 3) if doubles else array


def discriminator(arrays: Mapping[str, np.ndarray], levels: int) -> dict:
    """The parameters of a discriminator, or the gradients of them."""
    result: dict = {}
    for name, array in arrays.items():
        *path, leaf = name.split("/")
        if path:
            _put(result, *_discriminator_leaf(path, leaf, array, levels))
    return result


def _discriminator_leaf(path: list[str], leaf: str, array: np.ndarray, levels: int) -> tuple[list[str], np.ndarray]:
    if match := re.fullmatch(r"FromRGB_lod(\d+)", path[0]):
        return [f"from_rgb{_resolution(levels, int(match[1]))}", _kernel(leaf)], array
    last = {"Conv": "conv", "Dense0": "dense", "Dense1": "out"}
    if path[0] == "4x4":
        if path[1] == "Dense0" and leaf == "weight":
            inputs, outputs = array.shape
            array = array.reshape(inputs // 16, 16, outputs).swapaxes(0, 1).reshape(inputs, outputs)
        return [last[path[1]], _kernel(leaf)], array
    return [f"b{path[0].split('x')[0]}", f"conv{LAYERS[path[1]]}", _kernel(leaf)], array


def _resolution(levels: int, lod: int) -> int:
    return 4 << (levels - 1 - lod)


def _kernel(leaf: str) -> str:
    return {"weight": "kernel"}.get(leaf, leaf)


def _put(tree: dict, path: list[str], array: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = array
