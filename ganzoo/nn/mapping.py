"""The mapping network z, c -> w, and the running mean of w."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.nn.equalized import EqualizedDense
from ganzoo.ops import collective
from ganzoo.ops.pixels import at_least_float32
from ganzoo.ops.statistics import pixel_norm
from ganzoo.typing import Labels, Latents


class MappingNetwork(nn.Module):
    """Fully connected layers from the normalised latent (and an embedding of the label) to the style w.

    The collection ``statistics`` holds ``w_average``, the running mean of w over training, towards which samples are
    truncated. Karras et al. 2018, arXiv:1812.04948, section 2; labels as in NVlabs/stylegan2-ada-pytorch,
    networks.py:177.
    """

    style_size: int
    layers: int = 8
    hidden_size: int | None = None
    """Width of the hidden layers; ``style_size`` when absent."""
    embedding_size: int | None = None
    """Width of the label's embedding; ``style_size`` when absent."""
    activation: str = "lrelu"
    lr_multiplier: float = 0.01
    average_decay: float | None = 0.995
    """Share of the old average that one batch leaves; None keeps no average."""
    copies: int | None = None
    """L, to give every one of L style inputs its copy of w; None gives one w without that axis."""

    @nn.compact
    def __call__(
        self, latents: Latents | None, labels: Labels | None = None, *, update_average: bool = False
    ) -> Float[Array, "n *l w_dim"]:
        """Return styles [N, L, w] (or [N, w]) of latents [N, z], of labels [N, k], or of both.

        Args:
          latents: None in the label mapping of a discriminator.
          labels: None in an unconditional model.
          update_average: move the running average towards the mean w of the batch on all devices; the collection
            ``statistics`` must be mutable.
        """
        parts = [] if latents is None else [pixel_norm(at_least_float32(latents))]
        if labels is not None:
            embed = EqualizedDense(self.embedding_size or self.style_size, name="embed")
            parts.append(pixel_norm(embed(at_least_float32(labels))))
        x = jnp.concatenate(parts, axis=-1)
        for i in range(self.layers):
            features = self.style_size if i == self.layers - 1 else self.hidden_size or self.style_size
            x = EqualizedDense(features, self.activation, lr_multiplier=self.lr_multiplier, name=f"dense{i}")(x)
        if self.average_decay is not None:
            track_average(self, x, self.average_decay, update=update_average)
        return x if self.copies is None else jnp.repeat(x[:, None], self.copies, axis=1)


def track_average(module: nn.Module, w: Float[Array, "n w_dim"], decay: float, *, update: bool) -> None:
    """Keep the running mean of w in ``statistics/w_average``; ``update`` moves it towards the mean of ``w`` [N, w]."""
    average = module.variable("statistics", "w_average", jnp.zeros, (w.shape[1],))
    if update and not module.is_initializing():
        mean = jax.lax.stop_gradient(collective.mean(jnp.mean(w, axis=0)))
        average.value = mean + decay * (average.value - mean)
