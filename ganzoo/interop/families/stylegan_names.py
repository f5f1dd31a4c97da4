"""Names of StyleGAN's arrays in NVlabs/stylegan (TensorFlow).

Some original names count from the full resolution down, ``ToRGB_lod0``, or through all layers, ``noise5``.
``by_resolution`` rewrites these names to contain a resolution, as all other names do; ``by_count`` is its inverse.
"""

import re
from collections.abc import Mapping

import numpy as np

from ganzoo.interop.families.names import SAME, TF_CONSTANT, TF_FLAT, TF_NOISE, Layout, Rule, Table

SWAPPED = Layout(lambda a: a.transpose(0, 1, 3, 2), lambda a: a.transpose(0, 1, 3, 2))
"""[h, w, I, O] <-> [h, w, O, I], our layout of kernels that upsample; the original kernels are not mirrored."""
INPUT = Layout(
    lambda a: a.reshape(len(a), -1, 4, 4).transpose(0, 2, 3, 1).reshape(len(a), -1),
    lambda a: a.reshape(len(a), 4, 4, -1).transpose(0, 3, 1, 2).reshape(len(a), -1),
)
"""[I, (C h w)] <-> [I, (h w C)] of the traditional input."""

LAYERS = (
    ("4x4/Const", "b4.epilogue0"), ("4x4/Dense", "b4.epilogue0"), ("4x4/Conv", "b4.epilogue1"),
    ("{r}x{r}/Conv0_up", "b{r}.epilogue0"), ("{r}x{r}/Conv0", "b{r}.epilogue0"), ("{r}x{r}/Conv1", "b{r}.epilogue1"),
)  # fmt: skip

# fmt: off
GENERATOR = Table("StyleGAN generator (TensorFlow)", (
    Rule("G_mapping/LabelConcat/weight",           "params.mapping.label_kernel",                       SAME),
    Rule("G_mapping/Dense{i}/weight",              "params.mapping.dense{i}.kernel",                    SAME),
    Rule("G_mapping/Dense{i}/bias",                "params.mapping.dense{i}.bias",                      SAME),
    Rule("dlatent_avg",                            "statistics.mapping.w_average",                      SAME),
    Rule("G_synthesis/{r}x{r}/noise{i}",           "noise.synthesis.b{r}.epilogue{i}.constant",         TF_NOISE),
    Rule("G_synthesis/4x4/Const/const",            "params.synthesis.b4.constant",                      TF_CONSTANT),
    Rule("G_synthesis/4x4/Dense/weight",           "params.synthesis.b4.input.kernel",                  INPUT),
    Rule("G_synthesis/4x4/Conv/weight",            "params.synthesis.b4.conv1.kernel",                  SAME),
    Rule("G_synthesis/{r}x{r}/Conv0_up/weight",    "params.synthesis.b{r}.conv0.kernel",                SWAPPED),
    Rule("G_synthesis/{r}x{r}/Conv0/weight",       "params.synthesis.b{r}.conv0.kernel",                SWAPPED),
    Rule("G_synthesis/{r}x{r}/Conv1/weight",       "params.synthesis.b{r}.conv1.kernel",                SAME),
    *(rule for theirs, ours in LAYERS for rule in (
        Rule(f"G_synthesis/{theirs}/bias",            f"params.synthesis.{ours}.bias",                  SAME),
        Rule(f"G_synthesis/{theirs}/Noise/weight",    f"params.synthesis.{ours}.noise_strength",        SAME),
        Rule(f"G_synthesis/{theirs}/StyleMod/weight", f"params.synthesis.{ours}.affine.kernel",         SAME),
        Rule(f"G_synthesis/{theirs}/StyleMod/bias",   f"params.synthesis.{ours}.affine.bias",           SAME),
    )),
    Rule("G_synthesis/{r}x{r}/ToRGB/weight",       "params.synthesis.to_rgb{r}.kernel",                 SAME),
    Rule("G_synthesis/{r}x{r}/ToRGB/bias",         "params.synthesis.to_rgb{r}.bias",                   SAME),
))

DISCRIMINATOR = Table("StyleGAN discriminator (TensorFlow)", (
    Rule("{r}x{r}/FromRGB/weight",                 "params.from_rgb{r}.kernel",                         SAME),
    Rule("{r}x{r}/FromRGB/bias",                   "params.from_rgb{r}.bias",                           SAME),
    Rule("4x4/Conv/weight",                        "params.conv.kernel",                                SAME),
    Rule("4x4/Conv/bias",                          "params.conv.bias",                                  SAME),
    Rule("4x4/Dense0/weight",                      "params.dense.kernel",                               TF_FLAT),
    Rule("4x4/Dense0/bias",                        "params.dense.bias",                                 SAME),
    Rule("4x4/Dense1/weight",                      "params.out.kernel",                                 SAME),
    Rule("4x4/Dense1/bias",                        "params.out.bias",                                   SAME),
    Rule("{r}x{r}/Conv0/weight",                   "params.b{r}.conv0.kernel",                          SAME),
    Rule("{r}x{r}/Conv0/bias",                     "params.b{r}.conv0.bias",                            SAME),
    Rule("{r}x{r}/Conv1_down/weight",              "params.b{r}.conv1.kernel",                          SAME),
    Rule("{r}x{r}/Conv1_down/bias",                "params.b{r}.conv1.bias",                            SAME),
    Rule("{r}x{r}/Conv1/weight",                   "params.b{r}.conv1.kernel",                          SAME),
    Rule("{r}x{r}/Conv1/bias",                     "params.b{r}.conv1.bias",                            SAME),
))
# fmt: on


def by_resolution(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename arrays [...] so that all names contain a resolution; drop the level of detail, which is not a weight."""
    sizes = [int(match[1]) for name in arrays if (match := re.search(r"(?:^|/)(\d+)x\d+/", name))]
    largest, result = max(sizes, default=4), {}
    for name, array in arrays.items():
        name = re.sub(r"(To|From)RGB_lod(\d{1,2})", lambda m: f"{_size(largest, m[2])}/{m[1]}RGB", name)
        name = re.sub(r"noise(\d{1,2})$", lambda m: f"{_block(int(m[1]))}/noise{int(m[1]) % 2}", name)
        if name.rpartition("/")[2] != "lod":
            result[name] = array
    return result


def by_count(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename arrays [...] to the original names: the inverse of ``by_resolution``."""
    sizes = [int(match[1]) for name in arrays if (match := re.search(r"(?:^|/)(\d+)x\d+/", name))]
    largest, result = max(sizes, default=4), {}
    for name, array in arrays.items():
        name = re.sub(r"(\d+)x\d+/(To|From)RGB", lambda m: f"{m[2]}RGB_lod{_halvings(largest, int(m[1]))}", name)
        name = re.sub(r"(\d+)x\d+/noise(\d)", lambda m: f"noise{2 * _halvings(int(m[1]), 4) + int(m[2])}", name)
        result[name] = array
    return result


def _size(largest: int, lod: str) -> str:
    side = largest >> int(lod)
    return f"{side}x{side}"


def _block(layer: int) -> str:
    side = 4 << layer // 2
    return f"{side}x{side}"


def _halvings(largest: int, side: int) -> int:
    return (largest // side).bit_length() - 1
