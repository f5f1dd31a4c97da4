"""Conversion of StyleGAN3's original networks: recognition, their config, and their weights by our names.

Names and defaults of arguments: NVlabs/stylegan3, training/networks_stylegan3.py. The layers follow from the arguments;
the arrays must fit to them. A discriminator is one of StyleGAN2, in its residual architecture.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families import stylegan2
from ganzoo.interop.families.settings import Becomes, Must, Rules, assumed, clamp, flat, interpret, number, shown, told
from ganzoo.interop.families.shapes import Fields, Found, Weights, count, needed
from ganzoo.interop.families.stylegan2_settings import PRECISION
from ganzoo.interop.families.stylegan2_settings import discriminator_arguments as stylegan2_arguments
from ganzoo.interop.families.stylegan3_names import GENERATOR
from ganzoo.interop.reading.contents import Network
from ganzoo.interop.reading.machine import named
from ganzoo.nn.pyramid import size_of
from ganzoo.nn.schedule import Schedule, schedule_of

SIGN = re.compile(r"synthesis\.L\d+_\d+_\d+\.magnitude_ema")
"""Names of arrays that all generators of StyleGAN3 have and no other networks have."""
SHARED = ("image_size", "channels", "label_size")
"""Config fields that both networks imply; networks of one config agree in all of them."""
LAYER = re.compile(r"params\.synthesis\.(L(\d+)_(\d+)_(\d+))\.kernel")
FIXED = {"discriminator_architecture": "resnet", "activation": "lrelu", "resample_filter": (1, 3, 3, 1)}
"""What a discriminator may have in StyleGAN2, and must have here."""

DEFAULT_CLAMP = 256.0
"""Of a discriminator there."""
DEFAULT_DECAY = 0.999
"""Of the mean squares of layers there."""

# fmt: off
RULES: Rules = {
    **told("class_name", "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max",
           "num_layers", "conv_kernel", "mapping_kwargs.num_layers"),
    "mapping_kwargs.activation":    Must(("lrelu",)),
    "mapping_kwargs.lr_multiplier": Becomes("mapping_lr_multiplier", 0.01, number),
    "mapping_kwargs.w_avg_beta":    Becomes("style_average_decay", 0.998, number),
    "num_critical":                 Becomes("critical_layers", 2),
    "first_cutoff":                 Becomes("first_cutoff", 2, number),
    "first_stopband":               Becomes("first_stopband", 2**2.1, number),
    "last_stopband_rel":            Becomes("last_stopband", 2**0.3, number),
    "margin_size":                  Becomes("margin", 10),
    "output_scale":                 Becomes("output_scale", 0.25, number),
    "num_fp16_res":                 PRECISION,
    "filter_size":                  Becomes("filter_taps", 6),
    "lrelu_upsampling":             Becomes("activation_upsampling", 2),
    "use_radial_filters":           Becomes("radial_filters", False),
    "conv_clamp":                   Becomes("conv_clamp", 256, clamp),
    "magnitude_ema_beta":           Becomes("magnitude_decay", DEFAULT_DECAY, number),
}
# fmt: on
"""Of the arguments of the class Generator."""


def recognise(network: Network) -> str | None:
    """Return "G" for a generator; None for any other network."""
    return "G" if any(map(SIGN.fullmatch, network.arrays)) else None


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    weights = GENERATOR.to_ours(network.arrays)
    given = flat(RULES, network.settings)
    fields, notes = interpret(RULES, given)
    if not network.settings:
        notes += assumed(RULES, fields, given, known=("radial_filters",))
        filters = (array for name, array in network.arrays.items() if name.endswith(".down_filter"))
        fields["radial_filters"] = any(np.ndim(array) == 2 for array in filters)
    fields |= {**stylegan2.mapping_fields(weights), **_layer_fields(weights, given)}
    fields |= _widths(fields, weights, given)
    _require_filters(network, schedule_of(fields))
    return Found(fields, weights, tuple(notes))


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library; the generator's fields say nothing about it."""
    known = {"image_size": generator["image_size"]} if generator else {}
    found = stylegan2.discriminator(network, known, default_clamp=DEFAULT_CLAMP)
    for name, value in FIXED.items():
        if found.fields[name] != value:
            raise UserError(f"{name} = {shown(found.fields[name])}: must be {shown(value)} in a StyleGAN3")
    own = {name: value for name, value in found.fields.items() if name not in (*FIXED, "smallest_size")}
    renamed = {f"discriminator_{name}": own.pop(name) for name in ("channel_base", "channel_max")}
    return found._replace(fields={**own, **renamed})


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as the state dict of NVlabs/stylegan3, with its constant filters.

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: fields of the config.
    """
    if kind == "discriminator":
        return stylegan2.originals(kind, weights, _of_critic(fields))
    return {**GENERATOR.to_theirs(weights), **_constants(schedule_of(fields))}


def _of_critic(fields: Fields) -> Fields:
    """Return the fields of a config by which StyleGAN2 has the same discriminator."""
    base, most = (fields[f"discriminator_{name}"] or fields[name] for name in ("channel_base", "channel_max"))
    return {**fields, **FIXED, "smallest_size": None, "channel_base": base, "channel_max": most}


def generator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which NVlabs/stylegan3 builds the generator of a config.

    There, images are square; of others ``img_resolution`` is (height, width).
    """
    (height, width), decay = size_of(fields["image_size"]), fields["magnitude_decay"]
    return {
        "class_name": "training.networks_stylegan3.Generator",
        "z_dim": fields["latent_size"],
        "c_dim": fields["label_size"],
        "w_dim": fields["style_size"],
        "img_resolution": height if height == width else (height, width),
        "img_channels": fields["channels"],
        "mapping_kwargs": {
            "num_layers": fields["mapping_layers"],
            "lr_multiplier": fields["mapping_lr_multiplier"],
            "w_avg_beta": fields["style_average_decay"],
        },
        "channel_base": fields["channel_base"],
        "channel_max": fields["channel_max"],
        "num_layers": fields["layers"],
        "num_critical": fields["critical_layers"],
        "first_cutoff": fields["first_cutoff"],
        "first_stopband": fields["first_stopband"],
        "last_stopband_rel": fields["last_stopband"],
        "margin_size": fields["margin"],
        "output_scale": fields["output_scale"],
        "num_fp16_res": 0,
        "conv_kernel": fields["kernel_size"],
        "filter_size": fields["filter_taps"],
        "lrelu_upsampling": fields["activation_upsampling"],
        "use_radial_filters": fields["radial_filters"],
        "conv_clamp": fields["conv_clamp"] or None,
        "magnitude_ema_beta": DEFAULT_DECAY if decay is None else decay,
    }


def discriminator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which NVlabs/stylegan3 builds the discriminator of a config."""
    return {**stylegan2_arguments(_of_critic(fields)), "class_name": "training.networks_stylegan2.Discriminator"}


ARGUMENTS = {"generator": generator_arguments, "discriminator": discriminator_arguments}
"""Functions of a config that return the arguments of the original constructors, by kind."""


def _constants(schedule: Schedule) -> Weights:
    """Return the arrays [...] of a state dict that follow from the layers, and the transform that moves nothing."""
    arrays = {"synthesis.input.transform": np.eye(3, dtype=np.float32)}
    for layer in schedule.all_layers:
        filters = {"up_filter": layer.up_filter, "down_filter": layer.down_filter}
        known = {name: np.asarray(f, np.float32) for name, f in filters.items() if f is not None}
        arrays |= {f"synthesis.{layer.name}.{name}": f for name, f in known.items()}
    return arrays


def _require_filters(network: Network, schedule: Schedule) -> None:
    """Raise ``UserError`` where a file's filters are not those of the layers, or it moves its images."""
    for name, expected in _constants(schedule).items():
        array = network.arrays.get(name, expected)
        if np.shape(array) != expected.shape or not np.allclose(array, expected, atol=1e-5):
            raise UserError(f"{named(name)}: must be what follows from the arguments of the network")


def _layer_fields(weights: Weights, given: Mapping[str, Any]) -> Fields:
    """Return what the names and shapes of the layers say; the width of an image that is not square is an argument."""
    found = sorted((int(match[2]), match[1]) for name in weights if (match := LAYER.fullmatch(name)))
    if [place for place, _ in found] != list(range(len(found))) or len(found) < 3:
        raise UserError(f"layers {[name for _, name in found][:20]}: must be L0, L1 and so on")
    first, last = (needed(weights, f"params.synthesis.{found[i][1]}.kernel") for i in (0, -1))
    height, size = int(found[-1][1].split("_")[1]), given.get("img_resolution")
    is_wide = isinstance(size, list | tuple) and len(size) == 2 and size[0] == height
    image_size = tuple(size) if is_wide else height
    return {
        "layers": len(found) - 1,
        "image_size": image_size,
        "channels": last.shape[-1],
        "kernel_size": first.shape[0],
    }


def _widths(fields: Fields, weights: Weights, given: Mapping[str, Any]) -> Fields:
    """Return ``channel_base`` and ``channel_max``: those of the arguments, or ones that lead to the layers' channels.

    Raises:
      UserError: the layers are not those of the config.
    """
    names = [match[1] for name in weights if (match := LAYER.fullmatch(name))]
    channels = {int(name[1:].split("_")[0]): int(name.split("_")[2]) for name in names}
    most = int(given.get("channel_max", max(channels[i] for i in range(fields["layers"]))))
    cutoffs = [signal.cutoff for signal in schedule_of({**fields, "channel_base": 1, "channel_max": 1}).signals[1:-1]]
    below = [(channels[i], cutoff) for i, cutoff in enumerate(cutoffs) if channels[i] < most]
    low = max((2 * cutoff * (width - 0.5) for width, cutoff in below), default=2 * most * max(cutoffs))
    high = min((2 * cutoff * (width + 0.5) for width, cutoff in below), default=low)
    steps = (2**k for k in range(20, -1, -1))
    base = next((step * -(-low // step) for step in steps if step * -(-low // step) <= high), low)
    chosen = {"channel_base": int(given.get("channel_base", base)), "channel_max": most}
    expected = [layer.name for layer in schedule_of({**fields, **chosen}).all_layers]
    if sorted(names) != sorted(expected):
        raise UserError(f"layers {sorted(names)[:3]}...: must be {sorted(expected)[:3]}... by the arguments")
    if count(weights, r"params\.synthesis\.L\d+_\d+_\d+\.bias") != len(names):
        raise UserError("a layer without a bias: incomplete file, or another architecture")
    return chosen
