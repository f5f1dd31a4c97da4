"""Conversion of NVlabs/stylegan: recognition of its networks, their config, and their weights by our names.

Sizes, layers, widths and optional parts follow from shapes and names; all other config fields follow from the arguments
with which the networks were built (see ``stylegan_settings``), or from the original defaults.
"""

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families import stylegan_settings as settings
from ganzoo.interop.families.settings import Rules, assumed, flat, interpret
from ganzoo.interop.families.shapes import Fields, Found, Weights, count, needed, resolutions, widths
from ganzoo.interop.families.stylegan_names import DISCRIMINATOR, GENERATOR, by_count, by_resolution
from ganzoo.interop.reading.contents import Network

SHARED = (
    "image_size",
    "channels",
    "label_size",
    "channel_base",
    "channel_max",
    "activation",
    "blur_filter",
    "fused_scale",
    "progressive",
)
"""Config fields that both networks imply; networks of one config agree in all of them."""
ARGUMENTS = {"generator": settings.generator_arguments, "discriminator": settings.discriminator_arguments}
"""Functions of a config that return the arguments of the original constructors, by kind."""
LEVEL = "level_of_detail"
"""Field of the train state."""
MOST_HALVINGS = 10
"""From 4096 pixels to 4."""


def recognise(network: Network) -> str | None:
    """Return "generator" or "discriminator"; None for a network of another model."""
    names = network.arrays
    if any(name.startswith("G_synthesis/ToRGB_lod") for name in names):
        return "generator"
    is_discriminator = any(name.startswith("FromRGB_lod") for name in names) and "4x4/Dense1/weight" in names
    return "discriminator" if is_discriminator else None


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    weights = GENERATOR.to_ours(by_resolution(network.arrays))
    fields = {**_mapping_fields(weights), **_synthesis_fields(weights, settings.told_widths(network.settings))}
    found, lod = _found(network, settings.GENERATOR, fields, weights), _level_of_detail(network)
    if not lod:
        return found
    if lod > (fields["image_size"] // fields["initial_resolution"]).bit_length() - 1:
        found.fields["initial_resolution"] = 4
    note = f"lod = {lod:g}: a network that still grows, whose images are coarser than their full size"
    return found._replace(notes=(*found.notes, note), state={LEVEL: np.asarray(lod, np.float32)})


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields."""
    del generator
    weights = DISCRIMINATOR.to_ours(by_resolution(network.arrays))
    sizes = [4, *resolutions(weights, r"params\.b(\d+)\.conv0\.kernel", 8)]
    smallest, outputs = needed(weights, "params.conv.kernel"), needed(weights, "params.out.kernel").shape[1]
    features = [smallest.shape[-1], *(weights[f"params.b{size}.conv0.kernel"].shape[-1] for size in sizes[1:])]
    dense = needed(weights, "params.dense.kernel").shape[1]  # has the channels of a size of 2 x 2
    is_labelled = outputs > 1 or network.settings.get("label_size") == 1
    fields: Fields = {
        "image_size": sizes[-1],
        "channels": needed(weights, f"params.from_rgb{sizes[-1]}.kernel").shape[2],
        "label_size": outputs if is_labelled else 0,
        **widths([2, *sizes], [dense, *features], settings.told_widths(network.settings)),
        "progressive": count(weights, r"params\.from_rgb(\d+)\.kernel") == len(sizes),
        "minibatch_std_channels": smallest.shape[2] - features[0],
    }
    return _found(network, settings.DISCRIMINATOR, fields, weights)


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as variables of NVlabs/stylegan, where the blur filter is not a variable."""
    del fields
    return by_count((GENERATOR if kind == "generator" else DISCRIMINATOR).to_theirs(weights))


def state_arrays(kind: str, state: Weights) -> Weights:
    """Return the variables of a network that are of the whole training: the level of detail.

    Args:
      kind: "generator" or "discriminator".
      state: arrays of a train state by name.
    """
    names = ("lod", "G_synthesis/lod") if kind == "generator" else ("lod",)
    return dict.fromkeys(names, state[LEVEL]) if LEVEL in state else {}


def _found(network: Network, rules: Rules, fields: Fields, weights: Weights) -> Found:
    """Return what a network is, with its ``fields`` from shapes and those of its arguments."""
    given = flat(rules, network.settings)
    implied, notes = interpret(rules, given, ignores_others=True)
    if not network.settings:
        notes += assumed(rules, implied, given)
    return Found({**implied, **fields}, weights, tuple(notes))


def _mapping_fields(weights: Weights) -> Fields:
    layers = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    kernels = [needed(weights, f"params.mapping.dense{i}.kernel") for i in range(layers)]
    labels = weights.get("params.mapping.label_kernel")
    size = len(needed(weights, "statistics.mapping.w_average"))
    hidden = {kernel.shape[1] for kernel in kernels[:-1]}
    if len(hidden) > 1:
        raise UserError(f"mapping layers of {sorted(hidden)} features: all hidden layers must have the same number")
    inputs = kernels[0].shape[0] if kernels else size
    return {
        "label_size": 0 if labels is None else labels.shape[0],
        "latent_size": inputs if labels is None else labels.shape[1],
        "style_size": size,
        "mapping_layers": layers,
        "mapping_features": hidden.pop() if hidden else size,
    }


def _level_of_detail(network: Network) -> float:
    """Return how many halvings a growing network is from its full size."""
    value = float(np.asarray(network.arrays.get("lod", 0.0)).reshape(()))
    if not 0 <= value < MOST_HALVINGS:
        raise UserError(f"lod = {value:g}: must be from 0 to {MOST_HALVINGS}")
    return value


def _synthesis_fields(weights: Weights, told: tuple[float, int] | None) -> Fields:
    sizes = resolutions(weights, r"params\.synthesis\.b(\d+)\.conv1\.kernel")
    features = [weights[f"params.synthesis.b{size}.conv1.kernel"].shape[-1] for size in sizes]
    return {
        "image_size": sizes[-1],
        "channels": needed(weights, f"params.synthesis.to_rgb{sizes[-1]}.kernel").shape[-1],
        **widths(sizes, features, told),
        "progressive": count(weights, r"params\.synthesis\.to_rgb(\d+)\.kernel") == len(sizes),
        "initial_resolution": min(8, sizes[-1]),
        "constant_input": "params.synthesis.b4.constant" in weights,
        "use_noise": any(name.endswith(".noise_strength") for name in weights),
        "use_styles": any(name.endswith(".affine.kernel") for name in weights),
    }
