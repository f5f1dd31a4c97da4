"""The settings of StyleGAN and ProGAN: one config, the published rows as presets, and the tables that fill it up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from ganzoo import augment
from ganzoo.augment import AugmentConfig
from ganzoo.config import check_types, require, require_at_least, require_positive, require_share
from ganzoo.losses import LOSSES
from ganzoo.models.stylegan_growth import Growth
from ganzoo.nn.pyramid import Level, pyramid, size_of

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class StyleGANConfig(AugmentConfig):
    """The networks and their training. The defaults are those of configuration F of the paper on FFHQ, 1024 x 1024."""

    image_size: int | tuple[int, int] = 1024
    """Pixels: one number for a square, or height and width; h * 2^k and w * 2^k, the smaller of h, w from 4 to 15."""
    channels: int = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, or more."""
    label_size: int = 0
    """Length of the label vectors (the number of classes); 0 trains without labels."""

    # networks
    latent_size: int = 512
    """Length of the latent vector z."""
    normalize_latents: bool = True
    """Whether z (with its label) is divided by the root of its mean square."""
    style_size: int = 512
    """Length of the style vector w."""
    mapping_layers: int = 8
    """Layers of the mapping network; 0 takes z itself for w, with style_size = latent_size."""
    mapping_features: int = 512
    """Width of its hidden layers."""
    mapping_lr_multiplier: float = 0.01
    """The mapping network's learning rate in units of the others'."""
    channel_base: int = 16384
    """Channels at resolution r are channel_base / r, at most channel_max."""
    channel_max: int = 512
    """The most channels that a layer has."""
    activation: Literal["lrelu", "relu"] = "lrelu"
    """Of all layers."""
    use_styles: bool = True
    """Whether w scales and shifts the features of every layer (AdaIN); without, it enters by the input only."""
    constant_input: bool = True
    """Whether the generator starts from a learned constant; without, from a dense layer of w, the traditional input."""
    use_noise: bool = True
    """Whether the generator's layers add noise."""
    pixel_norm: bool = False
    """Whether the generator's features are divided by the root of their mean square over channels."""
    instance_norm: bool = True
    """Whether the generator's features are brought to mean 0 and variance 1 over places."""
    blur_filter: tuple[float, ...] = (1, 2, 1)
    """Taps of the low-pass filter after upsampling and before downsampling; () does not filter."""
    fused_scale: Literal["auto", "always", "never"] = "auto"
    """Whether growing convolutions are transposed ones, which turn their kernels around: "auto" from 128 pixels on."""
    halves_last: bool = False
    """Whether the discriminator halves a size after its activation, as ProGAN's does where scaling is not fused."""
    minibatch_std_group: int = 4
    """Images of one minibatch standard deviation; 0 takes the whole batch."""
    minibatch_std_channels: int = 1
    """Maps that the minibatch standard deviation adds; 0 leaves it out."""

    # progressive growing
    progressive: bool = True
    """Whether the networks grow; without, all their layers are trained from the start, with one layer for colours."""
    initial_resolution: int = 8
    """The resolution to start with."""
    training_images: int = 600_000
    """Images for which each resolution is trained before the next one fades in."""
    fading_images: int = 600_000
    """Images for which the next resolution fades in."""
    schedule_interval: int = 4
    """Steps from one look at the schedule to the next."""
    batch_sizes: tuple[int, ...] | None = None
    """Images of a step at the smallest resolution (4), at twice that ..., over all devices; the last number holds for
    all larger ones. () takes the run's batch size for all; None does so too where that is given, else it is the
    published table for the number of devices."""

    # objective
    loss: Literal["non-saturating", "wasserstein"] = "non-saturating"
    """Logistic, with R1; or WGAN-GP, with its gradient penalty and a small penalty on the logits of real images."""
    r1_gamma: float = 10.0
    """Weight of R1, gamma / 2 times the squared gradient with respect to an image of full size, in every step; of the
    non-saturating loss only."""
    gradient_penalty: float = 10.0
    """Weight of WGAN-GP's penalty (lambda); of the Wasserstein loss only."""
    drift_penalty: float = 1e-3
    """Weight of the squared logits of real images; of the Wasserstein loss only."""
    style_mixing: float = 0.9
    """Probability with which a batch mixes the styles of two latents."""
    style_average_decay: float = 0.995
    """Share of the old running average of w that one batch leaves."""

    # optimizers
    learning_rates: tuple[float, ...] = (1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1.5e-3, 2e-3, 3e-3, 3e-3)
    """Adam's step size of both players at the smallest resolution (4), at twice that ...; the last number holds for all
    larger ones."""
    adam_beta1: float = 0.0
    """Adam's decay of the gradient's mean, per step."""
    adam_beta2: float = 0.99
    """Adam's decay of the gradient's square, per step."""
    adam_epsilon: float = 1e-8
    """Added to the root of the squares in Adam."""
    average_half_life: float = 10_000
    """Half-life in images of the generator's moving average."""

    def __post_init__(self) -> None:
        check_types(self)
        levels = self.levels
        require_at_least(1, self, "channels", "latent_size", "style_size", "mapping_features")
        require_at_least(1, self, "channel_max", "training_images", "schedule_interval")
        require_at_least(
            0, self, "label_size", "mapping_layers", "minibatch_std_group", "minibatch_std_channels", "fading_images",
            "r1_gamma", "gradient_penalty", "drift_penalty", "average_half_life",
        )  # fmt: skip
        require_positive(self, "mapping_lr_multiplier", "adam_epsilon")
        require_share(self, "adam_beta1", "adam_beta2", below_one=True)
        require_share(self, "style_mixing", "style_average_decay")
        for name, least in (("batch_sizes", 1), ("learning_rates", 0.0)):
            numbers = getattr(self, name)
            fits = all(isinstance(number, int | type(least)) and number >= least for number in numbers or ())
            require(fits, name, numbers, f"hold numbers of at least {least}")
        require(bool(self.learning_rates), "learning_rates", self.learning_rates, "hold at least one number")
        augment.check(self, self.loss, sign_tells=LOSSES[self.loss].sign_tells)
        filters = not self.blur_filter or sum(self.blur_filter) > 0
        require(filters, "blur_filter", self.blur_filter, "have a positive sum, or be ()")
        enters = self.use_styles or not self.constant_input
        require(
            enters, "constant_input", self.constant_input, "be False where use_styles is: nothing else depends on z"
        )
        width = self.latent_size * (2 if self.label_size else 1)
        fits = self.mapping_layers or self.style_size == width
        require(
            bool(fits), "style_size", self.style_size, f"be {width} where mapping_layers = 0, as z with its label is"
        )
        finest = levels[-1].resolution
        require(levels[-1].features >= 1, "channel_base", self.channel_base, f"be at least the resolution, {finest}")
        std, features = self.minibatch_std_channels, levels[0].features
        require(not std or features % std == 0, "minibatch_std_channels", std, f"divide the {features} features at 4x4")
        sizes = [level.resolution for level in levels]
        if self.progressive:
            start = self.initial_resolution
            require(start in sizes, "initial_resolution", start, f"be one of {', '.join(map(str, sizes))}")

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes from the smallest feature map to the image."""
        return pyramid(self.image_size, self.channel_base, self.channel_max)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (*size_of(self.image_size), self.channels)

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
        """The level that is so many halvings below the image."""
        return self.levels[len(self.levels) - 1 - halvings]

    def learning_rate(self, halvings: int) -> float:
        """Adam's step size there."""
        return _at(self.learning_rates, len(self.levels) - 1 - halvings)

    def batch_size(self, halvings: int) -> int:
        """Images of a step there; 0 for those of the run."""
        return _at(self.batch_sizes, len(self.levels) - 1 - halvings) if self.batch_sizes else 0


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


def complete(config: StyleGANConfig, batch_size: int, devices: int) -> tuple[StyleGANConfig, int]:
    """The config with batch sizes for None, and the run's batch size, which is that of the full size.

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
    average_half_life=5_000, learning_rates=(2e-3,), batch_sizes=(16,),
)  # fmt: skip
_TINY = replace(
    _SMALL, image_size=8, channels=3, channel_base=48, channel_max=8, latent_size=8, style_size=8, mapping_layers=2,
    mapping_features=8, constant_input=False, initial_resolution=4, training_images=8, fading_images=16,
    schedule_interval=1, average_half_life=100, learning_rates=(1e-3, 1.5e-3), batch_sizes=(),
)  # fmt: skip

_WGAN_GP = replace(_PAPER, loss="wasserstein", learning_rates=(1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1.5e-3, 2e-3))

PRESETS: Mapping[str, StyleGANConfig] = {
    "ffhq1024": _PAPER,
    "celebahq1024": _WGAN_GP,
    "fixed": replace(_PAPER, progressive=False),
    "faces64": _SMALL,
    "tiny": _TINY,
}
"""``ffhq1024`` is configuration F of the paper; ``celebahq1024`` its WGAN-GP with the learning rate held at 0.002
(NVlabs/stylegan, train.py:58); ``fixed`` does not grow; ``faces64`` is this library's setting for small grey pictures
on a CPU; ``tiny`` is for tests. The ablations of the paper are the switches of the config."""


def _without_styles(config: StyleGANConfig) -> StyleGANConfig:
    """ProGAN's networks: a normalised latent, the traditional input, pixel norm, no mapping, styles, noise or blur."""
    return replace(
        config, style_size=config.latent_size, mapping_layers=0, use_styles=False, constant_input=False,
        use_noise=False, pixel_norm=True, instance_norm=False, blur_filter=(), fused_scale="always", style_mixing=0.0,
        loss="wasserstein",
    )  # fmt: skip


PROGAN_PRESETS: Mapping[str, StyleGANConfig] = {
    "paper": replace(
        _without_styles(_PAPER), initial_resolution=4, training_images=800_000, fading_images=800_000,
        schedule_interval=1, learning_rates=(1e-3,), batch_sizes=(16, 16, 16, 16, 16, 16, 14, 6, 3),
        minibatch_std_group=0, average_half_life=11_000,
    ),
    "faces64": replace(_without_styles(_SMALL), initial_resolution=4),
    "tiny": _without_styles(_TINY),
}  # fmt: skip
"""Karras et al. 2017, arXiv:1710.10196, appendix A.1, at 1024 x 1024; its average decays by 0.999 per step of 16."""
