"""Means and covariances of features, summed as they come, in float64; the Frechet distance between two of them.

Features arrive in batches of any size and are accumulated in blocks of a fixed size, so the sums do not depend on the
batch size. Only one block and the covariance are in memory.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ganzoo.errors import UserError

BLOCK = 1024
"""Features that are taken up at once: enough for a fast product."""
LARGEST = 2**30
"""Bytes of features beyond which only the statistics are kept on disk."""

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]


@dataclass(frozen=True)
class Statistics:
    """Count, mean and scatter of a set of feature vectors."""

    count: int
    mean: Float[np.ndarray, " d"]
    """float64."""
    scatter: Float[np.ndarray, "d d"]
    """float64: the sum of the outer products of deviations from the mean."""

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "Statistics":
        """Return the statistics of features [n, d], all of them at once."""
        features = np.asarray(features, np.float64)
        mean = features.mean(0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    def covariance(self, *, biased: bool = False) -> Float[np.ndarray, "d d"]:
        """Return scatter / (n - 1) as in pytorch-fid, clean-fid and torch-fidelity; ``biased``: / n as in NVlabs."""
        return self.scatter / max(self.count - (not biased), 1)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Return the statistics of both sets together.

        Chan, Golub, LeVeque 1983, Algorithms for computing the sample variance, eq. 2.1.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)


@dataclass(frozen=True)
class FeatureSet:
    """What is known of the features of a set of images."""

    statistics: Statistics
    features: Float[np.ndarray, "n d"] | None
    """float32 [n, d], in the order of the images; None if only the statistics are kept."""

    def to_bytes(self) -> bytes:
        """Return the content of an ``.npz`` file, without features of more than ``LARGEST`` bytes."""
        keep = self.features is not None and self.features.nbytes <= LARGEST
        features: dict[str, Any] = {"features": self.features} if keep else {}
        of, content = self.statistics, io.BytesIO()
        np.savez(content, count=of.count, mean=of.mean, scatter=of.scatter, **features)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, *, features: bool) -> "FeatureSet":
        """Return what ``to_bytes`` wrote; ``KeyError`` where ``features`` are asked for and there are none."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            kept = arrays["features"] if features else None
            return cls(Statistics(int(arrays["count"]), arrays["mean"], arrays["scatter"]), kept)


def collect(batches: Iterable[Float[np.ndarray, "_n d"]], *, keep: bool) -> FeatureSet:
    """Return the statistics of features that come in batches; with ``keep``, the features themselves too.

    Raises:
      ValueError: there are no features.
      UserError: some features are not finite.
    """
    kept, waiting, total = [], np.empty((0, 0), np.float32), None
    for batch in batches:
        if not np.isfinite(batch).all():
            raise UserError("the features of some images are not finite; the weights of the extractor are damaged")
        if keep:
            kept.append(batch)
        waiting = np.concatenate([waiting, batch]) if len(waiting) else batch
        while len(waiting) >= BLOCK:
            block, waiting = Statistics.of(waiting[:BLOCK]), waiting[BLOCK:]
            total = block if total is None else total + block
    if len(waiting):
        block = Statistics.of(waiting)
        total = block if total is None else total + block
    if total is None:
        raise ValueError("there are no images to take features of")
    return FeatureSet(total, np.concatenate(kept) if keep else None)


# The Frechet distance -----------------------------------------------------------------------------------------------


def frechet_distance(real: Statistics, fake: Statistics, *, biased: bool = False) -> float:
    """Return the distance of the normal distributions with these means and covariances; of Inception features: FID."""
    return frechet_between(real.mean, real.covariance(biased=biased), fake.mean, fake.covariance(biased=biased))


def frechet_between(mean_a: Vector, covariance_a: Matrix, mean_b: Vector, covariance_b: Matrix) -> float:
    r"""Return the Frechet distance of two normal distributions with covariances A and B [d, d].

    $$\lVert \mu_a - \mu_b \rVert^2 + \mathrm{tr}\left(A + B - 2 (A B)^{1/2}\right)$$

    With $A = a a^\top$ and $B = b b^\top$ the trace of the root is the sum of the singular values of $a^\top b$:
    nothing complex, no root of a singular product, and rounding enters once, not as its square root. Where A = B the
    result is 0 up to rounding.

    Dowson and Landau 1982, eq. 16; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    overlap = np.linalg.svd(_factor(covariance_a).T @ _factor(covariance_b), compute_uv=False).sum()
    shift = np.square(mean_a - mean_b).sum()
    return max(float(shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * overlap), 0.0)


def _factor(covariance: Matrix) -> np.ndarray:
    """Return a [d, r] with a a^T = covariance, of its rank r: eigenvalues below the largest's rounding count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    seen = values > values.max(initial=0) * len(values) * np.finfo(values.dtype).eps
    return vectors[:, seen] * np.sqrt(values[seen])
