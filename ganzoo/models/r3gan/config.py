"""The settings of R3GAN: its config, and the published rows as presets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, CountOrZero, Range, check_fields, require
from ganzoo.gan import Preset
from ganzoo.losses import LossName
from ganzoo.models.config import TINY_RUN, AdamConfig, ImageConfig, ObjectiveConfig, Size, check_objective
from ganzoo.nn.pyramid import Level, level_count, pyramid, spread
from ganzoo.schedules import ScheduledNonNegative, ScheduledPositive, ScheduledShareBelowOne


@dataclass(frozen=True)
class R3GANNetworks(ImageConfig):
    """The networks. The defaults are those for CIFAR-10. A list that is too short repeats its last number."""

    image_size: Size = 32
    latent_size: Count = 64
    """Length of the latent vector z, which is not normalised."""
    widths: tuple[int, ...] = (768,)
    """Channels of each size, from the smallest feature map to the image; the last number holds for all larger sizes."""
    groups: tuple[int, ...] = (96,)
    """Groups (cardinality) of the grouped convolutions of each size, from the smallest; they divide the channels."""
    blocks: tuple[int, ...] = (2,)
    """Residual blocks of each size, from the smallest."""
    expansion: Count = 2
    """Channels inside a residual block, as a multiple of those outside."""
    kernel_size: Annotated[int, Range(1, 9)] = 3
    """Height and width of the grouped convolutions: an odd number."""
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    """Taps of the low-pass filter around every change of size."""
    label_features: Count = 64
    """Length of the label's embedding that the generator gets beside z."""
    projection_features: Count | None = None
    """Length of the label's embedding onto which the discriminator projects. None: its channels at the smallest
    size."""
    low_precision_levels: CountOrZero = 3
    """Number of the largest sizes whose activations are bfloat16; 0 computes everything in float32. Parameters and
    losses are always float32."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The sizes from the smallest feature map to the image, with their channels."""
        sizes = pyramid(self.image_size, 0, 0)
        return tuple(replace(level, features=width) for level, width in zip(sizes, self.each("widths"), strict=True))

    def each(self, name: str) -> tuple[int, ...]:
        """Return the numbers of "widths", "groups" or "blocks", one for each size from the smallest to the image."""
        return spread(getattr(self, name), self.image_size)


@dataclass(frozen=True)
class R3GANConfig(AugmentConfig, AdamConfig, ObjectiveConfig, R3GANNetworks):
    """The networks and their training. The defaults are those for CIFAR-10."""

    loss: LossName = "relativistic"
    r1_gamma: ScheduledNonNegative = "cosine(0.05, 0.005, 20e6)"
    r2_gamma: ScheduledNonNegative = "cosine(0.05, 0.005, 20e6)"
    r1_interval: CountOrZero = 0
    """Steps between two phases of R1 and R2; 0 is R3GAN. Any other number is a deviation: with lazy penalties, the
    paper reports complete failure to converge on Stacked MNIST (appendix E)."""
    learning_rate: ScheduledPositive = "cosine(2e-4, 5e-5, 20e6)"
    """Adam's step size, of both networks."""
    adam_beta2: ScheduledShareBelowOne = "cosine(0.9, 0.99, 20e6)"
    ema_half_life: ScheduledNonNegative = "cosine(0, 5e6, 20e6)"
    augment_interval: Count = 1

    def __post_init__(self) -> None:
        check_fields(self)
        check_objective(self)
        sizes = level_count(self.image_size)
        for name in ("widths", "groups", "blocks"):
            numbers = getattr(self, name)
            must = f"hold 1 to {sizes} whole numbers from 1 on, for the {sizes} sizes up to the image"
            require(1 <= len(numbers) <= sizes and min(numbers) >= 1, name, numbers, must)
        for width, groups in zip(self.each("widths"), self.each("groups"), strict=True):
            must = f"divide the channels inside the blocks, {width * self.expansion}"
            require(width * self.expansion % groups == 0, "groups", groups, must)
        require(self.kernel_size % 2 == 1, "kernel_size", self.kernel_size, "be odd")
        require(sum(self.resample_filter) > 0, "resample_filter", self.resample_filter, "have a positive sum")


# Presets ------------------------------------------------------------------------------------------------------------


def _published(
    pixels: int,
    classes: int,
    widths: tuple[int, ...],
    gamma: float,
    p: float,
    half_life: str,
    burn_in: str,
    images: int,
    batch_size: int,
    low: int = 4,
    data: str = "",
) -> Preset:
    """Return a row of the table below. Both gammas fall to a tenth; rates and decays are those of all rows."""
    gammas = f"cosine({gamma:g}, {gamma / 10:g}, {burn_in})"
    config = R3GANConfig(
        image_size=pixels,
        label_size=classes,
        widths=widths,
        groups=(96,) if len(widths) == 1 else tuple(width // 8 for width in widths),
        r1_gamma=gammas,
        r2_gamma=gammas,
        learning_rate=f"cosine(2e-4, 5e-5, {burn_in})" if p else 2e-4,
        adam_beta2=f"cosine(0.9, 0.99, {burn_in})",
        ema_half_life=f"cosine(0, {half_life}, {burn_in})",
        augment="bgc-cutout" if p else "none",
        augment_p=f"cosine(0, {p:g}, {burn_in})" if p else None,
        low_precision_levels=low,
    )
    run = {"images": images * 1_000_000, "batch_size": batch_size, "sample_every": 500_000, "checkpoint_every": 500_000}
    return Preset(config, {"data": data, "mirror": p > 0}, run)


def _small(burn_in: int, rates: str, gammas: str, half_life: int, **fields: Any) -> R3GANConfig:
    """Return a config in float32 with its schedules."""
    return R3GANConfig(
        r1_gamma=f"cosine({gammas}, {burn_in})",
        r2_gamma=f"cosine({gammas}, {burn_in})",
        learning_rate=f"cosine({rates}, {burn_in})",
        adam_beta2=f"cosine(0.9, 0.99, {burn_in})",
        ema_half_life=f"cosine(0, {half_life}, {burn_in})",
        blocks=(1,),
        low_precision_levels=0,
        **fields,
    )


_DIGITS = _small(
    30_000, "1e-3, 2e-4", "0.5, 0.05", 5_000, image_size=16, channels=1, label_size=10, widths=(64, 48, 32),
    groups=(8, 6, 4), label_features=16,
)  # fmt: skip
_TINY = _small(
    64, "2e-3, 5e-4", "1, 0.1", 100, image_size=8, latent_size=8, widths=(12, 8), groups=(3, 2), label_features=4
)
_DIGITS_RUN = {
    "images": 50_000, "batch_size": 32, "log_every": 2_000, "sample_every": 10_000, "checkpoint_every": 10_000
}  # fmt: skip
_FACES, _EMBEDDED, _CIFAR = (768, 768, 768, 768, 384, 192, 96), {"data": "digits"}, "tfds:cifar10"
_STACKED = "stacked:tfds:mnist"

# fmt: off
PRESETS: Mapping[str, Preset] = {
    #                           pixels  classes      widths  gamma     p half-life burn-in Mimg  batch  bfloat16  data
    "cifar10":       _published(    32,      10,     (768,),   .05,  .55,    "5e6",  "20e6",  250,   512,  3, _CIFAR),
    "ffhq64":        _published(    64,       0, _FACES[:5],     2,   .3,  "500e3",  "20e6",  100,   256),
    "ffhq256":       _published(   256,       0,     _FACES,   150,   .3,  "500e3",  "20e6",  200,   256),
    "imagenet32":    _published(    32,    1000,    (1536,),    .5,   .5,   "50e6", "200e6", 1000,  4096,  3),
    "imagenet64":    _published(    64,    1000,    (1536,),     1,   .4,   "50e6", "200e6", 1000,  4096),
    "stacked-mnist": _published(    32,       0,     (768,),     1,    0,  "500e3",   "2e6",   10,   512,  3, _STACKED),
    "digits": Preset(_DIGITS, _EMBEDDED, _DIGITS_RUN),
    "tiny": Preset(_TINY, _EMBEDDED, TINY_RUN),
}
# fmt: on
"""The first six are the rows of the paper (table 9) and of brownvc/R3GAN, train.py:178-266; the paper does not say what
is bfloat16 for Stacked MNIST. ``digits`` is this library's setting for small grey images on a CPU; ``tiny`` is for
tests."""
