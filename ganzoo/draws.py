"""Random draws of a phase, made before its loss: named arrays in the batch, so that micro-batches divide them.

The draw of example i folds in the global position i, so neither the batch size of a device nor the number of devices
changes what is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import jax
from jaxtyping import Array, Int

from ganzoo.config import require
from ganzoo.nn.styles import mixing_cutoff
from ganzoo.ops import collective, random
from ganzoo.typing import Batch, Images, Key, Latents, PerExample, PyTree

Draws: TypeAlias = dict[str, PyTree]
"""Draws by name; every leaf is [N, ...]."""
LabelSource: TypeAlias = Literal["batch", "resampled"]
"""Labels of fakes: those of the batch, example by example, or random rows of the batch on all devices."""

NAMES = ("latents", "mixed_latents", "cutoff", "noise", "label", "probe", "augment")
"""Each name has a key of its own: the phase's key with the position here folded in."""


def named_key(key: Key, name: str) -> Key:
    """Return the key of one of ``NAMES``."""
    return jax.random.fold_in(key, NAMES.index(name))


def normal_latents(key: Key, indices: Int[Array, " n"], *, size: int) -> Latents:
    """Draw latents [N, z] ~ N(0, 1); the latent of index i depends on the key and i alone."""
    return random.for_indices(lambda key: random.normal(key, (size,)), key, indices)


def uniform_latents(key: Key, indices: Int[Array, " n"], *, size: int) -> Latents:
    """Draw latents [N, z] ~ U(-1, 1); the latent of index i depends on the key and i alone."""
    return random.for_indices(lambda key: random.uniform(key, (size,), -1, 1), key, indices)


@dataclass(frozen=True)
class StyleDraws:
    """What fakes of a style-based generator draw besides their latents."""

    mixing: float
    """Probability with which a (micro-)batch mixes the styles of two latents; 0 draws no second latents."""
    layers: int
    """Number of style inputs among which the cutoff is drawn."""
    fresh_noise: bool
    """Whether every fake has noise of its own."""


@dataclass(frozen=True)
class FakeDraws:
    """How the fakes of a phase are drawn."""

    latents: Callable[[Key, Int[Array, " n"]], Latents]
    """``latents(key, indices) -> [N, z]``."""
    styles: StyleDraws | None = None
    micro_batch: int = 0
    """Images of a micro-batch, over all devices; 0 for the whole batch."""

    def __call__(self, batch: Batch, key: Key, *, labels: LabelSource = "batch", shrink: int = 1) -> Draws:
        """Draw as many fakes as the batch has images, or ``shrink`` times fewer.

        Returns:
          ``latents`` [N, z]; ``label`` [N, k] where the batch has labels; of a style-based generator also
          ``mixed_latents`` [N, z] with ``cutoff`` [N], the first style input that takes its style from them, and
          ``noise``, keys [N].

        Raises:
          UserError: the micro-batches, or ``shrink``, do not divide the batch.
        """
        rounds = round_count(batch, self.micro_batch)
        local = batch["image"].shape[0]
        part = local // rounds
        require(part % shrink == 0, "shrink", shrink, f"divide the (micro-)batch of {part} images of a device")
        indices = collective.global_indices(local // shrink)
        draws = {"latents": self.latents(named_key(key, "latents"), indices)}
        if self.styles:
            draws |= self._style_draws(self.styles, key, indices, rounds)
        if "label" in batch:
            resampled = labels == "resampled" or shrink > 1
            label_key = named_key(key, "label")
            draws["label"] = random.rows_of_batch(label_key, indices, batch["label"]) if resampled else batch["label"]
        return draws

    def _style_draws(self, styles: StyleDraws, key: Key, indices: Int[Array, " n"], rounds: int) -> Draws:
        draws: Draws = {}
        if styles.mixing:
            draw_cutoff = partial(mixing_cutoff, probability=styles.mixing, layers=styles.layers)
            draws["mixed_latents"] = self.latents(named_key(key, "mixed_latents"), indices)
            draws["cutoff"] = random.for_indices(draw_cutoff, named_key(key, "cutoff"), indices % rounds)
        if styles.fresh_noise:
            draws["noise"] = random.for_indices(lambda key: key, named_key(key, "noise"), indices)
        return draws


def probe_images(batch: Batch, key: Key, *, shape: tuple[int, int, int], shrink: int = 1) -> Images:
    """Draw images [N / shrink, H, W, C] of N(0, 1), onto which path lengths project gradients."""
    indices = collective.global_indices(batch["image"].shape[0] // shrink)
    return random.for_indices(lambda key: random.normal(key, shape), named_key(key, "probe"), indices)


def interpolation_shares(batch: Batch, key: Key) -> PerExample:
    """Draw numbers [N] ~ U(0, 1): where WGAN-GP looks between each real and fake image."""
    return random.for_batch(random.uniform, named_key(key, "probe"), batch["image"].shape[0])


def round_count(batch: Batch, micro_batch: int) -> int:
    """Return the number of micro-batches of a batch; ``UserError`` where they do not divide it."""
    whole = collective.global_size(batch["image"].shape[0])
    require(
        not micro_batch or whole % micro_batch == 0, "micro_batch", micro_batch, f"divide the batch of {whole} images"
    )
    return whole // (micro_batch or whole)
