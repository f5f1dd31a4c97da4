"""DCGAN: deep convolutional generative adversarial networks.

Radford, Metz, Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434. Two lineages of it are in use and both are presets here:

- ``paper``: the authors' own training code (Newmu/dcgan_code, faces/train_uncond_dcgan.py);
- ``torch``: the Torch and PyTorch example (soumith/dcgan.torch; pytorch/examples, dcgan/main.py).

Where reality differs from the paper:

- the paper's section 4 gives no number of filters; 128 and 64 are those of the two codes;
- dcgan.torch updates G by what D said of the fakes before its own update, and the PyTorch example, which the preset
  follows, asks the updated D again;
- the authors' code normalises the generator's first layer over the batch for each of its 16,384 units, and the Torch
  line for each channel;
- the authors' code decays beta1 by (1 - 1e-8)^t (lib/updates.py:142); in float32 that factor is exactly 1, so it has
  no counterpart here;
- sizes other than 64 double the features once more for every further halving, as the 64-pixel networks do.
"""

from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from ganzoo import objectives
from ganzoo.draws import Draws, FakeDraws, normal_latents, uniform_latents
from ganzoo.gan import GAN, Model, Stage, TrainState, generator_variables
from ganzoo.losses import LOSSES
from ganzoo.models.config import adam, add_penalty, averages, check_batch_size, discriminator_objectives, init_networks
from ganzoo.models.dcgan.config import PRESETS, DCGANConfig
from ganzoo.models.dcgan.networks import Discriminator, Generator
from ganzoo.objectives import Networks, Objective
from ganzoo.phases import chain, checked, every, minimize, train_step
from ganzoo.typing import AnyArray, Images, Key, Labels, Latents, Logits, Params, PyTree, State, Step

REFERENCE_BATCH = 256

# Objective ------------------------------------------------------------------------------------------------------------


def networks(config: DCGANConfig, generator: Generator, discriminator: Discriminator) -> Networks:
    """Return what the objectives need of the two modules. Batch statistics of both move in every pass."""

    def fake(params: Params, state: State, draws: Draws) -> tuple[Images, State]:
        network = state.generator
        images, renewed = _train(generator, network.with_params(params), draws["latents"], draws.get("label"))
        return images, replace(state, generator=replace(network, collections=renewed))

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        network = state.discriminator
        values, renewed = _train(discriminator, network.with_params(params), images, labels)
        return values, replace(state, discriminator=replace(network, collections=renewed))

    draw = FakeDraws(partial(draw_latents, config), micro_batch=config.micro_batch)
    return Networks(fake, logits, draw, config.image_shape, augmentation=config)


def draw_latents(config: DCGANConfig, key: Key, indices: Array) -> Latents:
    """Draw latents [N, z]; the latent of index i depends on the key and i alone."""
    draw = {"normal": normal_latents, "uniform": uniform_latents}[config.latent_distribution]
    return draw(key, indices, size=config.latent_size)


def _train(
    network: nn.Module, variables: PyTree, inputs: AnyArray, labels: Labels | None
) -> tuple[Array, dict[str, PyTree]]:
    """Return a network's output in training, and its renewed statistics."""
    return cast("Any", network.apply(variables, inputs, labels, train=True, mutable=["batch_stats"]))


def _without_statistics(networks: Networks) -> Networks:
    """Return networks whose fakes leave the generator's running statistics as they are: for D's phase."""
    return replace(networks, fake=lambda params, state, draws: (networks.fake(params, state, draws)[0], state))


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: DCGANConfig, network: str) -> optax.GradientTransformation:
    """Return Adam, after the L2 penalty's gradient where there is one."""
    steps = adam(config, config.learning_rate, interval=config.r1_interval if network == "discriminator" else 0)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), steps) if config.weight_decay else steps


def phases(config: DCGANConfig, networks: Networks) -> dict[str, tuple[Step, int]]:
    """Return the phases of a step in their order, by name, each with the number of steps between two of its kind.

    The order is that of one of the two lineages.

    ``same-fakes``: D, then G through the new D on the same fakes (pytorch/examples, dcgan/main.py:223-264).
    ``alternate``: G in even steps and D in odd ones, each with images and latents of its own (Newmu/dcgan_code,
    faces/train_uncond_dcgan.py:203-206).
    """
    critic, penalty = discriminator_objectives(config, _without_statistics(networks), labels="batch")
    main, lazy = add_penalty(critic, penalty, config.r1_interval)

    def phase(network: str, objective: Objective) -> Step:
        return minimize(network, objective, optimizer(config, network), micro_batch=config.micro_batch)

    discriminator = phase("discriminator", main)
    generator = phase("generator", objectives.generator(networks, LOSSES[config.loss], labels="batch"))
    main_phases: dict[str, dict[str, tuple[Step, int]]] = {
        "same-fakes": {"both networks": (chain(discriminator, generator, share_key=True), 1)},
        "alternate": {"generator": (generator, 2), "discriminator": (discriminator, 2)},
    }
    penalty_phase = {"discriminator penalty": (phase("discriminator", lazy), config.r1_interval)} if lazy else {}
    return {**main_phases[config.update], **penalty_phase}


def step(config: DCGANConfig, networks: Networks) -> Step:
    """Return a whole step, in the order of one of the two lineages; see ``phases``."""
    parts = {name: phase for name, (phase, _) in phases(config, networks).items()}
    lazy = parts.pop("discriminator penalty", None)
    penalties = [every(config.r1_interval, lazy)] if lazy else []
    if config.update == "alternate":
        parts = {"both": chain(every(2, parts["generator"]), every(2, parts["discriminator"], offset=1))}
    whole = train_step(*parts.values(), *penalties, averages(config, config.ema_half_life))
    check_size = partial(check_batch_size, config)
    return checked(whole, image_shape=config.image_shape, label_size=config.label_size, check_size=check_size)


def dcgan(config: DCGANConfig) -> GAN:
    """Return the DCGAN of a config."""
    generator, discriminator = Generator(config), Discriminator(config)
    parts = networks(config, generator, discriminator)
    whole = step(config, parts)

    def init(key: Key) -> TrainState:
        adam = partial(optimizer, config)
        return TrainState(**init_networks(config, generator, discriminator, adam, key, examples=2))

    return GAN(
        name="dcgan",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=discriminator,
        init=jax.jit(init),
        step=whole,
        generate=jax.jit(partial(generate, config), static_argnames="ema"),
        check_batch_size=partial(check_batch_size, config),
        latents=partial(draw_latents, config),
        stages=(
            Stage(
                "dcgan",
                whole,
                phases={**phases(config, parts), "averages": (averages(config, config.ema_half_life), 1)},
            ),
        ),
    )


def generate(
    config: DCGANConfig, state: TrainState, latents: Latents, labels: Labels | None = None, *, ema: bool = True
) -> Images:
    """Return images [N, H, W, C] of latents [N, z], normalised by the statistics that the config names."""
    variables = generator_variables(state, ema=ema)
    if config.sample_statistics == "batch":
        variables = {**variables, **reference_statistics(config, variables)}
    return cast("Array", Generator(config).apply(variables, latents, labels))


def reference_statistics(config: DCGANConfig, variables: PyTree) -> PyTree:
    """Return the statistics of one fixed batch of 256 latents, in the place of the running ones."""
    indices = jnp.arange(REFERENCE_BATCH)
    labels = (
        jax.nn.one_hot(indices % config.label_size, config.label_size, dtype=jnp.float32) if config.label_size else None
    )
    latents = draw_latents(config, jax.random.fold_in(jax.random.key(0), REFERENCE_BATCH), indices)
    return _train(Generator(replace(config, norm_momentum=1.0)), variables, latents, labels)[1]


MODEL = Model("dcgan", DCGANConfig, dcgan, PRESETS, default="torch")
