"""Losses of networks, written once: adversarial losses, gradient penalties and path lengths as ``Objective`` values.

An objective needs of a model what ``Networks`` holds: images of draws, and logits of images. It brings along the draws
that it needs, so that they are made before it, in the batch::

    step = phases.train_step(
        phases.minimize("discriminator", objectives.discriminator(networks, losses.hinge), optax.adam(4e-4)),
        phases.minimize("generator", objectives.generator(networks, losses.hinge), optax.adam(1e-4)),
        phases.update_ema(half_life=10_000),
    )
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganzoo import augment, draws, penalties
from ganzoo.augment import AugmentConfig
from ganzoo.draws import Draws, LabelSource
from ganzoo.gan import Average
from ganzoo.losses import AdversarialLoss
from ganzoo.ops import collective, pixels
from ganzoo.schedules import Scheduled, value_at
from ganzoo.typing import AnyArray, Batch, Images, Key, Labels, Logits, Metrics, Params, Scalar, State, Styles

PENALTY_OF = {"real": "discriminator/r1", "fake": "discriminator/r2"}
"""Metrics of the squared gradients with respect to real and to fake images."""
Outcome: TypeAlias = tuple[Scalar, tuple[State, Metrics]]
"""``(loss, (state, metrics))``: the mean loss over this device's examples, the state with renewed statistics (the same
on all devices) and metrics of this device's examples."""

# Networks -----------------------------------------------------------------------------------------------------------


def _to_float(state: State, images: AnyArray) -> Images:
    del state
    return pixels.to_float(images)


@dataclass(frozen=True)
class Networks:
    """What objectives need of a model."""

    fake: Callable[[Params, State, Draws], tuple[Images, State]]
    """``fake(generator_params, state, draws)``: images of draws, and the state with renewed statistics."""
    logits: Callable[[Params, State, Images, Labels | None], tuple[Logits, State]]
    """``logits(discriminator_params, state, images, labels)``: logits [N], and the state with renewed statistics."""
    draw: Callable[..., Draws]
    """``draw(batch, key, *, labels, shrink)``: the draws of fakes, such as ``draws.FakeDraws``."""
    image_shape: tuple[int, int, int]
    """(H, W, C) of the images that the discriminator gets."""
    real: Callable[[State, AnyArray], Images] = _to_float
    """``real(state, images)``: the batch's images as the discriminator gets them, in [-1, 1]."""
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)
    """How real and fake images are augmented before the discriminator sees them."""
    filtered: Callable[[State, Images], Images] = lambda state, images: images
    """``filtered(state, images)``: images as they are augmented, such as blurred."""

    def shown(self, images: Images, state: State, batch: Batch, kind: str) -> Images:
        """Return the "real" or "fake" images [N, H, W, C] filtered, and augmented as drawn."""
        images = self.filtered(state, images)
        return augment.apply(self.augmentation, images, batch["drawn"]["augment"].get(kind), state.augment)

    def draw_augment(self, batch: Batch, key: Key, *kinds: str) -> Draws:
        """Draw the augmentation of kinds of images."""
        shape = (batch["image"].shape[0], *self.image_shape)
        augment_key = draws.named_key(key, "augment")
        return {kind: augment.draw(self.augmentation, kind, augment_key, shape) for kind in kinds}


@dataclass(frozen=True, kw_only=True)
class StyleNetworks(Networks):
    """Networks with a style space, as path lengths need it; ``fake`` is ``styles``, then ``synthesise``."""

    styles: Callable[[Params, State, Draws], tuple[Styles, State]]
    """``styles(generator_params, state, draws)``: ws [N, L, w], and the state with the renewed mean of w."""
    synthesise: Callable[[Params, State, Styles, Draws], Images]
    """``synthesise(generator_params, state, ws, draws)``: images [N, H, W, C]."""


def networks(
    generator: nn.Module,
    discriminator: nn.Module,
    draw: Callable[..., Draws],
    image_shape: tuple[int, int, int],
    augmentation: AugmentConfig | None = None,
) -> Networks:
    """Return the ``Networks`` of two Flax modules that keep no statistics.

    Args:
      generator: ``module(latents, labels) -> images [N, H, W, C]``.
      discriminator: ``module(images, labels) -> logits [N]``.
      draw: such as ``draws.FakeDraws(latents)``.
      image_shape: (H, W, C).
      augmentation: of what the discriminator sees; none when absent.
    """

    def fake(params: Params, state: State, drawn: Draws) -> tuple[Images, State]:
        variables = state.generator.with_params(params)
        return cast("Any", generator.apply(variables, drawn["latents"], drawn.get("label"))), state

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        return cast("Any", discriminator.apply(state.discriminator.with_params(params), images, labels)), state

    return Networks(fake, logits, draw, image_shape, augmentation=augmentation or AugmentConfig())


# Objectives ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Objective:
    """A loss with its draws. Called like any ``phases.Loss``, it draws first."""

    name: str
    draw: Callable[[Batch, Key], Draws]
    """``draw(batch, key)``: draws by name, [N, ...] each."""
    loss: Callable[[Params, State, Batch], Outcome]
    """``loss(params, state, batch)``, where ``batch["drawn"]`` holds the draws. It draws nothing itself."""

    def __call__(self, params: Params, state: State, batch: Batch, key: Key) -> Outcome:
        return self.loss(params, state, self.with_draws(batch, key))

    def with_draws(self, batch: Batch, key: Key) -> Batch:
        """Return the batch with the draws as ``batch["drawn"]``.

        What ``batch["draws"][name]`` of the objective's ``name`` holds takes the place of the draws called so; this is
        how recorded draws enter a step.
        """
        rest = {name: value for name, value in batch.items() if name != "draws"}
        return {**rest, "drawn": self._drawn(batch, key)}

    def _drawn(self, batch: Batch, key: Key) -> Draws:
        return {**self.draw(batch, key), **batch.get("draws", {}).get(self.name, {})}


def weighted(objective: Objective, factor: float) -> Objective:
    """Return the objective with its loss times a number; its metrics stay as they are."""

    def loss(params: Params, state: State, batch: Batch) -> Outcome:
        value, rest = objective.loss(params, state, batch)
        return value * factor, rest

    return replace(objective, loss=loss)


def total(*objectives: Objective) -> Objective:
    """Return the sum of objectives, each on the state that the one before left; draws of one name are the same."""

    def draw(batch: Batch, key: Key) -> Draws:
        merged: Draws = {}
        for objective in objectives:
            for name, drawn in objective._drawn(batch, key).items():
                is_group = isinstance(drawn, dict) and name in merged
                merged[name] = {**merged[name], **drawn} if is_group else drawn
        return merged

    def loss(params: Params, state: State, batch: Batch) -> Outcome:
        values, metrics = [], {}
        for objective in objectives:
            value, (state, new) = objective.loss(params, state, batch)
            values.append(value)
            metrics |= new
        return sum(values[1:], values[0]), (state, metrics)

    return Objective(objectives[0].name, draw, loss)


def generator(networks: Networks, loss: AdversarialLoss, *, labels: LabelSource = "batch") -> Objective:
    """Return the generator's adversarial loss on fakes.

    Args:
      networks: of the model.
      loss: a pair of ``ganzoo.losses``.
      labels: of the fakes; a loss that pairs examples takes those of the batch.
    """
    kinds = ("fake", "real") if loss.pairs_examples else ("fake",)

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        drawn = batch["drawn"]["fake"]
        images, state = networks.fake(params, state, drawn)
        images = networks.shown(images, state, batch, "fake")
        critic = partial(networks.logits, state.discriminator.params)
        fake, state = critic(state, images, drawn.get("label"))
        real = fake
        if loss.pairs_examples:
            reals = networks.shown(networks.real(state, batch["image"]), state, batch, "real")
            real, state = critic(state, reals, batch.get("label"))
        values = loss.generator(real, fake)
        return values.mean(), (state, {"generator/loss": Average.of(values)})

    return Objective("generator", partial(_draw_pair, networks, _labels(loss, labels), kinds), run)


def discriminator(
    networks: Networks,
    loss: AdversarialLoss,
    *,
    labels: LabelSource = "batch",
    drift: float = 0.0,
    r1: Scheduled = 0.0,
    r2: Scheduled = 0.0,
    pixel_size: float = 1.0,
) -> Objective:
    """Return the discriminator's adversarial loss on the batch and on as many fakes, with R1 and R2 in the same pass.

    Args:
      networks: of the model.
      loss: a pair of ``ganzoo.losses``.
      labels: of the fakes; a loss that pairs examples takes those of the batch.
      drift: weight of the mean squared logit of real images. Karras et al. 2017, arXiv:1710.10196, appendix A.1.
      r1: gamma of R1, a number or a schedule; the gradient is with respect to images before they are augmented.
      r2: gamma of R2, likewise. With both, the images' gradients are those of one vector-Jacobian product of the sum
        of all logits: the two cost one more backward pass. No logit depends on an image of the other kind.
      pixel_size: see ``r1``.
    """
    gammas = {kind: gamma for kind, gamma in zip(augment.KINDS, (r1, r2), strict=True) if gamma}

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        fakes, state = networks.fake(state.generator.params, state, batch["drawn"]["fake"])
        images = {"real": networks.real(state, batch["image"]), "fake": fakes}
        logits, gradients, state = _judge(networks, params, state, batch, images, tuple(gammas))
        real, fake = logits["real"], logits["fake"]
        values = loss.discriminator(real, fake)
        value = values.mean() + drift * jnp.square(real).mean() if drift else values.mean()
        metrics = {
            "discriminator/loss": Average.of(values),
            "discriminator/real": Average.of(real),
            "discriminator/fake": Average.of(fake),
            "discriminator/real_sign": Average.of(jnp.sign(real)),
        }
        for kind, gradient in gradients.items():
            penalty = penalties.squared_norms(gradient) / pixel_size**2
            value = value + penalty.mean() * (value_at(gammas[kind], state.images) / 2)
            metrics[PENALTY_OF[kind]] = Average.of(penalty)
        return value, (augment.count_signs(state, real), metrics)

    return Objective("discriminator", partial(_draw_pair, networks, _labels(loss, labels), augment.KINDS), run)


def r1(networks: Networks, gamma: Scheduled, *, pixel_size: float = 1.0) -> Objective:
    r"""Return R1, the squared gradient with respect to real images before they are augmented.

    $$\frac{\gamma}{2} \mathbb{E}_x \lVert \nabla_x D(x) \rVert^2$$

    Args:
      networks: of the model.
      gamma: weight, a number or a schedule.
      pixel_size: side of a pixel in pixels of the full size; a norm is taken as of images enlarged to full size, where
        the pixels of a square share one gradient.

    Mescheder et al. 2018, arXiv:1801.04406, equation 9.
    """

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        critic = _critic(networks, params, state, batch, "real", batch.get("label"))
        penalty, logits = penalties.r1_and_logits(critic, networks.real(state, batch["image"]))
        penalty = penalty / pixel_size**2
        return penalty.mean() * (value_at(gamma, state.images) / 2), (
            augment.count_signs(state, logits),
            {PENALTY_OF["real"]: Average.of(penalty)},
        )

    def draw(batch: Batch, key: Key) -> Draws:
        return {"augment": networks.draw_augment(batch, key, "real")}

    return Objective("r1", draw, run)


def r2(networks: Networks, gamma: Scheduled, *, labels: LabelSource = "batch", pixel_size: float = 1.0) -> Objective:
    """Return R2, which is R1 of fake images. Mescheder et al. 2018, arXiv:1801.04406, section 4.1."""

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        drawn = batch["drawn"]["fake"]
        images, _ = networks.fake(state.generator.params, state, drawn)
        critic = _critic(networks, params, state, batch, "fake", drawn.get("label"))
        penalty = penalties.r2(critic, images) / pixel_size**2
        return penalty.mean() * (value_at(gamma, state.images) / 2), (state, {PENALTY_OF["fake"]: Average.of(penalty)})

    return Objective("r2", partial(_draw_pair, networks, labels, ("fake",)), run)


def wgan_gp(networks: Networks, weight: float, *, pixel_size: float = 1.0) -> Objective:
    r"""Return WGAN-GP's penalty between each real image and a fake of its label.

    $$\lambda \mathbb{E}_{x'} (\lVert \nabla_{x'} D(x') \rVert - 1)^2$$

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3; ``pixel_size`` as in ``r1``.
    """

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        images, _ = networks.fake(state.generator.params, state, batch["drawn"]["fake"])
        critic = _critic(networks, params, state, batch, "real", batch.get("label"))
        share = batch["drawn"]["share"]
        penalty = penalties.wgan_gp(critic, networks.real(state, batch["image"]), images, share, target=pixel_size)
        return weight * penalty.mean(), (state, {"discriminator/gradient_penalty": Average.of(penalty)})

    def draw(batch: Batch, key: Key) -> Draws:
        share = draws.interpolation_shares(batch, key)
        return {**_draw_pair(networks, "batch", ("real",), batch, key), "share": share}

    return Objective("wgan_gp", draw, run)


def path_length(networks: StyleNetworks, weight: float, *, decay: float, shrink: int = 1) -> Objective:
    r"""Return the penalty of path lengths that differ from their running mean a, ``state.path_length_mean``.

    $$\text{weight} \cdot \mathbb{E}_{w, y} \left(\lVert J_w^\top y \rVert - a\right)^2$$

    The mean moves first, and the gradient flows through it, as in NVlabs/stylegan2-ada-pytorch, loss.py:88.

    Args:
      networks: of the model.
      weight: of the penalty.
      decay: share of this batch's mean length in the new running mean.
      shrink: the phase takes a batch this many times smaller.

    Karras et al. 2019, arXiv:1912.04958, section 3.2, equation 4.
    """

    def run(params: Params, state: State, batch: Batch) -> Outcome:
        drawn = batch["drawn"]["path"]
        ws, state = networks.styles(params, state, drawn)
        synthesise = partial(networks.synthesise, params, state)
        lengths = penalties.path_lengths(lambda ws: synthesise(ws, drawn), ws, batch["drawn"]["probe"])
        mean = state.path_length_mean
        mean = mean + decay * (collective.mean(lengths.mean()) - mean)
        penalty = weight * jnp.square(lengths - mean)
        metrics = {"generator/path_length": Average.of(lengths), "generator/path_penalty": Average.of(penalty)}
        return penalty.mean(), (replace(state, path_length_mean=jax.lax.stop_gradient(mean)), metrics)

    def draw(batch: Batch, key: Key) -> Draws:
        probe = draws.probe_images(batch, key, shape=networks.image_shape, shrink=shrink)
        return {"path": networks.draw(batch, key, labels="resampled", shrink=shrink), "probe": probe}

    return Objective("path_length", draw, run)


def _labels(loss: AdversarialLoss, labels: LabelSource) -> LabelSource:
    return "batch" if loss.pairs_examples else labels


def _draw_pair(networks: Networks, labels: LabelSource, kinds: tuple[str, ...], batch: Batch, key: Key) -> Draws:
    fake = networks.draw(batch, key, labels=labels)
    return {"fake": fake, "augment": networks.draw_augment(batch, key, *kinds)}


def _judge(
    networks: Networks,
    params: Params,
    state: State,
    batch: Batch,
    images: dict[str, Images],
    penalised: tuple[str, ...],
) -> tuple[dict[str, Logits], dict[str, Images], State]:
    """Return D's logits of "real" and "fake" images, augmented as drawn, and the state with renewed statistics.

    Between them come the gradients of the sum of all logits with respect to the ``penalised`` kinds of images before
    they are augmented, all by one vector-Jacobian product.
    """
    labels = {"real": batch.get("label"), "fake": batch["drawn"]["fake"].get("label")}

    def total(chosen: dict[str, Images]) -> tuple[Any, tuple[dict[str, Logits], State]]:
        logits, after = {}, state
        for kind, original in {**images, **chosen}.items():
            shown = networks.shown(original, after, batch, kind)
            logits[kind], after = networks.logits(params, after, shown, labels[kind])
        return sum(logits[kind].sum() for kind in chosen), (logits, after)

    chosen = {kind: images[kind] for kind in penalised}
    gradients, (logits, state) = jax.grad(total, has_aux=True)(chosen) if chosen else ({}, total({})[1])
    return logits, gradients, state


def _critic(
    networks: Networks, params: Params, state: State, batch: Batch, kind: str, labels: Labels | None
) -> penalties.Critic:
    """Return D as a function of images before they are augmented."""
    return lambda images: networks.logits(params, state, networks.shown(images, state, batch, kind), labels)[0]
