"""Dragging: points of an image are moved to where they are wanted, and the styles follow.

Pan, Tewari, Leimkuehler, Liu, Meka, Theobalt 2023, "Drag Your GAN", arXiv:2305.10973. In each step the handles are
found again in the feature maps of the generator, and Adam moves the coarse styles so that the features around each
handle move towards its target.

Where reality differs from the paper, this follows XingangPan/DragGAN: both terms of the loss are means over pixels and
channels rather than sums, and radii shrink with images below 512 pixels. Where this differs from both:

- feature maps are sampled where they are needed, rather than enlarged to the size of the image;
- for images below 256 pixels, whose generators have no 6th block of half the size, the level is that of half the size;
- of equally near places a handle takes the nearest one, so it stays where the features do not tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from ganzoo.config import Count, CountOrZero, NonNegative, Positive, check_fields, require
from ganzoo.errors import UserError
from ganzoo.gan import StyleSpace
from ganzoo.latent.sampler import Sampler
from ganzoo.ops import affine
from ganzoo.typing import AnyArray, PyTree, Scalar, State, Styles

MOST_POINTS = 16
"""Largest number of handles: all numbers of them are one compiled program."""
PUBLISHED_SIZE = 512
"""Side in pixels of the images for which the published radii are."""
LARGEST_FEATURES = 128
"""Side in pixels of the 6th block's feature maps, which are 4 pixels wide in the first one."""

Points: TypeAlias = AnyArray | Sequence[Sequence[float]]
"""n points (x, y) in pixels; (0, 0) is the centre of the upper left pixel, and y points down."""
Map: TypeAlias = Float[Array, "_h _w _c"]
Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class DragConfig:
    """How points are dragged. The defaults are the published ones (section 3.4; 2e-3 is for faces and cars)."""

    steps: Count = 300
    """Most steps of Adam."""
    learning_rate: Positive = 2e-3
    """Learning rate of Adam."""
    layers: Count | None = None
    """Number of style inputs that move, the coarsest ones; None: 6, or all of fewer."""
    level: CountOrZero | None = None
    """Level of the feature maps, a place in ``StyleSpace.feature_sizes``; None: ``feature_level``."""
    motion_radius: Positive | None = None
    """Radius r1, in pixels of the image, of what moves around a handle; None: 3 times size / 512, at least 1.5."""
    tracking_radius: Positive | None = None
    """Radius r2, in pixels of the image, in which a handle is found again; None: 12 times size / 512, at least 2.5."""
    mask_weight: NonNegative = 20.0
    """Weight lambda of the loss by which the image stays as it is outside of the mask."""
    stop_distance: Positive | None = None
    """Dragging ends when every handle is so near to its target, in pixels; None: 1, or 2 for more than 5 handles."""

    def __post_init__(self) -> None:
        check_fields(self)

    def filled(self, space: StyleSpace, size: Size) -> "DragConfig":
        """Return the config with a number for every field that is None, for images of (height, width)."""
        level = feature_level(space.feature_sizes, size) if self.level is None else self.level
        levels = len(space.feature_sizes)
        require(level < levels, "level", level, f"be 0 to {levels - 1}, the levels of the feature maps")
        layers = self.layers or min(6, space.count)
        require(layers <= space.count, "layers", layers, f"be 1 to {space.count}, the number of style inputs")
        share = min(min(size) / PUBLISHED_SIZE, 1)
        return replace(
            self,
            layers=layers,
            level=level,
            motion_radius=self.motion_radius or max(3 * share, 1.5),
            tracking_radius=self.tracking_radius or max(12 * share, 2.5),
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DragState:
    """Everything that changes or is given while points are dragged; P is ``MOST_POINTS``."""

    # what changes
    step: Array
    """int32 []: steps done."""
    ws: Array
    """Styles [1, L, w]."""
    memory: PyTree
    """State of Adam."""
    handles: Array
    """[P, 2]: where the handles were found last, whole pixels (x, y)."""
    start: Array
    """[h, w, c]: the feature maps of the first step."""

    # what is given
    origins: Array
    """[P, 2]: where the handles were at the start."""
    targets: Array
    """[P, 2]: where they are to go, whole pixels (x, y)."""
    used: Array
    """bool [P]: which of the points there are."""
    mask: Array
    """[h, w]: 1 where the image may change, 0 where it is to stay, at the size of the feature maps."""
    noise: PyTree
    """Noise maps [1, h, w], a tree like ``StyleSpace.noise_maps``; empty for the network's own."""


@dataclass(frozen=True)
class Dragged:
    """An image on the way, and where the handles are in it."""

    step: int
    """Number of steps of Adam that led to it; 0 for the image of the start."""
    ws: np.ndarray
    """Styles [1, L, w] of the image."""
    handles: np.ndarray
    """[n, 2]: (x, y) of the handles in pixels."""
    image: np.ndarray
    """[H, W, C] in [-1, 1]."""
    distances: np.ndarray
    """[n]: pixels from each handle to its target."""
    is_done: bool
    """Whether all handles are at their targets."""


def drag(
    sampler: Sampler,
    ws: Styles,
    handles: Points,
    targets: Points,
    config: DragConfig | None = None,
    *,
    mask: Bool[AnyArray, "_h _w"] | None = None,
    noise: PyTree = None,
) -> Iterator[Dragged]:
    """Drag points of an image to where they are wanted, step by step; to stop, stop iterating.

    Example::

        ws = sampler.styles(sampler.latents([0]))
        for moment in ganzoo.latent.drag(sampler, ws, handles=[(20, 30)], targets=[(28, 30)]):
            print(moment.step, moment.distances)
        ganzoo.show(moment.image[None])

    Args:
      sampler: a generator with styles and feature maps.
      ws: styles [1, L, w] of the image.
      handles: n points (x, y) of the image in pixels, rounded to whole ones; n at most ``MOST_POINTS``.
      targets: n points to which they are to go.
      config: the schedule; the default one when absent.
      mask: [H, W], true where the image may change; everywhere when absent.
      noise: noise maps [1, h, w] of the image, a tree like ``StyleSpace.noise_maps``; the network's own when absent.

    Yields:
      The image of the start, then the one after each step of Adam. The last one has all handles at their targets, or is
      that of the last step.

    Raises:
      UserError: at once, where the model has no styles or feature maps, or the points do not fit the image.
    """
    ws, noise = sampler.require_points("dragging", ws, noise, 1)
    space, size = sampler.require_styles("dragging"), sampler.gan.image_shape[:2]
    if not space.feature_sizes:
        raise UserError(f"dragging: {sampler.gan.name} gives no feature maps; use a StyleGAN")
    cfg = (config or DragConfig()).filled(space, size)
    handles, targets = _points("handles", handles, size), _points("targets", targets, size)
    require(len(handles) == len(targets), "targets", len(targets), f"be as many as the handles, {len(handles)}")
    if mask is not None:
        require(np.shape(mask) == size, "mask", np.shape(mask), f"be of the shape {size}")
    state = _start(sampler, cfg, ws, handles, targets, mask, noise)
    return _steps(sampler, cfg, state, len(handles))


def drag_step(
    generator: State, state: DragState, *, space: StyleSpace, config: DragConfig, ema: bool = True
) -> tuple[DragState, Float[Array, "_p 2"], Map]:
    """Find the handles in the image of the styles, then take one step of Adam towards the targets.

    Args:
      generator: a train state.
      state: as it is.
      space: the style space of the generator.
      config: one that is ``filled``.
      ema: use the EMA of the generator.

    Returns:
      The next state; the handles [P, 2] and the image [H, W, C] in [-1, 1] of the styles before the step.
    """
    coarse, rest = state.ws[:, : config.layers], state.ws[:, config.layers :]

    def features_of(coarse: Array) -> tuple[Map, Map]:
        ws, noise = jnp.concatenate([coarse, rest], axis=1), state.noise if jax.tree.leaves(state.noise) else "const"
        images, features = space.features(generator, ws, config.level, noise=noise, ema=ema)
        return features[0].astype(jnp.float32), images[0]

    features, pull, image = jax.vjp(features_of, coarse, has_aux=True)
    size = (image.shape[0], image.shape[1])
    start = jnp.where(state.step == 0, features, state.start)
    handles = track(features, sample(start, state.origins[:, None], size)[:, 0], state.handles, config, size)
    loss = partial(motion_loss, handles=handles, targets=state.targets, used=state.used, config=config, size=size)
    slopes = jax.grad(lambda features: loss(features) + config.mask_weight * mask_loss(features, start, state.mask))
    updates, memory = _adam(config).update(*pull(slopes(features)), state.memory)
    ws = jnp.concatenate([jnp.asarray(optax.apply_updates(coarse, updates)), rest], axis=1)
    state = replace(state, step=state.step + 1, ws=ws, memory=memory, handles=handles, start=start)
    return state, handles, jnp.clip(image, -1, 1)


# The method ---------------------------------------------------------------------------------------------------------


def motion_loss(
    features: Map,
    *,
    handles: Float[Array, "_p 2"],
    targets: Float[Array, "_p 2"],
    used: Bool[Array, " _p"],
    config: DragConfig,
    size: Size,
) -> Scalar:
    """Return how much the features around the handles differ from those one pixel nearer to the targets.

    With the pixels q of ``disk`` around each handle p and d of length 1 from p to its target t, the sum over handles of
    the mean of |F(q) - F(q + d)|, in which F(q) is a constant: so the features at q + d become those at q, and the
    handle moves by d. Section 3.2, motion supervision.
    """
    around = handles[:, None] + jnp.asarray(disk(config.motion_radius))[None]
    ways = targets - handles
    ways = ways / jnp.maximum(jnp.linalg.norm(ways, axis=1, keepdims=True), 1)
    here, there = sample(features, around, size), sample(features, around + ways[:, None], size)
    apart = jnp.mean(jnp.abs(jax.lax.stop_gradient(here) - there), axis=(1, 2))
    return jnp.sum(jnp.where(used, apart, 0))


def mask_loss(features: Map, start: Map, mask: Float[Array, "_h _w"]) -> Scalar:
    """Return the mean of |F - F0| (1 - M): how much features changed where the mask M [h, w] is 0. Section 3.2."""
    return jnp.mean(jnp.abs(features - start) * (1 - mask[:, :, None]))


def track(
    features: Map, marks: Float[Array, "_p _c"], handles: Float[Array, "_p 2"], config: DragConfig, size: Size
) -> Float[Array, "_p 2"]:
    """Return the handles [P, 2] of an image: of the pixels around where each was, the one most like its mark.

    That is the argmin of |F(q) - f|, summed over channels, over the ``square`` of pixels q around the handle, with the
    features f of the handle in the image of the start. Section 3.3, point tracking.
    """
    height, width = size
    places = handles[:, None] + jnp.asarray(square(config.tracking_radius))[None]
    places = jnp.clip(places, 0, jnp.asarray([[[width - 1, height - 1]]], jnp.float32))
    apart = jnp.sum(jnp.abs(sample(features, places, size) - marks[:, None]), axis=2)
    return jnp.take_along_axis(places, jnp.argmin(apart, axis=1)[:, None, None], axis=1)[:, 0]


def sample(features: Map, points: Float[Array, "_a _b 2"], size: Size) -> Float[Array, "_a _b _c"]:
    """Return the features [a, b, c] at points [a, b, 2] of an image of (height, width), by bilinear interpolation.

    Feature maps [h, w, c] cover the whole image; beyond the centres of their outermost pixels they go on as there.
    """
    x, y = (
        jnp.clip((points[..., i] + 0.5) * (there / side) - 0.5, 0, there - 1)
        for i, there, side in ((0, features.shape[1], size[1]), (1, features.shape[0], size[0]))
    )
    return affine.bilinear(features[None], x[None], y[None])[0]


@lru_cache
def disk(radius: float) -> np.ndarray:
    """Return the whole numbers (x, y) of length below ``radius``, float32 [n, 2], the shortest first."""
    offsets = square(radius)
    return offsets[np.square(offsets).sum(axis=1) < radius**2]


@lru_cache
def square(radius: float) -> np.ndarray:
    """Return the whole numbers (x, y) that are both below ``radius`` in size, float32 [n, 2], the shortest first."""
    reach = int(np.ceil(radius)) - 1
    offsets = np.stack(np.meshgrid(*2 * [np.arange(-reach, reach + 1)]), axis=-1).reshape(-1, 2)
    return offsets[np.argsort(np.square(offsets).sum(axis=1), kind="stable")].astype(np.float32)


def feature_level(sizes: tuple[Size, ...], image: Size) -> int:
    """Return the finest level of at most half of the image's size, and of at most 128 pixels in the shorter side.

    In a StyleGAN2 of 256 pixels and more that is the 6th block (section 3.2).
    """
    most = min(min(image) // 2, LARGEST_FEATURES)
    return max((i for i, size in enumerate(sizes) if min(size) <= most), default=0)


# The loop -----------------------------------------------------------------------------------------------------------


_compiled_step = jax.jit(drag_step, static_argnames=("space", "config", "ema"))


def _steps(sampler: Sampler, config: DragConfig, state: DragState, count: int) -> Iterator[Dragged]:
    """Yield the image of the start, and that after each step."""
    near = config.stop_distance or (1 if count <= 5 else 2)
    targets = np.asarray(state.targets)[:count]
    for step in range(config.steps + 1):
        ws = state.ws
        state, handles, image = _compiled_step(
            sampler.state, state, space=sampler.gan.styles, config=config, ema=sampler.ema
        )
        handles = np.asarray(handles)[:count]
        distances = np.linalg.norm(targets - handles, axis=1)
        is_done = bool((distances <= near).all())
        yield Dragged(step, np.asarray(ws), handles, np.asarray(image), distances, is_done)
        if is_done:
            return


def _start(
    sampler: Sampler, config: DragConfig, ws: Array, handles: np.ndarray, targets: np.ndarray, mask: Any, noise: PyTree
) -> DragState:
    """Return the state before the first step."""
    space = sampler.require_styles("dragging")
    shape = jax.eval_shape(partial(space.features, level=config.level, ema=sampler.ema), sampler.state, ws)[1].shape[1:]
    whole = np.ones(shape[:2], np.float32) if mask is None else np.asarray(mask, np.float32)
    used = jnp.arange(MOST_POINTS) < len(handles)
    handles, targets = (np.pad(at, ((0, MOST_POINTS - len(at)), (0, 0))) for at in (handles, targets))
    return DragState(
        step=jnp.int32(0),
        ws=ws,
        memory=_adam(config).init(ws[:, : config.layers]),
        handles=jnp.asarray(handles),
        start=jnp.zeros(shape),
        origins=jnp.asarray(handles),
        targets=jnp.asarray(targets),
        used=used,
        mask=jax.image.resize(whole, shape[:2], "linear"),
        noise=noise,
    )


def _points(name: str, points: Points, size: Size) -> np.ndarray:
    """Return points as whole numbers, float32 [n, 2]; ``UserError`` where they are none of an image of a size."""
    found, (height, width) = np.asarray(points), size
    is_list = found.ndim == 2 and found.shape[1] == 2 and 1 <= len(found) <= MOST_POINTS and found.dtype.kind in "iuf"
    require(is_list, name, found.tolist(), f"be 1 to {MOST_POINTS} points (x, y)")
    found = np.round(found.astype(np.float32))
    is_inside = (found >= 0).all() and (found <= (width - 1, height - 1)).all()
    require(
        bool(is_inside), name, found.tolist(), f"be in the image, x from 0 to {width - 1} and y from 0 to {height - 1}"
    )
    return found


def _adam(config: DragConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)
