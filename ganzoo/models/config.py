"""Config fields that models share. A model's config lists its parts in reverse: bases on the right come first in help.

``class StyleGAN2Config(AugmentConfig, AdamConfig, ObjectiveConfig, StyleGAN2Networks)`` has the fields of its networks,
then of its objective, then of its optimizers, and those of the augmentation last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from ganzoo import augment, objectives
from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, CountOrZero, NonNegative, Positive, Range, ShareBelowOne, require
from ganzoo.draws import LabelSource
from ganzoo.gan import Network
from ganzoo.losses import LOSSES, LossName
from ganzoo.nn.pyramid import Level, size_of
from ganzoo.objectives import Networks, Objective
from ganzoo.phases import adapt_augmentation, chain, update_ema
from ganzoo.schedules import (
    Scheduled,
    ScheduledNonNegative,
    ScheduledShareBelowOne,
    at_start,
    is_scheduled,
    value_at,
)
from ganzoo.typing import Key, PyTree, Step

Size = int | tuple[int, int]
PUBLISHED_RUN = {
    "images": 25_000_000, "batch_size": 32, "log_every": 4_000, "sample_every": 200_000, "checkpoint_every": 200_000
}  # fmt: skip
"""Run settings of the published rows of the StyleGAN line."""
TINY_RUN = {
    "images": 640, "batch_size": 16, "steps_per_dispatch": 1, "log_every": 160, "sample_every": 320,
    "checkpoint_every": 320,
}  # fmt: skip
"""Run settings of ``tiny`` presets."""


@dataclass(frozen=True)
class ImageConfig:
    """What images are, and what they are made from."""

    image_size: Size = 64
    """Pixels: one number for a square, or height and width; h * 2^k and w * 2^k, the smaller of h, w from 4 to 15."""
    channels: Count = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, or more."""
    label_size: CountOrZero = 0
    """Length of the label vectors (the number of classes); 0 trains without labels."""
    latent_size: Count = 512
    """Length of the latent vector z."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (*size_of(self.image_size), self.channels)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The adversarial loss and the discriminator's penalties. Penalties of weight 0 are not computed."""

    loss: LossName = "non-saturating"
    """Adversarial loss."""
    r1_gamma: ScheduledNonNegative | None = 0.0
    """Weight of R1: gamma / 2 times the squared gradient of D with respect to real images."""
    r2_gamma: ScheduledNonNegative = 0.0
    """Weight of R2, which is R1 of fake images."""
    gradient_penalty: NonNegative = 0.0
    """Weight (lambda) of WGAN-GP's penalty between real and fake images; published: 10, with the Wasserstein loss."""
    drift_penalty: NonNegative = 0.0
    """Weight of the mean squared logit of real images; ProGAN: 0.001, with the Wasserstein loss."""
    r1_interval: CountOrZero = 0
    """Steps between two phases of R1, R2 and WGAN-GP, weighted by the interval (lazy regularisation); 0 adds the
    penalties to the main loss of every step."""
    micro_batch: CountOrZero = 0
    """Images whose gradients are computed at once, over all devices; 0 is the whole batch. Costs time, saves memory.
    Statistics over a batch (normalisation, minibatch standard deviation, mixing) are then of a micro-batch."""


@dataclass(frozen=True)
class AdamConfig:
    """Decays of Adam, for both networks, and the moving average of the generator."""

    adam_beta1: ShareBelowOne = 0.0
    """Adam's decay of the gradient's mean, per step."""
    adam_beta2: ScheduledShareBelowOne = 0.99
    """Adam's decay of the gradient's square, per step."""
    adam_epsilon: Positive = 1e-8
    """Added to the root of the squares in Adam."""
    ema_half_life: ScheduledNonNegative | None = 10_000
    """Half-life in images of the generator's moving average (EMA), which is what is sampled; 0 samples the newest
    weights."""


@dataclass(frozen=True)
class PyramidConfig(ImageConfig):
    """Sizes and channels of networks that double the size from block to block, and their mapping network."""

    style_size: Count = 512
    """Length of the style vector w."""
    mapping_layers: CountOrZero = 8
    """Layers of the generator's mapping network."""
    mapping_lr_multiplier: Positive = 0.01
    """Learning rate of the mapping network, relative to the other layers."""
    channel_base: int | None = 16384
    """Channels at resolution r are channel_base / r, at most channel_max."""
    channel_max: Count = 512
    """Most channels of a layer."""
    minibatch_std_group: CountOrZero | None = 4
    """Group size of the minibatch standard deviation. 0: whole (micro-)batch."""
    minibatch_std_channels: CountOrZero = 1
    """Feature maps that the minibatch standard deviation adds; 0 leaves it out."""
    style_mixing: Annotated[float, Range(0, 1)] = 0.9
    """Probability with which a (micro-)batch mixes the styles of two latents."""
    style_average_decay: Annotated[float, Range(0, 1)] = 0.995
    """Decay of the running mean of w, per batch."""


# Checks and parts that follow from the fields -------------------------------------------------------------------------


def check_pyramid(config: PyramidConfig, levels: tuple[Level, ...]) -> None:
    """Raise ``UserError`` where the channels do not suit the levels."""
    finest = levels[-1].resolution
    require(levels[-1].features >= 1, "channel_base", config.channel_base, f"be at least the resolution, {finest}")
    std, features = config.minibatch_std_channels, levels[0].features
    require(not std or features % std == 0, "minibatch_std_channels", std, f"divide the {features} features at 4x4")


def check_batch_size(config: ObjectiveConfig, size: int, *, shrink: int = 1) -> None:
    """Raise ``UserError`` unless micro-batches, and what is computed over each of them, divide ``size`` images.

    Args:
      config: of the model.
      size: images of a batch, over all devices.
      shrink: see ``objectives.path_length``.
    """
    micro = config.micro_batch
    require(not micro or size % micro == 0, "micro_batch", micro, f"divide the batch of {size} images")
    together = micro or size
    must = f"divide the (micro-)batch of {together} images"
    require(together % shrink == 0, "path_length_batch_shrink", shrink, must)
    if isinstance(config, PyramidConfig):
        group = config.minibatch_std_group
        fits = not group or not config.minibatch_std_channels or together % min(group, together) == 0
        require(fits, "minibatch_std_group", group, must)


def check_objective(config: ObjectiveConfig) -> None:
    """Raise ``UserError`` where the augmentation does not suit the loss."""
    if isinstance(config, AugmentConfig):
        augment.check(config, config.loss)


def discriminator_objectives(
    config: ObjectiveConfig, networks: Networks, *, labels: LabelSource, pixel_size: float = 1.0
) -> tuple[Objective, Objective | None]:
    """Return D's adversarial loss, and the sum of its penalties apart from it; None where there are none.

    R1 and R2 of every step are a part of the loss, in one pass through D. A penalty of weight 0 is left out.

    Args:
      config: of the model.
      networks: of the model.
      labels: of the fakes.
      pixel_size: see ``objectives.r1``.
    """
    nothing: tuple[Scheduled, Scheduled] = (0.0, 0.0)
    gammas = (config.r1_gamma or 0.0, config.r2_gamma)
    joined, apart = (nothing, gammas) if config.r1_interval else (gammas, nothing)
    main = objectives.discriminator(
        networks,
        LOSSES[config.loss],
        labels=labels,
        drift=config.drift_penalty,
        r1=joined[0],
        r2=joined[1],
        pixel_size=pixel_size,
    )
    chosen = [
        (apart[0], lambda gamma: objectives.r1(networks, gamma, pixel_size=pixel_size)),
        (apart[1], lambda gamma: objectives.r2(networks, gamma, labels=labels, pixel_size=pixel_size)),
        (config.gradient_penalty, lambda weight: objectives.wgan_gp(networks, weight, pixel_size=pixel_size)),
    ]
    terms = [make(weight) for weight, make in chosen if weight]
    return main, objectives.total(*terms) if terms else None


def add_penalty(main: Objective, penalty: Objective | None, interval: int) -> tuple[Objective, Objective | None]:
    """Return the objective of every step, and the one of a lazy phase every ``interval`` steps, if there is any.

    A lazy penalty is weighted by its interval; with an interval of 0 the penalty is added to ``main``.
    """
    if penalty is None:
        return main, None
    return (main, objectives.weighted(penalty, interval)) if interval else (objectives.total(main, penalty), None)


def averages(
    config: AugmentConfig,
    half_life: Scheduled,
    *,
    ramp: float | None = None,
    collections: Literal["ema", "copy"] = "ema",
) -> Step:
    """Return the phase of what follows the optimizers: ``update_ema``, then the strength of the augmentation."""
    average = update_ema(half_life=half_life, ramp=ramp, collections=collections)
    return chain(average, adapt_augmentation(augment.control(config), interval=config.augment_interval))


def init_networks(
    config: ImageConfig,
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: Callable[[str], optax.GradientTransformation],
    key: Key,
    *,
    examples: int = 1,
) -> dict[str, PyTree]:
    """Return the fields of a fresh ``TrainState`` that all models share; one key gives one state.

    Args:
      config: of the model.
      generator: ``module(latents, labels)``.
      discriminator: ``module(images, labels)``.
      optimizer: ``optimizer("generator")`` and ``optimizer("discriminator")``.
      key: of the weights.
      examples: images of the batch by which shapes are found.
    """
    labels = jnp.zeros((examples, config.label_size)) if config.label_size else None
    inputs = {"generator": (generator, (config.latent_size,)), "discriminator": (discriminator, config.image_shape)}
    networks = {}
    for position, (name, (module, shape)) in enumerate(inputs.items()):
        network_key = jax.random.fold_in(key, position)
        variables = module.init(network_key, jnp.zeros((examples, *shape)), labels)
        variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), variables)  # also under jax_enable_x64
        networks[name] = Network.create(variables, optimizer(name).init)
    return {
        "step": jnp.int32(0),
        "images": jnp.uint32(0),
        **networks,
        "ema": jax.tree.map(jnp.copy, networks["generator"].variables),
        "augment": augment.init(config) if isinstance(config, AugmentConfig) else None,
    }


def finite(limit: float = 1e5) -> optax.GradientTransformation:
    """Replace NaN in gradients by 0, and clip infinite ones to +-``limit``. NVlabs/stylegan2-ada-pytorch, line 291."""
    return optax.stateless(
        lambda updates, params: jax.tree.map(partial(jnp.nan_to_num, nan=0.0, posinf=limit, neginf=-limit), updates)
    )


def adam(config: AdamConfig, rate: Scheduled, *, interval: int = 0) -> optax.GradientTransformation:
    r"""Return Adam, corrected for the steps that a lazy phase every ``interval`` steps adds; 0 corrects nothing.

    With $c = k / (k + 1)$ for the interval k, the rate is multiplied by c and the decays are $\beta^c$.
    Karras et al. 2019, arXiv:1912.04958, appendix B.

    A scheduled rate or beta2 is that of the images seen before the step, which ``phases.minimize`` gives as ``images``;
    the bias of the mean square is corrected by the newest beta2, as in R3GAN's training loop.
    """
    c = interval / (interval + 1) if interval else 1.0

    def fixed(rate: Any, beta2: Any) -> optax.GradientTransformation:
        return optax.adam(rate * c, config.adam_beta1**c, beta2**c, config.adam_epsilon)

    if not is_scheduled(rate, config.adam_beta2):
        return fixed(rate, config.adam_beta2)

    def update(updates: PyTree, state: PyTree, params: PyTree = None, *, images: Any = None, **extra: Any) -> Any:
        del extra
        if images is None:
            raise ValueError("Adam with a schedule needs update(..., images=...), the images seen")
        return fixed(value_at(rate, images), value_at(config.adam_beta2, images)).update(updates, state, params)

    return optax.GradientTransformationExtraArgs(fixed(at_start(rate), at_start(config.adam_beta2)).init, update)
