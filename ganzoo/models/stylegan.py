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

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ganzoo import augment, penalties
from ganzoo.gan import GAN, Average, NetworkState, Stage, TrainState
from ganzoo.losses import LOSSES
from ganzoo.models.stylegan_config import StyleGANConfig
from ganzoo.models.stylegan_growth import changes_networks
from ganzoo.models.stylegan_networks import Generator
from ganzoo.nn.mapping import mixed, mixing_cutoff
from ganzoo.nn.progressive import GrowingDiscriminator, blend
from ganzoo.nn.synthesis import Noise, sampled
from ganzoo.ops import collective, pixels, random
from ganzoo.ops.resample import averaged, repeated
from ganzoo.ops.statistics import require_groups
from ganzoo.phases import average_generator, chain, control_augmentation, counted, fitted, minimize
from ganzoo.typing import Batch, Images, Key, Labels, Latents, Logits, Metrics, Params, PyTree, Scalar, Step

# Objective ----------------------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StyleGANState(TrainState):
    """A train state that knows how far its networks have grown."""

    level_of_detail: Any
    """float32 []: that of the last step; 0 when all of the image is trained."""


Outcome = tuple[Scalar, tuple[StyleGANState, Metrics]]
"""A loss, and the state and metrics that come with it."""


def draw_latents(config: StyleGANConfig, key: Key, indices: Array) -> Latents:
    """Latents [N, z] ~ N(0, 1); the one with index i depends on the key and i alone."""
    return random.for_indices(lambda key: jax.random.normal(key, (config.latent_size,)), key, indices)


@dataclass(frozen=True)
class Game:
    """The two networks and their losses, while the finest level in use is so many halvings below the image."""

    config: StyleGANConfig
    generator: Generator
    discriminator: GrowingDiscriminator
    halvings: int

    def fakes(
        self, params: Params, state: StyleGANState, labels: Labels | None, batch: Batch, key: Key
    ) -> tuple[Images, StyleGANState]:
        """Images for labels, in the size in training, as many as the batch has; the average of w is renewed."""
        cfg, network = self.config, state.generator
        indices = collective.global_indices(batch["image"].shape[0])
        variables = {"params": params, **network.variables}
        map_to_styles = partial(self.generator.apply, variables, method="styles")
        latents, others = (draw_latents(cfg, jax.random.fold_in(key, i), indices) for i in range(2))
        ws, renewed = map_to_styles(latents, labels, update_average=True, mutable=["statistics"])
        if cfg.style_mixing:
            used = 2 * (len(cfg.levels) - self.halvings)
            cutoff = mixing_cutoff(jax.random.fold_in(key, 2), cfg.style_mixing, used)
            second = cast("Array", map_to_styles(others, labels))
            ws = mixed(ws, second, jnp.broadcast_to(cutoff, indices.shape))
        noise = random.for_indices(lambda key: key, jax.random.fold_in(key, 3), indices) if cfg.use_noise else "none"
        synthesise = partial(self.generator.apply, method="synthesise", noise=noise, halvings=self.halvings)
        images = cast("Array", synthesise(variables, ws, state.level_of_detail))
        return images, replace(state, generator=replace(network, variables={**network.variables, **renewed}))

    def reals(self, state: StyleGANState, images: Array) -> Images:
        """The batch in the size in training, blended with the next coarser size like fakes are.

        Stored pixels are averaged and rounded to whole grey levels, as in the originals' pyramid of files.
        """
        if self.halvings:
            is_stored = images.dtype == jnp.uint8
            small = averaged(images.astype(jnp.float32) if is_stored else images, 2**self.halvings)
            images = jnp.rint(small).astype(jnp.uint8) if is_stored else small
        scaled = jnp.asarray(pixels.scaled(images))
        if self.halvings >= self.config.growth.start:
            return scaled  # the first level has not faded in
        return blend(scaled, repeated(averaged(scaled, 2), 2), state.level_of_detail - self.halvings)

    def judge(
        self, params: Params, state: StyleGANState, images: Images, labels: Labels | None, drawn: PyTree
    ) -> Logits:
        """The discriminator's logits of images that are augmented as was drawn."""
        images = augment.augmented(self.config, images, drawn, state.augment)
        apply = partial(self.discriminator.apply, halvings=self.halvings)
        return cast("Array", apply({"params": params}, images, labels, state.level_of_detail))

    def generator_loss(self, params: Params, state: StyleGANState, batch: Batch, key: Key) -> Outcome:
        """The loss of the config, on labels drawn from the batch."""
        labels, indices = batch.get("label"), collective.global_indices(batch["image"].shape[0])
        if labels is not None:
            labels = random.rows_of_batch(jax.random.fold_in(key, 4), indices, labels)
        images, state = self.fakes(params, state, labels, batch, key)
        drawn = augment.draw(self.config, "fake", jax.random.fold_in(key, 6), images.shape)
        logits = self.judge(state.discriminator.params, state, images, labels, drawn)
        losses = LOSSES[self.config.loss].generator(logits, logits)
        return losses.mean(), (state, {"generator/loss": Average.of(losses)})

    def discriminator_loss(self, params: Params, state: StyleGANState, batch: Batch, key: Key) -> Outcome:
        """The loss of the config and its penalty, on fakes of the labels of the reals.

        The penalty is of gradients with respect to images before they are augmented.
        """
        cfg, labels, real = self.config, batch.get("label"), self.reals(state, batch["image"])
        require_groups(collective.global_size(len(real)), cfg.minibatch_std_group, cfg.minibatch_std_channels)
        fake, state = self.fakes(state.generator.params, state, labels, batch, key)
        of_real, of_fake = (augment.draw(cfg, kind, jax.random.fold_in(key, 6), real.shape) for kind in augment.KINDS)
        fake_logits = self.judge(params, state, fake, labels, of_fake)
        real_logits = self.judge(params, state, real, labels, of_real)
        losses = LOSSES[cfg.loss].discriminator(real_logits, fake_logits)

        def critic(images: Images) -> Logits:
            return self.judge(params, state, images, labels, of_real)

        penalty, metrics = self._penalty(critic, real, fake, real_logits, jax.random.fold_in(key, 5))
        metrics = {
            **metrics,
            "discriminator/loss": Average.of(losses),
            "discriminator/real": Average.of(real_logits),
            "discriminator/fake": Average.of(fake_logits),
        }
        return losses.mean() + penalty, (augment.heard(state, real_logits), metrics)

    def _penalty(
        self, critic: penalties.Critic, real: Images, fake: Images, logits: Logits, key: Key
    ) -> tuple[Scalar, Metrics]:
        """The weighted penalty, with gradients as of images of full size.

        There each pixel of the size in training is 4^halvings pixels that share its gradient, so the norm is
        2^halvings times smaller.
        """
        cfg, smaller = self.config, 2.0**self.halvings
        if cfg.loss == "wasserstein":
            penalty = penalties.wgan_gp(critic, real, fake, key, target=smaller)
            drift = jnp.square(logits)
            metrics = {"discriminator/gradient_penalty": Average.of(penalty)}
            return cfg.gradient_penalty * penalty.mean() + cfg.drift_penalty * drift.mean(), metrics
        penalty = penalties.zero_centred(critic, real) / smaller**2
        return cfg.r1_gamma / 2 * penalty.mean(), {"discriminator/r1": Average.of(penalty)}


# Recipe -------------------------------------------------------------------------------------------------------------


def play(config: StyleGANConfig, halvings: int) -> Game:
    """The two networks of a config, while the finest level in use is so many halvings below the image."""
    discriminator = GrowingDiscriminator(
        config.levels,
        config.blur_filter,
        config.progressive,
        config.minibatch_std_group or None,
        config.minibatch_std_channels,
        config.activation,
        config.halves_last,
    )
    return Game(config, Generator(config), discriminator, halvings)


def optimizer(config: StyleGANConfig, halvings: int) -> optax.GradientTransformation:
    """Adam of either player. The state of one level is that of another."""
    rate = config.learning_rate(halvings)
    return optax.adam(rate, config.adam_beta1, config.adam_beta2, config.adam_epsilon)


def level_step(config: StyleGANConfig, halvings: int) -> Step:
    """D, the average, G: at one level."""
    game = play(config, halvings)
    return chain(
        minimize("discriminator", game.discriminator_loss, optimizer(config, halvings)),
        average_generator(half_life=config.average_half_life, variables="newest"),
        minimize("generator", game.generator_loss, optimizer(config, halvings)),
    )


def grow(config: StyleGANConfig, state: StyleGANState, batch: Batch, key: Key) -> tuple[StyleGANState, Metrics]:
    """The state at the level of detail of its images; where other weights are trained then, optimizers forget."""
    del batch, key
    before = state.level_of_detail
    now = config.growth.renewed(state.images, state.step, before)
    forgets = changes_networks(before, now)

    def network(old: NetworkState) -> NetworkState:
        fresh = optimizer(config, 0).init(old.params)
        return replace(old, opt_state=jax.tree.map(partial(jnp.where, forgets), fresh, old.opt_state))

    players = {"generator": network(state.generator), "discriminator": network(state.discriminator)}
    return replace(state, level_of_detail=now, **players), {"level_of_detail": Average.of(now)}


def train_step(config: StyleGANConfig, halvings: int | None = None) -> Step:
    """A whole step: at the level that its images ask for, or, compiled in less time, at a given one."""
    start = config.growth.start
    halvings = 0 if start == 0 else halvings

    def at_any_level(state: StyleGANState, batch: Batch, key: Key) -> tuple[StyleGANState, Metrics]:
        index = jnp.clip(jnp.floor(state.level_of_detail), 0, start).astype(jnp.int32)
        return jax.lax.switch(index, [level_step(config, k) for k in range(start + 1)], state, batch, key)

    one = at_any_level if halvings is None else level_step(config, halvings)
    adapt = control_augmentation(augment.control(config), interval=config.augment_interval)
    step = counted(chain(partial(grow, config), one, adapt))
    return fitted(step, image_shape=config.image_shape, label_size=config.label_size)


def stages(config: StyleGANConfig) -> tuple[Stage, ...]:
    """One for each level, from the first one on."""
    growth = config.growth

    def stage(halvings: int) -> Stage:
        level, step = config.level(halvings), train_step(config, halvings)
        last, batch_size = growth.last_image(halvings), config.batch_size(halvings)
        return Stage(f"{level.width}x{level.height}", step, batch_size, last, config.schedule_interval)

    return tuple(stage(halvings) for halvings in range(growth.start, -1, -1))


def stylegan(config: StyleGANConfig, name: str = "stylegan") -> GAN:
    """The StyleGAN of that config, or the ProGAN, as a record of pure functions."""
    game = play(config, 0)
    return GAN(
        name=name,
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=game.generator,
        discriminator=game.discriminator,
        init=jax.jit(partial(init, game)),
        step=train_step(config),
        stages=stages(config),
        generate=partial(generate, game),
        latents=partial(draw_latents, config),
    )


def init(game: Game, key: Key) -> StyleGANState:
    """Fresh networks of all levels and their optimizers; one key gives one state."""
    cfg = game.config
    labels = jnp.zeros((1, cfg.label_size)) if cfg.label_size else None
    inputs = {"generator": jnp.zeros((1, cfg.latent_size)), "discriminator": jnp.zeros((1, *cfg.image_shape))}

    def network(player: str, key: Key) -> NetworkState:
        return NetworkState.fresh(getattr(game, player).init(key, inputs[player], labels), optimizer(cfg, 0).init)

    generator = network("generator", jax.random.fold_in(key, 0))
    return StyleGANState(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=generator,
        discriminator=network("discriminator", jax.random.fold_in(key, 1)),
        average=jax.tree.map(jnp.copy, generator.weights),
        level_of_detail=jnp.float32(cfg.growth.start),
        augment=augment.start(cfg),
    )


def generate(
    game: Game,
    state: StyleGANState,
    latents: Latents,
    labels: Labels | None = None,
    *,
    averaged: bool = True,
    psi: Any = 1.0,
    cutoff: int | None = None,
    noise: Noise = "const",
) -> Images:
    """Images of the full size from latents [N, z], clipped to [-1, 1], by the averaged or the newest weights.

    They are as detailed as the state is; those of a coarser level are enlarged, pixel for pixel. ``psi`` and ``cutoff``
    truncate as in ``truncate``; the published pictures have psi 0.7 and cutoff 8.
    """
    network = state.average if averaged else state.generator.weights
    lod = state.level_of_detail
    return sampled(game.generator, network, latents, labels, lod, psi=psi, cutoff=cutoff, noise=noise)
