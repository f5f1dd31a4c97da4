"""Order of the images of a run: pure arithmetic, so that a resumed run needs only its image counter.

Epoch ``e`` is a permutation drawn from ``(seed, e)`` alone; a run reads the endless concatenation of its epochs.
NumPy has frozen the bit stream of ``RandomState``, so the order is the same for all versions of NumPy. The order does
not depend on the number of devices, hosts or workers.
"""

from functools import lru_cache

import numpy as np

from ganzoo.errors import UserError


@lru_cache(maxsize=4)
def epoch_permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """Draw the order of the images in one epoch.

    Args:
        seed: seed of the run, >= 0.
        epoch: number of the epoch, from 0.
        size: number of images in the data set, >= 1.

    Returns:
        int64 [size], every index once; read-only, because the last few epochs are cached and shared.

    Raises:
        UserError: an argument is out of range.
    """
    if seed < 0 or epoch < 0:
        raise UserError(f"the order of the data needs a seed and an epoch >= 0, not seed {seed} and epoch {epoch}")
    _check_size(size)
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, epoch])))
    order = generator.permutation(size).astype(np.int64)
    order.flags.writeable = False
    return order


def positions(seed: int, size: int, start: int, count: int) -> np.ndarray:
    """Return the indices at positions ``start .. start + count - 1`` of the endless concatenation of epochs.

    Args:
        seed: seed of the run, >= 0.
        size: number of images in the data set, >= 1.
        start: number of images seen so far, >= 0.
        count: number of indices, >= 0; may span any number of epochs.

    Returns:
        int64 [count].

    Raises:
        UserError: an argument is out of range.
    """
    if start < 0 or count < 0:
        raise UserError(f"positions in the data must be >= 0, not start {start} and count {count}")
    _check_size(size)
    end = start + count
    parts = [np.empty(0, np.int64)]
    for epoch in range(start // size, -(-end // size)):
        offset = epoch * size
        parts.append(epoch_permutation(seed, epoch, size)[max(start - offset, 0) : end - offset])
    return np.concatenate(parts)


def _check_size(size: int) -> None:
    if size < 1:
        raise UserError(f"the order of the data needs at least 1 image, not {size}")
