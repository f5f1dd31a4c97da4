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

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array

from ganzoo import augment, penalties
from ganzoo.gan import GAN, Average, NetworkState, TrainState
from ganzoo.losses import LOSSES
from ganzoo.models.stylegan2_config import StyleGAN2Config, complete
from ganzoo.models.stylegan2_draws import draw, draw_latents, round_count
from ganzoo.nn.mapping import MappingNetwork, mixed, truncate
from ganzoo.nn.residual import ResidualDiscriminator, frozen
from ganzoo.nn.synthesis import Noise, Synthesis, sampled
from ganzoo.ops import collective, pixels
from ganzoo.phases import (
    Loss,
    average_generator,
    chain,
    control_augmentation,
    counted,
    drawn,
    every,
    fitted,
    minimize,
    scaled,
    summed,
)
from ganzoo.typing import Batch, Images, Key, Labels, Latents, Logits, Metrics, Params, Scalar, Step, Styles

# Networks -----------------------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """z (and a label) -> image, through w: ``mapping`` and ``synthesis`` are its two networks."""

    config: StyleGAN2Config

    def setup(self) -> None:
        cfg = self.config
        self.mapping = MappingNetwork(
            cfg.style_size,
            cfg.mapping_layers,
            activation=cfg.activation,
            lr_multiplier=cfg.mapping_lr_multiplier,
            average_decay=cfg.style_average_decay,
            copies=cfg.style_count,
        )
        self.synthesis = Synthesis(
            cfg.levels,
            cfg.channels,
            cfg.generator_architecture,
            cfg.activation,
            cfg.resample_filter,
            cfg.conv_clamp or None,
            cfg.use_noise,
            jnp.dtype(cfg.low_precision),
            cfg.low_precision_levels,
        )

    def __call__(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
    ) -> Images:
        """Images [N, H, W, C], nominally in [-1, 1] but not bounded.

        Args:
          latents: [N, z].
          labels: [N, k]; None in an unconditional model.
          psi: truncation of w towards its average, in [-1, 1]; 1 does not truncate.
          cutoff: truncate the first so many style inputs only.
          noise: "const", "none", or keys [N].
        """
        return self.synthesis(self.styles(latents, labels, psi=psi, cutoff=cutoff), noise=noise)

    def styles(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        update_average: bool = False,
    ) -> Styles:
        """The styles [N, L, w] of latents, truncated; in training, the average of w moves towards their mean."""
        ws = self.mapping(latents, labels, update_average=update_average)
        if isinstance(psi, int | float) and psi == 1:
            return ws
        return truncate(ws, self.mapping.get_variable("statistics", "w_average"), psi, cutoff=cutoff)

    def synthesise(self, ws: Styles, *, noise: Noise = "const") -> Images:
        """The images of styles [N, L, w]: ``synthesis``, by a name that ``apply`` can call."""
        return self.synthesis(ws, noise=noise)


def discriminator(config: StyleGAN2Config) -> ResidualDiscriminator:
    """The discriminator of that config."""
    return ResidualDiscriminator(
        config.levels,
        config.discriminator_architecture,
        config.activation,
        config.resample_filter,
        config.conv_clamp or None,
        jnp.dtype(config.low_precision),
        config.low_precision_levels,
        config.minibatch_std_group or None,
        config.minibatch_std_channels,
        config.discriminator_mapping_layers,
    )


# Objective ----------------------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class StyleGAN2State(TrainState):
    """A train state that remembers how long paths are."""

    path_length_mean: Any
    """float32 []: the running mean of path lengths."""


Outcome = tuple[Scalar, tuple[StyleGAN2State, Metrics]]
"""A loss, and the state and metrics that come with it."""


@dataclass(frozen=True)
class Game:
    """The two networks and their losses. Each loss takes a batch with the draws of its phase in it."""

    config: StyleGAN2Config
    generator: Generator
    discriminator: ResidualDiscriminator

    def styles(self, params: Params, state: StyleGAN2State, fakes: Batch) -> tuple[Styles, StyleGAN2State]:
        """The styles of fakes, mixed from two latents, and the state with the renewed average of w."""
        network, labels = state.generator, fakes.get("label")
        variables = {"params": params, **network.variables}
        map_to_styles = partial(self.generator.apply, variables, method="styles")
        ws, renewed = map_to_styles(fakes["latents"], labels, update_average=True, mutable=["statistics"])
        if self.config.style_mixing:
            ws = mixed(ws, cast("Array", map_to_styles(fakes["mixed"], labels)), fakes["cutoff"])
        return ws, replace(state, generator=replace(network, variables={**network.variables, **renewed}))

    def synthesise(self, params: Params, state: StyleGAN2State, ws: Styles, fakes: Batch) -> Images:
        """The images of styles, with the noise of training."""
        noise = fakes.get("noise", self.config.training_noise)
        variables = {"params": params, **state.generator.variables}
        return cast("Array", self.generator.apply(variables, ws, noise=noise, method="synthesise"))

    def augmented(self, images: Images, state: StyleGAN2State, batch: Batch, kind: str) -> Images:
        """The "real" or "fake" images as the discriminator is to see them."""
        return augment.augmented(self.config, images, batch.get("augment", {}).get(kind), state.augment)

    def judge(self, params: Params, images: Images, labels: Labels | None) -> Logits:
        """The discriminator's logits; its first layers get no gradient where they are frozen."""
        if count := self.config.freeze_discriminator_layers:
            params = frozen(params, count)
        return cast("Array", self.discriminator.apply({"params": params}, images, labels))

    def generator_main(self, params: Params, state: StyleGAN2State, batch: Batch, key: Key) -> Outcome:
        """Non-saturating logistic loss."""
        del key
        fakes = batch["fakes"]
        ws, state = self.styles(params, state, fakes)
        images = self.augmented(self.synthesise(params, state, ws, fakes), state, batch, "fake")
        logits = self.judge(state.discriminator.params, images, fakes.get("label"))
        losses = LOSSES["non-saturating"].generator(logits, logits)
        return losses.mean(), (state, {"generator/loss": Average.of(losses)})

    def path_length(self, params: Params, state: StyleGAN2State, batch: Batch, key: Key) -> Outcome:
        """The weighted penalty of path lengths that differ from their running mean, which is moved."""
        del key
        cfg, fakes = self.config, batch["paths"]
        ws, state = self.styles(params, state, fakes)
        lengths = penalties.path_lengths(lambda ws: self.synthesise(params, state, ws, fakes), ws, batch["path_noise"])
        mean = state.path_length_mean
        mean = mean + cfg.path_length_decay * (collective.mean(lengths.mean()) - mean)
        penalty = cfg.path_length_weight * jnp.square(lengths - mean)
        metrics = {"generator/path_length": Average.of(lengths), "generator/path_penalty": Average.of(penalty)}
        return penalty.mean(), (replace(state, path_length_mean=jax.lax.stop_gradient(mean)), metrics)

    def discriminator_main(self, params: Params, state: StyleGAN2State, batch: Batch, key: Key) -> Outcome:
        """Logistic loss. The generator stays, but its average of w moves."""
        del key
        fakes = batch["fakes"]
        ws, state = self.styles(state.generator.params, state, fakes)
        images = self.augmented(self.synthesise(state.generator.params, state, ws, fakes), state, batch, "fake")
        fake = self.judge(params, images, fakes.get("label"))
        images = self.augmented(pixels.scaled(batch["image"]), state, batch, "real")
        real = self.judge(params, images, batch.get("label"))
        losses = LOSSES["non-saturating"].discriminator(real, fake)
        metrics = {
            "discriminator/loss": Average.of(losses),
            "discriminator/real": Average.of(real),
            "discriminator/fake": Average.of(fake),
            "discriminator/real_sign": Average.of(jnp.sign(real)),
        }
        return losses.mean(), (augment.heard(state, real), metrics)

    def r1(self, params: Params, state: StyleGAN2State, batch: Batch, key: Key) -> Outcome:
        """The weighted R1 penalty, of gradients with respect to the images before they are augmented."""
        del key
        images, labels = pixels.scaled(batch["image"]), batch.get("label")

        def critic(images: Images) -> Logits:
            return self.judge(params, self.augmented(images, state, batch, "real"), labels)

        penalty, real = penalties.zero_centred_and_logits(critic, images)
        loss = penalty.mean() * (cast("float", self.config.r1_gamma) / 2)
        return loss, (augment.heard(state, real), {"discriminator/r1": Average.of(penalty)})


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: StyleGAN2Config, player: str) -> optax.GradientTransformation:
    """Adam, corrected for the steps that the lazy phases add: with c = k / (k + 1), rate c and decays beta^c.

    Karras et al. 2019, arXiv:1912.04958, appendix B.
    """
    rate, interval = {
        "generator": (config.generator_learning_rate, config.path_length_interval),
        "discriminator": (config.discriminator_learning_rate, config.r1_interval),
    }[player]
    c = interval / (interval + 1) if interval else 1.0
    return optax.chain(
        finite(), optax.adam(cast("float", rate) * c, config.adam_beta1**c, config.adam_beta2**c, config.adam_epsilon)
    )


def finite(limit: float = 1e5) -> optax.GradientTransformation:
    """Gradients that are not numbers as 0, infinite ones as +-``limit``. NVlabs/stylegan2-ada-pytorch, line 291."""
    return optax.stateless(
        lambda updates, params: jax.tree.map(partial(jnp.nan_to_num, nan=0.0, posinf=limit, neginf=-limit), updates)
    )


def phases(game: Game) -> dict[str, tuple[Step, int]]:
    """The phases of a step in their order, by name, and how many steps lie from one of each to the next.

    A player's penalty is minimised by the same Adam as its main loss, in a phase of its own, times the interval; or
    together with the main loss, where the interval is 0.
    """
    cfg = game.config

    def phase(player: str, loss: Loss, *which: str) -> Step:
        step = minimize(player, loss, optimizer(cfg, player), rounds=partial(round_count, cfg))
        return drawn(partial(draw, cfg, frozenset(which)), step)

    def of(player: str, main: Loss, name: str, penalty: Loss, interval: int) -> dict[str, tuple[Step, int]]:
        more = ("paths",) if name == "path length" else ()
        if interval:
            steps = phase(player, main, "fakes"), phase(player, scaled(penalty, interval), *more)
            return {player: (steps[0], 1), name: (steps[1], interval)}
        return {player: (phase(player, summed(main, penalty), "fakes", *more), 1)}

    result = {
        **of("generator", game.generator_main, "path length", game.path_length, cfg.path_length_interval),
        **of("discriminator", game.discriminator_main, "R1", game.r1, cfg.r1_interval),
    }
    idle = {"path length": not cfg.path_length_weight, "R1": not cfg.r1_gamma}
    return {name: phase for name, phase in result.items() if not idle.get(name)}


def train_step(game: Game) -> Step:
    """G, its path lengths every 4th step, D, its R1 every 16th, then the average and the strength of the augmentation.

    Each phase has latents of its own. NVlabs/stylegan2-ada-pytorch, training_loop.py:199-315.
    """
    cfg = game.config
    steps = [step if interval == 1 else every(interval, step) for step, interval in phases(game).values()]
    half_life = cast("float", cfg.average_half_life)
    average = average_generator(half_life=half_life, ramp=cfg.average_ramp, variables="newest")
    adapt = control_augmentation(augment.control(cfg), interval=cfg.augment_interval)
    return counted(chain(*steps, average, adapt))


def play(config: StyleGAN2Config) -> Game:
    """The two networks of a config; what it leaves open is chosen as for one device."""
    config, _ = complete(config, 0, 1)
    return Game(config, Generator(config), discriminator(config))


def stylegan2(config: StyleGAN2Config) -> GAN:
    """The StyleGAN2 of that config, as a record of pure functions; ``complete`` chooses what the config leaves open."""
    game = play(config)
    config = game.config
    return GAN(
        name="stylegan2",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=game.generator,
        discriminator=game.discriminator,
        init=jax.jit(partial(init, game)),
        step=fitted(train_step(game), image_shape=config.image_shape, label_size=config.label_size),
        generate=partial(generate, game),
        latents=partial(draw_latents, config),
    )


def init(game: Game, key: Key) -> StyleGAN2State:
    """Fresh networks and optimizers; one key gives one state."""
    cfg = game.config
    labels = jnp.zeros((1, cfg.label_size)) if cfg.label_size else None
    inputs = {"generator": jnp.zeros((1, cfg.latent_size)), "discriminator": jnp.zeros((1, *cfg.image_shape))}

    def network(player: str, key: Key) -> NetworkState:
        return NetworkState.fresh(getattr(game, player).init(key, inputs[player], labels), optimizer(cfg, player).init)

    generator = network("generator", jax.random.fold_in(key, 0))
    return StyleGAN2State(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=generator,
        discriminator=network("discriminator", jax.random.fold_in(key, 1)),
        average=jax.tree.map(jnp.copy, generator.weights),
        path_length_mean=jnp.float32(0),
        augment=augment.start(cfg),
    )


def generate(
    game: Game,
    state: TrainState,
    latents: Latents,
    labels: Labels | None = None,
    *,
    averaged: bool = True,
    psi: Any = 1.0,
    cutoff: int | None = None,
    noise: Noise = "const",
) -> Images:
    """Images from latents [N, z], clipped to [-1, 1], by the averaged or the newest weights.

    ``psi`` and ``cutoff`` truncate, and ``noise`` chooses the noise, as in ``Generator``.
    """
    network = state.average if averaged else state.generator.weights
    return sampled(game.generator, network, latents, labels, psi=psi, cutoff=cutoff, noise=noise)
