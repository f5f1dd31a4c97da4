"""The settings of DCGAN: its config, and presets of the two lineages."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, NonNegative, Positive, Range, check_fields, require
from ganzoo.gan import Preset
from ganzoo.models.config import AdamConfig, ImageConfig, ObjectiveConfig, check_objective
from ganzoo.schedules import ScheduledNonNegative, ScheduledPositive, ScheduledShareBelowOne

BASE_SIZE = 4
"""Height and width of the smallest features."""


@dataclass(frozen=True)
class DCGANNetworks(ImageConfig):
    """The networks. The defaults are those of the PyTorch example."""

    image_size: int = 64
    """Height and width in pixels: a power of two from 16 to 256."""
    channels: Annotated[int, Range(1, 4)] = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""
    latent_size: Count = 100
    latent_distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of each component of z: N(0, 1) or U(-1, 1)."""
    generator_features: Count = 64
    """Channels of the generator's last hidden layer (ngf); they double with every halving of the size."""
    discriminator_features: Count = 64
    """Channels of the discriminator's first layer (ndf); they double with every halving of the size."""
    kernel_size: Annotated[int, Range(4, 5)] = 4
    """Height and width of the stride-2 convolutions: 4 or 5."""
    first_norm: Literal["channel", "unit"] = "channel"
    """Batch normalisation of the generator's first layer: one mean per channel, or one per unit."""
    norm_epsilon: Positive = 1e-5
    """Added to the variance in batch normalisation."""
    norm_momentum: Annotated[float, Range(0, 1, above=True)] = 0.1
    """Share of the newest batch in the running statistics, which serve sampling only."""
    sample_statistics: Literal["running", "batch"] = "running"
    """Statistics with which images are sampled: the running ones, or those of a fixed reference batch of 256 latents of
    the classes in turn, so that no image depends on the images sampled beside it."""
    remat: bool = False
    """Whether activations within a layer are computed again for the gradient rather than kept: takes more time and less
    memory."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the activations; parameters, statistics and losses are always float32."""

    @property
    def levels(self) -> int:
        """The number of stride-2 convolutions between the images and the 4x4 features."""
        return (self.image_size // BASE_SIZE).bit_length() - 1


@dataclass(frozen=True)
class DCGANConfig(AugmentConfig, AdamConfig, ObjectiveConfig, DCGANNetworks):
    """The networks and their training."""

    update: Literal["same-fakes", "alternate"] = "same-fakes"
    """Whether each minibatch updates D and then G on the same fakes, or minibatches update G and D in turn."""
    learning_rate: ScheduledPositive = 2e-4
    """Adam's step size, of both networks."""
    adam_beta1: Annotated[float, Range(0, 1, below=True)] = 0.5
    adam_beta2: ScheduledShareBelowOne = 0.999
    weight_decay: NonNegative = 0.0
    """L2 penalty: weight_decay times each parameter is added to its gradient."""
    ema_half_life: ScheduledNonNegative = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        size = self.image_size
        require(16 <= size <= 256 and size & (size - 1) == 0, "image_size", size, "be 16, 32, 64, 128 or 256")
        check_objective(self)


# Presets --------------------------------------------------------------------------------------------------------------

_TORCH = DCGANConfig()
_PAPER = DCGANConfig(
    latent_distribution="uniform",
    kernel_size=5,
    first_norm="unit",
    norm_epsilon=1e-8,
    sample_statistics="batch",
    update="alternate",
    weight_decay=1e-5,
)


def _preset(
    lineage: DCGANConfig, pixels: int, colours: int, z: int, ngf: int, ndf: int, ema: float = 0, labels: int = 0
) -> DCGANConfig:
    """Return a row of the table below."""
    return replace(
        lineage,
        image_size=pixels,
        channels=colours,
        latent_size=z,
        generator_features=ngf,
        discriminator_features=ndf,
        ema_half_life=ema,
        label_size=labels,
    )


# fmt: off
PRESETS: Mapping[str, Preset] = {
    #                  lineage          pixels  colours    z  ngf  ndf  EMA (images)  labels
    "paper":   Preset(_preset(_PAPER,      64,       3, 100, 128, 128), training={"batch_size": 128}),
    "torch":   Preset(_preset(_TORCH,      64,       3, 100,  64,  64)),
    "cifar10": Preset(_preset(_TORCH,      32,       3, 100,  64,  64,       10_000),
                      data={"data": "tfds:cifar10"},
                      training={"images": 2_000_000, "steps_per_dispatch": 16}),
    "digits":  Preset(_preset(_TORCH,      32,       1,  64,  24,  24,        5_000,     10),
                      data={"data": "digits"},
                      training={"images": 160_000, "batch_size": 32, "log_every": 4_000, "sample_every": 20_000,
                                "checkpoint_every": 40_000}),
    "tiny":    Preset(_preset(_TORCH,      16,       3,   8,   4,   4,          100),
                      data={"data": "digits"},
                      training={"images": 2_000, "batch_size": 16, "log_every": 400, "sample_every": 1_000,
                                "checkpoint_every": 400}),
}
# fmt: on
"""``paper`` and ``torch`` are the published configurations; ``cifar10`` and ``digits`` are this library's settings of
the Torch line for small images; ``tiny`` is for tests."""
