"""Means and covariances of features, gathered as they come, in float64.

Features come in batches of any size and are taken up in blocks of a fixed one, so that the sums are the same for every
batch size; what is in memory is one block and the covariance.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BLOCK = 1024
"""Features that are taken up at once: enough for a fast product."""


@dataclass(frozen=True)
class Statistics:
    """Of a set of feature vectors."""

    count: int
    mean: Float[np.ndarray, " d"]
    """float64."""
    scatter: Float[np.ndarray, "d d"]
    """float64: the sum of the outer products of deviations from the mean."""

    @classmethod
    def of(cls, features: Float[np.ndarray, "n d"]) -> "Statistics":
        """Of all of them at once."""
        features = np.asarray(features, np.float64)
        mean = features.mean(0)
        deviations = features - mean
        return cls(len(features), mean, deviations.T @ deviations)

    def covariance(self, *, biased: bool = False) -> Float[np.ndarray, "d d"]:
        """Scatter / (n - 1) as in pytorch-fid, clean-fid and torch-fidelity; ``biased``: / n as in NVlabs."""
        return self.scatter / max(self.count - (not biased), 1)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Of both sets together. Chan, Golub, LeVeque 1983, Algorithms for computing the sample variance, eq. 2.1."""
        count = self.count + other.count
        shift = other.mean - self.mean
        mean = self.mean + shift * (other.count / count)
        between = np.outer(shift, shift) * (self.count * other.count / count)
        return Statistics(count, mean, self.scatter + other.scatter + between)


@dataclass(frozen=True)
class Gathered:
    """What is known of a set of images."""

    statistics: Statistics
    features: Float[np.ndarray, "n d"] | None
    """float32, in the order of the images; None where only statistics were asked for."""


def gathered(batches: Iterable[Float[np.ndarray, "_n d"]], *, keep: bool) -> Gathered:
    """The statistics of features that come in batches; with ``keep``, the features themselves too.

    Raises:
      ValueError: there are none, or some are not finite.
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
