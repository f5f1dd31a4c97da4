"""The settings of DCGAN: one config, and the two lineages and some small ones as presets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ganzoo import augment
from ganzoo.augment import AugmentConfig
from ganzoo.config import check_types, require, require_at_least, require_positive, require_share
from ganzoo.losses import LOSSES

BASE_SIZE = 4


@dataclass(frozen=True)
class DCGANConfig(AugmentConfig):
    """The networks and their training. The defaults are those of the PyTorch example."""

    image_size: int = 64
    """Height and width in pixels: a power of two from 16 to 256."""
    channels: int = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""
    label_size: int = 0
    """Length of the label vectors (the number of classes); 0 trains without labels."""
    latent_size: int = 100
    """Length of the latent vector z."""
    latent_distribution: Literal["normal", "uniform"] = "normal"
    """z ~ N(0, 1) or z ~ U(-1, 1), for each component."""
    generator_features: int = 64
    """Channels of the generator's last hidden layer (ngf); they double with every halving of the size."""
    discriminator_features: int = 64
    """Channels of the discriminator's first layer (ndf); they double with every halving of the size."""
    kernel_size: int = 4
    """Height and width of the stride-2 convolutions: 4 or 5."""
    first_norm: Literal["channel", "unit"] = "channel"
    """Batch normalisation of the generator's first layer: one mean per channel, or one per unit."""
    norm_epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    norm_momentum: float = 0.1
    """Share of the newest batch in the running statistics, which serve sampling only."""
    sample_statistics: Literal["running", "batch"] = "running"
    """Statistics with which images are sampled: the running ones, or those of a batch (a fixed reference batch of 256
    latents of the classes in turn, so that no image depends on those sampled beside it)."""
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"] = (
        "non-saturating"
    )
    """The adversarial loss."""
    update: Literal["same-fakes", "alternate"] = "same-fakes"
    """Each minibatch updates D and then G on the same fakes, or minibatches update G and D in turn."""
    learning_rate: float = 2e-4
    """Adam's step size, of both players."""
    adam_beta1: float = 0.5
    """Adam's decay of the gradient's mean, per step."""
    adam_beta2: float = 0.999
    """Adam's decay of the gradient's square, per step."""
    adam_epsilon: float = 1e-8
    """Added to the root of the squares in Adam."""
    weight_decay: float = 0.0
    """L2 penalty: this times each parameter is added to its gradient."""
    average_half_life: float = 0.0
    """Half-life in images of the generator's moving average, which is what is sampled; 0 samples the newest weights."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the activations; parameters, statistics and losses are always float32."""

    def __post_init__(self) -> None:
        check_types(self)
        size = self.image_size
        require(16 <= size <= 256 and size & (size - 1) == 0, "image_size", size, "be 16, 32, 64, 128 or 256")
        require(1 <= self.channels <= 4, "channels", self.channels, "be 1, 2, 3 or 4")
        require(self.label_size >= 0, "label_size", self.label_size, "be 0 (no labels) or more")
        require(self.kernel_size in (4, 5), "kernel_size", self.kernel_size, "be 4 or 5")
        require_at_least(1, self, "latent_size", "generator_features", "discriminator_features")
        require_at_least(0, self, "weight_decay", "average_half_life")
        require_positive(self, "norm_epsilon", "learning_rate", "adam_epsilon")
        require(0 < self.norm_momentum <= 1, "norm_momentum", self.norm_momentum, "be in (0, 1]")
        require_share(self, "adam_beta1", "adam_beta2", below_one=True)
        augment.check(self, self.loss, sign_tells=LOSSES[self.loss].sign_tells)

    @property
    def levels(self) -> int:
        """The number of stride-2 convolutions between the images and the 4x4 features."""
        return (self.image_size // BASE_SIZE).bit_length() - 1


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
    lineage: DCGANConfig, pixels: int, colours: int, z: int, ngf: int, ndf: int, average: float = 0, labels: int = 0
) -> DCGANConfig:
    """A row of the table below."""
    return replace(
        lineage,
        image_size=pixels,
        channels=colours,
        latent_size=z,
        generator_features=ngf,
        discriminator_features=ndf,
        average_half_life=average,
        label_size=labels,
    )


# fmt: off
PRESETS: Mapping[str, DCGANConfig] = {
    #                  lineage  pixels  colours    z  ngf  ndf  average (images)  labels
    "paper":   _preset(_PAPER,      64,       3, 100, 128, 128),
    "torch":   _preset(_TORCH,      64,       3, 100,  64,  64),
    "cifar10": _preset(_TORCH,      32,       3, 100,  64,  64,           10_000),
    "digits":  _preset(_TORCH,      32,       1,  64,  24,  24,            5_000,     10),
    "tiny":    _preset(_TORCH,      16,       3,   8,   4,   4,              100),
}
# fmt: on
"""``paper`` and ``torch`` are the published configurations; ``cifar10`` and ``digits`` are this library's settings of
the Torch line for small images; ``tiny`` is for tests."""
