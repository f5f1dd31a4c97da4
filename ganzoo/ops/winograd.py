"""Convolutions with a 3x3 kernel by Winograd's minimal filtering algorithm, which saves multiplications.

A tile of ``m`` neighbouring outputs of a correlation with three taps is a bilinear function of ``m + 2`` inputs,

    y = A^T [(G k) * (B^T x)],

with ``m + 2`` multiplications instead of ``3 m``: the polynomials are multiplied at ``m + 2`` points. In two
dimensions each axis is transformed in turn, and summing over channels turns every point into a matrix product. The
transforms are sums of shifted images, which the compiler fuses. Tiles of 2x2 outputs take 16 products instead of 36;
tiles of 2x4 outputs take 24 products instead of 72.

The kernel gradient is the transpose of the same bilinear form: ``dk = G^T [(A dy) * (B^T x)]``.

Reference: Lavin and Gray (2015), Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Pair = tuple[int, int]
Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[Array]]

TAPS = 3

MIN_CHANNELS = 64
"""Fewest channels: with fewer, the transforms take longer than the products they save."""
MIN_OUTPUTS = 256
"""Fewest outputs: with fewer, the kernel transform, whose cost is constant, takes longer than the products it saves."""
MIN_WIDE_OUTPUTS = 2048
"""Fewest outputs for 2x4 tiles: with fewer, transforming the kernel to 24 points instead of 16 does not pay off."""


@dataclass(frozen=True)
class Transform:
    """Transform matrices of one axis: ``inputs`` is B^T, ``kernel`` is G, ``outputs`` is A^T."""

    inputs: Matrix
    kernel: Matrix
    outputs: Matrix


def best_tile(outputs: int, channels: int) -> Pair | None:
    """Return the (height, width) of the fastest tile on CPU; None if the direct convolution is faster.

    Milliseconds on two cores with AVX-512, float32: output, input gradient and kernel gradient.

        N H W I O             direct               2x2                  2x4                  PyTorch (oneDNN)
        8 64 64 256 256       159   157   214      101    97   113       84    85   101      107   110   132
        8 32 32 512 512       140   141   163       75    76    86       68    66    74      103   101   115
        8 16 16 512 512        38    34    42       22    22    24       20    20    21       24    25    30
        8 8 8 512 512          13    13    12        6     6     6       11    11     6        8     9    10
        8 4 4 512 512           4     9     5        6     6     6        8     8     7        4     4     5
        8 64 64 128 128        37    33    75       33    31    43       28    28    39       26    29    29
        32 32 32 64 64         18    17    25       13    13    32        9    13    27        7     7    10

    The largest float32 error, relative to the largest output, grows from 5e-7 (direct) to 6e-7 (2x2) and 1.3e-6 (2x4).
    Tiles of 4x4 have an error of 4e-6 and are not used.

    Args:
        outputs: number of output pixels, over all examples.
        channels: the smaller of the numbers of input and output channels.
    """
    if channels < MIN_CHANNELS or outputs < MIN_OUTPUTS:
        return None
    return (2, 4) if outputs >= MIN_WIDE_OUTPUTS else (2, 2)


def conv3x3(
    x: Float[Array, "n h w i"], kernel: Float[Array, "3 3 i o"], padding: tuple[Pair, Pair], tile: Pair
) -> Float[Array, "n u v o"]:
    """Convolve: ``y[u] = sum_i x[u + i - lo] kernel[i]``.

    Args:
        x: [N, H, W, I].
        kernel: [3, 3, I, O].
        padding: zeros ((above, below), (left, right)); negative numbers crop.
        tile: (height, width) of a tile of outputs, each 2 or 4.

    Returns:
        [N, H + above + below - 2, W + left + right - 2, O].
    """
    return _convolve(x, [list(row) for row in kernel], padding, tile, contract=0)


def conv3x3_transpose(
    y: Float[Array, "n u v o"], kernel: Float[Array, "3 3 i o"], padding: tuple[Pair, Pair], size: Pair, tile: Pair
) -> Float[Array, "n h w i"]:
    """Compute the adjoint of ``conv3x3`` in ``x``, which is a convolution: ``x[t] = sum_i kernel[i] y[t - i + lo]``.

    The products use the kernel in its stored layout, because transposing its channels would take as long as the
    products.

    Args:
        y: [N, U, V, O].
        kernel: [3, 3, I, O], the kernel of the forward convolution.
        padding: padding of the forward convolution.
        size: (H, W) of the result; the forward convolution maps (H, W) to (U, V).
        tile: (height, width) of a tile of the result, each 2 or 4.

    Returns:
        [N, H, W, I].
    """
    rows, columns = ((2 - lo, h + lo - u) for h, u, (lo, _) in zip(size, y.shape[1:3], padding, strict=True))
    turned = [[kernel[2 - i, 2 - j] for j in range(TAPS)] for i in range(TAPS)]
    return _convolve(y, turned, (rows, columns), tile, contract=1)


def _convolve(x: Array, kernel: Grid, padding: tuple[Pair, Pair], tile: Pair, *, contract: int) -> Array:
    """Convolve ``x`` with a grid of taps; ``contract`` is the axis of the taps that holds the channels of ``x``."""
    rows, columns = (transform(size) for size in tile)
    height, width = (size + sum(pad) - TAPS + 1 for size, pad in zip(x.shape[1:3], padding, strict=True))
    inputs = _input_points(x, padding, (height, width), tile)
    weights = _both_axes(rows.kernel, columns.kernel, kernel)
    outputs = _both_axes(rows.outputs, columns.outputs, _products(inputs, weights, 1, contract))
    n, u, v = x.shape[0], -(-height // tile[0]), -(-width // tile[1])
    image = jnp.stack([jnp.stack([y.reshape(n, u, v, -1) for y in row], axis=3) for row in outputs], axis=2)
    return image.reshape(n, u * tile[0], v * tile[1], -1)[:, :height, :width]


def kernel_gradient3x3(
    x: Float[Array, "n h w i"], y: Float[Array, "n u v o"], padding: tuple[Pair, Pair], tile: Pair
) -> Float[Array, "3 3 i o"]:
    """Compute the adjoint of ``conv3x3`` in the kernel: ``kernel[i] = sum_{n, u} x[n, u + i - lo]^T y[n, u]``.

    Args:
        x: [N, H, W, I].
        y: [N, H + above + below - 2, W + left + right - 2, O].
        padding: padding of the forward convolution.
        tile: (height, width) of a tile of ``y``, each 2 or 4.

    Returns:
        [3, 3, I, O].
    """
    rows, columns = (transform(size) for size in tile)
    inputs = _input_points(x, padding, y.shape[1:3], tile)
    outputs = _both_axes(_transpose(rows.outputs), _transpose(columns.outputs), _slices(y, y.shape[1:3], tile, tile))
    kernel = _both_axes(_transpose(rows.kernel), _transpose(columns.kernel), _products(inputs, outputs, 0, 0))
    return jnp.stack([jnp.stack(row) for row in kernel])


def _input_points(x: Array, padding: tuple[Pair, Pair], outputs: Sequence[int], tile: Pair) -> Grid:
    """Transform every tile of ``x`` to the points: a grid of arrays [N * tiles, I]."""
    rows, columns = (transform(size) for size in tile)
    (above, _), (left, _) = padding
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (above, 0, 0), (left, 0, 0), (0, 0, 0)))
    window = tile[0] + TAPS - 1, tile[1] + TAPS - 1
    return _both_axes(rows.inputs, columns.inputs, _slices(x, outputs, tile, window))


def _slices(x: Array, outputs: Sequence[int], tile: Pair, window: Pair) -> Grid:
    """Return a grid whose entry (i, j) holds pixel (i, j) of the windows of all tiles; outside pixels are 0."""
    n, height, width, channels = x.shape
    u, v = -(-outputs[0] // tile[0]), -(-outputs[1] // tile[1])
    below, right = (u - 1) * tile[0] + window[0] - height, (v - 1) * tile[1] + window[1] - width
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, below, 0), (0, right, 0), (0, 0, 0)))

    def pixel(i: int, j: int) -> Array:
        last = i + (u - 1) * tile[0], j + (v - 1) * tile[1]
        return x[:, i : last[0] + 1 : tile[0], j : last[1] + 1 : tile[1]].reshape(n * u * v, channels)

    return [[pixel(i, j) for j in range(window[1])] for i in range(window[0])]


def _both_axes(rows: Matrix, columns: Matrix, grid: Grid) -> Grid:
    """Compute ``rows grid columns^T``."""
    half = [[_combine(row, column) for column in zip(*grid, strict=True)] for row in rows]
    return [[_combine(column, line) for column in columns] for line in half]


def _products(left: Grid, right: Grid, *axes: int) -> Grid:
    """Multiply matrices at every point, contracting one axis of each factor."""
    return [[jnp.tensordot(a, b, axes) for a, b in zip(*pair, strict=True)] for pair in zip(left, right, strict=True)]


def _combine(coefficients: Sequence[float], arrays: Sequence[Array]) -> Array:
    """Return the weighted sum of ``arrays``, skipping terms with coefficient 0."""
    terms = [a if c == 1 else c * a for c, a in zip(coefficients, arrays, strict=True) if c]
    return sum(terms[1:], terms[0])


@cache
def transform(size: int) -> Transform:
    """Return the transform F(size, 3), for tiles of ``size`` outputs and three taps."""
    points = POINTS[size]
    others = [[q for q in points if q != p] for p in points]
    inputs = [[*_polynomial(roots), Fraction(0)] for roots in others] + [_polynomial(points)]
    scales = [_value(_polynomial(roots), p) for roots, p in zip(others, points, strict=True)]
    kernel = [[p**i / scale for i in range(TAPS)] for p, scale in zip(points, scales, strict=True)] + [[0, 0, 1]]
    outputs = [[*(p**i for p in points), int(i == size - 1)] for i in range(size)]
    return Transform(_floats(inputs), _floats(kernel), _floats(outputs))


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients, lowest power first, of the product of (t - root) over the roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        raised, scaled = [Fraction(0), *coefficients], [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(raised, scaled, strict=True)]
    return coefficients


def _value(coefficients: Sequence[Fraction], t: Fraction) -> Fraction:
    return sum((c * t**i for i, c in enumerate(coefficients)), Fraction(0))


def _floats(matrix: Sequence[Sequence[Fraction | int]]) -> Matrix:
    return tuple(tuple(float(number) for number in row) for row in matrix)


def _transpose(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


POINTS = {
    2: [Fraction(0), Fraction(1), Fraction(-1)],
    4: [Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)],
}
"""Points where the polynomials are multiplied, besides infinity; for 4, the simple fractions with the least error."""
