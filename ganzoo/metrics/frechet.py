"""The Frechet distance between two sets of features; with those of the Inception network it is the FID."""

import numpy as np
from jaxtyping import Float

from ganzoo.metrics.statistics import Statistics

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]


def frechet_distance(real: Statistics, fake: Statistics, *, biased: bool = False) -> float:
    """The distance of the two normal distributions with these means and covariances (``between``)."""
    return between(real.mean, real.covariance(biased=biased), fake.mean, fake.covariance(biased=biased))


def between(mean_a: Vector, covariance_a: Matrix, mean_b: Vector, covariance_b: Matrix) -> float:
    """``|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2))`` for covariances A and B.

    With A = a a^T and B = b b^T the trace of the root is the sum of the singular values of a^T b: nothing complex, no
    root of a singular product, and rounding enters once, not as its square root. Where A = B the result is 0 up to
    rounding.

    Dowson and Landau 1982, eq. 16; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    overlap = np.linalg.svd(_factor(covariance_a).T @ _factor(covariance_b), compute_uv=False).sum()
    shift = np.square(mean_a - mean_b).sum()
    return max(float(shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap), 0.0)


def _factor(covariance: Matrix) -> np.ndarray:
    """a [d, r] with a a^T = covariance, of its rank r: what is below the rounding of the largest eigenvalue is 0."""
    values, vectors = np.linalg.eigh(covariance)
    seen = values > values.max(initial=0) * len(values) * np.finfo(values.dtype).eps
    return vectors[:, seen] * np.sqrt(values[seen])
