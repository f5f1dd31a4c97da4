"""Average power spectra of images, which show what a generator adds or lacks at each frequency.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv:2106.12423, figure 12; there, too, under a
Kaiser window with beta = 8.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

BETA = 8.0


def power_spectrum(batches: Iterable[Float[np.ndarray, "_n h w c"]]) -> Float[np.ndarray, "h w"]:
    """Return the mean squared magnitude [H, W] of the windowed Fourier transform, in units of unit white noise.

    Args:
      batches: images [N, H, W, C], of one size.

    Returns:
      [H, W], frequency 0 in the middle, at [H // 2, W // 2].
    """
    total, count = np.zeros(()), 0
    for images in batches:
        height, width = images.shape[1:3]
        window = np.outer(np.kaiser(height, BETA), np.kaiser(width, BETA))
        window /= np.sqrt(np.square(window).sum())
        transformed = np.fft.fft2(np.asarray(images, np.float64) * window[None, :, :, None], axes=(1, 2))
        total = total + np.square(np.abs(transformed)).mean(axis=3).sum(axis=0)
        count += len(images)
    return np.fft.fftshift(total / max(count, 1))


def radial(spectrum: Float[np.ndarray, "h w"]) -> Float[np.ndarray, " r"]:
    """Return the mean over all directions at each distance from the middle, in frequencies of the longer side."""
    height, width = spectrum.shape
    y, x = np.indices(spectrum.shape)
    longest = max(height, width)
    distance = np.hypot((y - height // 2) * longest / height, (x - width // 2) * longest / width)
    bins = distance.round().astype(int)
    sums, counts = np.bincount(bins.ravel(), spectrum.ravel()), np.bincount(bins.ravel())
    return sums[: longest // 2 + 1] / np.maximum(counts[: longest // 2 + 1], 1)


def decibels(spectrum: np.ndarray) -> np.ndarray:
    """Return ``10 log10`` of a power spectrum [...]."""
    return 10 * np.log10(np.maximum(spectrum, 1e-12))
