"""The vocabulary of types that every module speaks.

Shapes are written once, here, and checked at run time in the tests. ``n`` is the batch, ``h w c`` an image in
NHWC order, ``z`` the latent size, ``k`` the size of a label vector.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Float, Integer, UInt8

AnyArray: TypeAlias = Array | np.ndarray
"""Arrays of JAX and of NumPy: what comes from outside may be either."""

Images: TypeAlias = Float[AnyArray, "n h w c"]
"""Images in [-1, 1]."""
ImagesUint8: TypeAlias = UInt8[AnyArray, "n h w c"]
"""Images as they are stored, 0..255."""
Features: TypeAlias = Float[AnyArray, "n _h _w _c"]
"""Feature maps of a level of a network."""
Latents: TypeAlias = Float[AnyArray, "n z"]
Styles: TypeAlias = Float[AnyArray, "n l w_dim"]
"""One style vector w for every style input of a synthesis network."""
Labels: TypeAlias = Float[AnyArray, "n k"]
"""Label vectors; a class is a one-hot row."""
Logits: TypeAlias = Float[AnyArray, " n"]
"""The discriminator's answers before any sigmoid; large means real."""
PerExample: TypeAlias = Float[AnyArray, " n"]
"""One value for every example of the batch, not yet averaged."""
Scalar: TypeAlias = Float[Array, ""]
Count: TypeAlias = Integer[Array, ""]

Key: TypeAlias = Any
"""A typed key of ``jax.random.key``."""
PyTree: TypeAlias = Any
Params: TypeAlias = Any
Batch: TypeAlias = Mapping[str, Any]
"""``{"image": uint8 or float [N, H, W, C], "label": float32 [N, k]}``; ``"label"`` is absent without labels. Under the
name of a network, such as ``"generator"``, there may be a batch that only its phase sees."""
State: TypeAlias = Any
"""A pytree of arrays: a ``TrainState`` or a class like it."""
Metrics: TypeAlias = Mapping[str, Any]
"""Name -> ``ganzoo.Average``."""
Step: TypeAlias = Callable[[State, Batch, Key], tuple[State, Metrics]]
"""``(state, batch, key) -> (state, metrics)``: the one signature of every train step and phase."""
