"""Resizing of images to the input size of a feature extractor, exactly as for published numbers.

The resizing method changes the first digit of FID (Parmar et al. 2022, arXiv:2104.11222). All methods of this module
are linear along each axis, so resizing is two matrix products; the matrices are computed once, on the host.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Resize = Literal["tensorflow", "pytorch", "clean"]
Filter = Literal["box", "bilinear", "bicubic", "lanczos"]


def resized(images: Float[Array, "n h w c"], size: tuple[int, int], resize: Resize) -> Float[Array, "n h2 w2 c"]:
    """Resize images in 0..255 to ``size``; return images that already have this size unchanged.

    Args:
      images: [N, H, W, C].
      size: (H2, W2).
      resize: "tensorflow": bilinear without antialiasing, corners aligned: the graph of the original FID (Heusel et al.
        2017), torch-fidelity and NVlabs. "pytorch": bilinear without antialiasing, pixel centres aligned: pytorch-fid.
        "clean": bicubic with antialiasing, as Pillow resizes floats, clipped to 0..255: clean-fid.

    Returns:
      [N, H2, W2, C], not rounded.
    """
    height, width = images.shape[1:3]
    if (height, width) == tuple(size):
        return images
    matrices = {"tensorflow": corner_bilinear, "pytorch": centre_bilinear, "clean": antialiased}[resize]
    return _product(images, matrices(height, size[0]), matrices(width, size[1]))


def filtered(images: Float[Array, "n h w c"], size: tuple[int, int], name: Filter) -> Float[Array, "n h2 w2 c"]:
    """Resize images [N, H, W, C] in 0..255 by an antialiasing Pillow filter to [N, H2, W2, C]; clip, do not round."""
    height, width = images.shape[1:3]
    return _product(images, antialiased(height, size[0], name), antialiased(width, size[1], name))


def _product(images: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    exact = jax.lax.Precision.HIGHEST
    wide = jnp.einsum("nhwc,Ww->nhWc", images, jnp.asarray(columns, images.dtype), precision=exact)
    result = jnp.einsum("nhwc,Hh->nHwc", wide, jnp.asarray(rows, images.dtype), precision=exact)
    return jnp.clip(result, 0, 255)  # only bicubic and Lanczos filters overshoot


# Matrices [output pixels, input pixels] of one axis -----------------------------------------------------------------


@cache
def corner_bilinear(before: int, after: int) -> np.ndarray:
    """Return the matrix [after, before] with output i at ``i * before / after``, in float32.

    TensorFlow 1, ``align_corners=False``.
    """
    return _between(np.arange(after, dtype=np.float32) * np.float32(before / after), before)


@cache
def centre_bilinear(before: int, after: int) -> np.ndarray:
    """Return the matrix [after, before] with output i at ``(i + 1/2) * before / after - 1/2``.

    PyTorch, ``align_corners=False``.
    """
    positions = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(before / after) - np.float32(0.5)
    return _between(np.maximum(positions, 0), before)


def _between(positions: np.ndarray, size: int) -> np.ndarray:
    """Return the matrix [n, size] that interpolates linearly at ``positions`` [n]."""
    low = np.minimum(np.floor(positions).astype(int), size - 1)
    share = (positions - low).astype(np.float64)
    matrix, rows = np.zeros((len(positions), size)), np.arange(len(positions))
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, size - 1)), share)
    return matrix


@cache
def antialiased(before: int, after: int, name: Filter = "bicubic") -> np.ndarray:
    """Return the matrix [after, before] of a Pillow filter, widened to the output pixels if the image shrinks."""
    function, support = FILTERS[name]
    scale = before / after
    width = max(scale, 1.0)
    matrix = np.zeros((after, before))
    for i in range(after):
        centre = (i + 0.5) * scale
        first = max(int(centre - support * width + 0.5), 0)
        last = min(int(centre + support * width + 0.5), before)
        weights = [function((j - centre + 0.5) / width) for j in range(first, last)]
        matrix[i, first:last] = np.array(weights) / sum(weights)
    return matrix


def _box(x: float) -> float:
    return float(-0.5 < x <= 0.5)


def _triangle(x: float) -> float:
    return max(1 - abs(x), 0.0)


def _cubic(x: float) -> float:
    """Evaluate the cubic convolution kernel of Keys (1981) with a = -1/2."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _lanczos(x: float) -> float:
    """Evaluate a sinc windowed by the main lobe of a sinc three times as wide."""
    if x == 0:
        return 1.0
    angle = math.pi * x
    return 3 * math.sin(angle) * math.sin(angle / 3) / angle**2 if abs(x) < 3 else 0.0


FILTERS: Mapping[str, tuple[Callable[[float], float], float]] = {
    "box": (_box, 0.5),
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Filter functions and their supports on each side, in pixels."""
