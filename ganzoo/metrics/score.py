"""The Inception score, which grows with the certainty of each image's class and the diversity of all classes."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

SPLITS = 10
"""Parts of the images in the paper."""


def score_from_logits(logits: Float[np.ndarray, "n k"], splits: int = SPLITS) -> tuple[float, float]:
    r"""Return mean and deviation over parts of the images of $\exp(\mathbb{E}_x \mathrm{KL}(p(y | x) \Vert p(y)))$.

    Args:
      logits: [N, k] of classes, or logarithms of probabilities, in the order of the images.
      splits: parts; part i holds the images from i N / splits on.

    Returns:
      Mean and deviation, each part weighing the same; in float64.

    Salimans et al. 2016, arXiv:1606.03498, section 4.
    """
    bounds = [i * len(logits) // splits for i in range(splits + 1)]
    values = [_of_part(logits[start:stop]) for start, stop in pairwise(bounds) if stop > start]
    return float(np.mean(values)), float(np.std(values))


def _of_part(logits: np.ndarray) -> float:
    """Return the score of one part. Classes of probability 0 add nothing, as p log p goes to 0 with p."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(0)
    entropy_of_marginal = -np.sum(marginal * np.log(marginal, where=marginal > 0, out=np.zeros_like(marginal)))
    mean_entropy = -np.sum(p * np.maximum(log_p, -1e300)) / len(p)
    return float(np.exp(entropy_of_marginal - mean_entropy))
