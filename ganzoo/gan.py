"""The contract: what a GAN is, and what its train state is made of.

A GAN is a record of pure functions. Everything that changes is in the state, everything in the state is an array, and
every random number is derived from a key and a position. Whoever fills this record gets the command line, the
parallel modes, checkpoints, sampling and the contract tests without another line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganzoo.typing import AnyArray, Images, Key, Labels, Latents, Params, PyTree, Step


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NetworkState:
    """One player: what it learns, what it gathers, and its optimizer's memory."""

    params: Params
    variables: PyTree
    """Collections that are not learned, such as ``{"batch_stats": ...}``; empty where there are none."""
    opt_state: PyTree

    @classmethod
    def fresh(cls, collections: Mapping[str, PyTree], start: Callable[[Params], PyTree]) -> "NetworkState":
        """A network as its module's ``init`` made it; ``start(params)`` is the optimizer's ``init``."""
        variables = dict(collections)
        params = variables.pop("params")
        return cls(params, variables, start(params))

    @property
    def weights(self) -> dict[str, PyTree]:
        """``{"params": ..., "variables": ...}``: what it takes to apply the network, and what is averaged."""
        return {"params": self.params, "variables": self.variables}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """All that a run is at one moment; models with more to remember extend it with named fields."""

    # how far the run is
    step: Any
    """int32 []: steps done; random draws and lazy phases derive from it."""
    images: Any
    """uint32 []: real images seen; half-lives and schedules derive from it."""

    # the two players
    generator: NetworkState
    discriminator: NetworkState

    # what is sampled
    average: PyTree
    """The generator's ``{"params": ..., "variables": ...}``, averaged over training."""

    # what the discriminator sees
    augment: Any = field(default=None, kw_only=True)
    """``augment.Strength``; None where the augmentation has no p, or there is none."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Average:
    """A metric on its way: a sum and the number of values in it, so that averages of averages stay exact."""

    total: Any
    count: Any

    @classmethod
    def of(cls, values: AnyArray) -> "Average":
        """The average over all elements of ``values``."""
        return cls(jnp.sum(values, dtype=jnp.float32), jnp.float32(values.size))

    def __add__(self, other: "Average") -> "Average":
        return Average(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float:
        """The mean as a Python number; NaN when nothing was counted. Waits for the device."""
        return float(self.total) / float(self.count) if float(self.count) else float("nan")


@dataclass(frozen=True)
class Stage:
    """A part of a run with a program of its own: a level of progressive growing. Its state is that of any other."""

    name: str
    """As it is told to a person, such as "8x8"."""
    step: Step
    batch_size: int = 0
    """Images of a step; 0 for those of the run."""
    last_image: int | None = None
    """The next stage begins when more than so many images have been seen; None for the last stage."""
    interval: int = 1
    """It begins at a step that is a multiple of this."""


@dataclass(frozen=True)
class GAN:
    """A record of pure functions.

    ``init(key) -> state``; ``step(state, batch, key) -> (state, metrics)``; ``sample(state, key, count) -> images``.
    """

    name: str
    config: Any
    """The frozen config dataclass that the record was made from."""
    image_shape: tuple[int, int, int]
    """(H, W, C) of the images that it takes and makes."""
    label_size: int
    """k of the label vectors that it takes; 0 for an unconditional model."""
    generator: nn.Module
    discriminator: nn.Module
    init: Callable[[Key], Any]
    step: Step
    generate: Callable[..., Images]
    """``generate(state, latents, labels=None, *, averaged=True) -> images`` from given latents [N, z]."""
    latents: Callable[[Key, jax.Array], Latents]
    """``latents(key, indices) -> [N, z]``: latent i depends on the key and i alone."""
    stages: tuple[Stage, ...] = ()
    """Parts of a run, in turn, each of which computes in its time what ``step`` would; none where there is only one."""

    def sample(
        self,
        state: Any,
        key: Key,
        count: int,
        *,
        first: int = 0,
        labels: Labels | None = None,
        averaged: bool = True,
    ) -> Images:
        """The images number ``first`` to ``first + count`` of a key.

        Image i depends on the key and i alone, not on those sampled beside it.

        Args:
          state: a train state.
          key: of the latents.
          count: how many; static under ``jit``.
          first: the number of the first one.
          labels: [count, k]; image i is of class i modulo k (one-hot) when a conditional model is given none.
          averaged: by the averaged weights rather than the newest.

        Returns:
          [count, H, W, C] in [-1, 1].
        """
        indices = first + jnp.arange(count)
        if labels is None and self.label_size:
            labels = jax.nn.one_hot(indices % self.label_size, self.label_size)
        return self.generate(state, self.latents(key, indices), labels, averaged=averaged)

    def __repr__(self) -> str:
        return f"GAN({self.name!r}, image_shape={self.image_shape}, label_size={self.label_size})"


def parameter_count(params: Mapping[str, Any]) -> int:
    """The number of learned values in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def named_leaves(tree: PyTree) -> list[tuple[str, PyTree]]:
    """The leaves with their names: the way to each through the tree, with dots between."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
