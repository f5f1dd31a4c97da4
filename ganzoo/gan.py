"""The contract: what a GAN is, what its train state is made of, and what tools may ask of it.

A GAN is a record of pure functions. Everything that changes is in the state, everything in the state is an array, and
every random number is derived from a key and a position. A model that fills this record gets the command line, the
parallel modes, checkpoints, sampling, metrics and the contract tests without another line. A model with styles fills
``GAN.styles`` as well, and gets truncation, style mixing, interpolation in W, projection, tuning, editing and dragging.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, wraps
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import serialization
from jaxtyping import Array, Float

from ganzoo.augment import AugmentState
from ganzoo.errors import UserError
from ganzoo.typing import AnyArray, Features, Images, Key, Labels, Latents, Params, PyTree, Step, Styles

T = TypeVar("T")

NoiseInput: TypeAlias = Any
"""``"const"`` (the network's own noise maps), ``"none"``, keys [N] (fresh noise for image i from key i alone), or noise
maps: a tree like ``StyleSpace.noise_maps`` whose leaves are [N, h, w]."""
TransformInput: TypeAlias = Any
"""None, or affine maps [3, 3] or [N, 3, 3] that move images as a whole: of a point (x, y, 1) of the image to the point
of the untransformed image that is seen there, from the centre, in units of the image's shorter side; y points down."""
REMEMBERED = 16
"""Results that a function keeps which is ``remembered``."""


# The train state ----------------------------------------------------------------------------------------------------


def serializable(kind: type[T]) -> type[T]:
    """Let ``flax.serialization.to_bytes`` and ``from_bytes`` take a dataclass, field by field; return the class."""

    def to_state_dict(record: Any) -> dict[str, Any]:
        return {each.name: serialization.to_state_dict(getattr(record, each.name)) for each in fields(record)}

    def from_state_dict(record: Any, found: Mapping[str, Any]) -> Any:
        names = {each.name for each in fields(record)}
        if set(found) != names:
            raise UserError(
                f"a {kind.__name__} has the fields {sorted(names)}, not {sorted(found)}; give its own bytes"
            )
        restore = serialization.from_state_dict
        return replace(record, **{name: restore(getattr(record, name), found[name], name) for name in names})

    serialization.register_serialization_state(kind, to_state_dict, from_state_dict)
    return kind


serializable(AugmentState)  # whose own layer knows no Flax


@serializable
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """One network: parameters, other variable collections, optimizer state."""

    params: Params
    collections: PyTree
    """Collections that are not learned, such as ``{"batch_stats": ...}``; empty where a network has none."""
    opt_state: PyTree

    @classmethod
    def create(cls, variables: Mapping[str, PyTree], init_optimizer: Callable[[Params], PyTree]) -> "Network":
        """Split what a module's ``init`` returned, and start the optimizer by ``init_optimizer(params)``."""
        collections = dict(variables)
        params = collections.pop("params")
        return cls(params, collections, init_optimizer(params))

    @property
    def variables(self) -> dict[str, PyTree]:
        """Flax's variables ``{"params": ..., **collections}``: ``module.apply(network.variables, ...)``."""
        return self.with_params(self.params)

    def with_params(self, params: Params) -> dict[str, PyTree]:
        """Return Flax's variables with other parameters, such as those to be differentiated."""
        return {"params": params, **self.collections}


@serializable
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that changes during a run. A model with more to remember extends it by named fields."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        serializable(cls)

    # progress
    step: Any
    """int32 []: steps done; random draws and lazy phases derive from it."""
    images: Any
    """uint32 []: real images seen; half-lives and schedules derive from it."""

    # the two networks
    generator: Network
    discriminator: Network

    # what is sampled
    ema: PyTree
    """Exponential moving average of the generator, as Flax's variables: ``gan.generator.apply(state.ema, z)``."""

    # augmentation
    augment: Any = field(default=None, kw_only=True)
    """``augment.AugmentState``; None where the augmentation has no probability p."""


def generator_variables(state: Any, *, ema: bool = True) -> PyTree:
    """Return the variables of the generator: its EMA, or the weights of the last step."""
    return state.ema if ema else state.generator.variables


@serializable
@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Average:
    """A metric: a sum and the number of values in it, so that averages of averages stay exact."""

    total: Any
    count: Any

    @classmethod
    def of(cls, values: AnyArray) -> "Average":
        """Return the average over all elements of ``values``."""
        return cls(jnp.sum(values, dtype=jnp.float32), jnp.float32(values.size))

    def __add__(self, other: "Average") -> "Average":
        return Average(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        """The mean as a Python number, NaN when nothing was counted. Waits for the device."""
        return float(self.total) / float(self.count) if float(self.count) else float("nan")


# The record ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """A part of a run with a program of its own, such as a level of progressive growing."""

    name: str
    """How it is shown to people, such as "8x8"."""
    step: Step
    batch_size: int = 0
    """Images of a step; 0 takes the batch size of the run."""
    last_image: int | None = None
    """The next stage begins when more than this many images have been seen; None for the last stage."""
    interval: int = 1
    """The next stage begins at a step that is a multiple of this number."""
    phases: Mapping[str, tuple[Step, int]] = field(default_factory=dict)
    """The parts of the step in turn, by name, each with the number of steps between two of its kind: what each costs
    can then be told by itself. Empty: only the whole step is known."""


def no_features(*_: Any, **__: Any) -> tuple[Images, Features]:
    """Raise the ``UserError`` of a model that gives no feature maps."""
    raise UserError("this model gives no feature maps; use a StyleGAN")


@dataclass(frozen=True)
class StyleSpace:
    """What tools may ask of a style-based generator. Each function takes the train state, so it knows all that decides
    on an image, such as the level of detail of a network that still grows."""

    count: int
    """L, the number of style inputs."""
    map: Callable[..., Styles]
    """``map(state, latents, labels=None, *, psi=1.0, cutoff=None, ema=True) -> ws [N, L, w]``, truncated towards the
    mean w: fully at psi = 0, not at all at psi = 1, at the first ``cutoff`` style inputs only where that is given."""
    synthesise: Callable[..., Images]
    """``synthesise(state, ws, *, noise="const", transform=None, ema=True) -> images [N, H, W, C]``, nominally in
    [-1, 1] but not clipped. ``noise`` is a ``NoiseInput``, ``transform`` a ``TransformInput``."""
    mean: Callable[..., Float[Array, " w_dim"]]
    """``mean(state, *, ema=True) -> [w]``: the running mean of w over training."""
    modulations: Callable[..., list[Float[Array, "w_dim _c"]]]
    """``modulations(state, *, ema=True)``: the kernels [w, C] from w to the styles of each convolution, in the order
    of the style inputs; empty where styles modulate no weights."""
    noise_maps: Callable[..., PyTree]
    """``noise_maps(state, *, ema=True)``: the network's own noise maps, a tree of [h, w]; empty without noise."""
    takes_transform: bool = False
    """Whether ``synthesise`` takes a ``transform``: whether the generator can move its whole image."""
    feature_sizes: tuple[tuple[int, int], ...] = ()
    """(height, width) of the feature maps of each level, the smallest first; empty where a model gives none."""
    features: Callable[..., tuple[Images, Features]] = no_features
    """``features(state, ws, level, *, noise="const", ema=True) -> (images [N, H, W, C], features [N, h, w, c])``: what
    ``synthesise`` returns, and the feature maps of a level, which cover the image and nothing around it."""

    def generate(
        self,
        state: Any,
        latents: Latents,
        labels: Labels | None = None,
        *,
        ema: bool = True,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: NoiseInput = "const",
        transform: TransformInput = None,
    ) -> Images:
        """Return the images [N, H, W, C] of latents [N, z], clipped to [-1, 1]: ``map``, then ``synthesise``."""
        ws = self.map(state, latents, labels, psi=psi, cutoff=cutoff, ema=ema)
        return jnp.clip(self.synthesise(state, ws, noise=noise, transform=transform, ema=ema), -1, 1)


@dataclass(frozen=True)
class GAN:
    """A record of pure functions.

    ``init(key) -> state``; ``step(state, batch, key) -> (state, metrics)``; ``sample(state, key, count) -> images``.
    """

    name: str
    config: Any
    """The frozen config dataclass that the record was built from."""
    image_shape: tuple[int, int, int]
    """(H, W, C) of the images."""
    label_size: int
    """k of the label vectors; 0 for an unconditional model."""
    generator: nn.Module
    discriminator: nn.Module
    init: Callable[[Key], Any]
    step: Step
    generate: Callable[..., Images]
    """``generate(state, latents, labels=None, *, ema=True) -> images [N, H, W, C]`` in [-1, 1] from latents [N, z]; of
    a model with styles also ``psi``, ``cutoff``, ``noise`` and ``transform``, as in ``StyleSpace``."""
    latents: Callable[[Key, jax.Array], Latents]
    """``latents(key, indices) -> [N, z]``: latent i depends on the key and i alone."""
    styles: StyleSpace | None = None
    """What tools may ask of a style-based generator; None for any other."""
    check_batch_size: Callable[[int], None] = lambda size: None
    """Raises ``UserError`` where a batch of this many images, over all devices, does not suit the model."""
    own_reals: tuple[str, ...] = ()
    """Networks whose phase is to see real images of its own in training, as ``batch[network]``: a batch of the same
    form and size. Without it in the batch, the phase sees those of the batch. They do not count as images seen."""
    stages: tuple[Stage, ...] = ()
    """Parts of a run, in turn, each of which computes in its time what ``step`` would: one stage unless given."""
    present_classes: tuple[int, ...] = ()
    """Numbers of the classes that had images in training, where that is known and not all had; else empty."""

    def __post_init__(self) -> None:
        if not self.stages:
            object.__setattr__(self, "stages", (Stage(self.name, self.step),))

    @property
    def shown_classes(self) -> np.ndarray:
        """Numbers of the classes of which samples without labels are, in turn, int [n]: those with images."""
        return np.asarray(self.present_classes or range(self.label_size), np.int64)

    def sample(
        self,
        state: Any,
        key: Key,
        count: int,
        *,
        first: int = 0,
        labels: Labels | None = None,
        ema: bool = True,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: NoiseInput = "const",
        transform: TransformInput = None,
    ) -> Images:
        """Generate the images ``first`` to ``first + count - 1`` of a key.

        Image i depends on the key and i alone, not on the images sampled beside it.

        Args:
          state: a train state.
          key: of the latents.
          count: number of images; static under ``jit``.
          first: number of the first image.
          labels: [count, k]; without them, images of a conditional model are of the ``shown_classes`` in turn.
          ema: use the EMA of the generator rather than the weights of the last step.
          psi: truncation, in [-1, 1]; 1 does not truncate. Needs a model with styles, as do the next three.
          cutoff: truncate only the first ``cutoff`` style inputs.
          noise: a ``NoiseInput``.
          transform: a ``TransformInput``, of models whose ``styles.takes_transform`` is true.

        Returns:
          [count, H, W, C] in [-1, 1].

        Raises:
          UserError: truncation or noise is asked of a model without styles.
        """
        indices = first + jnp.arange(count)
        if labels is None and self.label_size:
            classes = jnp.asarray(self.shown_classes, jnp.int32)
            labels = jax.nn.one_hot(classes[indices % len(classes)], self.label_size, dtype=jnp.float32)
        latents = self.latents(key, indices)
        if self.styles is not None:
            options = {"psi": psi, "cutoff": cutoff, "noise": noise, "transform": transform}
            return self.generate(state, latents, labels, ema=ema, **options)
        is_plain = isinstance(psi, int | float) and psi == 1 and cutoff is None and isinstance(noise, str)
        if not is_plain or noise != "const" or transform is not None:
            raise UserError(f"psi, cutoff, noise and transform: {self.name} has no styles; leave them out")
        return self.generate(state, latents, labels, ema=ema)

    def __repr__(self) -> str:
        return f"GAN({self.name!r}, image_shape={self.image_shape}, label_size={self.label_size})"


# Models -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Preset:
    """A config of a model that has a name, with the data and the run settings that belong to it."""

    config: Any
    data: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ganzoo.data.DataConfig`` that differ from ``DataConfig(data="")``."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ganzoo.runs.TrainingConfig`` that differ from its defaults."""
    from_data: tuple[str, ...] = ()
    """Fields of the config, of image_size, channels and label_size, that a run reads from its data unless given."""


@dataclass(frozen=True)
class Model:
    """A kind of GAN: all that the command line, the registry and the contract tests need to know of it."""

    name: str
    config: type
    """The frozen config dataclass."""
    build: Callable[[Any], GAN]
    """``config -> GAN``. Equal configs have the same GAN, so that its functions are compiled once in a process."""
    presets: Mapping[str, Preset]
    """By name; ``tiny`` is small enough for tests."""
    default: str
    """The preset that stands for the model where none is named."""
    fill_defaults: Callable[[Any, int, int], tuple[Any, int]] | None = None
    """``(config, batch_size, devices) -> (config, batch_size)`` with a number for every field that is None, and for a
    batch size of 0; None where a config leaves nothing open."""
    transferred: Mapping[str, Any] = field(default_factory=dict)
    """Values of the config's fields in a run that starts with other weights, for fields that are not given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "build", remembered(self.build))


def remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function such that it returns its last results again for arguments that were there before.

    The function must depend on nothing but its arguments. Those that cannot be keys of a dictionary are not remembered.
    What JAX has compiled of a function it finds by the function itself, so a function that is made again is compiled
    again.
    """
    results = lru_cache(maxsize=REMEMBERED, typed=True)(function)

    @wraps(function)
    def remembering(*args: Any) -> Any:
        try:
            hash(args)
        except TypeError:
            return function(*args)
        return results(*args)

    return remembering


def parameter_count(params: Params) -> int:
    """Return the number of learned values in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def named_leaves(tree: PyTree) -> list[tuple[str, PyTree]]:
    """Return the leaves with their names: the path to each through the tree, joined by dots."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
