"""The settings of StyleGAN2: its config, the published rows as presets, and the rules that choose what is left open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ganzoo import augment
from ganzoo.augment import AugmentConfig
from ganzoo.config import check_types, require, require_at_least, require_positive, require_share
from ganzoo.nn.pyramid import Level, pyramid, size_of
from ganzoo.ops.activations import ActivationName

Architecture = Literal["skip", "resnet", "orig"]


@dataclass(frozen=True)
class StyleGAN2Config(AugmentConfig):
    """The networks and their training. The defaults are those of configuration F at 1024 x 1024."""

    image_size: int | tuple[int, int] = 1024
    """Pixels: one number for a square, or height and width; h * 2^k and w * 2^k, the smaller of h, w from 4 to 15."""
    channels: int = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, or more."""
    label_size: int = 0
    """Length of the label vectors (the number of classes); 0 trains without labels."""

    # networks
    latent_size: int = 512
    """Length of the latent vector z."""
    style_size: int = 512
    """Length of the style vector w."""
    mapping_layers: int = 8
    """Layers of the generator's mapping network, 1 to 8."""
    mapping_lr_multiplier: float = 0.01
    """The mapping network's learning rate in units of the others'."""
    channel_base: int | None = 32768
    """Channels at resolution r are channel_base / r, at most channel_max; None: 32768 from 512 pixels on, else half."""
    channel_max: int = 512
    """The most channels that a layer has."""
    generator_architecture: Architecture = "skip"
    """Paper, figure 7: "skip" adds up colours of every size, "resnet" has residual blocks, "orig" has neither."""
    discriminator_architecture: Architecture = "resnet"
    """Paper, figure 7."""
    activation: ActivationName = "lrelu"
    """Of all layers."""
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    """Taps of the low-pass filter around every change of size."""
    use_noise: bool = True
    """Whether the generator's layers add noise."""
    training_noise: Literal["random", "const", "none"] = "random"
    """Noise in training: fresh for every image, the fixed buffers, or none. Samples use the fixed buffers."""
    minibatch_std_group: int | None = 4
    """Images of one minibatch standard deviation; 0 takes the whole (micro-)batch, None at most 4."""
    minibatch_std_channels: int = 1
    """Maps that the minibatch standard deviation adds; 0 leaves it out."""
    discriminator_mapping_layers: int = 8
    """Layers of the discriminator's label mapping."""

    # precision
    low_precision: Literal["bfloat16", "float16"] = "bfloat16"
    """Type of the activations in the largest sizes; parameters, statistics and losses are always float32."""
    low_precision_levels: int = 0
    """How many of the largest sizes are computed in it; 0 computes everything in float32."""
    conv_clamp: float = 256.0
    """Limit of the magnitude of activations; 0 does not limit them."""

    # objective
    r1_gamma: float | None = 10.0
    """Weight of R1, gamma / 2 times the squared gradient; None: 2e-4 * pixels / batch size."""
    r1_interval: int = 16
    """Steps from one R1 phase to the next; 0 adds it to the main loss of every step."""
    path_length_weight: float = 2.0
    """Weight of the path length penalty."""
    path_length_interval: int = 4
    """Steps from one path length phase to the next; 0 adds it to the main loss of every step."""
    path_length_decay: float = 0.01
    """Share of the newest batch in the running mean of path lengths."""
    path_length_batch_shrink: int = 2
    """The path length phase takes a batch so many times smaller."""
    style_mixing: float = 0.9
    """Probability with which a (micro-)batch mixes the styles of two latents."""
    style_average_decay: float = 0.995
    """Share of the old running average of w that one batch leaves."""

    # optimizers
    generator_learning_rate: float | None = 2e-3
    """Adam's step size before the correction for the lazy phases; None: 2e-3 from 1024 pixels on, else 2.5e-3."""
    discriminator_learning_rate: float | None = 2e-3
    """The discriminator's, likewise."""
    adam_beta1: float = 0.0
    """Adam's decay of the gradient's mean, per step."""
    adam_beta2: float = 0.99
    """Adam's decay of the gradient's square, per step."""
    adam_epsilon: float = 1e-8
    """Added to the root of the squares in Adam."""
    freeze_discriminator_layers: int = 0
    """How many of D's first layers keep their weights, counted from the colours down (for transfer; FreezeD)."""
    average_half_life: float | None = 10_000
    """Half-life in images of the generator's moving average; None: 312.5 times the batch size."""
    average_ramp: float | None = None
    """The half-life is at most this share of the images seen so far; None does not limit it."""
    micro_batch: int = 0
    """Images whose gradients are computed at once, over all devices; 0 is the whole batch. Costs time, saves memory;
    statistics over a batch (minibatch standard deviation, averages, mixing) are then those of a micro-batch."""

    def __post_init__(self) -> None:
        check_types(self)
        levels = self.levels
        require_at_least(1, self, "channels", "latent_size", "style_size", "channel_max", "path_length_batch_shrink")
        require_at_least(
            0, self, "label_size", "minibatch_std_channels", "low_precision_levels", "conv_clamp", "r1_interval",
            "path_length_weight", "path_length_interval", "freeze_discriminator_layers", "micro_batch",
        )  # fmt: skip
        for name in ("minibatch_std_group", "r1_gamma", "average_half_life", "average_ramp"):
            if getattr(self, name) is not None:
                require_at_least(0, self, name)
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        require_positive(self, "mapping_lr_multiplier", "adam_epsilon")
        for name in ("mapping_layers", "discriminator_mapping_layers"):
            require(1 <= getattr(self, name) <= 8, name, getattr(self, name), "be 1 to 8")
        require_share(self, "adam_beta1", "adam_beta2", below_one=True)
        require_share(self, "style_mixing", "style_average_decay", "path_length_decay")
        require(sum(self.resample_filter) > 0, "resample_filter", self.resample_filter, "have a positive sum")
        augment.check(self)
        finest = levels[-1].resolution
        require(levels[-1].features >= 1, "channel_base", self.channel_base, f"be at least the resolution, {finest}")
        std, features = self.minibatch_std_channels, levels[0].features
        require(not std or features % std == 0, "minibatch_std_channels", std, f"divide the {features} features at 4x4")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes from the smallest feature map to the image; as at 512 pixels where ``channel_base`` is None."""
        return pyramid(self.image_size, self.channel_base or 32768, self.channel_max)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (*size_of(self.image_size), self.channels)

    @property
    def style_count(self) -> int:
        """L, the number of style inputs."""
        return 2 * len(self.levels)


def auto_batch_size(image_size: int | tuple[int, int], devices: int) -> int:
    """``max(min(g * min(4096 // resolution, 32), 64), g)`` on g devices. NVlabs/stylegan2-ada-pytorch, train.py:167."""
    resolution = pyramid(image_size, 32768, 512)[-1].resolution
    return max(min(devices * min(4096 // resolution, 32), 64), devices)


def complete(config: StyleGAN2Config, batch_size: int, devices: int) -> tuple[StyleGAN2Config, int]:
    """The config with a number for every None, and the batch size, chosen if it is 0.

    The rules of NVlabs/stylegan2-ada-pytorch's "auto", train.py:165-174: they are a start, not an optimum.

    Args:
      config: of any preset; what is not None stays.
      batch_size: of a step, over all devices.
      devices: how many share it.
    """
    height, width = size_of(config.image_size)
    batch_size = batch_size or auto_batch_size(config.image_size, devices)
    resolution = config.levels[-1].resolution
    rate = 2e-3 if resolution >= 1024 else 2.5e-3
    chosen = {
        "channel_base": 32768 if resolution >= 512 else 16384,
        "minibatch_std_group": min(max(batch_size // devices, 1), 4),
        "r1_gamma": 2e-4 * height * width / batch_size,
        "generator_learning_rate": rate,
        "discriminator_learning_rate": rate,
        "average_half_life": 312.5 * batch_size,
    }
    missing = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    return replace(config, **missing), batch_size


# Presets ------------------------------------------------------------------------------------------------------------


def _published(
    pixels: int, base: int, rate: float, gamma: float, half_life: float, group: int, mapping: int = 8
) -> StyleGAN2Config:
    """A row of the table below."""
    return StyleGAN2Config(
        image_size=pixels,
        channel_base=base,
        generator_learning_rate=rate,
        discriminator_learning_rate=rate,
        r1_gamma=gamma,
        average_half_life=half_life,
        minibatch_std_group=group,
        mapping_layers=mapping,
        low_precision_levels=4,
    )


def _cifar(config: StyleGAN2Config) -> StyleGAN2Config:
    """What else the row "cifar" changes (train.py:195-198)."""
    return replace(
        config, path_length_weight=0.0, style_mixing=0.0, discriminator_architecture="orig", average_ramp=0.05
    )


_AUTO = StyleGAN2Config(
    image_size=256, channel_base=None, generator_learning_rate=None, discriminator_learning_rate=None, r1_gamma=None,
    average_half_life=None, minibatch_std_group=None, mapping_layers=2, average_ramp=0.05, low_precision_levels=4,
)  # fmt: skip
_SMALL = StyleGAN2Config(
    image_size=64, channels=1, channel_base=1024, channel_max=64, latent_size=128, style_size=128, mapping_layers=4,
    r1_gamma=0.1, generator_learning_rate=2.5e-3, discriminator_learning_rate=2.5e-3, average_half_life=5_000,
    average_ramp=0.05,
)  # fmt: skip
_TINY = replace(
    _SMALL, image_size=8, channels=3, channel_base=48, channel_max=8, latent_size=8, style_size=8, mapping_layers=2,
    discriminator_mapping_layers=2, r1_gamma=1.0, generator_learning_rate=2e-3, discriminator_learning_rate=2e-3,
    average_half_life=100, average_ramp=None,
)  # fmt: skip

# fmt: off
PRESETS: Mapping[str, StyleGAN2Config] = {
    #                        pixels   base    rate  gamma  half-life  group  mapping
    "stylegan2":  _published(  1024, 32768, 2.0e-3, 10.00,    10_000,     4),
    "paper256":   _published(   256, 16384, 2.5e-3,  1.00,    20_000,     8),
    "paper512":   _published(   512, 32768, 2.5e-3,  0.50,    20_000,     8),
    "paper1024":  _published(  1024, 32768, 2.0e-3,  2.00,    10_000,     4),
    "cifar": _cifar(_published(32, 32768, 2.5e-3, 0.01,   500_000,    32,       2)),
    "auto": _AUTO,
    "faces64": _SMALL,
    "tiny": _TINY,
}
# fmt: on
"""The first five are the published rows of NVlabs/stylegan2-ada-pytorch, train.py:154-161; ``auto`` computes what is
None from the image and the batch by ``complete``; ``faces64`` is this library's setting for small grey pictures on a
CPU; ``tiny`` is for tests."""
