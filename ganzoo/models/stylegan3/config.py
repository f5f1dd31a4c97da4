"""The settings of StyleGAN3: its config, the published rows as presets, and the rules that choose what is left open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

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
from ganzoo.nn.schedule import Schedule, schedule_of
from ganzoo.schedules import ScheduledNonNegative, ScheduledPositive


@dataclass(frozen=True)
class StyleGAN3Networks(PyramidConfig):
    """The networks. The defaults are those of configuration T."""

    image_size: Size = 256
    mapping_layers: Annotated[int, Range(1, 8)] = 2
    """Layers of the generator's mapping network, 1 to 8."""
    channel_base: Count = 32768
    """Channels of a generator's layer with the cutoff f are channel_base / 2 / f, at most channel_max."""
    channel_max: Count = 512
    """Most channels of a generator's layer."""
    discriminator_channel_base: Count | None = None
    """Channels of the discriminator at resolution r are this / r, at most its maximum. None: channel_base."""
    discriminator_channel_max: Count | None = None
    """Most channels of a discriminator's layer. None: channel_max."""
    style_mixing: Share = 0.0
    """Probability with which a (micro-)batch mixes the styles of two latents."""
    style_average_decay: Share = 0.998
    """Decay of the running mean of w, per batch."""
    magnitude_decay: Share | None = None
    """Decay of the running mean square of each layer's input, per batch. None: a half-life of 20,000 images."""

    layers: Annotated[int, Range(2, 64)] = 14
    """Layers of the generator besides the Fourier features and the colours."""
    critical_layers: CountOrZero = 2
    """Last layers, besides the colours, whose cutoff is the highest frequency of the image."""
    kernel_size: Literal[1, 3] = 3
    """Side of the generator's kernels: 3 in configuration T, 1 in R."""
    radial_filters: bool = False
    """Whether downsampling filters are alike in all directions, as in configuration R; critical layers' never are."""
    first_cutoff: Positive = 2.0
    """Cutoff of the first layer, in cycles per shorter side of the image."""
    first_stopband: Positive = 2**2.1
    """Frequency from which on the first layer lets nothing pass, in cycles per shorter side of the image."""
    last_stopband: Positive = 2**0.3
    """The same of the last layer, relative to the highest frequency of the image."""
    margin: CountOrZero = 10
    """Pixels around the image in all layers but the last, on each side."""
    filter_taps: Count = 6
    """Taps of a filter per factor of resampling."""
    activation_upsampling: Count = 2
    """Sampling rate of activations, relative to the layer's."""
    output_scale: Positive = 0.25
    """Factor of the colours of the last layer."""

    discriminator_mapping_layers: Annotated[int, Range(0, 8)] = 8
    """Layers of the discriminator's label mapping, 0 to 8."""
    discriminator_mapping_lr_multiplier: Positive = 0.01
    """Learning rate of the discriminator's label mapping, relative to the other layers."""
    low_precision: Literal["bfloat16", "float16"] = "bfloat16"
    """Type of the activations in the highest rates; parameters, statistics and losses are always float32."""
    low_precision_levels: CountOrZero = 0
    """Number of the highest rates and sizes computed in low_precision; 0 computes everything in float32."""
    remat: bool = False
    """Whether activations within a layer of G or size of D are computed again for the gradient rather than kept: takes
    more time and less memory."""
    conv_clamp: NonNegative = 256.0
    """Limit of the magnitude of the generator's activations; 0 does not limit them."""
    discriminator_conv_clamp: NonNegative | None = None
    """Limit of the magnitude of the discriminator's activations; 0 does not limit them. None: conv_clamp."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes of the discriminator, from the smallest feature map to the image."""
        base = self.discriminator_channel_base or self.channel_base
        return pyramid(self.image_size, base, self.discriminator_channel_max or self.channel_max)

    @property
    def schedule(self) -> Schedule:
        """The layers of the generator."""
        return schedule_of(vars(self))

    @property
    def style_count(self) -> int:
        """L, the number of style inputs: of the Fourier features, of each layer, and of the colours."""
        return self.layers + 2


@dataclass(frozen=True)
class StyleGAN3Config(AugmentConfig, AdamConfig, ObjectiveConfig, StyleGAN3Networks):
    """The networks and their training."""

    # objective
    r1_gamma: ScheduledNonNegative | None = None
    """Weight of R1: gamma / 2 times the squared gradient of D with respect to real images. None: 2 at 256 x 256 and a
    batch of 32, in proportion to pixels / batch size."""
    r1_interval: CountOrZero = 16
    blur_sigma: NonNegative = 0.0
    """Width of the Gaussian that blurs what the discriminator sees at first, in pixels; 0 does not blur. A run with
    init_from has 0 unless this is given."""
    blur_images: NonNegative | None = None
    """Images over which the blur fades to nothing. None: 6250 times the batch size."""

    # optimizers
    generator_learning_rate: ScheduledPositive = 2.5e-3
    """Adam's step size for the generator."""
    discriminator_learning_rate: ScheduledPositive = 2e-3
    """Adam's step size for the discriminator, before the correction for lazy phases."""
    ema_half_life: ScheduledNonNegative | None = None
    """Half-life in images of the generator's moving average (EMA). None: 312.5 times the batch size."""
    ema_ramp: NonNegative | None = 0.05
    """Upper limit of the half-life as a share of the images seen; None does not limit it. A run with init_from has None
    unless this is given."""
    freeze_discriminator_layers: CountOrZero = 0
    """Number of D's first layers that keep their weights, counted from from_rgb of the full size (for transfer;
    FreezeD, Mo et al. 2020)."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_pyramid(self, self.levels)
        check_objective(self)
        _check_schedule(self)


def _check_schedule(config: StyleGAN3Config) -> None:
    """Raise ``UserError`` where the layers of the generator are impossible."""
    schedule = config.schedule
    nyquist = schedule.resolution / 2
    fits = config.critical_layers < config.layers
    require(fits, "critical_layers", config.critical_layers, f"be less than the {config.layers} layers")
    fits = config.first_cutoff < nyquist
    require(fits, "first_cutoff", config.first_cutoff, f"be below {nyquist:g}, half of the image's shorter side")
    fits = config.first_stopband > config.first_cutoff
    require(fits, "first_stopband", config.first_stopband, f"be above first_cutoff, {config.first_cutoff:g}")
    require(config.last_stopband > 1, "last_stopband", config.last_stopband, "be above 1")
    most, highest = config.channel_base, 2 * schedule.resolution
    require(all(signal.features for signal in schedule.signals), "channel_base", most, f"be at least {highest // 2}")


def fill_defaults(config: StyleGAN3Config, batch_size: int, devices: int) -> tuple[StyleGAN3Config, int]:
    """Return the config with a number for every None, and the batch size, chosen where it is 0.

    Rules of NVlabs/stylegan3, train.py:228-251. Its tables of gamma (docs/configs.md) are all of one formula, 0.5 at
    128 x 128 and a batch of 32 images, in proportion to pixels / batch.

    Args:
      config: of any preset; what is not None stays.
      batch_size: images of a step, over all devices.
      devices: number of devices.
    """
    height, width = size_of(config.image_size)
    batch_size = batch_size or max(32, devices)
    chosen: dict[str, Any] = {
        "minibatch_std_group": min(max(batch_size // devices, 1), 4),
        "r1_gamma": 0.5 * (height * width / 128**2) * (32 / batch_size),
        "ema_half_life": 312.5 * batch_size,
        "magnitude_decay": 0.5 ** (batch_size / 20_000),
        "blur_images": 6_250.0 * batch_size,
    }
    missing = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    return replace(config, **missing), batch_size


TRANSFERRED = {"ema_ramp": None, "blur_sigma": 0.0}
"""Settings of a run that starts with other weights, whose discriminator is past its blur (NVlabs/stylegan3,
train.py:263-266)."""

# Presets ------------------------------------------------------------------------------------------------------------


def _rotating(config: StyleGAN3Config) -> StyleGAN3Config:
    """Return configuration R, whose discriminator is that of T (NVlabs/stylegan3, train.py:245-251)."""
    return replace(
        config, kernel_size=1, radial_filters=True, channel_base=2 * config.channel_base,
        channel_max=2 * config.channel_max, discriminator_channel_base=config.channel_base,
        discriminator_channel_max=config.channel_max, blur_sigma=10.0,
    )  # fmt: skip


_T = StyleGAN3Config(low_precision_levels=4)
_ABLATION = replace(_T, channel_base=16384, r1_gamma=1.0, discriminator_learning_rate=2.5e-3)
_SMALL = StyleGAN3Config(
    image_size=64, channels=1, channel_base=1024, channel_max=64, latent_size=128, style_size=128, layers=6, margin=5,
    r1_gamma=0.1, discriminator_learning_rate=2.5e-3, ema_half_life=5_000,
)  # fmt: skip
_TINY = replace(
    _SMALL, image_size=8, channels=3, channel_base=64, channel_max=8, discriminator_channel_base=48, latent_size=8,
    style_size=8, layers=3, critical_layers=1, margin=2, discriminator_mapping_layers=2, r1_gamma=1.0,
    magnitude_decay=0.99, ema_half_life=100, ema_ramp=None, blur_sigma=1.0, blur_images=64.0,
)  # fmt: skip

_FACES_RUN = {
    "images": 24_000, "batch_size": 8, "steps_per_dispatch": 1, "log_every": 1_000, "sample_every": 4_000,
    "checkpoint_every": 4_000,
}  # fmt: skip
_FROM_DATA = ("image_size", "channels", "label_size")
_AUTO_RUN, _RUN64 = {**PUBLISHED_RUN, "batch_size": 0}, {**PUBLISHED_RUN, "batch_size": 64}

PRESETS: Mapping[str, Preset] = {
    "t": Preset(_T, training=_AUTO_RUN, from_data=_FROM_DATA),
    "r": Preset(_rotating(_T), training=_AUTO_RUN, from_data=_FROM_DATA),
    "t-ablation": Preset(_ABLATION, training=_RUN64),
    "r-ablation": Preset(_rotating(_ABLATION), training=_RUN64),
    "faces64": Preset(_SMALL, training=_FACES_RUN),
    "tiny": Preset(_TINY, {"data": "digits"}, TINY_RUN),
}
"""``t`` and ``r`` are the published configurations, which read sizes and labels from the data and compute what is None
by ``fill_defaults``; the ablations are the rows of the paper's table at 256 x 256; ``faces64`` is this library's
setting for small grey images on a CPU; ``tiny`` is for tests."""
