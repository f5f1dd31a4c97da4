"""The four frequency bands that ADA amplifies or damps: their filters, and their share of an image's power.

Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020, "Training Generative Adversarial Networks with Limited Data",
arXiv:2006.06676, appendix B.
"""

from functools import cache

import numpy as np

SYM2 = tuple(a / (4 * 2**0.5) for a in (1 - 3**0.5, 3 - 3**0.5, 3 + 3**0.5, 1 + 3**0.5))
"""Low-pass taps of the sym2 wavelet. Daubechies 1992, "Ten Lectures on Wavelets", table 6.1."""
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Expected power of the four bands in natural images. Appendix B."""


@cache
def filters() -> np.ndarray:
    """Return the taps [4, 43] of the bands [0, pi/8], [pi/8, pi/4], [pi/4, pi/2] and [pi/2, pi].

    The four filters sum to the identity. With the wavelet's low-pass h, L(z) = h(z) h(1/z) / 2 and H(z) = L(-z), the
    filters are, from the last to the first, H(z), L(z) H(z^2), L(z) L(z^2) H(z^4) and L(z) L(z^2) L(z^4).
    Appendix B.
    """
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = low * (-1.0) ** np.arange(-3, 4)

    def spread(f: np.ndarray, by: int) -> np.ndarray:
        """Return the taps of f(z^by)."""
        result = np.zeros((len(f) - 1) * by + 1)
        result[::by] = f
        return result

    low2 = np.convolve(low, spread(low, 2))
    bands = [
        np.convolve(low2, spread(low, 4)),
        np.convolve(low2, spread(high, 4)),
        np.convolve(low, spread(high, 2)),
        high,
    ]
    return np.stack([np.pad(band, (len(bands[0]) - len(band)) // 2) for band in bands])


@cache
def reflected(size: int) -> np.ndarray:
    """Return the filters of the bands as matrices [4, size, size] along an axis with reflection at both ends."""
    bands = filters()
    reach = bands.shape[1] // 2
    seen = np.pad(np.arange(size), reach, mode="reflect")
    matrices = np.zeros((4, size, size))
    for tap in range(bands.shape[1]):
        matrices[:, np.arange(size), seen[tap : tap + size]] += bands[:, tap, None]
    return matrices
