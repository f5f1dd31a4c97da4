"""Conversion of NVlabs' StyleGAN2: recognition of its networks, their config, and their weights by our names.

Sizes, layers, widths and architectures follow from shapes and names; all other config fields follow from the arguments
with which the networks were built, or from the original defaults.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.contents import Network
from ganzoo.interop.names import Table
from ganzoo.interop.shapes import Fields, Found, Weights, count, needed, resolutions, widths
from ganzoo.interop.stylegan2_names import DISCRIMINATOR, GENERATOR, TF_DISCRIMINATOR, TF_GENERATOR

GENERATORS, DISCRIMINATORS = (GENERATOR, TF_GENERATOR), (DISCRIMINATOR, TF_DISCRIMINATOR)
SIGNS: Mapping[str, Table] = {
    "synthesis.b4.const": GENERATOR,
    "G_synthesis/4x4/Conv/mod_weight": TF_GENERATOR,
    "b4.fc.weight": DISCRIMINATOR,
    "4x4/Dense0/weight": TF_DISCRIMINATOR,
}
"""Names of arrays that all networks of one kind have and no other networks have."""
SHARED = ("image_size", "channels", "label_size", "channel_base", "channel_max", "activation", "resample_filter")
"""Config fields that both networks imply; networks of one config agree in all of them."""


def recognise(network: Network) -> Table | None:
    """Return the table of a network's names; None for a network of another model."""
    table = next((table for sign, table in SIGNS.items() if sign in network.arrays), None)
    of_another = any("FromRGB_lod" in name or "ToRGB_lod" in name for name in network.arrays)  # StyleGAN of 2018
    return None if of_another else table


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    table = recognise(network)
    if table not in GENERATORS:
        raise UserError("not a StyleGAN2 generator")
    weights = table.to_ours(network.arrays)
    fields = {**_mapping_fields(weights), **_synthesis_fields(weights)}
    settings = _tensorflow_generator if table is TF_GENERATOR else _generator_settings
    return Found({**fields, **_taps(network, "synthesis.b8.resample_filter"), **settings(network.settings)}, weights)


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields."""
    del generator
    table = recognise(network)
    if table not in DISCRIMINATORS:
        raise UserError("not a StyleGAN2 discriminator")
    weights = table.to_ours(network.arrays)
    fields = _discriminator_fields(weights)
    is_old = table is TF_DISCRIMINATOR
    implied = _tensorflow_discriminator(network) if is_old else _discriminator_settings(network.settings)
    return Found({**fields, **_taps(network, "b8.resample_filter"), **implied}, weights)


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as the state dict of NVlabs/stylegan2-ada-pytorch, with its constant filters.

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: fields of the config.
    """
    is_generator = kind == "generator"
    arrays = (GENERATOR if is_generator else DISCRIMINATOR).to_theirs(weights)
    taps = fields.get("resample_filter", ())
    filter_ = np.outer(taps, taps).astype(np.float32)
    filter_ /= filter_.sum()
    layers = {name.removesuffix(".weight") for name in arrays if name.endswith(".weight")}
    convolutions = re.compile(r"(?:synthesis\.)?b\d+\.(?:conv\d?|fromrgb|skip)")
    filtered = {layer for layer in layers if convolutions.fullmatch(layer)}
    blocks = {layer.rpartition(".")[0] for layer in filtered}
    smallest = min(blocks, key=lambda block: int(block.rpartition("b")[2]))
    if not is_generator:
        blocks -= {smallest}  # the epilogue has no filter
    return {**arrays, **{f"{name}.resample_filter": filter_.copy() for name in sorted(filtered | blocks)}}


# Config fields from shapes ------------------------------------------------------------------------------------------


def _mapping_fields(weights: Weights) -> Fields:
    layers = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    embed = weights.get("params.mapping.embed.kernel")
    kernels = [needed(weights, f"params.mapping.dense{i}.kernel") for i in range(layers)]
    if not kernels:
        raise UserError("missing weight mapping.fc0.weight of a StyleGAN2 generator")
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
    sizes = resolutions(weights, r"params\.synthesis\.b(\d+)\.conv1\.kernel")
    last = needed(weights, f"params.synthesis.b{sizes[-1]}.to_rgb.kernel")
    colours = count(weights, r"params\.synthesis\.b(\d+)\.to_rgb\.kernel")
    is_residual = any(name.endswith(".skip.kernel") for name in weights)
    features = [weights[f"params.synthesis.b{size}.conv1.kernel"].shape[-1] for size in sizes]
    return {
        "image_size": sizes[-1],
        "channels": last.shape[-1],
        **widths(sizes, features),
        "generator_architecture": "resnet" if is_residual else "skip" if colours == len(sizes) > 1 else "orig",
        "use_noise": any(name.endswith(".noise_strength") for name in weights),
    }


def _discriminator_fields(weights: Weights) -> Fields:
    smallest = needed(weights, "params.b4.conv.kernel")
    sizes = [4, *resolutions(weights, r"params\.b(\d+)\.conv0\.kernel", 8)]
    features = [smallest.shape[-1], *(weights[f"params.b{size}.conv0.kernel"].shape[-1] for size in sizes[1:])]
    embed, outputs = weights.get("params.mapping.embed.kernel"), needed(weights, "params.b4.out.kernel").shape[1]
    if outputs != (1 if embed is None else features[0]):
        raise UserError(f"a discriminator with {outputs} outputs: must be 1, or {features[0]} with labels")
    colours = count(weights, r"params\.b(\d+)\.from_rgb\.kernel")
    is_residual = any(name.endswith(".skip.kernel") for name in weights)
    fields = {
        "image_size": sizes[-1],
        "channels": needed(weights, f"params.b{sizes[-1]}.from_rgb.kernel").shape[2],
        "label_size": 0 if embed is None else embed.shape[0],
        **widths(sizes, features),
        "discriminator_architecture": "resnet" if is_residual else "skip" if colours == len(sizes) else "orig",
        "minibatch_std_channels": smallest.shape[2] - features[0],
    }
    if embed is not None:
        fields["discriminator_mapping_layers"] = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    return fields


def _taps(network: Network, name: str) -> Fields:
    """Return the taps of the filter, which the buffer ``name`` holds as an outer product."""
    filter_ = network.arrays.get(name)
    if filter_ is None or filter_.ndim != 2:
        return {}
    row = np.asarray(filter_, np.float64).sum(axis=0)
    row = row / np.abs(row[row != 0]).min() if row.any() else row
    is_whole = np.abs(row - row.round()).max() < 1e-4
    return {"resample_filter": tuple(float(tap) for tap in (row.round() if is_whole else row))}


# Config fields from arguments ---------------------------------------------------------------------------------------


def _generator_settings(settings: Mapping[str, Any]) -> Fields:
    """Return the config fields implied by the arguments of the class Generator.

    In NVlabs/stylegan3, the arguments of the synthesis network are arguments of Generator.
    """
    mapping, own = _inner(settings, "mapping_kwargs"), _inner(settings, "synthesis_kwargs")
    is_later = bool({"channel_base", "channel_max", "fused_modconv_default", "conv_clamp"} & set(settings))
    synthesis = {**settings, **own}
    if synthesis.get("kernel_size", 3) != 3:
        raise UserError(f"kernel_size = {synthesis['kernel_size']}: must be 3")
    activation = synthesis.get("activation", "lrelu")
    if mapping.get("activation", "lrelu") != activation:
        raise UserError(
            f"activation = {mapping.get('activation', 'lrelu')} in the mapping network but {activation} in synthesis"
        )
    return {
        "activation": activation,
        "conv_clamp": synthesis.get("conv_clamp", 256.0 if is_later else None) or 0.0,
        "mapping_lr_multiplier": mapping.get("lr_multiplier", 0.01),
        "style_average_decay": mapping.get("w_avg_beta", 0.998 if is_later else 0.995),
    }


def _discriminator_settings(settings: Mapping[str, Any]) -> Fields:
    block, epilogue = _inner(settings, "block_kwargs"), _inner(settings, "epilogue_kwargs")
    activation = block.get("activation", "lrelu")
    if epilogue.get("activation", "lrelu") != activation:
        raise UserError(
            f"activation = {epilogue.get('activation', 'lrelu')} in the epilogue but {activation} in blocks"
        )
    mapping = _inner(settings, "mapping_kwargs")
    if mapping.get("activation", "lrelu") != activation:
        raise UserError(f"activation = {mapping.get('activation', 'lrelu')} in the mapping but {activation} in blocks")
    return {
        "activation": activation,
        "discriminator_conv_clamp": settings.get("conv_clamp") or 0.0,
        "discriminator_mapping_lr_multiplier": mapping.get("lr_multiplier", 0.01),
        "minibatch_std_group": epilogue.get("mbstd_group_size", 4) or 0,
        "freeze_discriminator_layers": block.get("freeze_layers", 0),
    }


def _tensorflow_generator(settings: Mapping[str, Any]) -> Fields:
    """Return the config fields implied by the arguments of G_main, with the defaults of NVlabs/stylegan2-ada."""
    return {
        **_tensorflow_blocks(settings),
        "conv_clamp": settings.get("conv_clamp") or 0.0,
        "mapping_lr_multiplier": settings.get("mapping_lrmul", 0.01),
        "style_average_decay": settings.get("w_avg_beta", settings.get("dlatent_avg_beta", 0.995)),
    }


def _tensorflow_discriminator(network: Network) -> Fields:
    """Return the config fields implied by the arguments of D_main (NVlabs/stylegan2-ada) or of D_stylegan2.

    In D_main a label mapping learns at 0.1 of the rate, and a minibatch standard deviation without a group size is of
    the whole batch; in D_stylegan2 the group size is 4 by default.
    """
    settings = network.settings
    group = settings.get("mbstd_group_size", 4 if network.kind.startswith("D_stylegan2") else None)
    return {
        **_tensorflow_blocks(settings),
        "discriminator_conv_clamp": settings.get("conv_clamp") or 0.0,
        "discriminator_mapping_lr_multiplier": settings.get("mapping_lrmul", 0.1),
        "minibatch_std_group": group or 0,
    }


def _tensorflow_blocks(settings: Mapping[str, Any]) -> Fields:
    taps = settings.get("resample_kernel") or [1, 3, 3, 1]
    activation = settings.get("nonlinearity", settings.get("act", "lrelu"))
    return {"activation": activation, "resample_filter": tuple(map(float, taps))}


def _inner(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = settings.get(name, {})
    return found if isinstance(found, Mapping) else {}
