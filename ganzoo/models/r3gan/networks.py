"""The networks of R3GAN: a bottleneck ResNet without normalisation, grouped convolutions, one basis at either end.

Huang, Gokaslan, Kuleshov, Tompkin 2024, arXiv:2501.05441, section 3 and appendix D; numbers of brownvc/R3GAN,
R3GAN/Networks.py.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.models.r3gan.config import R3GANConfig
from ganzoo.nn.equalized import normal_init
from ganzoo.nn.pyramid import Level
from ganzoo.ops import fir
from ganzoo.ops.activations import bias_act
from ganzoo.ops.conv import conv
from ganzoo.ops.grouped import grouped_conv
from ganzoo.typing import Images, Key, Labels, Latents, Logits

LRELU_GAIN = (2 / (1 + 0.2**2)) ** 0.5
"""Gain of weights before a leaky ReLU of slope 0.2, which keeps the second moment. He et al. 2015, arXiv:1502.01852."""


def scaled_init(gain: float = 1.0) -> Callable[..., Array]:
    """Return the initialiser N(0, (gain / sqrt(fan-in))^2); the fan-in of [..., O] is the product of all but O."""

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        fan_in = 1
        for size in shape[:-1]:
            fan_in *= size
        return normal_init(key, shape, dtype) * (gain / fan_in**0.5)

    return init


class Pointwise(nn.Module):
    """A 1x1 convolution without a bias, in the type of its input."""

    features: int
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h w o"]:
        shape = (1, 1, x.shape[-1], self.features)
        kernel = jnp.asarray(self.param("kernel", scaled_init(self.gain), shape))
        return conv(x, kernel.astype(x.dtype))


class GroupedConv(nn.Module):
    """A convolution of the same size without a bias, in groups of channels; the kernel is [k, k, C / groups, C]."""

    groups: int
    kernel_size: int
    gain: float

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        k, channels = self.kernel_size, x.shape[-1]
        shape = (k, k, channels // self.groups, channels)
        kernel = jnp.asarray(self.param("kernel", scaled_init(self.gain), shape))
        return grouped_conv(x, kernel.astype(x.dtype), padding=(k // 2, k // 2))


class ResidualBlock(nn.Module):
    """x + W3 f(W2 f(W1 x + b1) + b2): 1x1, grouped, 1x1 that starts at 0; f is a leaky ReLU of slope 0.2.

    The only biases are those of the activations. W1 and W2 start with the gain L^(-1/4) times that of f, where L is the
    number of blocks of the whole network (Zhang et al. 2019, arXiv:1901.09321, with three layers in a block).
    """

    groups: int
    expansion: int
    kernel_size: int
    gain: float

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        features = x.shape[-1]
        y = Pointwise(features * self.expansion, self.gain, name="expand")(x)
        y = self._activate(y, "bias0")
        y = GroupedConv(self.groups, self.kernel_size, self.gain, name="spatial")(y)
        y = self._activate(y, "bias1")
        return x + Pointwise(features, 0.0, name="project")(y)

    def _activate(self, x: Array, name: str) -> Array:
        bias = jnp.asarray(self.param(name, nn.initializers.zeros, (x.shape[-1],)))
        return bias_act(x, bias, "lrelu", gain=1.0)


def _blocks(config: R3GANConfig, at: int, x: Array) -> Array:
    """Apply the residual blocks of level number ``at``, as submodules of the calling module."""
    gain = LRELU_GAIN * sum(config.each("blocks")) ** -0.25
    groups, level = config.each("groups")[at], config.levels[at]
    for i in range(config.each("blocks")[at]):
        name = f"b{level.resolution}_block{i}"
        x = ResidualBlock(groups, config.expansion, config.kernel_size, gain, name=name)(x)
    return x


def _dtype(config: R3GANConfig, at: int) -> Any:
    """Return the type of the activations of level number ``at``; None keeps the type of the input."""
    return jnp.bfloat16 if at >= len(config.levels) - config.low_precision_levels else None


class Generator(nn.Module):
    """z (and a label) -> image: a learned basis, weighted by z, then residual blocks at every size."""

    config: R3GANConfig

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Return images [N, H, W, C], nominally in [-1, 1] but not clipped, of latents [N, z] and labels [N, k].

        The size doubles after the 1x1 convolution that changes the channels, so on the narrower features.
        """
        cfg, z = self.config, jnp.asarray(latents)
        if labels is not None:
            embedding = jnp.asarray(self.param("embedding", scaled_init(), (labels.shape[-1], cfg.label_features)))
            z = jnp.concatenate([z, labels.astype(z.dtype) @ embedding.astype(z.dtype)], axis=-1)
        first, f = cfg.levels[0], fir.setup_filter(cfg.resample_filter)
        basis = jnp.asarray(self.param("basis", normal_init, (first.height, first.width, first.features)))
        dense = jnp.asarray(self.param("dense", scaled_init(), (z.shape[-1], first.features)))
        x = basis.astype(z.dtype)[None] * (z @ dense.astype(z.dtype))[:, None, None]
        for at, level in enumerate(cfg.levels):
            x = x.astype(_dtype(cfg, at) or x.dtype)
            if at > 0:
                x = fir.upsample(_resized(level, x), f)
            x = _blocks(cfg, at, x)
        return Pointwise(cfg.channels, name="to_image")(x.astype(z.dtype))


class Discriminator(nn.Module):
    """Image (and a label) -> logit: residual blocks at every size, then a depthwise basis and a linear layer.

    The size halves before the 1x1 convolution that changes the channels. A label enters by projection: the logit is the
    inner product of its embedding with the last features (Miyato and Koyama 2018, arXiv:1802.05637).
    """

    config: R3GANConfig

    @nn.compact
    def __call__(self, images: Images, labels: Labels | None = None) -> Logits:
        """Return logits [N] of images [N, H, W, C] and labels [N, k]. No logit depends on another example."""
        cfg, images = self.config, jnp.asarray(images)
        levels, f = cfg.levels, fir.setup_filter(cfg.resample_filter)
        x = images.astype(_dtype(cfg, len(levels) - 1) or images.dtype)
        x = Pointwise(levels[-1].features, name="from_image")(x)
        for at in reversed(range(len(levels))):
            x = x.astype(_dtype(cfg, at) or images.dtype)
            x = _blocks(cfg, at, x)
            if at > 0:
                x = _resized(levels[at - 1], fir.downsample(x, f), name=f"b{levels[at].resolution}_resize")
        x, smallest = x.astype(images.dtype), levels[0]
        basis = jnp.asarray(self.param("basis", _depthwise_init, (smallest.height, smallest.width, smallest.features)))
        x = jnp.einsum("nhwc,hwc->nc", x, basis.astype(x.dtype))
        size = 1 if labels is None else cfg.projection_features or smallest.features
        dense = jnp.asarray(self.param("dense", scaled_init(), (smallest.features, size)))
        x = x @ dense.astype(x.dtype)
        if labels is None:
            return x[:, 0]
        embedding = jnp.asarray(self.param("embedding", scaled_init(size**-0.5), (labels.shape[-1], size)))
        return jnp.sum(x * (labels.astype(x.dtype) @ embedding.astype(x.dtype)), axis=1)


def _resized(level: Level, x: Array, name: str | None = None) -> Array:
    """Change the channels to those of a level, where they are others."""
    if x.shape[-1] == level.features:
        return x
    return Pointwise(level.features, name=name or f"b{level.resolution}_resize")(x)


def _depthwise_init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draw N(0, 1 / (height width)): every output of a depthwise convolution sums that many values."""
    return normal_init(key, shape, dtype) / (shape[0] * shape[1]) ** 0.5
