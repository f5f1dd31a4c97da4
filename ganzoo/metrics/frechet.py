"""The Frechet distance between two sets of features; with Inception features it is the FID."""

import numpy as np
from jaxtyping import Float

from ganzoo.metrics.statistics import Statistics

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]


def frechet_distance(real: Statistics, fake: Statistics, *, biased: bool = False) -> float:
    """Return the Frechet distance (``between``) of the normal distributions fitted to two sets of features [N, d]."""
    return between(real.mean, real.covariance(biased=biased), fake.mean, fake.covariance(biased=biased))


def between(mean_a: Vector, covariance_a: Matrix, mean_b: Vector, covariance_b: Matrix) -> float:
    """Compute ``|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2))`` for means [d] and covariances A and B [d, d].

    With A = a a^T and B = b b^T the trace of the root is the sum of the singular values of a^T b. This form needs no
    complex numbers and no root of a singular product, and rounding errors enter linearly instead of as their square
    root. If A = B the result is 0 up to rounding.

    Dowson and Landau 1982, eq. 16; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    overlap = np.linalg.svd(_factor(covariance_a).T @ _factor(covariance_b), compute_uv=False).sum()
    shift = np.square(mean_a - mean_b).sum()
    return max(float(shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap), 0.0)


def _factor(covariance: Matrix) -> np.ndarray:
    """Factorise a covariance of rank r as a a^T, a [d, r]; eigenvalues below the rounding of the largest count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    seen = values > values.max(initial=0) * len(values) * np.finfo(values.dtype).eps
    return vectors[:, seen] * np.sqrt(values[seen])
