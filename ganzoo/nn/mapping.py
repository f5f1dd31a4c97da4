"""The mapping network z, c -> w, its running average of w, and the truncation towards that average."""

import math
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ganzoo.config import require
from ganzoo.nn.equalized import EqualizedDense
from ganzoo.ops import collective
from ganzoo.ops.statistics import pixel_norm
from ganzoo.typing import AnyArray, Key, Labels, Latents, Styles


class MappingNetwork(nn.Module):
    """Fully connected layers from the normalised latent (and an embedding of the label) to the style w.

    The collection ``statistics`` holds ``w_average``, the running mean of w over training, to which samples are
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
        """Styles [N, L, w] (or [N, w]) of latents [N, z], of labels [N, k], or of both.

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
    """The running mean of w as ``statistics/w_average`` of a mapping network; ``update`` moves it to that of ``w``."""
    average = module.variable("statistics", "w_average", jnp.zeros, (w.shape[1],))
    if update and not module.is_initializing():
        mean = jax.lax.stop_gradient(collective.mean(jnp.mean(w, axis=0)))
        average.value = mean + decay * (average.value - mean)


def at_least_float32(x: AnyArray) -> Array:
    """In float32, or in float64 where it is that already."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def mixing_cutoff(key: Key, probability: float, layers: int) -> Int[Array, ""]:
    """The first style input that takes its style from a second latent: with ``probability`` one of 1 .. layers - 1.

    Otherwise ``layers``, which mixes nothing. Karras et al. 2018, arXiv:1812.04948, section 3.1.
    """
    gate, place = jax.random.split(key)
    cutoff = jax.random.randint(place, (), 1, layers)
    return jnp.where(jax.random.uniform(gate) < probability, cutoff, layers)


def mixed(ws: Styles, others: Styles, cutoff: Int[Array, " n"]) -> Styles:
    """The styles [N, L, w] of the first latents up to each image's cutoff, and of the others from there on."""
    is_first = jnp.arange(ws.shape[1])[None] < cutoff[:, None]
    return jnp.where(is_first[:, :, None], ws, others)


def truncate(
    ws: Styles, average: Float[AnyArray, " w_dim"], psi: Any = 1.0, *, cutoff: int | None = None
) -> Float[Array, "n l w_dim"]:
    """The truncation trick: ``average + psi (w - average)``, which trades variety for quality.

    Args:
      ws: styles [N, L, w].
      average: [w].
      psi: 1 changes nothing, 0 gives the average image, negative numbers its opposite; in [-1, 1].
      cutoff: truncate the first ``cutoff`` layers only, 0 to L; all of them when absent.

    Raises:
      UserError: ``psi`` or ``cutoff`` is out of range.

    Karras et al. 2018, arXiv:1812.04948, appendix B.
    """
    check_truncation(psi, cutoff, ws.shape[1])
    ws, average = jnp.asarray(ws), jnp.asarray(average)
    truncated = average.reshape(1, 1, -1) + psi * (ws - average.reshape(1, 1, -1))
    if cutoff is None:
        return truncated
    return jnp.concatenate([truncated[:, :cutoff], ws[:, cutoff:]], axis=1)


def check_truncation(psi: Any, cutoff: int | None, layers: int) -> None:
    """Raise ``UserError`` for a ``psi`` outside [-1, 1] (where it is a number yet) or a ``cutoff`` that is no layer."""
    if not isinstance(psi, jax.core.Tracer):
        number = float(psi)
        require(math.isfinite(number) and -1 <= number <= 1, "psi", number, "be in [-1, 1]; 1 does not truncate")
    if cutoff is not None:
        require(0 <= cutoff <= layers, "cutoff", cutoff, f"be 0 to {layers}, the number of style inputs")
