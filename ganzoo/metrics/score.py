"""The Inception score, which grows with the certainty of each image's class and the diversity of all classes."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float


def inception_score(scores: Float[np.ndarray, "n k"], splits: int = 10) -> tuple[float, float]:
    """Return the mean and standard deviation of ``exp(mean_x KL(p(y | x) || p(y)))`` over parts of the images.

    Args:
      scores: logits [N, k] (or logarithms of probabilities), in the order of the images.
      splits: number of parts; part i begins at image i N / splits.

    Returns:
      Mean and standard deviation over the parts, with equal weights, computed in float64.

    Salimans et al. 2016, arXiv:1606.03498, section 4.
    """
    bounds = [i * len(scores) // splits for i in range(splits + 1)]
    values = [_of_part(scores[start:stop]) for start, stop in pairwise(bounds) if stop > start]
    return float(np.mean(values)), float(np.std(values))


def _of_part(scores: np.ndarray) -> float:
    """Compute the score of one part; classes of probability 0 add nothing, because p log p tends to 0 with p."""
    shifted = scores.astype(np.float64) - scores.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(0)
    entropy_of_marginal = -np.sum(marginal * np.log(marginal, where=marginal > 0, out=np.zeros_like(marginal)))
    mean_entropy = -np.sum(p * np.maximum(log_p, -1e300)) / len(p)
    return float(np.exp(entropy_of_marginal - mean_entropy))
