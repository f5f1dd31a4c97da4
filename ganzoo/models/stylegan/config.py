"""The settings of StyleGAN and ProGAN: one config, the published rows as presets, and the tables that fill it up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, CountOrZero, check_fields, require
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
from ganzoo.models.stylegan.growth import Growth
from ganzoo.nn.pyramid import Level, pyramid
from ganzoo.schedules import ScheduledNonNegative

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class StyleGANNetworks(PyramidConfig):
    """The networks. The defaults are those of configuration F of the paper on FFHQ, 1024 x 1024."""

    image_size: Size = 1024
    mapping_layers: CountOrZero = 8
    """Layers of the mapping network; 0 takes z itself for w, with style_size = latent_size."""
    channel_base: int = 16384
    minibatch_std_group: CountOrZero = 4
    embed_labels: bool = True
    """Whether a learned matrix takes labels to vectors of the size of z beside z; without, labels stand there as they
    are, as in ProGAN."""
    discriminator_labels: bool = True
    """Whether the discriminator's logit is the inner product of k outputs and the label; without, labels are ignored,
    as in ProGAN."""
    normalize_latents: bool = True
    """Whether z (with its label) is divided by its root mean square."""
    mapping_features: Count = 512
    """Width of the mapping network's hidden layers."""
    activation: Literal["lrelu", "relu"] = "lrelu"
    """Activation of all layers."""
    use_styles: bool = True
    """Whether w scales and shifts the features of every layer (AdaIN); without, w enters by the input only."""
    constant_input: bool = True
    """Whether the generator starts from a learned constant; without, from a dense layer of w, the traditional input."""
    use_noise: bool = True
    """Whether the generator's layers add noise."""
    pixel_norm: bool = False
    """Whether the generator's features are divided by their root mean square over channels."""
    instance_norm: bool = True
    """Whether the generator's features are brought to mean 0 and variance 1 over places."""
    blur_filter: tuple[float, ...] = (1, 2, 1)
    """Taps of the low-pass filter after upsampling and before downsampling; () does not filter."""
    fused_scale: Literal["auto", "always", "never"] = "auto"
    """Whether growing convolutions are transposed ones, which turn their kernels around: "auto" from 128 pixels on."""
    halves_last: bool = False
    """Whether the discriminator halves a size after its activation, as ProGAN's does where scaling is not fused."""
    low_precision_levels: CountOrZero = 0
    """Number of the largest sizes computed in bfloat16, never the smallest size; parameters, statistics and losses are
    always float32. 0 computes everything in float32."""
    remat: bool = False
    """Whether activations within a size are computed again for the gradient rather than kept: takes more time and less
    memory."""

    # progressive growing
    progressive: bool = True
    """Whether the networks grow; without, all their layers are trained from the start, with one layer for colours."""
    initial_resolution: int = 8
    """Resolution to start with."""
    training_images: Count = 600_000
    """Images for which each resolution is trained before the next one fades in."""
    fading_images: CountOrZero = 600_000
    """Images for which the next resolution fades in."""
    schedule_interval: Count = 4
    """Steps between two updates of the level of detail."""
    batch_sizes: tuple[int, ...] | None = None
    """Images of a step at the smallest resolution (4), at twice that ..., over all devices; the last number holds for
    all larger ones. (): the run's batch size at every level. None: the published table, unless the run sets a batch
    size."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes from the smallest feature map to the image."""
        return pyramid(self.image_size, self.channel_base, self.channel_max)

    @property
    def style_count(self) -> int:
        """L, the number of style inputs: two for each size."""
        return 2 * len(self.levels)

    @property
    def growth(self) -> Growth:
        """The schedule of the levels; that of networks that do not grow is at full size from the start."""
        sizes = [level.resolution for level in self.levels]
        start = len(sizes) - 1 - sizes.index(self.initial_resolution) if self.progressive else 0
        return Growth(start, self.training_images, self.fading_images, self.schedule_interval)

    def level(self, halvings: int) -> Level:
        """Return the level that is ``halvings`` below the image."""
        return self.levels[len(self.levels) - 1 - halvings]

    def batch_size(self, halvings: int) -> int:
        """Return the images of a step at that level; 0 for the batch size of the run."""
        return _at(self.batch_sizes, len(self.levels) - 1 - halvings) if self.batch_sizes else 0


@dataclass(frozen=True)
class StyleGANConfig(AugmentConfig, AdamConfig, ObjectiveConfig, StyleGANNetworks):
    """The networks and their training. R1 is of gradients with respect to an image of full size, in every step."""

    r1_gamma: ScheduledNonNegative = 10.0
    learning_rates: tuple[float, ...] = (1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1.5e-3, 2e-3, 3e-3, 3e-3)
    """Adam's step size of both networks at the smallest resolution (4), at twice that ...; the last number holds for
    all larger ones."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_pyramid(self, self.levels)
        check_objective(self)
        for name, least in (("batch_sizes", 1), ("learning_rates", 0.0)):
            numbers = getattr(self, name)
            fits = all(isinstance(number, int | type(least)) and number >= least for number in numbers or ())
            require(fits, name, numbers, f"hold numbers of at least {least}")
        require(bool(self.learning_rates), "learning_rates", self.learning_rates, "hold at least one number")
        filters = not self.blur_filter or sum(self.blur_filter) > 0
        require(filters, "blur_filter", self.blur_filter, "have a positive sum, or be ()")
        enters = self.use_styles or not self.constant_input
        must = "be False where use_styles is: nothing else depends on z"
        require(enters, "constant_input", self.constant_input, must)
        width = self.latent_size + (self.latent_size if self.embed_labels and self.label_size else self.label_size)
        fits = bool(self.mapping_layers) or self.style_size == width
        must = f"be {width} where mapping_layers = 0, as z with its label is"
        require(fits, "style_size", self.style_size, must)
        if self.progressive:
            start, sizes = self.initial_resolution, [level.resolution for level in self.levels]
            require(start in sizes, "initial_resolution", start, f"be one of {', '.join(map(str, sizes))}")

    def learning_rate(self, halvings: int) -> float:
        """Return Adam's step size at the level that is ``halvings`` below the image."""
        return _at(self.learning_rates, len(self.levels) - 1 - halvings)


def _at(numbers: tuple[N, ...], index: int) -> N:
    return numbers[min(index, len(numbers) - 1)]


# Tables -------------------------------------------------------------------------------------------------------------

BATCH_SIZES: Mapping[int, tuple[int, ...]] = {
    #      4    8   16   32  64 128 256 512
    1: (128, 128, 128, 64, 32, 16, 8, 4),
    2: (256, 256, 128, 64, 32, 16, 8),
    4: (512, 256, 128, 64, 32, 16),
    8: (512, 256, 128, 64, 32),
}
"""Images of a step by the number of devices, at resolutions from 4 on. NVlabs/stylegan, train.py:46-49."""


def fill_defaults(config: StyleGANConfig, batch_size: int, devices: int) -> tuple[StyleGANConfig, int]:
    """Return the config with batch sizes for None, and the run's batch size, which is that of the full size.

    Args:
      config: of any preset; what is not None stays.
      batch_size: of a step, over all devices; 0 takes that of the table.
      devices: how many share it; between the numbers in the table the smaller one counts.
    """
    sizes = config.batch_sizes
    if sizes is None:
        table = BATCH_SIZES[max(count for count in BATCH_SIZES if count <= devices)]
        sizes = () if batch_size else tuple(-(-size // devices) * devices for size in table)
    config = replace(config, batch_sizes=sizes)
    fits = not sizes or batch_size in (0, config.batch_size(0))
    require(fits, "batch_size", batch_size, f"be 0 or {config.batch_size(0)}, as batch_sizes says for the full size")
    return config, config.batch_size(0) or batch_size


# Presets ------------------------------------------------------------------------------------------------------------

_PAPER = StyleGANConfig()
_SMALL = StyleGANConfig(
    image_size=64, channels=1, channel_base=1024, channel_max=64, latent_size=128, style_size=128, mapping_layers=4,
    mapping_features=128, r1_gamma=1.0, initial_resolution=8, training_images=12_000, fading_images=6_000,
    ema_half_life=5_000, learning_rates=(2e-3,), batch_sizes=(16,),
)  # fmt: skip
_TINY = replace(
    _SMALL, image_size=8, channels=3, channel_base=48, channel_max=8, latent_size=8, style_size=8, mapping_layers=2,
    mapping_features=8, constant_input=False, initial_resolution=4, training_images=8, fading_images=16,
    schedule_interval=1, ema_half_life=100, learning_rates=(1e-3, 1.5e-3), batch_sizes=(),
)  # fmt: skip

_WASSERSTEIN = {"loss": "wasserstein", "r1_gamma": 0.0, "gradient_penalty": 10.0, "drift_penalty": 1e-3}
_WGAN_GP = replace(_PAPER, **_WASSERSTEIN, learning_rates=(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1.5e-3, 2e-3))

_RUN = {**PUBLISHED_RUN, "batch_size": 0}
_GROWN_RUN = {
    "images": 84_000, "batch_size": 0, "steps_per_dispatch": 1, "log_every": 1_000, "sample_every": 2_000,
    "checkpoint_every": 4_000,
}  # fmt: skip
_DIGITS = {"data": "digits"}

PRESETS: Mapping[str, Preset] = {
    "ffhq1024": Preset(_PAPER, training=_RUN),
    "celebahq1024": Preset(_WGAN_GP, training=_RUN),
    "fixed": Preset(replace(_PAPER, progressive=False), training=_RUN),
    "faces64": Preset(_SMALL, training=_GROWN_RUN),
    "tiny": Preset(_TINY, _DIGITS, TINY_RUN),
}
"""``ffhq1024`` is configuration F of the paper; ``celebahq1024`` its WGAN-GP with the learning rate held at 0.002
(NVlabs/stylegan, train.py:58); ``fixed`` does not grow; ``faces64`` is this library's setting for small grey pictures
on a CPU; ``tiny`` is for tests. The ablations of the paper are the switches of the config."""


def _without_styles(config: StyleGANConfig) -> StyleGANConfig:
    """Return ProGAN's networks: normalised latent, traditional input, pixel norm; no mapping, styles, noise or blur."""
    return replace(
        config, style_size=config.latent_size, mapping_layers=0, use_styles=False, constant_input=False,
        embed_labels=False, discriminator_labels=False, use_noise=False, pixel_norm=True, instance_norm=False,
        blur_filter=(), fused_scale="always", style_mixing=0.0, **_WASSERSTEIN,
    )  # fmt: skip


_PROGAN = replace(
    _without_styles(_PAPER), initial_resolution=4, training_images=800_000, fading_images=800_000, schedule_interval=1,
    learning_rates=(1e-3,), batch_sizes=(16, 16, 16, 16, 16, 16, 14, 6, 3), minibatch_std_group=0, ema_half_life=11_000,
)  # fmt: skip

PROGAN_PRESETS: Mapping[str, Preset] = {
    "paper": Preset(_PROGAN, training={**_RUN, "images": 14_000_000}),
    "faces64": Preset(
        replace(_without_styles(_SMALL), initial_resolution=4), training={**_GROWN_RUN, "images": 108_000}
    ),
    "tiny": Preset(_without_styles(_TINY), _DIGITS, TINY_RUN),
}
"""Karras et al. 2017, arXiv:1710.10196, appendix A.1, at 1024 x 1024; its average decays by 0.999 per step of 16."""
