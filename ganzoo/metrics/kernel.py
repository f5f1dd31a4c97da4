"""The kernel distance between two sets of features; with Inception features it is the KID."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Int

from ganzoo.typing import Key

Features = Float[np.ndarray, "_n d"]
Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``kernel(x [n, d], y [m, d]) -> [n, m]``."""


def cubic(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """Evaluate ``(x . y / d + 1)^3``: x [n, d], y [m, d] -> [n, m].

    Binkowski et al. 2018, arXiv:1801.01401, section 4.
    """
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # ** 3 would take longer than the matrix product


def gaussian(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], sigma: float) -> Float[np.ndarray, "n m"]:
    """Evaluate ``exp(-|x - y|^2 / (2 sigma^2))``: x [n, d], y [m, d] -> [n, m]."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None] - 2 * (x @ y.T)
    return np.exp(-squares / (2 * sigma**2))


def squared_mmd(x: Features, y: Features, kernel: Kernel = cubic) -> float:
    """Estimate the squared maximum mean discrepancy of x [n, d] and y [m, d] without bias; may be negative.

    Computed in float64. Gretton et al. 2012, A kernel two-sample test, eq. 3.
    """
    both, n, m = np.concatenate([x, y]).astype(np.float64), len(x), len(y)
    matrix = kernel(both, both)  # BLAS computes only half of a product of a matrix with itself

    def without_self(square: np.ndarray) -> float:
        return float((square.sum() - np.trace(square)) / (len(square) * (len(square) - 1)))

    return without_self(matrix[:n, :n]) + without_self(matrix[n:, n:]) - 2 * float(matrix[:n, n:].sum() / (n * m))


def kernel_distance(
    real: Features, fake: Features, key: Key, *, subsets: int = 100, size: int = 1000, kernel: Kernel = cubic
) -> tuple[float, float]:
    """Return the mean and standard deviation of ``squared_mmd`` over random subsets.

    Args:
      real: features [N, d].
      fake: features [M, d].
      key: random key of the subsets.
      subsets: number of subsets.
      size: images per subset, from each of both sets; at most min(N, M).
      kernel: kernel function ``(x [n, d], y [m, d]) -> [n, m]``.

    Binkowski et al. 2018, arXiv:1801.01401, section 4.
    """
    size = min(size, len(real), len(fake))
    values = []
    for number in range(subsets):
        ours, theirs = jax.random.split(jax.random.fold_in(key, number))
        values.append(squared_mmd(real[subset(ours, len(real), size)], fake[subset(theirs, len(fake), size)], kernel))
    return float(np.mean(values)), float(np.std(values))


def subset(key: Key, count: int, size: int) -> Int[np.ndarray, " s"]:
    """Draw ``size`` distinct indices below ``count`` in random order."""
    return np.asarray(_permuted(key, count)[:size])


@partial(jax.jit, static_argnums=1)
def _permuted(key: Key, count: int) -> jax.Array:
    return jax.random.permutation(key, count)
