"""The vocabulary of types that every module speaks.

Shapes are written once, here, and checked at run time in the tests. ``n`` is the batch, ``h w c`` an image in
NHWC order, ``z`` the latent size, ``k`` the size of a label vector.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jaxtyping import Array, Float, Int, UInt8

Images: TypeAlias = Float[Array, "n h w c"]
"""Images in [-1, 1]."""
ImagesUint8: TypeAlias = UInt8[Array, "n h w c"]
"""Images as they are stored, 0..255."""
Latents: TypeAlias = Float[Array, "n z"]
Labels: TypeAlias = Float[Array, "n k"]
"""Label vectors; a class is a one-hot row."""
Logits: TypeAlias = Float[Array, " n"]
"""The discriminator's answers before any sigmoid; large means real."""
PerExample: TypeAlias = Float[Array, " n"]
"""One value for every example of the batch, not yet averaged."""
Scalar: TypeAlias = Float[Array, ""]
Count: TypeAlias = Int[Array, ""]

Key: TypeAlias = Any
"""A typed key of ``jax.random.key``."""
PyTree: TypeAlias = Any
Params: TypeAlias = Any
Batch: TypeAlias = Mapping[str, Any]
"""``{"image": uint8 or float [N, H, W, C], "label": float32 [N, k]}``; ``"label"`` is absent without labels."""
State: TypeAlias = Any
"""A pytree of arrays: a ``TrainState`` or a class like it."""
Metrics: TypeAlias = Mapping[str, Any]
"""Name -> ``ganzoo.Average``."""
Step: TypeAlias = Callable[[State, Batch, Key], tuple[State, Metrics]]
"""``(state, batch, key) -> (state, metrics)``: the one signature of every train step and phase."""
