"""Layers with equalised learning rate: weights are N(0, 1), and scaled by He's constant when they are used.

Karras et al. 2017, arXiv:1710.10196, section 4.1. Adam's steps do not depend on the scale of a weight's gradient, so
this gives all layers the same speed of learning; a learning-rate multiplier makes one layer slower.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.ops import random
from ganzoo.ops.activations import ACTIVATIONS, bias_act
from ganzoo.ops.fir import Filter, setup_filter
from ganzoo.ops.resample import conv_resample
from ganzoo.typing import Key


def normal_init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Draw N(0, 1)."""
    return random.normal(key, shape).astype(dtype)


class EqualizedDense(nn.Module):
    """``activation(x @ kernel * kernel_gain * multiplier / sqrt(inputs) + bias * multiplier)``.

    The kernel is N(0, kernel_init^2) / multiplier at first.
    """

    features: int
    activation: str = "linear"
    use_bias: bool = True
    bias_init: float | tuple[float, ...] = 0.0
    """One number for all outputs, or one for each of them."""
    lr_multiplier: float = 1.0
    kernel_gain: float = 1.0
    kernel_init: float = 1.0

    @nn.compact
    def __call__(self, x: Float[Array, "n i"]) -> Float[Array, "n o"]:
        """Map [N, I] to [N, O] in the dtype of ``x``."""
        inputs, multiplier = x.shape[-1], self.lr_multiplier
        scale = self.kernel_init / multiplier
        kernel = jnp.asarray(
            self.param("kernel", lambda key, shape: normal_init(key, shape) * scale, (inputs, self.features))
        )
        y = x @ (kernel * (self.kernel_gain * multiplier / inputs**0.5)).astype(x.dtype)
        if not self.use_bias:
            return bias_act(y, None, self.activation)
        start = np.asarray(self.bias_init, np.float32) / multiplier
        bias = jnp.asarray(self.param("bias", nn.initializers.constant(start), (self.features,)))
        return bias_act(y, bias * multiplier, self.activation)


class EqualizedConv(nn.Module):
    """A convolution of the same size, or half or twice of it, with bias, activation, gain and clamp.

    The kernel [height, width, I, O] (O, I where ``up`` > 1) is scaled by kernel_gain / sqrt(height * width * I).
    """

    features: int
    kernel_size: int
    activation: str = "linear"
    use_bias: bool = True
    up: int = 1
    down: int = 1
    taps: tuple[float, ...] = (1, 3, 3, 1)
    gain: float = 1.0
    """Of the output, times the activation's own."""
    clamp: float | None = None
    """Limit of the output's magnitude, scaled by ``gain``."""
    kernel_gain: float = 1.0
    correlate: bool | None = None
    """Whether the kernel is not turned around; None: not where the size grows, as in transposed convolutions."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        """Map [N, H, W, I] to [N, H up / down, W up / down, O] in the dtype of ``x``."""
        k, inputs = self.kernel_size, x.shape[-1]
        channels = (self.features, inputs) if self.up > 1 else (inputs, self.features)
        kernel = jnp.asarray(self.param("kernel", normal_init, (k, k, *channels)))
        y = conv_resample(
            x,
            (kernel * (self.kernel_gain / (k * k * inputs) ** 0.5)).astype(x.dtype),
            resampling(self.taps, self.up, self.down),
            up=self.up,
            down=self.down,
            padding=(k // 2, k // 2),
            correlate=self.up == 1 if self.correlate is None else self.correlate,
        )
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (self.features,))) if self.use_bias else None
        gain = ACTIVATIONS[self.activation].gain * self.gain
        clamp = None if self.clamp is None else self.clamp * self.gain
        return bias_act(y, bias, self.activation, gain=gain, clamp=clamp)


def resampling(taps: tuple[float, ...], up: int = 2, down: int = 1) -> Filter:
    """Return the normalised filter, where the size changes."""
    return setup_filter(taps) if up > 1 or down > 1 else None
