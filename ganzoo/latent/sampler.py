"""A trained generator at work: latents of seeds, their styles and their images, in batches of one size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.gan import GAN, NoiseInput, StyleSpace, TransformInput, named_leaves
from ganzoo.typing import Images, Labels, Latents, PyTree, State, Styles

Draws = Literal["jax", "numpy"]
"""Where the latents of seeds come from: this library, or the tools of the original code."""
NoiseMode = Literal["const", "random", "none"]


@dataclass(frozen=True)
class Sampler:
    """A GAN and the state to use. Whatever the number of images, one program makes them, ``batch`` at a time."""

    gan: GAN
    state: State
    ema: bool = True
    """Use the EMA of the generator rather than the weights of the last step."""
    batch: int = 8
    """Images at once; the images do not depend on it, except for rounding."""

    @property
    def has_styles(self) -> bool:
        """Whether there is a w between the latent and the image."""
        return self.gan.styles is not None

    def require_styles(self, what: str) -> StyleSpace:
        """Return the style space; ``UserError`` where ``what`` is asked of a model without styles."""
        if self.gan.styles is None:
            raise UserError(f"{what}: {self.gan.name} has no styles; use a model with styles")
        return self.gan.styles

    def require_points(self, what: str, ws: Styles, noise: PyTree, count: int) -> tuple[jax.Array, PyTree]:
        """Return styles [count, L, w] and noise maps [count, h, w] as arrays of JAX; ``{}`` for those of the network.

        Raises:
          UserError: the model has no styles for ``what``, or these are of other shapes or numbers.
        """
        space = self.require_styles(what)
        wanted = (count, space.count, *space.mean(self.state, ema=self.ema).shape)
        require(np.shape(ws) == wanted, "ws", np.shape(ws), f"be of the shape {wanted}")
        maps = named_leaves(space.noise_maps(self.state, ema=self.ema))
        known = {name: (count, *leaf.shape) for name, leaf in maps}
        given = {name: np.shape(leaf) for name, leaf in named_leaves(noise or {})}
        require(given in ({}, known), "noise", given, f"be maps of the shapes {known}, or absent")
        return jnp.asarray(ws, jnp.float32), jax.tree.map(jnp.asarray, noise or {})

    # inputs

    def latents(self, seeds: Sequence[int], draws: Draws = "jax") -> Latents:
        """Return latents [N, z]; the one of a seed depends on the seed alone.

        Args:
          seeds: 0 .. 2^32 - 1.
          draws: "jax" are those that ``GAN.sample`` gives for key 0; "numpy" those of the original tools,
            ``numpy.random.RandomState(seed).randn(1, z)`` (NVlabs/stylegan2-ada-pytorch, generate.py:91).
        """
        if draws == "jax":
            indices = np.asarray(seeds, np.uint32).view(np.int32)
            return np.asarray(self.gan.latents(jax.random.key(0), jnp.asarray(indices)))
        size = self.gan.latents(jax.random.key(0), jnp.zeros(1, jnp.int32)).shape[1]
        rows = [np.random.RandomState(seed).randn(1, size)[0] for seed in seeds]
        return np.asarray(rows, np.float32)

    def labels(self, count: int, chosen: int | None = None) -> Labels | None:
        """Return labels [count, k]: of one class, or of ``gan.shown_classes`` in turn; None in an unconditional model.

        Raises:
          UserError: the model has no such class.
        """
        return self._labels_at(np.arange(count), chosen)

    def _labels_at(self, places: np.ndarray, chosen: int | None) -> Labels | None:
        """Return the labels [N, k] of images at some places of a series."""
        size = self.gan.label_size
        if not size:
            require(chosen is None, "class", chosen, f"be left out: this {self.gan.name} has no classes")
            return None
        if chosen is not None:
            require(0 <= chosen < size, "class", chosen, f"be 0 to {size - 1}")
        shown = self.gan.shown_classes if chosen is None else np.full(1, chosen)
        classes = shown[places % len(shown)]
        return (classes[:, None] == np.arange(size)).astype(np.float32)

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
        transform: TransformInput = None,
    ) -> Images:
        """Return the images [N, H, W, C] in [-1, 1] of latents [N, z]: those of ``gan.generate``.

        Args:
          latents: [N, z].
          labels: [N, k]; None in an unconditional model.
          psi: truncation, usually in [-1, 1]; 1 does not truncate.
          cutoff: truncate only the first ``cutoff`` style inputs.
          noise: "const", "none", or "random", which is drawn anew for each image.
          seeds: of random noise, one for each image; its position in the batch when absent.
          transform: a move of each image as a whole, [3, 3] or [N, 3, 3], such as ``latent.transform(rotate=30)``.
        """
        if not self.has_styles:
            if psi != 1 or cutoff is not None or noise != "const" or transform is not None:
                self.require_styles("truncation, noise and transforms")
            return self._batched(self._generate, latents, labels)
        generate = partial(self.gan.generate, self.state, ema=self.ema, psi=psi, cutoff=cutoff)
        moves, chosen = _for_each(transform, len(latents)), _seeds(seeds, len(latents))
        return self._batched(
            lambda z, c, move, chosen: generate(z, c, transform=move, noise=_noise_of(noise, chosen)),
            latents, labels, moves, chosen,
        )  # fmt: skip

    def stream(
        self,
        seeds: Sequence[int],
        *,
        label: int | None = None,
        draws: Draws = "jax",
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: NoiseMode = "const",
        transform: TransformInput = None,
    ) -> Iterator[Images]:
        """Yield the images of seeds as ``images`` gives them, ``batch`` at a time; memory does not grow with the seeds.

        Example::

            for images in sampler.stream(range(1_000), psi=0.7): ...

        Args:
          seeds: N of them, as for ``latents``.
          label: class of all images; None: ``gan.shown_classes`` in turn.
          draws: as for ``latents``.
          psi: as for ``images``, as are the next two.
          cutoff: see ``psi``.
          noise: see ``psi``.
          transform: one [3, 3] for all images, see ``psi``.

        Yields:
          [n, H, W, C] in [-1, 1], n at most ``batch``.

        Raises:
          UserError: at the first batch, as ``labels`` and ``images``.
        """
        for places, count in self.batches(len(seeds)):
            part = [seeds[place] for place in places]
            latents, labels = self.latents(part, draws), self._labels_at(places, label)
            options = {"psi": psi, "cutoff": cutoff, "noise": noise, "transform": transform}
            yield self.images(latents, labels, seeds=part, **options)[:count]

    def batches(self, count: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yield the places [batch] of each batch in a series of ``count`` images, and how many of them count.

        The last batch is filled up with the last image, so that one compiled program makes all of them.
        """
        size = min(self.batch, count)
        for first in range(0, count, size or 1):
            yield np.minimum(np.arange(first, first + size), count - 1), min(size, count - first)

    def styles(
        self, latents: Latents, labels: Labels | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Styles:
        """Return the styles [N, L, w] of latents [N, z], truncated."""
        space = self.require_styles("styles")
        return self._batched(partial(space.map, self.state, ema=self.ema, psi=psi, cutoff=cutoff), latents, labels)

    def synthesise(
        self,
        ws: Styles,
        *,
        noise: NoiseMode | PyTree = "const",
        seeds: Sequence[int] | None = None,
        transform: TransformInput = None,
    ) -> Images:
        """Return the images [N, H, W, C] in [-1, 1] of styles [N, L, w].

        Args:
          ws: [N, L, w].
          noise: as in ``images``; or noise maps [N, h, w], a tree like ``StyleSpace.noise_maps``.
          seeds: as in ``images``.
          transform: as in ``images``.
        """
        synthesise = partial(self.require_styles("synthesis").synthesise, self.state, ema=self.ema)
        moves = _for_each(transform, len(ws))
        if not isinstance(noise, str):
            made = self._batched(lambda w, maps, move: synthesise(w, noise=maps, transform=move), ws, noise, moves)
            return np.clip(made, -1, 1)
        made = self._batched(
            lambda w, move, chosen: synthesise(w, transform=move, noise=_noise_of(noise, chosen)),
            ws, moves, _seeds(seeds, len(ws)),
        )  # fmt: skip
        return np.clip(made, -1, 1)

    @cached_property
    def _generate(self) -> Callable[..., jax.Array]:
        """``gan.generate`` of this state, compiled; that of a model with styles is made of compiled functions."""
        return partial(jax.jit(self.gan.generate, static_argnames="ema"), self.state, ema=self.ema)

    def _batched(self, function: Callable[..., Any], *inputs: Any) -> np.ndarray:
        """Return ``function`` of inputs, trees of [N, ...], ``batch`` at a time; the last batch is filled up."""
        parts = []
        for places, count in self.batches(len(inputs[0])):
            part = function(*jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[places]), inputs))  # noqa: B023 - at once
            parts.append(np.asarray(part)[:count])
        return np.concatenate(parts)


def _seeds(seeds: Sequence[int] | None, count: int) -> np.ndarray:
    return np.asarray(range(count) if seeds is None else seeds, np.uint32)


def _for_each(transform: TransformInput, count: int) -> np.ndarray | None:
    """Return transforms [count, 3, 3] of one or as many; None where there is none."""
    return None if transform is None else np.broadcast_to(np.asarray(transform, np.float32), (count, 3, 3))


def _noise_of(noise: NoiseMode, seeds: jax.Array) -> NoiseInput:
    """Return what ``StyleSpace`` takes for a mode of noise."""
    return _noise_keys(seeds) if noise == "random" else noise


@jax.jit
def _noise_keys(seeds: jax.Array) -> jax.Array:
    """Return keys [N], each from its seed alone."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(1)))(seeds)
