"""StyleGAN2: styles that modulate the weights of a generator, trained with lazy regularisation.

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila 2019, "Analyzing and Improving the Image Quality of StyleGAN",
arXiv:1912.04958; with the settings and the training loop of Karras et al. 2020, "Training Generative Adversarial
Networks with Limited Data", arXiv:2006.06676 (NVlabs/stylegan2-ada-pytorch), and with its augmentation if asked for.

Where reality differs from the paper, this follows the code:

- style mixing draws one cutoff for a whole (micro-)batch, and the second latents do not enter the average of w;
- the average of w is that of all generator passes in training, also those of the discriminator's phase;
- path lengths are divided by the number of style inputs under the root, and the penalty compares them with the
  average that already counts them, through which the gradient flows;
- gradients that are not numbers become 0 before Adam sees them, infinite ones +-1e5.

Where this differs from the code:

- a batch is the global batch: groups of the minibatch standard deviation, the averages of w and of path lengths and
  the mixing cutoff are those of all devices, so one device and eight train the same model; so are the signs of logits
  that ADA counts, and the margin of its reflection;
- p of ADA has an upper limit;
- gradients of micro-batches are averaged, not summed (Adam with beta1 = 0 makes the same steps of both);
- the labels of fakes are drawn from those of the batch, since a step sees no others.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from ganzoo import objectives
from ganzoo.draws import Draws, FakeDraws, StyleDraws, normal_latents
from ganzoo.gan import GAN, Model, Stage, TrainState
from ganzoo.losses import LOSSES
from ganzoo.models.config import (
    adam,
    add_penalty,
    averages,
    check_batch_size,
    discriminator_objectives,
    finite,
    init_networks,
)
from ganzoo.models.stylegan2.config import PRESETS, TRANSFERRED, StyleGAN2Config, fill_defaults
from ganzoo.models.stylegan2.networks import Generator, discriminator, modulation_kernels
from ganzoo.nn.residual import ResidualDiscriminator, frozen
from ganzoo.nn.styles import mix_styles, style_space
from ganzoo.objectives import Objective, StyleNetworks
from ganzoo.phases import checked, every, minimize, train_step
from ganzoo.schedules import Scheduled
from ganzoo.typing import Images, Key, Labels, Logits, Params, State, Step, Styles


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StyleGAN2State(TrainState):
    """A train state that remembers how long paths are."""

    path_length_mean: Any
    """float32 []: the running mean of path lengths."""


# Objective ----------------------------------------------------------------------------------------------------------


def networks(config: StyleGAN2Config, generator: Generator, discriminator: ResidualDiscriminator) -> StyleNetworks:
    """Return what the objectives need of the two modules."""
    apply = generator.apply

    def styles(params: Params, state: State, draws: Draws) -> tuple[Styles, State]:
        network, labels = state.generator, draws.get("label")
        variables = network.with_params(params)
        tracked = partial(apply, variables, method="styles", update_average=True, mutable=["statistics"])
        ws, renewed = tracked(draws["latents"], labels)
        if config.style_mixing:
            others = cast("Any", apply(variables, draws["mixed_latents"], labels, method="styles"))
            ws = mix_styles(ws, others, draws["cutoff"])
        network = replace(network, collections={**network.collections, **renewed})
        return ws, replace(state, generator=network)

    def synthesise(params: Params, state: State, ws: Styles, draws: Draws) -> Images:
        noise = draws.get("noise", config.training_noise)
        return cast("Any", apply(state.generator.with_params(params), ws, noise=noise, method="synthesise"))

    def fake(params: Params, state: State, draws: Draws) -> tuple[Images, State]:
        ws, state = styles(params, state, draws)
        return synthesise(params, state, ws, draws), state

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        if count := config.freeze_discriminator_layers:
            params = frozen(params, count)
        return cast("Any", discriminator.apply({"params": params}, images, labels)), state

    draw = FakeDraws(
        partial(normal_latents, size=config.latent_size),
        StyleDraws(config.style_mixing, config.style_count, fresh_noise=config.training_noise == "random"),
        config.micro_batch,
    )
    return StyleNetworks(
        fake, logits, draw, config.image_shape, augmentation=config, styles=styles, synthesise=synthesise
    )


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: StyleGAN2Config, network: str) -> optax.GradientTransformation:
    """Return Adam behind ``finite``, corrected for the steps that the network's lazy phase adds."""
    rate, interval = {
        "generator": (config.generator_learning_rate, config.path_length_interval),
        "discriminator": (config.discriminator_learning_rate, config.r1_interval),
    }[network]
    return optax.chain(finite(), adam(config, cast("Scheduled", rate), interval=interval))


def phases(config: StyleGAN2Config, networks: StyleNetworks) -> dict[str, tuple[Step, int]]:
    """Return the phases of a step in their order, by name, each with the number of steps between two of its kind.

    A network's penalty is minimised by the same Adam as its main loss: in a phase of its own, times the interval, or
    together with the main loss where the interval is 0.
    """

    def of(network: str, main: Objective, penalty: Objective | None, interval: int) -> dict[str, tuple[Step, int]]:
        phase = partial(minimize, network, optimizer=optimizer(config, network), micro_batch=config.micro_batch)
        every_step, lazy = add_penalty(main, penalty, interval)
        extra = {f"{network} penalty": (phase(lazy), interval)} if lazy else {}
        return {network: (phase(every_step), 1), **extra}

    weight, shrink = config.path_length_weight, config.path_length_batch_shrink
    lengths = objectives.path_length(networks, weight, decay=config.path_length_decay, shrink=shrink)
    main = objectives.generator(networks, LOSSES[config.loss], labels="resampled")
    critic, penalty = discriminator_objectives(config, networks, labels="resampled")
    return {
        **of("generator", main, lengths if weight else None, config.path_length_interval),
        **of("discriminator", critic, penalty, config.r1_interval),
    }


def step(config: StyleGAN2Config, networks: StyleNetworks) -> Step:
    """Return a whole step: G, D, their penalties, then the EMA and the strength of the augmentation.

    By default path lengths come every 4th step and R1 every 16th. Each phase has latents of its own.
    NVlabs/stylegan2-ada-pytorch, training_loop.py:199-315.
    """
    parts = phases(config, networks).values()
    whole = train_step(*(every(interval, phase) for phase, interval in parts), _averages(config))
    return checked(whole, image_shape=config.image_shape, label_size=config.label_size, check_size=_check_size(config))


def _averages(config: StyleGAN2Config) -> Step:
    return averages(config, cast("Scheduled", config.ema_half_life), ramp=config.ema_ramp, collections="copy")


def _check_size(config: StyleGAN2Config) -> Callable[[int], None]:
    return partial(check_batch_size, config, shrink=config.path_length_batch_shrink if config.path_length_weight else 1)


def stylegan2(config: StyleGAN2Config) -> GAN:
    """Return the StyleGAN2 of a config; what the config leaves open is chosen as for one device."""
    config, _ = fill_defaults(config, 0, 1)
    generator, critic = Generator(config), discriminator(config)
    styles = style_space(
        generator,
        config.style_count,
        modulations=modulation_kernels,
        feature_sizes=[level.size for level in config.levels],
    )
    parts = networks(config, generator, critic)
    whole, lazily = step(config, parts), phases(config, parts)

    def init(key: Key) -> StyleGAN2State:
        shared = init_networks(config, generator, critic, partial(optimizer, config), key)
        return StyleGAN2State(path_length_mean=jnp.float32(0), **shared)

    return GAN(
        name="stylegan2",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=critic,
        init=jax.jit(init),
        step=whole,
        generate=styles.generate,
        check_batch_size=_check_size(config),
        latents=partial(normal_latents, size=config.latent_size),
        styles=styles,
        stages=(Stage("stylegan2", whole, phases={**lazily, "averages": (_averages(config), 1)}),),
    )


MODEL = Model(
    "stylegan2",
    StyleGAN2Config,
    stylegan2,
    PRESETS,
    default="auto",
    fill_defaults=fill_defaults,
    transferred=TRANSFERRED,
)
