"""Number of modes among samples of stacked images, and how evenly the samples fall on them.

Metz et al. 2016, arXiv:1611.02163, section 3.3.1; with three digits to an image there are 1,000 modes. Published
numbers are of about as many samples as here (26,000: Lin et al. 2017, arXiv:1712.04086, section 4.2).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from ganzoo.typing import AnyArray

SAMPLES = 25_000
"""Generated images among which modes are counted, where there are as many."""


class ModeCount(NamedTuple):
    """Modes of the data that samples fall into."""

    found: int
    """Number of the data's modes in which there is at least one sample."""
    held: int
    """M, the number of the data's modes."""
    kl: float
    """KL divergence in nats of the samples' distribution over the data's modes from the uniform one, 0 to ln M.

    Perfectly uniform samples, N of them, have (M - 1) / (2 N) on average: 0.02 for 25,000 samples of 1,000 modes. Where
    no sample is in any of the data's modes it is infinite.
    """
    outside: float
    """Share of the samples that are in none of the data's modes, which do not count for ``kl``; 0 to 1."""


def mode_numbers(classes: Num[AnyArray, "n c"], count: int) -> np.ndarray:
    """Return the mode int64 [N] of each image: its classes [N, 3], of ``count``, as the digits of one number."""
    classes = np.asarray(classes, np.int64)
    return classes @ count ** np.arange(classes.shape[1] - 1, -1, -1)


def count_modes(samples: AnyArray, held: AnyArray) -> ModeCount:
    """Count the modes of samples.

    Args:
      samples: int [N], the mode of each sample.
      held: int [M], the modes that the data holds, each once or more often.
    """
    modes = np.unique(held)
    inside = np.asarray(samples)[np.isin(samples, modes)]
    counts = np.unique(inside, return_counts=True)[1]
    shares = counts / max(len(inside), 1)
    kl = float((shares * np.log(shares * len(modes))).sum()) if len(inside) else float("inf")
    return ModeCount(len(counts), len(modes), max(kl, 0.0), 1 - len(inside) / len(samples))
