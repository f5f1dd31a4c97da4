"""The settings of StyleGAN2: its config, the published rows as presets, and the rules that choose what is left open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, CountOrZero, NonNegative, Positive, Range, Share, check_fields, require
from ganzoo.gan import Preset
from ganzoo.models.config import (
    PUBLISHED_RUN,
    TINY_RUN,
    AdamConfig,
    ObjectiveConfig,
    PyramidConfig,
    Size,
    check_objective,
    check_pyramid,
)
from ganzoo.nn.pyramid import Level, pyramid, size_of
from ganzoo.ops.activations import ActivationName
from ganzoo.schedules import ScheduledNonNegative, ScheduledPositive

Architecture = Literal["skip", "resnet", "orig"]


@dataclass(frozen=True)
class StyleGAN2Networks(PyramidConfig):
    """The networks. The defaults are those of configuration F at 1024 x 1024."""

    image_size: Size = 1024
    smallest_size: Size | None = None
    """Pixels of the smallest feature map. None: image_size halved while both sides are even and at least 8."""
    mapping_layers: Annotated[int, Range(1, 8)] = 8
    """Layers of the generator's mapping network, 1 to 8."""
    channel_base: int | None = 32768
    """Channels at resolution r are channel_base / r, at most channel_max. None: 32768 from 512 pixels on, else half."""
    minibatch_std_group: CountOrZero | None = 4
    """Group size of the minibatch standard deviation. 0: whole (micro-)batch. None: min(batch / devices, 4)."""
    generator_architecture: Architecture = "skip"
    """Generator of the paper's figure 7: "skip" adds up colours of every size, "resnet" has residual blocks, "orig"
    has neither."""
    discriminator_architecture: Architecture = "resnet"
    """Discriminator of the paper's figure 7: "resnet", "skip" or "orig"."""
    activation: ActivationName = "lrelu"
    """Activation of all layers."""
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    """Taps of the low-pass filter around every change of size."""
    use_noise: bool = True
    """Whether the generator's layers add noise."""
    training_noise: Literal["random", "const", "none"] = "random"
    """Noise in training: fresh for every image, the fixed noise maps, or none. Samples use the fixed maps."""
    discriminator_mapping_layers: Annotated[int, Range(0, 8)] = 8
    """Layers of the discriminator's label mapping, 0 to 8."""
    discriminator_mapping_lr_multiplier: Positive = 0.01
    """Learning rate of the discriminator's label mapping, relative to the other layers."""
    low_precision: Literal["bfloat16", "float16"] = "bfloat16"
    """Type of the activations in the largest sizes; parameters, statistics and losses are always float32."""
    low_precision_levels: CountOrZero = 0
    """Number of the largest sizes computed in low_precision; 0 computes everything in float32."""
    remat: bool = False
    """Whether activations within a size are computed again for the gradient rather than kept: takes more time and less
    memory."""
    conv_clamp: NonNegative = 256.0
    """Limit of the magnitude of activations; 0 does not limit them."""
    discriminator_conv_clamp: NonNegative | None = None
    """Limit of the magnitude of the discriminator's activations; 0 does not limit them. None: conv_clamp."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes from the smallest feature map to the image; as at 512 pixels where ``channel_base`` is None."""
        return pyramid(self.image_size, self.channel_base or 32768, self.channel_max, self.smallest_size)

    @property
    def style_count(self) -> int:
        """L, the number of style inputs."""
        return 2 * len(self.levels)


@dataclass(frozen=True)
class StyleGAN2Config(AugmentConfig, AdamConfig, ObjectiveConfig, StyleGAN2Networks):
    """The networks and their training."""

    # objective
    r1_gamma: ScheduledNonNegative | None = 10.0
    """Weight of R1: gamma / 2 times the squared gradient of D with respect to real images. None: 2e-4 * pixels / batch
    size."""
    r1_interval: CountOrZero = 16
    path_length_weight: NonNegative = 2.0
    """Weight of the path length penalty."""
    path_length_interval: CountOrZero = 4
    """Steps between two path length phases; 0 adds the penalty to the main loss of every step."""
    path_length_decay: Share = 0.01
    """Share of the newest batch in the running mean of path lengths."""
    path_length_batch_shrink: Count = 2
    """The path length phase takes a batch this many times smaller."""

    # optimizers
    generator_learning_rate: ScheduledPositive | None = 2e-3
    """Adam's step size for the generator, before the correction for lazy phases. None: 2e-3 from 1024 pixels on, else
    2.5e-3."""
    discriminator_learning_rate: ScheduledPositive | None = 2e-3
    """Adam's step size for the discriminator, before the correction for lazy phases. None: 2e-3 from 1024 pixels on,
    else 2.5e-3."""
    ema_half_life: ScheduledNonNegative | None = 10_000
    """Half-life in images of the generator's moving average (EMA). None: 312.5 times the batch size."""
    ema_ramp: NonNegative | None = None
    """Upper limit of the half-life as a share of the images seen; None does not limit it. A run with init_from has None
    unless this is given."""
    freeze_discriminator_layers: CountOrZero = 0
    """Number of D's first layers that keep their weights, counted from from_rgb of the full size (for transfer;
    FreezeD, Mo et al. 2020)."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_pyramid(self, self.levels)
        check_objective(self)
        require(sum(self.resample_filter) > 0, "resample_filter", self.resample_filter, "have a positive sum")


def auto_batch_size(image_size: Size, devices: int) -> int:
    """Return ``max(min(g * min(4096 // resolution, 32), 64), g)`` on g devices.

    NVlabs/stylegan2-ada-pytorch, train.py:167.
    """
    resolution = pyramid(image_size, 32768, 512)[-1].resolution
    return max(min(devices * min(4096 // resolution, 32), 64), devices)


def fill_defaults(config: StyleGAN2Config, batch_size: int, devices: int) -> tuple[StyleGAN2Config, int]:
    """Return the config with a number for every None, and the batch size, chosen where it is 0.

    The rules of NVlabs/stylegan2-ada-pytorch's "auto", train.py:165-174: they are a start, not an optimum.

    Args:
      config: of any preset; what is not None stays.
      batch_size: images of a step, over all devices.
      devices: number of devices.
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
        "ema_half_life": 312.5 * batch_size,
    }
    missing = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    return replace(config, **missing), batch_size


TRANSFERRED = {"ema_ramp": None}
"""Settings of a run that starts with other weights (NVlabs/stylegan2-ada-pytorch, train.py:313-315)."""

# Presets ------------------------------------------------------------------------------------------------------------


def _published(
    pixels: int, base: int, rate: float, gamma: float, half_life: float, group: int, mapping: int = 8
) -> StyleGAN2Config:
    """Return a row of the table below."""
    return StyleGAN2Config(
        image_size=pixels,
        channel_base=base,
        generator_learning_rate=rate,
        discriminator_learning_rate=rate,
        r1_gamma=gamma,
        ema_half_life=half_life,
        minibatch_std_group=group,
        mapping_layers=mapping,
        low_precision_levels=4,
    )


def _cifar(config: StyleGAN2Config) -> StyleGAN2Config:
    """Return a config with what else the row "cifar" changes (train.py:195-198)."""
    return replace(config, path_length_weight=0.0, style_mixing=0.0, discriminator_architecture="orig", ema_ramp=0.05)


_AUTO = StyleGAN2Config(
    image_size=256, channel_base=None, generator_learning_rate=None, discriminator_learning_rate=None, r1_gamma=None,
    ema_half_life=None, minibatch_std_group=None, mapping_layers=2, ema_ramp=0.05, low_precision_levels=4,
)  # fmt: skip
_SMALL = StyleGAN2Config(
    image_size=64, channels=1, channel_base=1024, channel_max=64, latent_size=128, style_size=128, mapping_layers=4,
    r1_gamma=0.1, generator_learning_rate=2.5e-3, discriminator_learning_rate=2.5e-3, ema_half_life=5_000,
    ema_ramp=0.05,
)  # fmt: skip
_TINY = replace(
    _SMALL, image_size=8, channels=3, channel_base=48, channel_max=8, latent_size=8, style_size=8, mapping_layers=2,
    discriminator_mapping_layers=2, r1_gamma=1.0, generator_learning_rate=2e-3, discriminator_learning_rate=2e-3,
    ema_half_life=100, ema_ramp=None,
)  # fmt: skip

_FACES_RUN = {
    "images": 64_000, "batch_size": 16, "steps_per_dispatch": 1, "log_every": 1_000, "sample_every": 4_000,
    "checkpoint_every": 4_000,
}  # fmt: skip
_RUN64 = {**PUBLISHED_RUN, "batch_size": 64}
_CIFAR10, _DIGITS = {"data": "tfds:cifar10", "mirror": True}, {"data": "digits"}

# fmt: off
PRESETS: Mapping[str, Preset] = {
    #                               pixels   base    rate  gamma  half-life  group  mapping
    "stylegan2": Preset(_published(  1024, 32768, 2.0e-3, 10.00,    10_000,     4), training=PUBLISHED_RUN),
    "paper256":  Preset(_published(   256, 16384, 2.5e-3,  1.00,    20_000,     8), training=_RUN64),
    "paper512":  Preset(_published(   512, 32768, 2.5e-3,  0.50,    20_000,     8), training=_RUN64),
    "paper1024": Preset(_published(  1024, 32768, 2.0e-3,  2.00,    10_000,     4), training=PUBLISHED_RUN),
    "cifar": Preset(_cifar(_published(32, 32768, 2.5e-3, 0.01,     500_000,    32,       2)), _CIFAR10,
                    {**PUBLISHED_RUN, "images": 100_000_000, "batch_size": 64}),
    "auto": Preset(_AUTO, training={**PUBLISHED_RUN, "batch_size": 0},
                   from_data=("image_size", "channels", "label_size")),
    "faces64": Preset(_SMALL, training=_FACES_RUN),
    "tiny": Preset(_TINY, _DIGITS, TINY_RUN),
}
# fmt: on
"""The first five are the published rows of NVlabs/stylegan2-ada-pytorch, train.py:154-161; ``auto`` reads sizes and
labels from the data, and computes what is None from these and the batch by ``fill_defaults``; ``faces64`` is this
library's setting for small grey images on a CPU; ``tiny`` is for tests."""
