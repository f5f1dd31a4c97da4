"""Exponential moving averages of parameter trees, with decays given as half-lives in images."""

import jax
import jax.numpy as jnp

from ganzoo.typing import Count, PyTree, Scalar


def decay(half_life: float | Scalar, batch_size: int, images: Count, *, ramp: float | None = None) -> Scalar:
    r"""Return the share of the old average that survives one step: $\beta = 2^{-\text{batch} / \text{half-life}}$.

    Args:
      half_life: images after which an old value counts half; 0 means that the average is the newest value.
      batch_size: images of one step, on all devices.
      images: images seen so far, []; used by ``ramp`` only.
      ramp: if given, the half-life is at most ``ramp * images``, so that the average follows quickly at first.

    Karras et al. 2018, arXiv:1812.04948 (half-life 10,000); the ramp-up is that of NVlabs/stylegan2-ada-pytorch,
    training_loop.py:300.
    """
    length = jnp.asarray(half_life, jnp.float32)
    if ramp is not None:
        length = jnp.minimum(length, images.astype(jnp.float32) * ramp)
    return 0.5 ** (batch_size / jnp.maximum(length, 1e-8))


def update(average: PyTree, newest: PyTree, decay: Scalar) -> PyTree:
    """Return ``newest + decay * (average - newest)`` for every leaf: with decay 0 exactly ``newest``."""
    return jax.tree.map(lambda old, new: new + decay.astype(new.dtype) * (old - new), average, newest)
