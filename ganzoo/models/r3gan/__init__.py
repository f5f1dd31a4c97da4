"""R3GAN: a relativistic loss with R1 and R2 in every step, and a plain ResNet without normalisation.

Huang, Gokaslan, Kuleshov, Tompkin 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN", arXiv:2501.05441,
with the settings and the training loop of brownvc/R3GAN.

Where reality differs from the paper, this follows the code:

- D and then G see real images and latents of their own in every step, which counts as one batch of images seen;
- the label of a fake is that of the real image with which it is compared;
- Adam's learning rate and beta2, both gammas, the half-life of the EMA and p of the augmentation are schedules of the
  images seen before the step.

Where this differs from the code:

- images are computed from the last features in float32, also where those are bfloat16;
- the smallest feature maps are 4x4 where the image size is a power of two, and else what its halvings leave.
"""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ganzoo import objectives
from ganzoo.draws import FakeDraws, normal_latents
from ganzoo.gan import GAN, Model, Stage, TrainState, generator_variables
from ganzoo.losses import LOSSES
from ganzoo.models.config import adam, add_penalty, averages, check_batch_size, discriminator_objectives, init_networks
from ganzoo.models.r3gan.config import PRESETS, R3GANConfig
from ganzoo.models.r3gan.networks import Discriminator, Generator
from ganzoo.objectives import Networks, Objective
from ganzoo.phases import checked, every, minimize, train_step
from ganzoo.typing import Images, Key, Labels, Latents, PyTree, Step


def networks(config: R3GANConfig, generator: Generator, discriminator: Discriminator) -> Networks:
    """Return what the objectives need of the two modules."""
    draw = FakeDraws(partial(normal_latents, size=config.latent_size), micro_batch=config.micro_batch)
    return objectives.networks(generator, discriminator, draw, config.image_shape, config)


def optimizer(config: R3GANConfig, network: str) -> optax.GradientTransformation:
    """Return Adam with the config's schedules, corrected for a lazy phase of D where there is one."""
    interval = config.r1_interval if network == "discriminator" else 0
    return adam(config, config.learning_rate, interval=interval)


def phases(config: R3GANConfig, networks: Networks) -> dict[str, tuple[Step, int]]:
    """Return the phases of a step in their order, by name, each with the number of steps between two of its kind.

    D with its penalties, then G. brownvc/R3GAN, training_loop.py:287-331.
    """

    def phase(network: str, objective: Objective) -> Step:
        return minimize(network, objective, optimizer(config, network), micro_batch=config.micro_batch)

    critic, penalty = discriminator_objectives(config, networks, labels="batch")
    main, lazy = add_penalty(critic, penalty, config.r1_interval)
    generator = objectives.generator(networks, LOSSES[config.loss], labels="batch")
    return {
        "discriminator": (phase("discriminator", main), 1),
        **({"discriminator penalty": (phase("discriminator", lazy), config.r1_interval)} if lazy else {}),
        "generator": (phase("generator", generator), 1),
    }


def step(config: R3GANConfig, networks: Networks) -> Step:
    """Return a whole step: ``phases`` and ``averages`` in turn."""
    parts = phases(config, networks).values()
    whole = train_step(*(every(interval, phase) for phase, interval in parts), averages(config, config.ema_half_life))
    check_size = partial(check_batch_size, config)
    return checked(whole, image_shape=config.image_shape, label_size=config.label_size, check_size=check_size)


def r3gan(config: R3GANConfig) -> GAN:
    """Return the R3GAN of a config."""
    generator, discriminator = Generator(config), Discriminator(config)
    parts = networks(config, generator, discriminator)
    whole = step(config, parts)

    def init(key: Key) -> TrainState:
        return TrainState(**init_networks(config, generator, discriminator, partial(optimizer, config), key))

    @jax.jit
    def to_images(variables: PyTree, latents: Latents, labels: Labels | None) -> Images:
        return jnp.clip(cast("Array", generator.apply(variables, latents, labels)), -1, 1)

    def generate(state: TrainState, latents: Latents, labels: Labels | None = None, *, ema: bool = True) -> Images:
        return to_images(generator_variables(state, ema=ema), latents, labels)

    return GAN(
        name="r3gan",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=discriminator,
        init=jax.jit(init),
        step=whole,
        generate=generate,
        check_batch_size=partial(check_batch_size, config),
        latents=partial(normal_latents, size=config.latent_size),
        own_reals=("generator",),
        stages=(
            Stage(
                "r3gan",
                whole,
                phases={**phases(config, parts), "averages": (averages(config, config.ema_half_life), 1)},
            ),
        ),
    )


MODEL = Model("r3gan", R3GANConfig, r3gan, PRESETS, default="cifar10")
