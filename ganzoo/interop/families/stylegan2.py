"""Conversion of StyleGAN2's original networks: recognition, their config, and their weights by our names.

Sizes, layers, widths and architectures follow from shapes and names; all other config fields follow from the arguments
with which the networks were built (see ``stylegan2_settings``), or from the original defaults.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families import stylegan2_settings as settings
from ganzoo.interop.families.settings import Becomes, Rules, assumed, clamp, flat, interpret
from ganzoo.interop.families.shapes import (
    Fields,
    Found,
    Weights,
    count,
    needed,
    resolutions,
    row_of,
    same_taps,
    widths,
)
from ganzoo.interop.families.stylegan2_names import GENERATOR, TF_GENERATOR, discriminator_table, tensorflow_table
from ganzoo.interop.reading.contents import Network
from ganzoo.interop.reading.machine import named
from ganzoo.nn.pyramid import pyramid, size_of

Kind = Literal["G", "D", "TensorFlow G", "TensorFlow D"]
SIGNS: Mapping[Kind, re.Pattern[str]] = {
    "G": re.compile(r"synthesis\.b(\d+)\.const"),
    "D": re.compile(r"b(\d+)\.fc\.weight"),
    "TensorFlow G": re.compile(r"G_synthesis/(4)x4/Conv/mod_weight"),
    "TensorFlow D": re.compile(r"(4)x4/Dense0/weight"),
}
"""Names of arrays that all networks of one kind have and no other networks have."""
SHARED = (
    "image_size",
    "smallest_size",
    "channels",
    "label_size",
    "channel_base",
    "channel_max",
    "activation",
    "resample_filter",
)
"""Config fields that both networks imply; networks of one config agree in all of them."""
ARGUMENTS = {"generator": settings.generator_arguments, "discriminator": settings.discriminator_arguments}
"""Functions of a config that return the arguments of the original constructors, by kind."""
DEFAULT_TAPS = (1.0, 3.0, 3.0, 1.0)
"""Filter of the layers that do not change the size, which never use it."""
SEPARATE = 8
"""Number of taps from which on the original code keeps the taps of a filter, not their outer product."""


def recognise(network: Network) -> Kind | None:
    """Return the kind of a network, which decides on its names; None for a network of another model."""
    if any("FromRGB_lod" in name or "ToRGB_lod" in name for name in network.arrays):  # StyleGAN of 2018
        return None
    return next((kind for kind, sign in SIGNS.items() if any(map(sign.fullmatch, network.arrays))), None)


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    kind = recognise(network)
    if kind not in ("G", "TensorFlow G"):
        raise UserError("not a StyleGAN2 generator")
    weights = (GENERATOR if kind == "G" else TF_GENERATOR).to_ours(network.arrays)
    rules = settings.TENSORFLOW_GENERATOR
    if kind == "G":
        given = _arguments_of(network)
        is_later = "synthesis_kwargs" not in given and not set(given) <= set(settings.POSITIONS["Generator"])
        rules = settings.LATER_GENERATOR if is_later else settings.GENERATOR
    return _found(network, rules, {**mapping_fields(weights), **_synthesis_fields(weights)}, weights)


def discriminator(network: Network, generator: Fields, *, default_clamp: float | None = None) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields.

    ``default_clamp`` is the original's default of ``conv_clamp``, for a file that does not tell it.
    """
    kind, size = recognise(network), (4, 4)
    if kind not in ("D", "TensorFlow D"):
        raise UserError("not a StyleGAN2 discriminator")
    if generator:
        size = _smallest(generator)
    weights = (discriminator_table if kind == "D" else tensorflow_table)(*size).to_ours(network.arrays)
    fields = _discriminator_fields(weights, size)
    rules = settings.DISCRIMINATOR if fields["label_size"] else settings.UNLABELLED
    rules = {**rules, "conv_clamp": Becomes("discriminator_conv_clamp", default_clamp, clamp)}
    if kind == "TensorFlow D":
        _check_tensorflow(network, fields)
        is_older = network.kind.startswith("D_stylegan2")
        rules = settings.OLDER_DISCRIMINATOR if is_older else settings.TENSORFLOW_DISCRIMINATOR
    return _found(network, rules, fields, weights)


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as the state dict of NVlabs/stylegan2-ada-pytorch, with its constant filters.

    There, layers that do not change the size keep the default filter (training/networks.py: SynthesisBlock,
    DiscriminatorBlock, DiscriminatorEpilogue).

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: fields of the config.
    """
    is_generator = kind == "generator"
    arrays = (GENERATOR if is_generator else discriminator_table(*_smallest(fields))).to_theirs(weights)
    found = (re.fullmatch(r"((?:synthesis\.)?b(\d+))\.(conv\d?|fromrgb|skip)\.weight", name) for name in arrays)
    layers = [match.groups() for match in found if match]
    lowest = min(layers, key=lambda layer: int(layer[1]))[0]
    resampled = ("conv0", "skip") if is_generator else ("conv1", "skip")
    own, default = _filter(fields["resample_filter"]), _filter(DEFAULT_TAPS)
    for block, _, layer in layers:
        arrays[f"{block}.{layer}.resample_filter"] = (own if layer in resampled else default).copy()
        if is_generator or block != lowest:  # the last part of the discriminator has no filter of its own
            arrays[f"{block}.resample_filter"] = own.copy()
    return arrays


def _check_tensorflow(network: Network, fields: Fields) -> None:
    """Raise ``UserError`` where D_main of NVlabs/stylegan2-ada differs from the discriminator of its PyTorch code."""
    activation, clamp = network.settings.get("nonlinearity", "lrelu"), network.settings.get("conv_clamp")
    if fields.get("discriminator_mapping_layers") and activation != "lrelu":
        raise UserError(f"nonlinearity = {named(activation)}, also in the label mapping: must be lrelu there")
    if fields["discriminator_architecture"] == "skip" and clamp is not None:
        raise UserError(f"conv_clamp = {named(clamp)}, also of the smallest image in a skip architecture: must be None")


# Config fields from arguments ---------------------------------------------------------------------------------------


def _found(network: Network, rules: Rules, fields: Fields, weights: Weights) -> Found:
    """Return what a network is, with its ``fields`` from shapes, those of its arguments, and those of its filters."""
    given = flat(rules, _arguments_of(network))
    for name, attributes in settings.ATTRIBUTES.items():
        values = [network.attributes[each] for each in attributes if each in network.attributes]
        if name in rules and values:
            given.setdefault(name, values[0])
    if "w_avg_beta" in given and "dlatent_avg_beta" in rules:  # two names of one argument
        given.setdefault("dlatent_avg_beta", given["w_avg_beta"])
    implied, notes = interpret(rules, given, ignores_others="func_name" in rules)
    taps = _taps(network)
    if taps and not same_taps(taps, implied["resample_filter"]):
        implied["resample_filter"] = taps
    if not network.settings:
        notes += assumed(rules, implied, given, known=("resample_filter",) if taps else ())
    return Found({**implied, **fields}, weights, tuple(notes))


def _arguments_of(network: Network) -> dict[str, Any]:
    """Return the arguments of a network by name; those without a name are named by their positions."""
    given = dict(network.settings)
    unnamed, names = given.pop("*", []), settings.POSITIONS.get(network.kind, ())
    if len(unnamed) > len(names):
        raise UserError(f"{len(unnamed)} arguments without a name: must be at most {len(names)}")
    return {**dict(zip(names, unnamed, strict=False)), **given}


# Filters ------------------------------------------------------------------------------------------------------------


def _filter(taps: Any) -> np.ndarray:
    """Return the constant that the original code makes of taps: their outer product [t, t], or [t] of many taps."""
    row = np.asarray(taps, np.float32)
    result = row if len(row) >= SEPARATE else np.outer(row, row)
    return result / result.sum()


def _taps(network: Network) -> tuple[float, ...]:
    """Return the taps of the filter in the layers that change the size; () where the file holds none."""
    pattern = re.compile(
        r"synthesis\.b(?!4\.)\d+\.(?:conv0\.|skip\.)?resample_filter|b\d+\.(?:conv1\.|skip\.)?resample_filter"
    )
    found: tuple[float, ...] = ()
    for name, array in network.arrays.items():
        if not pattern.fullmatch(name):
            continue
        taps = row_of(np.asarray(array, np.float64), name)
        if found and not same_taps(found, taps):
            raise UserError(f"{named(name)} differs from the filters of other layers: must be the same")
        found = taps
    return found


# Config fields from shapes ------------------------------------------------------------------------------------------


def mapping_fields(weights: Weights) -> Fields:
    """Return the config fields that the layers of a mapping network imply."""
    layers = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    embed = weights.get("params.mapping.embed.kernel")
    kernels = [needed(weights, f"params.mapping.dense{i}.kernel") for i in range(layers)]
    if not kernels:
        raise UserError("missing weight mapping.fc0.weight of a generator")
    size = kernels[-1].shape[1]
    outputs = [kernel.shape[1] for kernel in kernels] + ([] if embed is None else [embed.shape[1]])
    if set(outputs) != {size}:
        raise UserError(f"mapping layers of {outputs} features: all must have the size of w, {size}")
    return {
        "label_size": 0 if embed is None else embed.shape[0],
        "latent_size": kernels[0].shape[0] - (0 if embed is None else embed.shape[1]),
        "style_size": size,
        "mapping_layers": layers,
    }


def _synthesis_fields(weights: Weights) -> Fields:
    (first,) = (
        int(match[1]) for name in weights if (match := re.fullmatch(r"params\.synthesis\.b(\d+)\.constant", name))
    )
    sizes = resolutions(weights, r"params\.synthesis\.b(\d+)\.conv1\.kernel", first)
    height, width, _ = weights[f"params.synthesis.b{first}.constant"].shape
    last = needed(weights, f"params.synthesis.b{sizes[-1]}.to_rgb.kernel")
    colours = count(weights, r"params\.synthesis\.b(\d+)\.to_rgb\.kernel")
    is_residual = any(name.endswith(".skip.kernel") for name in weights)
    features = [weights[f"params.synthesis.b{size}.conv1.kernel"].shape[-1] for size in sizes]
    return {
        **_size_fields(height, width, sizes),
        "channels": last.shape[-1],
        **widths(sizes, features),
        "generator_architecture": "resnet" if is_residual else "skip" if colours == len(sizes) > 1 else "orig",
        "use_noise": any(name.endswith(".noise_strength") for name in weights),
    }


def _discriminator_fields(weights: Weights, size: tuple[int, int]) -> Fields:
    (first,) = (int(match[1]) for name in weights if (match := re.fullmatch(r"params\.b(\d+)\.dense\.kernel", name)))
    smallest = needed(weights, f"params.b{first}.conv.kernel")
    sizes = [first, *resolutions(weights, r"params\.b(\d+)\.conv0\.kernel", 2 * first)]
    features = [smallest.shape[-1], *(weights[f"params.b{size}.conv0.kernel"].shape[-1] for size in sizes[1:])]
    embed, outputs = weights.get("params.mapping.embed.kernel"), needed(weights, f"params.b{first}.out.kernel").shape[1]
    if outputs != (1 if embed is None else features[0]):
        raise UserError(f"a discriminator with {outputs} outputs: must be 1, or {features[0]} with labels")
    hidden = needed(weights, f"params.b{first}.dense.bias").shape[0]
    if hidden != features[0]:
        raise UserError(f"a dense layer of {hidden} outputs: must be {features[0]}, as channels at the smallest size")
    colours = count(weights, r"params\.b(\d+)\.from_rgb\.kernel")
    is_residual = any(name.endswith(".skip.kernel") for name in weights)
    fields = {
        **_size_fields(*size, sizes),
        "channels": needed(weights, f"params.b{sizes[-1]}.from_rgb.kernel").shape[2],
        "label_size": 0 if embed is None else embed.shape[0],
        **widths(sizes, features),
        "discriminator_architecture": "resnet" if is_residual else "skip" if colours == len(sizes) else "orig",
        "minibatch_std_channels": smallest.shape[2] - features[0],
    }
    if embed is not None:
        fields["discriminator_mapping_layers"] = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    return fields


def _size_fields(height: int, width: int, sizes: list[int]) -> Fields:
    """Return ``image_size``, and ``smallest_size`` where the image's size does not lead to it."""
    image, smallest = (height << len(sizes) - 1, width << len(sizes) - 1), (height, width)
    expected = pyramid(image, 1, 1, smallest)[0].resolution
    if sizes[0] != expected:
        raise UserError(f"a block b{sizes[0]} of {height} x {width} pixels: must be named b{expected}")
    try:
        level = pyramid(image, 1, 1)[0]
        is_default = (level.height, level.width) == smallest
    except UserError:
        is_default = False
    return {
        "image_size": image[0] if height == width else image,
        "smallest_size": None if is_default else smallest,
    }


def _smallest(fields: Fields) -> tuple[int, int]:
    """Return the height and width of the smallest feature map of a config."""
    smallest = fields.get("smallest_size")
    level = pyramid(size_of(fields["image_size"]), 1, 1, None if smallest is None else size_of(smallest))[0]
    return level.height, level.width
