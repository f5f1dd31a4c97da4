"""Pivotal tuning: the generator's weights are moved until its images of given styles are given pictures.

Roich, Mokady, Bermano, Cohen-Or 2021, "Pivotal Tuning for Latent-based Editing of Real Images", arXiv:2106.05744. The
styles, the pivots, are those of a projection and stay as they are. Numbers found only in code are those of
danielroich/PTI, configs/hyperparameters.py.

Where this differs from both: all images are tuned at once rather than one in each step, and pixels of the generator
beyond [-1, 1] are right where the target is saturated on the same side.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from ganzoo.config import Count, CountOrZero, NonNegative, Positive, check_fields, require
from ganzoo.gan import StyleSpace, generator_variables
from ganzoo.latent.projection import Distance, Prepared, distance_to, hide_clipped
from ganzoo.latent.sampler import Sampler
from ganzoo.typing import AnyArray, Images, Key, Labels, Latents, Params, PerExample, PyTree, Scalar, State, Styles


@dataclass(frozen=True)
class TuningConfig:
    """How long and how the weights are moved. The defaults are the published ones."""

    steps: Count = 350
    """Most steps of Adam."""
    learning_rate: Positive = 3e-4
    """Learning rate of Adam."""
    pixel_weight: NonNegative = 1.0
    """Weight of the mean squared difference of pixels beside the distance; without a distance it has no effect."""
    threshold: NonNegative = 0.06
    """Tuning ends when the mean distance is at most this, that of LPIPS in the published code; 0: after all steps."""
    locality_weight: NonNegative = 0.0
    """Weight of the loss by which images of styles near the pivots stay as they are; 0: none. Published is 0.1."""
    locality_reach: Positive = 30.0
    """Distance alpha of the styles of that loss from the pivot."""
    seed: CountOrZero = 0
    """Seed of the random styles of that loss."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Tuned:
    """A generator that was tuned for N images."""

    state: State
    """The train state with the tuned weights as its EMA; all else is as it was."""
    before: np.ndarray
    """[N, H, W, C] in [-1, 1]: images of the pivots before tuning."""
    images: np.ndarray
    """[N, H, W, C] in [-1, 1]: images of the pivots after it."""
    distances: np.ndarray
    """[steps, N]: the distance to each target, or the mean squared difference of pixels, before each step."""


def pivotal_tuning(
    sampler: Sampler,
    targets: Images,
    ws: Styles,
    config: TuningConfig | None = None,
    *,
    noise: PyTree = None,
    labels: Labels | None = None,
    distance: Distance | Prepared | None = None,
    log: Callable[[int, float], None] = lambda step, distance: None,
) -> Tuned:
    """Tune the weights of a generator until its images of some styles are the targets, all of them together.

    Example::

        found = ganzoo.latent.project(sampler, targets)
        tuned = ganzoo.latent.pivotal_tuning(sampler, targets, found.ws, noise=found.noise)
        ganzoo.save(sampler.gan, tuned.state, "tuned.safetensors")

    Args:
      sampler: a generator with styles; its EMA is tuned, or with ``ema=False`` its weights of the last step.
      targets: [N, H, W, C] in [-1, 1], of the generator's size.
      ws: styles [N, L, w], the pivots.
      config: the schedule; the default one when absent.
      noise: noise maps [N, h, w], a tree like ``StyleSpace.noise_maps``; the network's own when absent.
      labels: [N, k], of the random styles of the locality loss; only for a conditional model.
      distance: what is minimised beside the pixels, such as ``ganzoo.metrics.lpips.lpips(files)``; none when absent.
      log: called as ``log(step, mean distance)`` after every step; what it raises ends the tuning.

    Raises:
      UserError: the model has no styles, or targets, styles and noise maps are of other sizes or numbers.
    """
    cfg, gan, shape = config or TuningConfig(), sampler.gan, tuple(targets.shape[1:])
    ws, maps = sampler.require_points("pivotal tuning", ws, noise, len(targets))
    require(shape == gan.image_shape, "targets", shape, f"be images of {gan.image_shape}")
    variables = generator_variables(sampler.state, ema=sampler.ema)
    before = replace(sampler.state, ema=variables)
    targets = jnp.asarray(targets, jnp.float32)
    given = _Given(before, targets, ws, maps, labels, _terms(targets, distance))
    tuning = _Tuning(gan.latents, sampler.require_styles("pivotal tuning"), replace(cfg, **NOT_OF_A_STEP))
    params, memory, distances = variables["params"], tuning.optimizer.init(variables["params"]), []
    key = jax.random.key(cfg.seed)
    for i in range(cfg.steps):
        moved, memory, apart = _step(tuning, given, params, memory, jax.random.fold_in(key, i))
        distances.append(np.asarray(apart))
        log(i + 1, float(apart.mean()))
        if distance is not None and apart.mean() <= cfg.threshold:
            break
        params = moved
    first, last = (np.asarray(_images(tuning, given, each)) for each in (variables["params"], params))
    tuned = replace(sampler.state, ema={**variables, "params": params})
    return Tuned(tuned, first, last, np.stack(distances))


def towards(pivots: Styles, others: Styles, reach: float) -> Float[Array, "n l w_dim"]:
    """Return the styles [N, L, w] at a distance from the pivots [N, L, w] in the direction of others [N, L, w].

    That is w_p + alpha (w - w_p) / |w - w_p|, equation 4 of the paper, with the norm over all style inputs together, as
    in danielroich/PTI, criteria/localitly_regulizer.py.
    """
    pivots = jnp.asarray(pivots)
    ways = others - pivots
    return pivots + reach * ways / jnp.sqrt(jnp.sum(jnp.square(ways), axis=(1, 2), keepdims=True))


def psnr(images: Images, targets: Images) -> np.ndarray:
    """Return 10 log10(2^2 / MSE) in dB, [N], of images and targets [N, H, W, C] in [-1, 1]."""
    errors = np.square(np.asarray(images) - np.asarray(targets)).mean(axis=(1, 2, 3))
    return 10 * np.log10(4 / np.maximum(errors, 1e-12))


NOT_OF_A_STEP: dict[str, Any] = {"steps": 1, "threshold": 0.0, "seed": 0}
"""Fields of a config that no step depends on, at one value."""


# The step -----------------------------------------------------------------------------------------------------------


class _Terms(NamedTuple):
    """The distances of the loss, or None where it has only pixels."""

    to_targets: Partial | None
    """``images -> [N]``."""
    between: Partial | None
    """``(images, others) -> [N]``."""


class _Given(NamedTuple):
    """The arrays that stay the same from step to step."""

    state: State
    """The train state before tuning, whose EMA is to be tuned."""
    targets: Array
    ws: Array
    """The pivots [N, L, w]."""
    noise: PyTree
    """Noise maps [N, h, w]; empty for the network's own."""
    labels: AnyArray | None
    terms: _Terms


@dataclass(frozen=True)
class _Tuning:
    """All else that stays the same; equal ones share a compiled step."""

    latents: Callable[[Key, Array], Latents]
    """That of the GAN."""
    space: StyleSpace
    config: TuningConfig

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optax.adam(self.config.learning_rate)

    def images(self, given: _Given, params: Params, ws: Styles) -> Images:
        """Return the images [N, H, W, C] of styles, by a generator of these parameters."""
        state = replace(given.state, ema={**given.state.ema, "params": params})
        noise = given.noise if jax.tree.leaves(given.noise) else "const"
        return self.space.synthesise(state, ws, noise=noise)

    def step(self, given: _Given, params: Params, memory: PyTree, key: Key) -> tuple[Params, PyTree, PerExample]:
        """Take one step of Adam; return the distances [N] before it, too."""

        def loss(params: Params) -> tuple[Scalar, PerExample]:
            images = hide_clipped(self.images(given, params, given.ws), given.targets)
            total = apart = _squares(images, given.targets)
            if given.terms.to_targets is not None:
                apart = given.terms.to_targets(images)
                total = apart + self.config.pixel_weight * total
            if self.config.locality_weight:
                total = total + self.config.locality_weight * self.locality(given, params, key)
            return jnp.mean(total), apart

        gradients, apart = jax.grad(loss, has_aux=True)(params)
        updates, memory = self.optimizer.update(gradients, memory)
        return optax.apply_updates(params, updates), memory, apart

    def locality(self, given: _Given, params: Params, key: Key) -> PerExample:
        """Return how far images of styles near the pivots are from those before tuning, [N]: equation 5 of the paper.

        The mean square of pixels has the same share of it as in the loss of the pivots.
        """
        latents = self.latents(key, jnp.arange(len(given.ws)))
        others = self.space.map(given.state, latents, given.labels)
        near = towards(given.ws, others, self.config.locality_reach)
        known, images = (self.images(given, each, near) for each in (given.state.ema["params"], params))
        pixels = self.config.pixel_weight * _squares(images, known)
        return pixels if given.terms.between is None else pixels + given.terms.between(images, known)


@partial(jax.jit, static_argnums=0)
def _step(
    tuning: _Tuning, given: _Given, params: Params, memory: PyTree, key: Key
) -> tuple[Params, PyTree, PerExample]:
    return tuning.step(given, params, memory, key)


@partial(jax.jit, static_argnums=0)
def _images(tuning: _Tuning, given: _Given, params: Params) -> Images:
    return jnp.clip(tuning.images(given, params, given.ws), -1, 1)


def _squares(images: Images, others: Images) -> PerExample:
    return jnp.mean(jnp.square(images - others), axis=(1, 2, 3))


def _terms(targets: Images, distance: Distance | Prepared | None) -> _Terms:
    if distance is None:
        return _Terms(None, None)
    between = distance.between() if isinstance(distance, Prepared) else Partial(distance)
    return _Terms(distance_to(targets, distance), between)
