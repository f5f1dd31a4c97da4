"""StyleGAN: a mapping network, styles that scale and shift normalised features, noise, and progressive growing.

Karras, Laine, Aila 2018, "A Style-Based Generator Architecture for Generative Adversarial Networks", arXiv:1812.04948;
growing, minibatch standard deviation and equalised learning rates from Karras, Aila, Laine, Lehtinen 2017,
"Progressive Growing of GANs", arXiv:1710.10196, whose own networks (``progan``) are these ones without styles.

Where reality differs from the papers, this follows NVlabs/stylegan:

- a new level is first reached, and the optimizers forget, where its fading in begins and again where it ends;
- R1 is measured on images of full size even while small ones are trained, so a halving divides it by 4;
- style mixing draws one cutoff for a whole batch, from the layers in use, and the second latents do not enter the
  average of w; that average is of all generator passes in training;
- the average of the generator moves after D's update and before G's.

Where this differs from that code:

- a batch is the global batch: statistics are those of all devices, so one device and eight train the same model;
- networks are evaluated at the size in training, not enlarged to the full one;
- the labels of fakes are drawn from those of the batch, since a step sees no others.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from ganzoo import augment, objectives
from ganzoo.draws import Draws, FakeDraws, StyleDraws, normal_latents
from ganzoo.gan import GAN, Average, Model, Network, Stage, TrainState
from ganzoo.losses import LOSSES
from ganzoo.models.config import adam, add_penalty, check_batch_size, discriminator_objectives, init_networks
from ganzoo.models.stylegan.config import PRESETS, PROGAN_PRESETS, StyleGANConfig, fill_defaults
from ganzoo.models.stylegan.growth import changes_networks
from ganzoo.models.stylegan.networks import Generator, GrowingDiscriminator, blend, discriminator
from ganzoo.nn.styles import mix_styles, style_space
from ganzoo.objectives import Networks, Objective
from ganzoo.ops import pixels
from ganzoo.ops.resample import avg_pool, upsample_nearest
from ganzoo.phases import adapt_augmentation, chain, checked, every, minimize, train_step, update_ema
from ganzoo.schedules import Scheduled
from ganzoo.typing import AnyArray, Batch, Images, Key, Labels, Logits, Metrics, Params, State, Step


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StyleGANState(TrainState):
    """A train state that knows how far its networks have grown."""

    level_of_detail: Any
    """float32 []: level of detail of the last step; 0 when images have their full size."""


Modules: TypeAlias = tuple[Generator, GrowingDiscriminator]


# Objective ----------------------------------------------------------------------------------------------------------


def networks(config: StyleGANConfig, generator: nn.Module, discriminator: nn.Module, halvings: int) -> Networks:
    """Return what the objectives need while the finest level in use is ``halvings`` below the image."""
    used = 2 * (len(config.levels) - halvings)

    def fake(params: Params, state: State, draws: Draws) -> tuple[Images, State]:
        """Return images [N, h, w, C] in the size in training; renew the mean of w."""
        network, labels = state.generator, draws.get("label")
        variables = network.with_params(params)
        to_styles = partial(generator.apply, variables, method="styles")
        ws, renewed = cast("Any", to_styles(draws["latents"], labels, update_average=True, mutable=["statistics"]))
        if config.style_mixing:
            ws = mix_styles(ws, cast("Array", to_styles(draws["mixed_latents"], labels)), draws["cutoff"])
        synthesise = partial(generator.apply, variables, method="synthesise", halvings=halvings)
        images = synthesise(ws, lod=state.level_of_detail, noise=draws.get("noise", "none"))
        network = replace(network, collections={**network.collections, **renewed})
        return cast("Array", images), replace(state, generator=network)

    def real(state: State, images: AnyArray) -> Images:
        """Return the batch in the size in training, blended with the next coarser size like fakes are.

        Stored pixels are averaged and rounded to whole grey levels, as in the originals' pyramid of files.
        """
        if halvings:
            is_stored = images.dtype == jnp.uint8
            small = avg_pool(jnp.asarray(images, jnp.float32 if is_stored else images.dtype), 2**halvings)
            images = jnp.rint(small).astype(jnp.uint8) if is_stored else small
        fine = jnp.asarray(pixels.to_float(images))
        if halvings >= config.growth.start:
            return fine  # the first level has not faded in
        return blend(fine, upsample_nearest(avg_pool(fine, 2), 2), state.level_of_detail - halvings)

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        apply = partial(discriminator.apply, halvings=halvings)
        return cast("Array", apply({"params": params}, images, labels, state.level_of_detail)), state

    level = config.level(halvings)
    styles = StyleDraws(config.style_mixing, used, fresh_noise=config.use_noise)
    draw = FakeDraws(partial(normal_latents, size=config.latent_size), styles, config.micro_batch)
    return Networks(fake, logits, draw, (level.height, level.width, config.channels), real=real, augmentation=config)


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: StyleGANConfig, network: str, halvings: int = 0) -> optax.GradientTransformation:
    """Return a network's Adam. Its state at one level fits the others."""
    interval = config.r1_interval if network == "discriminator" else 0
    return adam(config, config.learning_rate(halvings), interval=interval)


def phases(config: StyleGANConfig, networks: Networks, halvings: int) -> dict[str, tuple[Step, int]]:
    """Return the phases at one level in their order, by name, each with the number of steps between two of its kind.

    D, the EMA, G, then D's penalty where it has a phase of its own.
    The penalties are of gradients as of images of full size. There each pixel of the size in training is 4^halvings
    pixels that share its gradient, so the norm is 2^halvings times smaller.
    """
    critic, penalty = discriminator_objectives(config, networks, labels="batch", pixel_size=2.0**halvings)
    main, lazy = add_penalty(critic, penalty, config.r1_interval)
    generator = objectives.generator(networks, LOSSES[config.loss], labels="resampled")

    def phase(network: str, objective: Objective) -> Step:
        adam = optimizer(config, network, halvings)
        return minimize(network, objective, adam, micro_batch=config.micro_batch)

    average = update_ema(half_life=cast("Scheduled", config.ema_half_life), collections="copy")
    penalty = {"discriminator penalty": (phase("discriminator", lazy), config.r1_interval)} if lazy else {}
    return {
        "discriminator": (phase("discriminator", main), 1),
        "averages": (average, 1),
        "generator": (phase("generator", generator), 1),
        **penalty,
    }


def level_step(config: StyleGANConfig, networks: Networks, halvings: int) -> Step:
    """Return the phases of one level in turn."""
    parts = phases(config, networks, halvings).values()
    return chain(*(every(interval, phase) for phase, interval in parts))


def grow(config: StyleGANConfig, state: StyleGANState, batch: Batch, key: Key) -> tuple[StyleGANState, Metrics]:
    """Set the level of detail of the images seen; where other weights are trained from now on, optimizers restart."""
    del batch, key
    before = state.level_of_detail
    now = config.growth.renewed(state.images, state.step, before)
    restarts = changes_networks(before, now)

    def network(old: Network) -> Network:
        fresh = optimizer(config, "generator").init(old.params)  # of either network
        return replace(old, opt_state=jax.tree.map(partial(jnp.where, restarts), fresh, old.opt_state))

    both = {"generator": network(state.generator), "discriminator": network(state.discriminator)}
    return replace(state, level_of_detail=now, **both), {"level_of_detail": Average.of(now)}


def step(config: StyleGANConfig, modules: Modules, halvings: int | None = None) -> Step:
    """Return a whole step: at the level that the images seen ask for, or, compiled in less time, at a given one."""
    start = config.growth.start
    halvings = 0 if start == 0 else halvings

    def at(halvings: int) -> Step:
        return level_step(config, networks(config, *modules, halvings), halvings)

    def at_any_level(state: StyleGANState, batch: Batch, key: Key) -> tuple[StyleGANState, Metrics]:
        index = jnp.clip(jnp.floor(state.level_of_detail), 0, start).astype(jnp.int32)
        return jax.lax.switch(index, [at(k) for k in range(start + 1)], state, batch, key)

    one = at_any_level if halvings is None else at(halvings)
    adapt = adapt_augmentation(augment.control(config), interval=config.augment_interval)
    whole = train_step(partial(grow, config), one, adapt)

    return checked(whole, image_shape=config.image_shape, label_size=config.label_size, check_size=_check_size(config))


def stages(config: StyleGANConfig, modules: Modules) -> tuple[Stage, ...]:
    """Return one stage for each level, from the first one on."""
    growth = config.growth

    def stage(halvings: int) -> Stage:
        level, last = config.level(halvings), growth.last_image(halvings)
        name, batch_size = f"{level.width}x{level.height}", config.batch_size(halvings)
        parts = {"growth": (partial(grow, config), 1), **phases(config, networks(config, *modules, halvings), halvings)}
        if control := augment.control(config):
            parts["augmentation"] = (adapt_augmentation(control, interval=config.augment_interval), 1)
        return Stage(name, step(config, modules, halvings), batch_size, last, config.schedule_interval, parts)

    return tuple(stage(halvings) for halvings in range(growth.start, -1, -1))


def _check_size(config: StyleGANConfig) -> Callable[[int], None]:
    return partial(check_batch_size, config)


def stylegan(config: StyleGANConfig, name: str = "stylegan") -> GAN:
    """Return the StyleGAN, or the ProGAN, of a config.

    Images are as detailed as the state is; coarse ones are enlarged. The published images have psi 0.7 and cutoff 8.
    """
    modules = generator, critic = Generator(config), discriminator(config)
    styles = style_space(
        generator,
        config.style_count,
        modulations=lambda variables: [],
        detail=lambda state: {"lod": state.level_of_detail},
        feature_sizes=[level.size for level in config.levels],
    )

    def init(key: Key) -> StyleGANState:
        shared = init_networks(config, *modules, partial(optimizer, config), key)
        return StyleGANState(level_of_detail=jnp.float32(config.growth.start), **shared)

    return GAN(
        name=name,
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=critic,
        init=jax.jit(init),
        step=step(config, modules),
        generate=styles.generate,
        check_batch_size=_check_size(config),
        latents=partial(normal_latents, size=config.latent_size),
        styles=styles,
        stages=stages(config, modules),
    )


MODEL = Model("stylegan", StyleGANConfig, stylegan, PRESETS, default="ffhq1024", fill_defaults=fill_defaults)
PROGAN = Model(
    "progan", StyleGANConfig, partial(stylegan, name="progan"), PROGAN_PRESETS, "paper", fill_defaults=fill_defaults
)
