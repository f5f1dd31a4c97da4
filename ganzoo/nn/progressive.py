"""Networks that grow: the discriminator of ProGAN and StyleGAN, and how two levels of detail are blended.

The gain of the activations sits in the scale of the weights, so the activations have none.
Karras et al. 2017, arXiv:1710.10196, section 2 and table 2; numbers of NVlabs/stylegan, training/networks_stylegan.py.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.nn.equalized import EqualizedConv, EqualizedDense
from ganzoo.nn.mapping import at_least_float32
from ganzoo.nn.pyramid import Level
from ganzoo.ops import fir
from ganzoo.ops.resample import averaged
from ganzoo.ops.statistics import minibatch_stddev
from ganzoo.typing import Images, Labels, Logits

GAIN = 2**0.5
"""Of the weights before an activation."""
SLOPE = 0.2
BOX = (1, 1)
"""The filter of doubling pixels and of averaging two of them."""


def activated(x: Array, activation: str = "lrelu") -> Array:
    """ReLU or leaky ReLU, without a gain."""
    return jax.nn.relu(x) if activation == "relu" else jax.nn.leaky_relu(x, SLOPE)


def blend(fine: Array, coarse: Array, coarseness: Any) -> Array:
    """``fine`` at 0, ``coarse`` at 1, a mixture between; the number is clipped."""
    return fine + (coarse - fine) * jnp.clip(jnp.asarray(coarseness, fine.dtype), 0, 1)


def blurred(x: Array, taps: tuple[float, ...]) -> Array:
    """Low-pass filtered at the same size, or as it is where there are no taps."""
    return fir.blur(x, fir.setup_filter(taps)) if taps else x


class ShrinkingBlock(nn.Module):
    """Two 3x3 convolutions, the second of which blurs and halves the size; H x W -> H/2 x W/2."""

    features: int
    """Of the block's own size."""
    features_out: int
    taps: tuple[float, ...]
    activation: str
    halves_last: bool
    """Whether the size is halved after the activation."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Features of half the size."""
        conv = partial(EqualizedConv, kernel_size=3, taps=BOX, kernel_gain=GAIN)
        x = activated(conv(self.features, name="conv0")(x), self.activation)
        x = blurred(x, self.taps)
        x = activated(conv(self.features_out, down=1 if self.halves_last else 2, name="conv1")(x), self.activation)
        return averaged(x, 2) if self.halves_last else x


class GrowingDiscriminator(nn.Module):
    """Images (and labels) -> logits, at a level of detail."""

    levels: tuple[Level, ...]
    """From the smallest feature map to the images' full size."""
    taps: tuple[float, ...] = (1, 2, 1)
    """Of the blur before each halving; () for none."""
    growing: bool = True
    """Whether images enter at every size; otherwise at the full one only."""
    group_size: int | None = 4
    """Images of one minibatch standard deviation; None for all of the batch."""
    group_channels: int = 1
    activation: str = "lrelu"
    halves_last: bool = False
    """Whether a size is halved after its activation, as in ProGAN where scaling is not fused; otherwise before."""

    @nn.compact
    def __call__(
        self, images: Images, labels: Labels | None = None, lod: Any = 0.0, *, halvings: int | None = None
    ) -> Logits:
        """Logits [N]; with labels, the inner product of k outputs and the label.

        Args:
          images: of the full size, or with ``halvings`` of a size halved so many times.
          labels: [N, k].
          lod: level of detail, 0 for the full size; may be traced. With ``halvings`` it is from that to one more.
          halvings: leaves out the layers of the finer sizes.
        """
        finest = len(self.levels) - 1 - (halvings or 0)
        images = at_least_float32(images)
        x = self._from_rgb(finest, images)
        for i in range(finest, 0, -1):
            level, below = self.levels[i], self.levels[i - 1]
            how = self.taps, self.activation, self.halves_last
            x = ShrinkingBlock(level.features, below.features, *how, name=f"b{level.resolution}")(x)
            if self.growing and (halvings is None or i == finest):
                images = averaged(images, 2)
                x = blend(x, self._from_rgb(i - 1, images), lod - (len(self.levels) - 1 - i))
        y = self._outputs(x, 1 if labels is None else labels.shape[1])
        return y[:, 0] if labels is None else jnp.sum(y * labels, axis=1)

    def _from_rgb(self, i: int, images: Array) -> Array:
        level = self.levels[i]
        conv = EqualizedConv(level.features, 1, kernel_gain=GAIN, name=f"from_rgb{level.resolution}")
        return activated(conv(images), self.activation)

    def _outputs(self, x: Array, outputs: int) -> Float[Array, "n o"]:
        """The last layers, at the smallest size."""
        features = self.levels[0].features
        if self.group_channels:
            x = minibatch_stddev(x, group_size=self.group_size, channels=self.group_channels)
        x = activated(EqualizedConv(features, 3, kernel_gain=GAIN, name="conv")(x), self.activation)
        x = EqualizedDense(features, kernel_gain=GAIN, name="dense")(x.reshape(x.shape[0], -1))
        x = activated(x, self.activation)
        return EqualizedDense(outputs, name="out")(x)
