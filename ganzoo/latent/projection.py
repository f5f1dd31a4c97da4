"""Projection: the styles, and the noise, of given images.

Karras et al. 2019, arXiv:1912.04958, appendix D, whose schedules and noise regularisation these are; they measure the
distance of images by LPIPS (``ganzoo.metrics.lpips``), here it is any function, by default of the pixels at several
scales.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from ganzoo.config import Count, CountOrZero, NonNegative, Positive, Share, check_fields, require
from ganzoo.latent.sampler import Sampler
from ganzoo.ops.resample import avg_pool
from ganzoo.typing import AnyArray, Images, Key, Labels, PerExample, PyTree, Scalar, Styles

Distance = Callable[[Images, Images], PerExample]
"""``(images, targets) -> [N]``, differentiable in the first."""


@runtime_checkable
class Prepared(Protocol):
    """A distance that has weights, or much to make of the targets alone."""

    def to(self, targets: Images) -> Partial:
        """``images -> [N]``; what it holds is an argument of the compiled step, not a constant in it."""


@dataclass(frozen=True)
class ProjectionConfig:
    """How long and how the styles are sought.

    The schedule is the published one; published are also the space w and a ``style_noise`` of 0.05, which find images
    of the generator itself less exactly (24 to 29 dB in the place of 33 to 39, after 500 steps at 64 x 64).
    """

    steps: Count = 1000
    """Steps of Adam."""
    space: Literal["w", "w+"] = "w+"
    """"w" is one style for all inputs; "w+" one for each (Abdal et al. 2019, arXiv:1904.03189)."""
    learning_rate: Positive = 0.1
    """At its highest."""
    ramp_up: Share = 0.05
    """Share of the steps in which the rate grows to that,"""
    ramp_down: Share = 0.25
    """and in which it falls to 0 at the end."""
    style_noise: NonNegative = 0.01
    """Noise added to the styles, in units of their standard deviation, at the start;"""
    style_noise_until: Share = 0.75
    """it falls to 0 until this share of the steps."""
    noise_weight: NonNegative = 1e5
    """Weight of the regularisation that keeps the noise maps noise."""
    optimise_noise: bool = True
    """Whether the noise maps are sought, too; otherwise they are the network's own."""
    style_samples: Count = 10_000
    """Styles of which the mean, where the search starts, and the standard deviation are taken."""
    seed: CountOrZero = 0
    """Of these, and of the noise."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Projection:
    """What was found for N images."""

    ws: np.ndarray
    """Styles [N, L, w]."""
    noise: PyTree
    """The collection "noise" of the network, each map with N before it; empty where it was not sought."""
    images: np.ndarray
    """What they give, [N, H, W, C] in [-1, 1]."""
    distances: np.ndarray
    """[steps, N], of every step."""


def project(
    sampler: Sampler,
    targets: Images,
    config: ProjectionConfig | None = None,
    *,
    labels: Labels | None = None,
    distance: Distance | None = None,
    told: Callable[[int, float], None] = lambda step, distance: None,
) -> Projection:
    """The styles whose images are nearest to the targets, each sought by itself, all of them at once.

    Args:
      sampler: a generator with styles.
      targets: [N, H, W, C] in [-1, 1], of the generator's size.
      config: the schedule.
      labels: [N, k], whose styles are the start; only for a conditional model.
      distance: what is minimised, ``Prepared`` or not; ``pixel_distance`` when absent.
      told: hears the mean distance now and then.

    Raises:
      UserError: the model has no styles, or the targets are of another size, or of one that has no such distance.
    """
    cfg = config or ProjectionConfig()
    sampler.require_styles("projection")
    shape = sampler.gan.image_shape
    require(tuple(targets.shape[1:]) == shape, "targets", tuple(targets.shape[1:]), f"be images of {shape}")
    targets, count, key = jnp.asarray(targets, jnp.float32), len(targets), jax.random.key(cfg.seed)
    distance_to = _distance_to(targets, distance or pixel_distance)
    mean, deviation = style_statistics(sampler, cfg, labels, count)
    noise = _noise(sampler, key, count) if cfg.optimise_noise else {}
    copies = sampler.gan.config.style_count if cfg.space == "w+" else 1
    found: dict[str, Any] = {"ws": jnp.repeat(jnp.asarray(mean)[:, None], copies, axis=1), "noise": noise}
    optimizer = optax.scale_by_adam()
    memory = optimizer.init(found)
    search = _Search(sampler, cfg, targets, deviation)
    step, given = jax.jit(partial(search.step, optimizer)), _Given(search.variables, distance_to)
    distances = []
    for i in range(cfg.steps):
        found, memory, apart = step(given, found, memory, jnp.int32(i), key)
        distances.append(apart)
        if (i + 1) % 50 == 0 or i + 1 == cfg.steps:
            told(i + 1, float(apart.mean()))
    ws = jnp.repeat(found["ws"], sampler.gan.config.style_count // copies, axis=1)
    images = jax.jit(search.images)(given.variables, ws, found["noise"])
    return Projection(
        np.asarray(ws), jax.device_get(found["noise"]), np.clip(np.asarray(images), -1, 1), np.asarray(distances)
    )


def pixel_distance(images: Images, targets: Images) -> PerExample:
    """Mean squared differences, summed over the size of the images, half of it, and so on down to 8 pixels."""
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    total = jnp.mean(jnp.square(images - targets), axis=(1, 2, 3))
    while min(images.shape[1:3]) >= 16 and images.shape[1] % 2 == images.shape[2] % 2 == 0:
        images, targets = avg_pool(images, 2), avg_pool(targets, 2)
        total += jnp.mean(jnp.square(images - targets), axis=(1, 2, 3))
    return total


def shown(images: Images, targets: Images) -> Array:
    """The images, where they are brighter than white as the white of the target, and so for black.

    Pictures are clipped, and what a generator makes beyond that cannot be known.
    """
    is_beyond = (jnp.abs(images) > 1) & (jnp.abs(targets) >= 1) & (jnp.sign(images) == jnp.sign(targets))
    return jnp.where(is_beyond, targets, images)


def style_statistics(
    sampler: Sampler, config: ProjectionConfig, labels: Labels | None, count: int
) -> tuple[Float[np.ndarray, "n w_dim"], float]:
    """The mean style for each target (of its label, where there are labels), and one standard deviation for all."""
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
    """How much the maps differ from noise: squared correlations with their neighbours, at all sizes from 8 on.

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


# The search ---------------------------------------------------------------------------------------------------------


class _Given(NamedTuple):
    """The arrays that stay the same from step to step."""

    variables: PyTree
    """Of the generator."""
    distance_to: Partial
    """``images -> [N]``, to the targets."""


@dataclass(frozen=True)
class _Search:
    """All else that stays the same."""

    sampler: Sampler
    config: ProjectionConfig
    targets: Array
    deviation: float

    @property
    def variables(self) -> PyTree:
        """Of the generator."""
        weights = self.sampler.weights
        return {"params": weights["params"], **weights["variables"]}

    def images(self, variables: PyTree, ws: Styles, noise: PyTree) -> Any:
        """Images of styles [N, L, w], each with its own noise maps where there are any."""
        variables = {**variables, "noise": noise} if noise else variables
        return self.sampler.gan.generator.apply(variables, ws, method="synthesise", noise="const")

    def step(
        self,
        optimizer: optax.GradientTransformation,
        given: _Given,
        found: Mapping[str, Any],
        memory: PyTree,
        i: Array,
        key: Key,
    ) -> tuple[Mapping[str, Any], PyTree, PerExample]:
        """One step of Adam on all targets; what is sought for one does not depend on the others."""
        share = i / self.config.steps
        grow = jnp.maximum(0, 1 - share / max(self.config.style_noise_until, 1e-9)) ** 2
        moved = self.config.style_noise * self.deviation * grow
        drawn = moved * jax.random.normal(jax.random.fold_in(key, i), found["ws"].shape)

        def loss(found: Mapping[str, Any]) -> tuple[Scalar, PerExample]:
            count = self.sampler.gan.config.style_count
            ws = jnp.repeat(found["ws"] + drawn, count // found["ws"].shape[1], axis=1)
            apart = given.distance_to(shown(self.images(given.variables, ws, found["noise"]), self.targets))
            maps = jax.tree.leaves(found["noise"])
            return jnp.sum(apart) + self.config.noise_weight * noise_regularity(maps), jnp.asarray(apart)

        gradients, apart = jax.grad(loss, has_aux=True)(found)
        updates, memory = optimizer.update(gradients, memory)
        rate = self.rate(share)
        found = jax.tree.map(lambda value, update: value - rate * update, found, updates)
        return {**found, "noise": jax.tree.map(_normalised, found["noise"])}, memory, apart

    def rate(self, share: Array) -> Array:
        """The learning rate after this share of the steps."""
        down = jnp.minimum(1, (1 - share) / max(self.config.ramp_down, 1e-9))
        up = jnp.minimum(1, share / max(self.config.ramp_up, 1e-9))
        return self.config.learning_rate * (0.5 - 0.5 * jnp.cos(jnp.pi * down)) * up


def _distance_to(targets: Images, distance: Distance) -> Partial:
    return distance.to(targets) if isinstance(distance, Prepared) else Partial(_turned(distance), targets)


def _turned(distance: Distance) -> Callable[[Images, Images], PerExample]:
    return lambda targets, images: distance(images, targets)


def _noise(sampler: Sampler, key: Key, count: int) -> PyTree:
    """Fresh noise maps [N, h, w] in the place of the network's own; none where it has none."""
    maps, structure = jax.tree.flatten(sampler.weights["variables"].get("noise", {}))
    drawn = [
        jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 1_000_003), i), (count, *leaf.shape))
        for i, leaf in enumerate(maps)
    ]
    return jax.tree.unflatten(structure, drawn)


def _normalised(maps: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Each of mean 0 and variance 1."""
    maps = maps - jnp.mean(maps, axis=(1, 2), keepdims=True)
    return maps * jax.lax.rsqrt(jnp.mean(jnp.square(maps), axis=(1, 2), keepdims=True) + 1e-12)


def _index(rows: list[Any], row: np.ndarray) -> int:
    return next(i for i, other in enumerate(rows) if np.array_equal(other, row))
