"""Running means and covariances of features, in float64.

Features arrive in batches of any size and are accumulated in blocks of a fixed size, so the sums do not depend on the
batch size. Only one block and the covariance are in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BLOCK = 1024
"""Feature vectors accumulated at once: enough for a fast matrix product."""


@dataclass(frozen=True)
class Statistics:
    """Count, mean and scatter matrix of a set of feature vectors."""

    count: int
    mean: Float[np.ndarray, " d"]
    """float64."""
    scatter: Float[np.ndarray, "d d"]
    """float64: the sum of the outer products of deviations from the mean."""

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "Statistics":
        """Compute the statistics of features [n, d]."""
        features = np.asarray(features, np.float64)
        mean = features.mean(0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    def covariance(self, *, biased: bool = False) -> Float[np.ndarray, "d d"]:
        """Return [d, d]: scatter / (n - 1), as in pytorch-fid, clean-fid, torch-fidelity; ``biased``: / n as NVlabs."""
        return self.scatter / max(self.count - (not biased), 1)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Merge the statistics of two sets.

        Chan, Golub, LeVeque 1983, Algorithms for computing the sample variance, eq. 2.1.
        """
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)


@dataclass(frozen=True)
class Gathered:
    """Statistics of the features of a set of images, and optionally the features."""

    statistics: Statistics
    features: Float[np.ndarray, "n d"] | None
    """float32 [n, d], in the order of the images; None if only the statistics are kept."""


def gathered(batches: Iterable[Float[np.ndarray, "_n d"]], *, keep: bool) -> Gathered:
    """Accumulate the statistics of features [n, d] that arrive in batches; with ``keep``, keep the features too.

    Raises:
      ValueError: there are no features, or some features are not finite.
    """
    kept, waiting, total = [], np.empty((0, 0), np.float32), None
    for batch in batches:
        if not np.isfinite(batch).all():
            raise ValueError("the features of some images are not finite")
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
        raise ValueError("there are no images to gather features of")
    return Gathered(total, np.concatenate(kept) if keep else None)
