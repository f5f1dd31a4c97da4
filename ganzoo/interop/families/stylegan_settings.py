"""Arguments of the functions that build StyleGAN in the original code, and what becomes of them here.

Names and defaults: NVlabs/stylegan, training/networks_stylegan.py.
"""

import math
from collections.abc import Mapping
from typing import Any

from ganzoo.interop.families.settings import Becomes, Must, Rules, Unused, number, number_or, taps, told, unused
from ganzoo.interop.families.shapes import Fields

STATE = "a state of the original code, not of the network"
TRUNCATION = "images are truncated by the psi and the cutoff of each call"


def _fused(value: Any) -> str:
    """Return ``fused_scale`` of a config."""
    names = {True: "always", False: "never", "auto": "auto"}
    if type(value) not in (bool, str) or value not in names:
        raise ValueError("True, False or auto")
    return names[value]


def _blur(value: Any) -> tuple[float, ...]:
    """Return the taps of a low-pass filter, where none at all do not filter."""
    return () if value in (None, [], ()) else taps(absent=())(value)


def _flag(value: Any) -> bool:
    """Return a switch."""
    if type(value) is not bool:
        raise ValueError("True or False")
    return value


# fmt: off
_BOTH: Rules = {
    **told("func_name", "num_channels", "resolution", "label_size", "fmap_base", "fmap_decay", "fmap_max"),
    "nonlinearity": Becomes("activation", "lrelu"),
    "blur_filter":  Becomes("blur_filter", (1, 2, 1), _blur),
    "fused_scale":  Becomes("fused_scale", "auto", _fused),
    "use_wscale":   Must((True,)),
    "dtype":        Unused("all layers are computed in float32", ("float32",)),
    "structure":    Unused("the same numbers, computed in another order", ("auto",)),
    **unused(STATE, "is_template_graph"),
}
GENERATOR: Rules = {
    **_BOTH,
    **told("latent_size", "dlatent_size", "dlatent_broadcast", "mapping_layers", "mapping_fmaps", "use_styles",
           "const_input_layer", "use_noise"),
    "mapping_nonlinearity": Becomes("activation", "lrelu"),
    "mapping_lrmul":        Becomes("mapping_lr_multiplier", 0.01, number),
    "normalize_latents":    Becomes("normalize_latents", True, _flag),
    "use_pixel_norm":       Becomes("pixel_norm", False, _flag),
    "use_instance_norm":    Becomes("instance_norm", True, _flag),
    "dlatent_avg_beta":     Becomes("style_average_decay", 0.995, number_or(1.0)),
    "style_mixing_prob":    Becomes("style_mixing", 0.9, number_or(0.0)),
    "randomize_noise":      Unused("the noise of images is chosen in each call"),
    **unused(TRUNCATION, "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val"),
    **unused(STATE, "is_training", "is_validation", "force_clean_graph"),
}
"""Of G_style, which passes arguments on to G_mapping and G_synthesis."""
DISCRIMINATOR: Rules = {
    **_BOTH,
    **told("mbstd_num_features"),
    "mbstd_group_size": Becomes("minibatch_std_group", 4),
}
"""Of D_basic."""
# fmt: on


def told_widths(given: Mapping[str, Any]) -> tuple[float, int] | None:
    """Return ``channel_base`` and ``channel_max`` of a network with these arguments; None where they do not tell.

    The originals count channels as ``min(fmap_base / 2^stage, fmap_max)``, and a size of 4 x 4 is of stage 1.
    """
    base, most = given.get("fmap_base", 8192), given.get("fmap_max", 512)
    known = bool(given) and given.get("fmap_decay", 1) == 1 and type(base) in (int, float) and type(most) is int
    return (2 * base, most) if known and 1 <= base < math.inf else None


def generator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which NVlabs/stylegan builds the generator of a config."""
    return {
        "func_name": "training.networks_stylegan.G_style",
        **_both(fields),
        "latent_size": fields["latent_size"],
        "dlatent_size": fields["style_size"],
        "mapping_layers": fields["mapping_layers"],
        "mapping_fmaps": fields["mapping_features"],
        "mapping_nonlinearity": fields["activation"],
        "mapping_lrmul": fields["mapping_lr_multiplier"],
        "normalize_latents": fields["normalize_latents"],
        "use_styles": fields["use_styles"],
        "const_input_layer": fields["constant_input"],
        "use_noise": fields["use_noise"],
        "use_pixel_norm": fields["pixel_norm"],
        "use_instance_norm": fields["instance_norm"],
        "dlatent_avg_beta": fields["style_average_decay"],
        "style_mixing_prob": fields["style_mixing"],
    }


def discriminator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which NVlabs/stylegan builds the discriminator of a config."""
    return {
        "func_name": "training.networks_stylegan.D_basic",
        **_both(fields),
        "mbstd_group_size": fields["minibatch_std_group"],
        "mbstd_num_features": fields["minibatch_std_channels"],
    }


def _both(fields: Fields) -> dict[str, Any]:
    size = fields["image_size"]
    fused = {"always": True, "never": False, "auto": "auto"}
    return {
        "num_channels": fields["channels"],
        "resolution": size if isinstance(size, int) else size[0],
        "label_size": fields["label_size"],
        "fmap_base": fields["channel_base"] / 2,
        "fmap_max": fields["channel_max"],
        "nonlinearity": fields["activation"],
        "blur_filter": list(fields["blur_filter"]) or None,
        "fused_scale": fused[fields["fused_scale"]],
    }
