"""StyleGAN3: a generator whose details move with the image, without aliasing, in translation (T) or rotation too (R).

Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila 2021, "Alias-Free Generative Adversarial Networks",
arXiv:2106.12423; with the settings and the training loop of NVlabs/stylegan3, and its augmentation if asked for. The
discriminator and the objective are StyleGAN2's, without path lengths and, by default, without style mixing.

Where reality differs from the paper, this follows the code:

- the mean of w and the mean squares of the layers' inputs are those of the fakes of the discriminator's phase alone;
- mean squares are divided out after they have moved, by the batch that moves them, too;
- styles are divided by their root mean square over the whole batch, which demodulation cancels up to rounding;
- configuration R blurs what the discriminator sees, by a Gaussian that fades over the first images.

Where this differs from the code:

- a batch is the global batch: its statistics are those of all devices, so one device and eight train the same model;
- sampling rates are the image's own, halved, so that images need be neither square nor powers of two;
- the labels of fakes are drawn from those of the batch, since a step sees no others;
- p of ADA has an upper limit.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from math import ceil
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
from ganzoo.models.stylegan3.config import PRESETS, TRANSFERRED, StyleGAN3Config, fill_defaults
from ganzoo.models.stylegan3.networks import Generator, discriminator, modulation_kernels
from ganzoo.nn.residual import ResidualDiscriminator, frozen, last_bias
from ganzoo.nn.styles import style_space
from ganzoo.objectives import Networks, Objective
from ganzoo.ops.lowpass import gaussian_blur
from ganzoo.phases import checked, every, minimize, train_step
from ganzoo.schedules import Scheduled
from ganzoo.typing import Images, Key, Labels, Logits, Params, State, Step


def networks(
    config: StyleGAN3Config,
    generator: Generator,
    discriminator: ResidualDiscriminator,
    *,
    track: bool = False,
    blurs: bool = True,
) -> Networks:
    """Return what the objectives need of the two modules.

    Args:
      config: of both.
      generator: of the config.
      discriminator: of the config.
      track: whether fakes move the generator's statistics.
      blurs: whether the blur of the first images is computed; without it, images are as they are after its fade.
    """

    def fake(params: Params, state: State, draws: Draws) -> tuple[Images, State]:
        network = state.generator
        tracked = partial(generator.apply, network.with_params(params), method="train", mutable=["statistics"])
        inputs = (draws.get(name) for name in ("label", "mixed_latents", "cutoff"))
        images, renewed = cast("Any", tracked(draws["latents"], *inputs, update=track))
        network = replace(network, collections={**network.collections, **renewed})
        return images, replace(state, generator=network)

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        if count := config.freeze_discriminator_layers:
            params = frozen(params, count)
        return cast("Any", discriminator.apply({"params": params}, images, labels)), state

    def blurred(state: State, images: Images) -> Images:
        if not (blurs and config.blur_sigma and config.blur_images):
            return images
        left = jnp.maximum(1 - state.images.astype(jnp.float32) / config.blur_images, 0)
        return gaussian_blur(images, left * config.blur_sigma, config.blur_sigma)

    draw = FakeDraws(
        partial(normal_latents, size=config.latent_size),
        StyleDraws(config.style_mixing, config.style_count, fresh_noise=False),
        config.micro_batch,
    )
    return Networks(fake, logits, draw, config.image_shape, augmentation=config, filtered=blurred)


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: StyleGAN3Config, network: str, *, is_lazy: bool = False) -> optax.GradientTransformation:
    """Return Adam behind ``finite``; the discriminator's is corrected for the steps that its lazy phase adds.

    The lazy phase makes no step, not even one of length 0, of the last bias, on which its penalties do not depend.
    """
    if network == "generator":
        return optax.chain(finite(), adam(config, config.generator_learning_rate))
    inner = adam(config, config.discriminator_learning_rate, interval=config.r1_interval)
    parts: dict[Hashable, optax.GradientTransformation] = {"bias": _paused(inner) if is_lazy else inner, "rest": inner}
    return optax.chain(finite(), optax.partition(parts, last_bias))


def _paused(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return the transformation that leaves parameters and the state of ``inner`` as they are."""
    return optax.GradientTransformation(
        inner.init, lambda updates, state, params=None: (jax.tree.map(jnp.zeros_like, updates), state)
    )


def phases(
    config: StyleGAN3Config, generator: Generator, discriminator: ResidualDiscriminator, *, blurs: bool = True
) -> dict[str, tuple[Step, int]]:
    """Return the phases of a step in their order, by name, each with the number of steps between two of its kind.

    NVlabs/stylegan3, training/training_loop.py and training/loss.py. ``blurs`` is that of ``networks``.
    """
    plain, tracking = (networks(config, generator, discriminator, track=track, blurs=blurs) for track in (False, True))

    def descend(network: str, objective: Objective, *, is_lazy: bool = False) -> Step:
        adam = optimizer(config, network, is_lazy=is_lazy)
        return minimize(network, objective, adam, micro_batch=config.micro_batch)

    main, penalty = discriminator_objectives(config, tracking, labels="resampled")
    main, lazy = add_penalty(main, penalty, config.r1_interval)
    half_life = cast("Scheduled", config.ema_half_life)
    return {
        "generator": (descend("generator", objectives.generator(plain, LOSSES[config.loss], labels="resampled")), 1),
        "discriminator": (descend("discriminator", main), 1),
        **(
            {"discriminator penalty": (descend("discriminator", lazy, is_lazy=True), config.r1_interval)}
            if lazy
            else {}
        ),
        "averages": (averages(config, half_life, ramp=config.ema_ramp, collections="copy"), 1),
    }


def step(
    config: StyleGAN3Config, generator: Generator, discriminator: ResidualDiscriminator, *, blurs: bool = True
) -> Step:
    """Return a whole step: ``phases`` in turn."""
    parts = phases(config, generator, discriminator, blurs=blurs).values()
    whole = train_step(*(every(interval, phase) for phase, interval in parts))
    shape, labels = config.image_shape, config.label_size
    return checked(whole, image_shape=shape, label_size=labels, check_size=_check_size(config))


def stages(config: StyleGAN3Config, generator: Generator, discriminator: ResidualDiscriminator) -> tuple[Stage, ...]:
    """Return the parts of a run: while the discriminator's images are blurred, and from then on, without a branch."""

    def stage(name: str, *, blurs: bool, last_image: int | None = None) -> Stage:
        parts = (config, generator, discriminator)
        return Stage(name, step(*parts, blurs=blurs), last_image=last_image, phases=phases(*parts, blurs=blurs))

    if not (config.blur_sigma and config.blur_images):
        return (stage("stylegan3", blurs=False),)
    last = ceil(config.blur_images) - 1
    return stage("blurred", blurs=True, last_image=last), stage("sharp", blurs=False)


def _check_size(config: StyleGAN3Config) -> Callable[[int], None]:
    return partial(check_batch_size, config)


def stylegan3(config: StyleGAN3Config) -> GAN:
    """Return the StyleGAN3 of a config; what the config leaves open is chosen as for one device."""
    config, _ = fill_defaults(config, 0, 1)
    generator, critic = Generator(config), discriminator(config)
    styles = style_space(
        generator,
        config.style_count,
        modulations=modulation_kernels,
        feature_sizes=[config.schedule.area(layer.after) for layer in config.schedule.all_layers],
        takes_transform=True,
    )

    def init(key: Key) -> TrainState:
        return TrainState(**init_networks(config, generator, critic, partial(optimizer, config), key))

    return GAN(
        name="stylegan3",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=critic,
        init=jax.jit(init),
        step=step(config, generator, critic),
        generate=styles.generate,
        check_batch_size=_check_size(config),
        latents=partial(normal_latents, size=config.latent_size),
        styles=styles,
        stages=stages(config, generator, critic),
    )


MODEL = Model(
    "stylegan3", StyleGAN3Config, stylegan3, PRESETS, default="t", fill_defaults=fill_defaults, transferred=TRANSFERRED
)
