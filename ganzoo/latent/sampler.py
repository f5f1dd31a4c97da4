"""A trained generator at work: latents of seeds, their styles and their images, in batches of one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.gan import GAN
from ganzoo.typing import Images, Labels, Latents, PyTree, State, Styles

Draws = Literal["jax", "numpy"]
"""Where the latents of seeds come from: this library, or the tools of the originals."""
NoiseMode = Literal["const", "random", "none"]


@dataclass(frozen=True)
class Sampler:
    """A GAN and the state to use. Whatever the number of images, one program makes them, ``batch`` at a time."""

    gan: GAN
    state: State
    averaged: bool = True
    """By the averaged weights rather than the newest."""
    batch: int = 8
    """Images at once; the images do not depend on it, but for rounding."""

    @property
    def weights(self) -> PyTree:
        """``{"params": ..., "variables": ...}`` of the generator."""
        return self.state.ema if self.averaged else self.state.generator.weights

    @property
    def has_styles(self) -> bool:
        """Whether there is a w between the latent and the image."""
        return hasattr(self.gan.generator, "styles") and hasattr(self.gan.generator, "synthesise")

    def require_styles(self, what: str) -> None:
        """Raise ``UserError`` where ``what`` is asked of a model without styles."""
        if not self.has_styles:
            raise UserError(f"{what}: {self.gan.name} has no styles, so there is nothing to do it with")

    # inputs

    def latents(self, seeds: Sequence[int], draws: Draws = "jax") -> Latents:
        """Latents [N, z]; the one of a seed depends on the seed alone.

        Args:
          seeds: 0 .. 2^32 - 1.
          draws: "jax" are those that ``GAN.sample`` gives for key 0; "numpy" those of the originals' tools,
            ``numpy.random.RandomState(seed).randn(1, z)`` (NVlabs/stylegan2-ada-pytorch, generate.py:91).
        """
        if draws == "jax":
            indices = np.asarray(seeds, np.uint32).view(np.int32)
            return np.asarray(self.gan.latents(jax.random.key(0), jnp.asarray(indices)))
        size = self.gan.latents(jax.random.key(0), jnp.zeros(1, jnp.int32)).shape[1]
        rows = [np.random.RandomState(seed).randn(1, size)[0] for seed in seeds]
        return np.asarray(rows, np.float32)

    def labels(self, count: int, chosen: int | None = None) -> Labels | None:
        """Labels [count, k]: of one class, or of the classes in turn; None in an unconditional model.

        Raises:
          UserError: a class that the model has not.
        """
        size = self.gan.label_size
        if not size:
            require(chosen is None, "class", chosen, f"be left out: this {self.gan.name} has no classes")
            return None
        if chosen is not None:
            require(0 <= chosen < size, "class", chosen, f"be 0 to {size - 1}")
        return np.eye(size, dtype=np.float32)[np.arange(count) % size if chosen is None else np.full(count, chosen)]

    # images

    def images(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: NoiseMode = "const",
        seeds: Sequence[int] | None = None,
    ) -> Images:
        """Images [N, H, W, C] in [-1, 1] of latents [N, z], truncated, and with that noise.

        ``noise`` "random" is drawn anew for each image, from its seed or else from its position.
        """
        if self.has_styles:
            return self.synthesised(self.styles(latents, labels, psi=psi, cutoff=cutoff), noise=noise, seeds=seeds)
        if psi != 1 or cutoff is not None or noise != "const":
            self.require_styles("truncation and noise")
        generate = partial(self.gan.generate, self.state, ema=self.averaged)
        return self._batched(generate, latents, labels)

    def styles(
        self, latents: Latents, labels: Labels | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Styles:
        """Styles [N, L, w] of latents [N, z], truncated."""
        self.require_styles("styles")
        from_latents = partial(self._map, self._variables, psi=float(psi), cutoff=cutoff)
        return self._batched(from_latents, latents, labels)

    def synthesised(self, ws: Styles, *, noise: NoiseMode = "const", seeds: Sequence[int] | None = None) -> Images:
        """Images [N, H, W, C] in [-1, 1] of styles [N, L, w]."""
        self.require_styles("synthesis")
        if noise != "random":
            return self._batched(partial(self._synthesise, self._variables, noise=noise), ws)
        chosen = np.asarray(range(len(ws)) if seeds is None else seeds, np.uint32)
        return self._batched(partial(self._synthesise_noisily, self._variables), ws, chosen)

    @property
    def style_average(self) -> np.ndarray:
        """The running mean [w] of styles over training."""
        self.require_styles("the average of styles")
        return np.asarray(self.weights["variables"]["statistics"]["mapping"]["w_average"])

    @cached_property
    def _variables(self) -> PyTree:
        return {"params": self.weights["params"], **self.weights["variables"]}

    @cached_property
    def _map(self) -> Callable[..., jax.Array]:
        return jax.jit(partial(self.gan.generator.apply, method="styles"), static_argnames=("psi", "cutoff"))

    @cached_property
    def _synthesise(self) -> Callable[..., jax.Array]:
        def synthesise(variables: PyTree, ws: Styles, *, noise: str) -> Any:
            return jnp.clip(self.gan.generator.apply(variables, ws, noise=noise, method="synthesise"), -1, 1)  # ty: ignore[invalid-argument-type]

        return jax.jit(synthesise, static_argnames="noise")

    @cached_property
    def _synthesise_noisily(self) -> Callable[..., jax.Array]:
        def synthesise(variables: PyTree, ws: Styles, seeds: jax.Array) -> Any:
            keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(1)))(seeds)
            return jnp.clip(self.gan.generator.apply(variables, ws, noise=keys, method="synthesise"), -1, 1)  # ty: ignore[invalid-argument-type]

        return jax.jit(synthesise)

    def _batched(self, function: Callable[..., Any], *inputs: Any) -> np.ndarray:
        """``function`` of inputs that are [N, ...] or None, ``batch`` at a time; the last batch is filled up."""
        count = len(inputs[0])
        size = min(self.batch, count)
        parts = []
        for first in range(0, count, size):
            indices = np.minimum(np.arange(first, first + size), count - 1)
            part = function(*(None if x is None else jnp.asarray(np.asarray(x)[indices]) for x in inputs))
            parts.append(np.asarray(part)[: count - first])
        return np.concatenate(parts)
