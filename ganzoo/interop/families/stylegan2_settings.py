"""Arguments of the classes and functions that build StyleGAN2 in the original code, and what becomes of them here.

Names and defaults: NVlabs/stylegan2-ada-pytorch, training/networks.py; NVlabs/stylegan3,
training/networks_stylegan2.py; NVlabs/stylegan2-ada, training/networks.py; NVlabs/stylegan2,
training/networks_stylegan2.py; stylegan-human/StyleGAN-Human, training_scripts/sg2/training/networks.py.
"""

from collections.abc import Mapping
from typing import Any

from ganzoo.interop.families.settings import (
    NO_DEFAULT,
    Becomes,
    Must,
    Rules,
    Unused,
    clamp,
    count_or_all,
    count_or_one,
    number,
    number_or,
    taps,
    told,
    unused,
)
from ganzoo.interop.families.shapes import Fields
from ganzoo.nn.pyramid import size_of

PRECISION = Unused("all layers are computed in float32", (0, "float32"))
LAYOUT = Unused("a memory layout, which does not change the numbers", (False,))
FUSED = Unused("an order of the same operations")
TRUNCATION = "images are truncated by the psi and the cutoff of each call"
STATE = "a state of the original code, not of the network"

# fmt: off
_INNER_GENERATOR: Rules = {
    **told("channel_base", "channel_max", "architecture", "use_noise"),
    "activation":          Becomes("activation", "lrelu"),
    "resample_filter":     Becomes("resample_filter", (1, 3, 3, 1), taps(absent=(1.0,))),
    "conv_clamp":          Becomes("conv_clamp", None, clamp),
    "kernel_size":         Must((3,)),
    "num_fp16_res":        PRECISION,
    "fp16_channels_last":  LAYOUT,
    "fused_modconv_default": FUSED,
}
_OUTER_GENERATOR: Rules = {
    **told("class_name", "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "square", "init_res",
           "mapping_kwargs.num_layers", "mapping_kwargs.embed_features", "mapping_kwargs.layer_features"),
    "mapping_kwargs.activation":    Becomes("activation", "lrelu"),
    "mapping_kwargs.lr_multiplier": Becomes("mapping_lr_multiplier", 0.01, number),
}
GENERATOR: Rules = {
    **_OUTER_GENERATOR,
    "mapping_kwargs.w_avg_beta": Becomes("style_average_decay", 0.995, number),
    **{f"synthesis_kwargs.{name}": rule for name, rule in _INNER_GENERATOR.items()},
}
"""Of the class Generator of stylegan2-ada-pytorch and StyleGAN-Human."""
LATER_GENERATOR: Rules = {
    **_OUTER_GENERATOR,
    "mapping_kwargs.w_avg_beta": Becomes("style_average_decay", 0.998, number),
    **_INNER_GENERATOR,
    "conv_clamp":                Becomes("conv_clamp", 256, clamp),
}
"""Of the class Generator of stylegan3, whose arguments of the synthesis network stand beside the others."""

DISCRIMINATOR: Rules = {
    **told("class_name", "c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max",
           "cmap_dim", "square", "init_res", "mapping_kwargs.num_layers", "mapping_kwargs.embed_features",
           "mapping_kwargs.layer_features", "epilogue_kwargs.mbstd_num_channels"),
    "num_fp16_res":                     PRECISION,
    "conv_clamp":                       Becomes("discriminator_conv_clamp", None, clamp),
    "block_kwargs.activation":          Becomes("activation", "lrelu"),
    "block_kwargs.resample_filter":     Becomes("resample_filter", (1, 3, 3, 1), taps(absent=(1.0,))),
    "block_kwargs.fp16_channels_last":  LAYOUT,
    "block_kwargs.freeze_layers":       Becomes("freeze_discriminator_layers", 0),
    "mapping_kwargs.activation":        Must(("lrelu",)),
    "mapping_kwargs.lr_multiplier":     Becomes("discriminator_mapping_lr_multiplier", 0.01, number),
    "epilogue_kwargs.activation":       Becomes("activation", "lrelu"),
    "epilogue_kwargs.mbstd_group_size": Becomes("minibatch_std_group", 4, count_or_all),
}
"""Of the class Discriminator of all three repositories. The label mapping has lrelu, whatever the other layers have."""
UNLABELLED: Rules = {
    **DISCRIMINATOR,
    "mapping_kwargs.num_layers":    Becomes("discriminator_mapping_layers"),
    "mapping_kwargs.lr_multiplier": Becomes("discriminator_mapping_lr_multiplier", NO_DEFAULT, number),
    **told("mapping_kwargs.activation"),
}
"""Without labels there is no mapping network, so its arguments, where given, are kept for the config only."""

_TENSORFLOW: Rules = {
    **told("func_name", "num_channels", "resolution", "label_size", "fmap_base", "fmap_decay", "fmap_min", "fmap_max",
           "mapping_layers", "mapping_fmaps", "architecture"),
    "nonlinearity":    Becomes("activation", "lrelu"),
    "resample_kernel": Becomes("resample_filter", (1, 3, 3, 1), taps(absent=(1.0, 1.0))),
    "dtype":           PRECISION,
    "num_fp16_res":    PRECISION,
    **unused(STATE, "structure", "is_template_graph"),
}
TENSORFLOW_GENERATOR: Rules = {
    **_TENSORFLOW,
    **told("latent_size", "dlatent_size", "label_fmaps", "fmap_const", "use_noise", "dlatent_broadcast",
           "mapping_func", "synthesis_func"),
    "mapping_nonlinearity": Becomes("activation", "lrelu"),
    "mapping_lrmul":        Becomes("mapping_lr_multiplier", 0.01, number),
    "dlatent_avg_beta":     Becomes("style_average_decay", 0.995, number_or(1.0)),
    "w_avg_beta":           Becomes("style_average_decay", NO_DEFAULT, number_or(1.0)),
    "style_mixing_prob":    Becomes("style_mixing", 0.9, number_or(0.0)),
    "conv_clamp":           Becomes("conv_clamp", None, clamp),
    "normalize_latents":    Must((True,)),
    "fused_modconv":        FUSED,
    "randomize_noise":      Unused("the noise of images is chosen in each call"),
    **unused(TRUNCATION, "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val"),
    **unused(STATE, "is_training", "is_validation", "return_dlatents", "force_clean_graph"),
}
"""Of G_main in both repositories, which passes arguments on to G_mapping and G_synthesis."""
TENSORFLOW_DISCRIMINATOR: Rules = {
    **_TENSORFLOW,
    **told("mbstd_num_features"),
    "mapping_lrmul":     Becomes("discriminator_mapping_lr_multiplier", 0.1, number),
    "conv_clamp":        Becomes("discriminator_conv_clamp", None, clamp),
    "mbstd_group_size":  Becomes("minibatch_std_group", None, count_or_all),
    "freeze_layers":     Becomes("freeze_discriminator_layers", 0),
    "use_pagan":         Must((False,)),
    "use_spectral_norm": Must((False,)),
    "adaptive_dropout":  Must((0,)),
    "score_size":        Must((1,)),
    "score_max":         Must((1,)),
    **unused("part of a method that is off", "augment_strength", "pagan_num", "pagan_fade"),
}
"""Of D_main in stylegan2-ada. A minibatch standard deviation without a group size is of the whole batch."""
OLDER_DISCRIMINATOR: Rules = {
    **TENSORFLOW_DISCRIMINATOR,
    "mbstd_group_size": Becomes("minibatch_std_group", 4, count_or_one),
}
"""Of D_stylegan2 in stylegan2, where a group of 0 or 1 leaves the deviation out, which the arrays tell."""
# fmt: on

POSITIONS: Mapping[str, tuple[str, ...]] = {
    "Generator": (
        "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs",
    ),
    "Discriminator": (
        "c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max", "num_fp16_res",
        "conv_clamp", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs",
    ),
}  # fmt: skip
"""Arguments of the classes of stylegan2-ada-pytorch in their order."""

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "mapping_kwargs.activation": ("mapping.fc0.activation",),
    "mapping_kwargs.lr_multiplier": ("mapping.fc0.bias_gain",),
    "mapping_kwargs.w_avg_beta": ("mapping.w_avg_beta",),
    "synthesis_kwargs.activation": ("synthesis.b4.conv1.activation",),
    "synthesis_kwargs.conv_clamp": ("synthesis.b4.conv1.conv_clamp",),
    "activation": ("synthesis.b4.conv1.activation",),
    "conv_clamp": ("synthesis.b4.conv1.conv_clamp", "b4.conv.conv_clamp"),
    "block_kwargs.activation": ("b8.conv0.activation",),
    "epilogue_kwargs.activation": ("b4.conv.activation",),
    "epilogue_kwargs.mbstd_group_size": ("b4.mbstd.group_size",),
}
"""Attributes of modules that hold what an argument, or its default in the code that wrote the file, was."""


def generator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which stylegan2-ada-pytorch builds the generator of a config."""
    return {
        "class_name": "training.networks.Generator",
        "z_dim": fields["latent_size"],
        "c_dim": fields["label_size"],
        "w_dim": fields["style_size"],
        **_images(fields),
        "mapping_kwargs": {
            "num_layers": fields["mapping_layers"],
            "activation": fields["activation"],
            "lr_multiplier": fields["mapping_lr_multiplier"],
            "w_avg_beta": fields["style_average_decay"],
        },
        "synthesis_kwargs": {
            "channel_base": fields["channel_base"] or 32768,
            "channel_max": fields["channel_max"],
            "num_fp16_res": 0,
            "architecture": fields["generator_architecture"],
            "resample_filter": list(fields["resample_filter"]),
            "conv_clamp": fields["conv_clamp"] or None,
            "use_noise": fields["use_noise"],
            "activation": fields["activation"],
        },
    }


def discriminator_arguments(fields: Fields) -> dict[str, Any]:
    """Return the arguments with which stylegan2-ada-pytorch builds the discriminator of a config."""
    own, group = fields["discriminator_conv_clamp"], fields["minibatch_std_group"]
    return {
        "class_name": "training.networks.Discriminator",
        "c_dim": fields["label_size"],
        **_images(fields),
        "architecture": fields["discriminator_architecture"],
        "channel_base": fields["channel_base"] or 32768,
        "channel_max": fields["channel_max"],
        "num_fp16_res": 0,
        "conv_clamp": (fields["conv_clamp"] if own is None else own) or None,
        "cmap_dim": None,
        "block_kwargs": {
            "activation": fields["activation"],
            "resample_filter": list(fields["resample_filter"]),
            "freeze_layers": fields["freeze_discriminator_layers"],
        },
        "mapping_kwargs": {
            "num_layers": fields["discriminator_mapping_layers"],
            "lr_multiplier": fields["discriminator_mapping_lr_multiplier"],
        },
        "epilogue_kwargs": {
            "mbstd_group_size": 4 if group is None else group or None,
            "mbstd_num_channels": fields["minibatch_std_channels"],
            "activation": fields["activation"],
        },
    }


def _images(fields: Fields) -> dict[str, Any]:
    """Return the arguments of both networks; ``square`` is StyleGAN-Human's, whose images are 2 : 1."""
    height, width = size_of(fields["image_size"])
    is_half = fields["smallest_size"] is not None and height == 2 * width
    return {"img_resolution": height, "img_channels": fields["channels"], **({"square": False} if is_half else {})}
