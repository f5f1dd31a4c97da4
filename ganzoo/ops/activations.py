"""Activation functions with gains that preserve the second moment of their input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SQRT2 = 2**0.5

ActivationName = Literal["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]


@dataclass(frozen=True)
class Activation:
    """Activation function ``function(x, alpha)`` with its default ``alpha`` and default gain."""

    function: Callable[[Array, float], Array]
    alpha: float
    gain: float


ACTIVATIONS: Mapping[str, Activation] = {
    "linear": Activation(lambda x, alpha: x, 0.0, 1.0),
    "relu": Activation(lambda x, alpha: jax.nn.relu(x), 0.0, SQRT2),
    "lrelu": Activation(lambda x, alpha: jnp.where(x > 0, x, alpha * x), 0.2, SQRT2),
    "tanh": Activation(lambda x, alpha: jnp.tanh(x), 0.0, 1.0),
    "sigmoid": Activation(lambda x, alpha: jax.nn.sigmoid(x), 0.0, 1.0),
    "elu": Activation(lambda x, alpha: jax.nn.elu(x), 0.0, 1.0),
    "selu": Activation(lambda x, alpha: jax.nn.selu(x), 0.0, 1.0),
    "softplus": Activation(lambda x, alpha: jax.nn.softplus(x), 0.0, 1.0),
    "swish": Activation(lambda x, alpha: jax.nn.sigmoid(x) * x, 0.0, SQRT2),
}
"""Activation functions by their names in NVlabs/stylegan2-ada-pytorch, torch_utils/ops/bias_act.py."""


def bias_act(
    x: Float[Array, "*_n _c"],
    bias: Float[Array, " _c"] | None = None,
    activation: str = "linear",
    *,
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Float[Array, "*_n _c"]:
    """Compute ``clip(gain * activation(x + bias), -clamp, clamp)`` in float32 or wider.

    Args:
        x: [..., C]; the channels are the last axis.
        bias: [C].
        activation: a key of ``ACTIVATIONS``.
        alpha: slope of "lrelu" below 0; None takes the activation's default.
        gain: factor of the result; None takes the activation's default.
        clamp: largest magnitude of the result, applied after the gain; None does not clip.

    Returns:
        [..., C] in the dtype of ``x``.
    """
    kind = ACTIVATIONS[activation]
    alpha, gain = kind.alpha if alpha is None else alpha, kind.gain if gain is None else gain
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if bias is not None:
        y = y + bias.astype(y.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    y = kind.function(y, alpha)
    if gain != 1:
        y = y * gain
    if clamp is not None:
        y = jnp.clip(y, -clamp, clamp)
    return y.astype(x.dtype)
