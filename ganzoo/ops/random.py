"""Random numbers that depend on a key and a position, never on the batch size or the number of devices."""

from collections.abc import Callable
from functools import partial
from math import prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ganzoo.ops import collective
from ganzoo.typing import Key, PyTree


def for_indices(draw: Callable[[Key], PyTree], key: Key, indices: Int[Array, " n"]) -> PyTree:
    """Stack ``draw(fold_in(key, i))`` over the indices i [N]; every leaf gets a leading axis N."""
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(indices)


def for_batch(draw: Callable[[Key], PyTree], key: Key, local: int) -> PyTree:
    """Draw for each of this device's ``local`` examples, by position in the global batch; leaves are [local, ...]."""
    return for_indices(draw, key, collective.global_indices(local))


def normal(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Draw ``jax.random.normal(key, shape)``, up to rounding, from a flat array, which compiles much faster."""
    return jax.random.normal(key, (prod(shape),), jnp.float32).reshape(shape)


def uniform(key: Key, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0) -> Float[Array, "..."]:
    """Draw numbers from U(low, high) in float32, whatever ``jax_enable_x64`` says."""
    return jax.random.uniform(key, shape, jnp.float32, low, high)


def rows_of_batch(key: Key, indices: Int[Array, " n"], rows: Array) -> Array:
    """Draw one random row of the global batch per index [N]; ``rows`` [n, ...] is the local shard."""
    whole = collective.all_gather(rows)
    return whole[
        for_indices(partial(jax.random.randint, shape=(), minval=0, maxval=len(whole), dtype=jnp.int32), key, indices)
    ]
