"""Draws that depend on a key and a position, never on the batch size or the number of devices."""

from collections.abc import Callable
from functools import partial
from math import prod

import jax
from jaxtyping import Array, Float, Int

from ganzoo.ops import collective
from ganzoo.typing import Key, PyTree


def for_indices(draw: Callable[[Key], PyTree], key: Key, indices: Int[Array, " n"]) -> PyTree:
    """``draw(key_i)`` for every index i, every leaf of it stacked; ``key_i`` folds i into ``key``."""
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(indices)


def for_batch(draw: Callable[[Key], PyTree], key: Key, local: int) -> PyTree:
    """One draw for each of this device's ``local`` examples, by their positions in the global batch."""
    return for_indices(draw, key, collective.global_indices(local))


def normal(key: Key, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers, drawn flat: those of ``jax.random.normal`` up to rounding, much faster to compile."""
    return jax.random.normal(key, (prod(shape),)).reshape(shape)


def rows_of_batch(key: Key, indices: Int[Array, " n"], rows: Array) -> Array:
    """For every index a row, chosen at random, of the batch on all devices, of which ``rows`` is this one's part."""
    whole = collective.all_gather(rows)
    return whole[for_indices(partial(jax.random.randint, shape=(), minval=0, maxval=len(whole)), key, indices)]
