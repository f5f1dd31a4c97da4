"""Projection: the styles, and the noise, whose images are nearest to given ones.

Schedules and noise regularisation are those of Karras et al. 2019, arXiv:1912.04958, appendix D. The distance there is
LPIPS (``ganzoo.metrics.lpips``); here it is any function, by default of the pixels at several scales.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from ganzoo.config import Count, CountOrZero, NonNegative, Positive, Share, check_fields, require
from ganzoo.gan import StyleSpace
from ganzoo.latent.sampler import Sampler
from ganzoo.ops.resample import avg_pool
from ganzoo.typing import AnyArray, Images, Key, Labels, PerExample, PyTree, Scalar, State

Distance = Callable[[Images, Images], PerExample]
"""``(images, targets) -> [N]``, differentiable in the first."""


@runtime_checkable
class Prepared(Protocol):
    """A distance with weights, such as ``ganzoo.metrics.lpips.Lpips``, whose arrays become arguments of the compiled
    step."""

    def to(self, targets: Images) -> Partial:
        """Return ``images -> [N]``, the distances to the targets, which it reads once."""

    def between(self) -> Partial:
        """Return ``(images, others) -> [N]``."""


@dataclass(frozen=True)
class ProjectionConfig:
    """How long and how the styles are sought.

    The schedule is the published one; published are also the space w and a ``style_noise`` of 0.05, which find images
    of the generator itself less exactly (24 to 29 dB instead of 33 to 39, after 500 steps at 64 x 64).
    """

    steps: Count = 1000
    """Steps of Adam."""
    space: Literal["w", "w+"] = "w+"
    """"w": one style for all inputs; "w+": one style for each input (Abdal et al. 2019, arXiv:1904.03189)."""
    learning_rate: Positive = 0.1
    """Highest learning rate of Adam."""
    ramp_up: Share = 0.05
    """Fraction of steps spent warming up the learning rate."""
    ramp_down: Share = 0.25
    """Fraction of steps spent decaying the learning rate to 0."""
    style_noise: NonNegative = 0.01
    """Noise added to the styles at the start, in units of their standard deviation."""
    style_noise_until: Share = 0.75
    """Fraction of steps after which no noise is added to the styles."""
    noise_weight: NonNegative = 1e5
    """Weight of the regularisation that keeps the noise maps noise."""
    optimise_noise: bool = True
    """Seek the noise maps, too; otherwise they are the network's own."""
    style_samples: Count = 10_000
    """Random styles whose mean is the start and whose standard deviation is the unit of style_noise."""
    seed: CountOrZero = 0
    """Seed of the random styles and of all noise."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Projection:
    """What was found for N images."""

    ws: np.ndarray
    """Styles [N, L, w]."""
    noise: PyTree
    """Noise maps [N, h, w], a tree like ``StyleSpace.noise_maps``; empty where they were not sought."""
    images: np.ndarray
    """Images of the styles and noise maps, [N, H, W, C] in [-1, 1]."""
    distances: np.ndarray
    """[steps, N]: the distance to each target at every step."""


def project(
    sampler: Sampler,
    targets: Images,
    config: ProjectionConfig | None = None,
    *,
    labels: Labels | None = None,
    distance: Distance | Prepared | None = None,
    log: Callable[[int, float], None] = lambda step, distance: None,
    every: int = 50,
) -> Projection:
    """Find the styles whose images are nearest to the targets, each sought by itself, all of them at once.

    Example::

        sampler = ganzoo.latent.Sampler(*ganzoo.load("ffhq.pkl"))
        found = ganzoo.latent.project(sampler, targets)

    Args:
      sampler: a generator with styles.
      targets: [N, H, W, C] in [-1, 1], of the generator's size.
      config: the schedule; the default one when absent.
      labels: [N, k], whose styles are the start; only for a conditional model.
      distance: what is minimised, ``Prepared`` or not; ``pixel_distance`` when absent.
      log: called as ``log(step, mean distance)``; what it raises ends the search.
      every: steps between two such calls.

    Raises:
      UserError: the model has no styles, or the targets are of another size.
    """
    cfg = config or ProjectionConfig()
    space, shape = sampler.require_styles("projection"), sampler.gan.image_shape
    require(tuple(targets.shape[1:]) == shape, "targets", tuple(targets.shape[1:]), f"be images of {shape}")
    targets, count, key = jnp.asarray(targets, jnp.float32), len(targets), jax.random.key(cfg.seed)
    mean, deviation = style_statistics(sampler, cfg, labels, count)
    ws = jnp.repeat(jnp.asarray(mean)[:, None], space.count if cfg.space == "w+" else 1, axis=1)
    maps = space.noise_maps(sampler.state, ema=sampler.ema) if cfg.optimise_noise else {}
    found = _Found(ws, _fresh_noise(maps, key, count))
    memory, distances = OPTIMIZER.init(found), []
    search = _Search(space, sampler.ema, replace(cfg, seed=0, style_samples=1))  # which no step depends on
    to_targets, style_noise = (
        distance_to(targets, distance or pixel_distance),
        jnp.float32(cfg.style_noise * deviation),
    )
    given = _Given(sampler.state, targets, to_targets, style_noise)
    for i in range(cfg.steps):
        found, memory, apart = _step(search, given, found, memory, jnp.int32(i), key)
        distances.append(apart)
        if (i + 1) % every == 0 or i + 1 == cfg.steps:
            log(i + 1, float(apart.mean()))
    images = np.clip(np.asarray(_images(search, sampler.state, found)), -1, 1)
    return Projection(np.asarray(search.whole(found.ws)), jax.device_get(found.noise), images, np.asarray(distances))


def pixel_distance(images: Images, targets: Images) -> PerExample:
    """Return mean squared differences [N], summed over the images' size, half of it, and so on down to 8 pixels."""
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    total = jnp.mean(jnp.square(images - targets), axis=(1, 2, 3))
    while min(images.shape[1:3]) >= 16 and images.shape[1] % 2 == images.shape[2] % 2 == 0:
        images, targets = avg_pool(images, 2), avg_pool(targets, 2)
        total += jnp.mean(jnp.square(images - targets), axis=(1, 2, 3))
    return total


def hide_clipped(images: Images, targets: Images) -> Images:
    """Copy the target where both are saturated on the same side: clipping hides the rest. All are [N, H, W, C]."""
    is_beyond = (jnp.abs(images) > 1) & (jnp.abs(targets) >= 1) & (jnp.sign(images) == jnp.sign(targets))
    return jnp.where(is_beyond, targets, images)


def style_statistics(
    sampler: Sampler, config: ProjectionConfig, labels: Labels | None, count: int
) -> tuple[Float[np.ndarray, "n w_dim"], float]:
    """Return the mean style for each target (of its label, where there are labels), and one deviation for all."""
    latents = np.asarray(sampler.gan.latents(jax.random.key(config.seed), jnp.arange(config.style_samples)))
    larger = Sampler(sampler.gan, sampler.state, sampler.ema, batch=1024)

    def styles(label: AnyArray | None) -> np.ndarray:
        chosen = None if label is None else np.repeat(np.asarray(label)[None], len(latents), axis=0)
        return np.asarray(larger.styles(latents, chosen))[:, 0]

    rows = [None] if labels is None else [np.asarray(row) for row in np.unique(np.asarray(labels), axis=0)]
    found = [styles(row) for row in rows]
    means = [ws.mean(axis=0) for ws in found]
    spread = [np.square(ws - mean).sum() / len(ws) for ws, mean in zip(found, means, strict=True)]
    of = [0] * count if labels is None else [_index(rows, row) for row in np.asarray(labels)]
    return np.stack([means[i] for i in of]), float(np.mean(spread)) ** 0.5


def noise_regularity(maps: Sequence[Float[AnyArray, "_n _h _w"]]) -> Scalar:
    """Return how much the maps [N, h, w] differ from noise: squared correlations of neighbours, at all sizes.

    Appendix D: for each map and each of its halvings (of averages, times 2 to keep the variance), the squares of the
    mean products with the map shifted by one pixel down and to the right, around the edges.
    """
    total = jnp.float32(0)
    for map_ in map(jnp.asarray, maps):
        while True:
            for axis in (1, 2):
                total += jnp.sum(jnp.square(jnp.mean(map_ * jnp.roll(map_, 1, axis), axis=(1, 2))))
            if min(map_.shape[1:]) <= 8 or map_.shape[1] % 2 or map_.shape[2] % 2:
                break
            map_ = 2 * avg_pool(map_[..., None], 2)[..., 0]
    return total


OPTIMIZER = optax.scale_by_adam()


# The search ---------------------------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """What is sought."""

    ws: Array
    """[N, L, w], or [N, 1, w] in the space w."""
    noise: PyTree
    """Noise maps [N, h, w]; empty where they are not sought."""


class _Given(NamedTuple):
    """The arrays that stay the same from step to step."""

    state: State
    targets: Array
    distance_to: Partial
    """``images -> [N]``, to the targets."""
    style_noise: Array
    """[]: deviation of the noise that is added to the styles at the start."""


@dataclass(frozen=True)
class _Search:
    """All else that stays the same; equal ones share a compiled step."""

    space: StyleSpace
    ema: bool
    config: ProjectionConfig

    def whole(self, ws: Array) -> Array:
        """Return styles [N, L, w] of [N, L or 1, w]."""
        return jnp.repeat(ws, self.space.count // ws.shape[1], axis=1)

    def images(self, state: State, found: _Found) -> Images:
        """Return the images [N, H, W, C], each with its own noise maps where these are sought."""
        noise = found.noise if jax.tree.leaves(found.noise) else "const"
        return self.space.synthesise(state, self.whole(found.ws), noise=noise, ema=self.ema)

    def step(
        self, given: _Given, found: _Found, memory: PyTree, i: Array, key: Key
    ) -> tuple[_Found, PyTree, PerExample]:
        """Take one step of Adam on all targets; what is sought for one does not depend on the others."""
        share = i / self.config.steps
        grow = jnp.maximum(0, 1 - share / max(self.config.style_noise_until, 1e-9)) ** 2
        moved = given.style_noise * grow
        drawn = moved * jax.random.normal(jax.random.fold_in(key, i), found.ws.shape)

        def loss(found: _Found) -> tuple[Scalar, PerExample]:
            images = self.images(given.state, found._replace(ws=found.ws + drawn))
            apart = jnp.asarray(given.distance_to(hide_clipped(images, given.targets)))
            regularity = noise_regularity(jax.tree.leaves(found.noise))
            return jnp.sum(apart) + self.config.noise_weight * regularity, apart

        gradients, apart = jax.grad(loss, has_aux=True)(found)
        updates, memory = OPTIMIZER.update(gradients, memory)
        rate = self.rate(share)
        found = jax.tree.map(lambda value, update: value - rate * update, found, updates)
        return found._replace(noise=jax.tree.map(_normalised, found.noise)), memory, apart

    def rate(self, share: Array) -> Array:
        """Return the learning rate after this share of the steps."""
        down = jnp.minimum(1, (1 - share) / max(self.config.ramp_down, 1e-9))
        up = jnp.minimum(1, share / max(self.config.ramp_up, 1e-9))
        return self.config.learning_rate * (0.5 - 0.5 * jnp.cos(jnp.pi * down)) * up


@partial(jax.jit, static_argnums=0)
def _step(
    search: _Search, given: _Given, found: _Found, memory: PyTree, i: Array, key: Key
) -> tuple[_Found, PyTree, PerExample]:
    return search.step(given, found, memory, i, key)


@partial(jax.jit, static_argnums=0)
def _images(search: _Search, state: State, found: _Found) -> Images:
    return search.images(state, found)


def distance_to(targets: Images, distance: Distance | Prepared) -> Partial:
    """Return ``images -> [N]``, the distances to the targets."""
    if isinstance(distance, Prepared):
        return distance.to(targets)
    return Partial(_targets_first(distance), targets)


@lru_cache(maxsize=8)
def _targets_first(distance: Distance) -> Callable[[Images, Images], PerExample]:
    """Return the distance with its arguments exchanged, always the same function, so that nothing compiles again."""
    return lambda targets, images: distance(images, targets)


def _fresh_noise(maps: PyTree, key: Key, count: int) -> PyTree:
    """Return fresh noise maps [N, h, w] like the network's own [h, w]."""
    leaves, structure = jax.tree.flatten(maps)
    drawn = [
        jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1_000_003), i), (count, *leaf.shape))
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, drawn)


def _normalised(maps: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Return each map with mean 0 and variance 1."""
    maps = maps - jnp.mean(maps, axis=(1, 2), keepdims=True)
    return maps * jax.lax.rsqrt(jnp.mean(jnp.square(maps), axis=(1, 2), keepdims=True) + 1e-12)


def _index(rows: list[Any], row: np.ndarray) -> int:
    return next(i for i, other in enumerate(rows) if np.array_equal(other, row))
