"""The discriminator of StyleGAN2, which StyleGAN3 uses too: residual blocks, or its skip and plain variants.

Karras et al. 2019, arXiv:1912.04958, figure 7; numbers of NVlabs/stylegan2-ada-pytorch, training/networks.py.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.nn.equalized import EqualizedConv, EqualizedDense, resampling
from ganzoo.nn.mapping import MappingNetwork
from ganzoo.nn.pyramid import Level
from ganzoo.nn.remat import apply_block
from ganzoo.ops import fir
from ganzoo.ops.pixels import at_least_float32
from ganzoo.ops.statistics import minibatch_stddev
from ganzoo.typing import Images, Labels, Logits, Params, PyTree

SQRT_HALF = 0.5**0.5


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions, the second of which halves the size; H x W -> H/2 x W/2."""

    features: int
    """Of the block's own size."""
    features_out: int
    architecture: str
    is_first: bool
    activation: str
    taps: tuple[float, ...]
    clamp: float | None
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Array | None, images: Array
    ) -> tuple[Float[Array, "n h2 w2 c2"], Float[Array, "n h3 w3 rgb"]]:
        """Return features of half the size, and the images for the next block; ``x`` is None in the first block."""
        conv = partial(EqualizedConv, activation=self.activation, taps=self.taps, clamp=self.clamp)
        x = None if x is None else x.astype(self.dtype)
        if self.is_first or self.architecture == "skip":
            y = conv(self.features, 1, name="from_rgb")(images.astype(self.dtype))
            x = y if x is None else x + y
        if self.architecture == "skip":
            images = fir.downsample(images, resampling(self.taps))
        if self.architecture != "resnet":
            x = conv(self.features, 3, name="conv0")(x)
            return conv(self.features_out, 3, down=2, name="conv1")(x), images
        shortcut = partial(EqualizedConv, use_bias=False, down=2, taps=self.taps, gain=SQRT_HALF)
        y = shortcut(self.features_out, 1, name="skip")(x)
        x = conv(self.features, 3, name="conv0")(x)
        x = conv(self.features_out, 3, down=2, gain=SQRT_HALF, name="conv1")(x)
        return y + x, images


class Epilogue(nn.Module):
    """Minibatch standard deviation, a convolution and two dense layers: the smallest features -> [N, outputs]."""

    features: int
    outputs: int
    architecture: str
    group_size: int | None
    group_channels: int
    activation: str
    clamp: float | None

    @nn.compact
    def __call__(self, x: Array | None, images: Array) -> Float[Array, "n o"]:
        """Return [N, outputs] in float32."""
        features = self.features
        conv = partial(EqualizedConv, activation=self.activation, clamp=self.clamp)
        x, images = None if x is None else at_least_float32(x), at_least_float32(images)
        if x is None or self.architecture == "skip":
            y = EqualizedConv(features, 1, self.activation, name="from_rgb")(images)  # not clamped, as in the original
            x = y if x is None else x + y
        if self.group_channels:
            x = minibatch_stddev(x, group_size=self.group_size, channels=self.group_channels)
        x = conv(features, 3, name="conv")(x)
        x = EqualizedDense(features, self.activation, name="dense")(x.reshape(x.shape[0], -1))
        return EqualizedDense(self.outputs, name="out")(x)


class ResidualDiscriminator(nn.Module):
    """Images (and labels) -> logits, from the full size down to the smallest feature map."""

    levels: tuple[Level, ...]
    """From the smallest to the images' own."""
    architecture: str = "resnet"
    """"resnet", "skip" (the image enters at every size) or "orig" (neither)."""
    activation: str = "lrelu"
    taps: tuple[float, ...] = (1, 3, 3, 1)
    clamp: float | None = None
    low_precision: Any = jnp.float32
    """Type of the activations in the largest ``low_precision_levels`` sizes from 8 x 8 on."""
    low_precision_levels: int = 0
    remat: bool = False
    """Whether activations within a size from 8 x 8 on are computed again for the gradient."""
    group_size: int | None = 4
    """Images of one minibatch standard deviation; None for all of the batch."""
    group_channels: int = 1
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    projection_size: int | None = None
    """Width of the conditional projection; that of the smallest features when absent."""

    @nn.compact
    def __call__(self, images: Images, labels: Labels | None = None) -> Logits:
        """Return logits [N] in float32.

        A label enters by projection: the inner product of its mapping with the last layer, divided by the root of the
        width (Miyato and Koyama 2018, arXiv:1802.05637).
        """
        smallest, *blocks = self.levels
        x, images = None, at_least_float32(images)
        for i, (level, below) in enumerate(zip(reversed(blocks), reversed(self.levels[:-1]), strict=True)):
            block = DiscriminatorBlock(
                level.features,
                below.features,
                self.architecture,
                i == 0,
                self.activation,
                self.taps,
                self.clamp,
                self.low_precision if i < self.low_precision_levels else images.dtype,
                name=f"b{level.resolution}",
            )
            x, images = apply_block(block, x, images, remat=self.remat)
        size = self.projection_size or smallest.features
        outputs = 1 if labels is None else size
        y = Epilogue(
            smallest.features,
            outputs,
            self.architecture,
            self.group_size,
            self.group_channels,
            self.activation,
            self.clamp,
            name=f"b{smallest.resolution}",
        )(x, images)
        if labels is None:
            return y[:, 0]
        mapping = MappingNetwork(
            size, self.mapping_layers, lr_multiplier=self.mapping_lr_multiplier, average_decay=None, name="mapping"
        )
        return jnp.sum(y * mapping(None, labels), axis=1) / size**0.5


def frozen(params: Params, count: int) -> Params:
    """Return the discriminator's parameters, of which the first ``count`` layers get no gradient.

    Layers are counted from the image on: in each block from_rgb, conv0, conv1, skip, in the last one conv, dense, out.
    Mo et al. 2020, arXiv:2002.10964.
    """
    blocks = sorted((name for name in params if name[1:].isdigit()), key=lambda name: -int(name[1:]))
    order = ("from_rgb", "conv0", "conv1", "skip", "conv", "dense", "out")
    layers = [(block, layer) for block in blocks for layer in order if layer in params[block]]
    result = {name: dict(block) if name in blocks else block for name, block in params.items()}
    for block, layer in layers[:count]:
        result[block][layer] = jax.lax.stop_gradient(params[block][layer])
    return result


def last_bias(params: Params) -> PyTree:
    """Return a tree like the discriminator's parameters: "bias" for the bias of the last layer, "rest" for all others.

    Gradients of logits with respect to images do not depend on that bias.
    """
    return jax.tree.map_with_path(
        lambda path, leaf: "bias" if jax.tree_util.keystr(path).endswith("['out']['bias']") else "rest", params
    )
