"""The kernel distance between two sets of features; with Inception features it is the KID."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Float, Int

from ganzoo.typing import Key

Features = Float[np.ndarray, "_n d"]


def cubic(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    r"""Return $(x^\top y / d + 1)^3$ for each pair of rows. Binkowski et al. 2018, arXiv:1801.01401, section 4."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # ** 3 would take longer than the matrix product


def squared_mmd(x: Features, y: Features) -> float:
    r"""Return the unbiased estimate of the squared maximum mean discrepancy of [n, d] and [m, d]; may be below 0.

    $$\frac{1}{n (n - 1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m (m - 1)} \sum_{i \ne j} k(y_i, y_j)
    - \frac{2}{n m} \sum_{i, j} k(x_i, y_j)$$

    Computed in float64. Gretton et al. 2012, A kernel two-sample test, eq. 3.
    """
    both, n, m = np.concatenate([x, y]).astype(np.float64), len(x), len(y)
    matrix = cubic(both, both)  # of a set with itself: half of a product

    def without_self(square: np.ndarray) -> float:
        return float((square.sum() - np.trace(square)) / (len(square) * (len(square) - 1)))

    return without_self(matrix[:n, :n]) + without_self(matrix[n:, n:]) - 2 * float(matrix[:n, n:].sum() / (n * m))


def kernel_distance(
    real: Features, fake: Features, key: Key, *, subsets: int = 100, size: int = 1000
) -> tuple[float, float]:
    """Return mean and deviation of ``squared_mmd`` over random subsets.

    Args:
      real: [N, d].
      fake: [M, d].
      key: of the subsets.
      subsets: how many.
      size: images in each, from either side; N or M where that is less.

    Binkowski et al. 2018, arXiv:1801.01401, section 4.
    """
    size = min(size, len(real), len(fake))
    values = []
    for number in range(subsets):
        ours, theirs = jax.random.split(jax.random.fold_in(key, number))
        values.append(squared_mmd(real[subset(ours, len(real), size)], fake[subset(theirs, len(fake), size)]))
    return float(np.mean(values)), float(np.std(values))


def subset(key: Key, count: int, size: int) -> Int[np.ndarray, " s"]:
    """Return ``size`` different numbers below ``count``, in random order."""
    return np.asarray(_permuted(key, count)[:size])


@partial(jax.jit, static_argnums=1)
def _permuted(key: Key, count: int) -> jax.Array:
    return jax.random.permutation(key, count)
