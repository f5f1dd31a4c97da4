"""The networks of DCGAN: stride-2 convolutions and batch normalisation.

Radford, Metz, Chintala 2015, arXiv:1511.06434, section 3 and figure 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.models.dcgan.config import BASE_SIZE, DCGANConfig, DCGANNetworks
from ganzoo.nn.remat import apply_block
from ganzoo.ops import collective, random
from ganzoo.ops.conv import conv, conv_transpose
from ganzoo.typing import Images, Key, Labels, Latents, Logits


def _near(mean: float) -> Callable[..., Array]:
    """Return the initialiser N(mean, 0.02): mean 0 for weights, 1 for batch-norm scales. Paper, section 4."""

    def draw(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return (mean + 0.02 * random.normal(key, shape)).astype(dtype)

    return draw


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, with the statistics of the whole batch on all devices.

    The running variance, which serves sampling only, can be the ``unbiased`` one, as in Torch. Ioffe and Szegedy
    2015, arXiv:1502.03167, algorithm 1.
    """

    epsilon: float
    momentum: float
    unbiased: bool

    @nn.compact
    def __call__(self, x: Float[Array, "... c"], *, train: bool) -> Float[Array, "... c"]:
        """Normalise ``x`` [..., C] of any float type, by its own statistics in training, else by the running ones."""
        features = x.shape[-1]
        scale = self.param("scale", _near(1), (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,))
        if train:
            mean, var, count = _moments(x)
            if not self.is_initializing():
                correction = count / max(count - 1, 1) if self.unbiased else 1.0
                running_mean.value += self.momentum * (mean - running_mean.value)
                running_var.value += self.momentum * (correction * var - running_var.value)
        else:
            mean, var = running_mean.value, running_var.value
        gain = scale * jax.lax.rsqrt(var + self.epsilon)
        axes = (1,) * (x.ndim - 1) + (features,)
        shifted = x.astype(jnp.float32) - mean.reshape(axes)
        return (shifted * gain.reshape(axes) + bias.reshape(axes)).astype(x.dtype)


def batch_norm(config: DCGANNetworks) -> Callable[..., BatchNorm]:
    """Return the layer of a config; only its name is left to give."""
    return partial(BatchNorm, config.norm_epsilon, config.norm_momentum, config.sample_statistics == "running")


def _moments(x: Float[Array, "... c"]) -> tuple[Float[Array, " c"], Float[Array, " c"], int]:
    """Return mean and (biased) variance [C] over the global batch, and the number of values of each channel."""
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    mean = collective.mean(jnp.mean(x, axes))
    var = collective.mean(jnp.mean(jnp.square(x - mean.reshape((1,) * len(axes) + (-1,))), axes))
    return mean, var, collective.global_size(x.size // x.shape[-1])


class Down(nn.Module):
    """A stride-2 convolution without a bias: [N, H, W, C] -> [N, H/2, W/2, features]."""

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        size = self.kernel_size
        kernel = self.param("kernel", _near(0), (size, size, x.shape[-1], self.features))
        return conv(x, jnp.asarray(kernel, x.dtype), stride=2, padding=_half_padding(size))


class Up(nn.Module):
    """A stride-2 transposed ("fractionally strided") convolution without a bias: H x W -> 2H x 2W.

    The kernel is [height, width, out, in]: that of the convolution of which this is the transpose.
    """

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        height, width, size = 2 * x.shape[1], 2 * x.shape[2], self.kernel_size
        kernel = self.param("kernel", _near(0), (size, size, self.features, x.shape[-1]))
        padding = _half_padding(size)
        return conv_transpose(x, jnp.asarray(kernel, x.dtype), stride=2, padding=padding, size=(height, width))


def _half_padding(kernel_size: int) -> tuple[int, int]:
    """Return the zeros (before, after) with which a stride-2 convolution exactly halves an even size."""
    return (kernel_size - 1) // 2, (kernel_size - 2) // 2


# Networks -----------------------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """z (and a label) -> image: a dense layer to 4x4, then stride-2 transposed convolutions. Paper, figure 1."""

    config: DCGANConfig

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels | None = None, *, train: bool = False) -> Images:
        """Return images [N, H, W, C] in [-1, 1] of latents [N, z] and labels [N, k].

        The label vectors are appended to the latents (Mirza and Osindero 2014, arXiv:1411.1784). ``train`` normalises
        by the statistics of this batch and renews the running ones.
        """
        cfg = self.config
        norm = batch_norm(cfg)
        z = latents if labels is None else jnp.concatenate([latents, labels.astype(latents.dtype)], axis=-1)
        features = cfg.generator_features * 2 ** (cfg.levels - 1)
        kernel = self.param("project", _near(0), (z.shape[-1], BASE_SIZE * BASE_SIZE * features))
        x = jnp.asarray(z, cfg.dtype) @ jnp.asarray(kernel, cfg.dtype)
        if cfg.first_norm == "unit":
            x = norm(name="norm0")(x, train=train)
        x = x.reshape(-1, BASE_SIZE, BASE_SIZE, features)
        if cfg.first_norm == "channel":
            x = norm(name="norm0")(x, train=train)
        x = nn.relu(x)

        def layer(self: nn.Module, x: Array, level: int) -> Array:
            x = Up(features >> level, cfg.kernel_size, name=f"up{level}")(x)
            return nn.relu(norm(name=f"norm{level}")(x, train=train))

        for level in range(1, cfg.levels):
            x = apply_block(self, x, level, remat=cfg.remat, method=layer)
        x = Up(cfg.channels, cfg.kernel_size, name=f"up{cfg.levels}")(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Image (and a label) -> logit: stride-2 convolutions to 4x4, then one dense unit; no pooling.

    A label enters by projection: the inner product of its embedding with the summed last features is added to the
    logit (Miyato and Koyama 2018, arXiv:1802.05637, figure 1d).
    """

    config: DCGANConfig

    @nn.compact
    def __call__(self, images: Images, labels: Labels | None = None, *, train: bool = False) -> Logits:
        """Return logits [N]; in training, batch statistics are of these images, so give reals and fakes separately."""
        cfg = self.config
        norm = batch_norm(cfg)
        x = jnp.asarray(images, cfg.dtype)

        def layer(self: nn.Module, x: Array, level: int) -> Array:
            x = Down(cfg.discriminator_features << level, cfg.kernel_size, name=f"down{level}")(x)
            x = norm(name=f"norm{level}")(x, train=train) if level > 0 else x
            return nn.leaky_relu(x, 0.2)

        for level in range(cfg.levels):
            x = apply_block(self, x, level, remat=cfg.remat, method=layer)
        x = x.astype(jnp.float32)
        head = self.param("head", _near(0), (BASE_SIZE, BASE_SIZE, x.shape[-1]))
        logits = jnp.einsum("nhwc,hwc->n", x, head)
        if labels is not None:
            embedding = self.param("embedding", _near(0), (labels.shape[-1], x.shape[-1]))
            logits += jnp.einsum("nhwc,nk,kc->n", x, labels, embedding)
        return logits
