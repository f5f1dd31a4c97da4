"""Convolutions by Winograd's minimal filtering algorithm: 3x3 with stride 1, and 4x4 with stride 2.

A tile of ``m`` neighbouring outputs of a correlation with ``r`` taps is a bilinear function of ``m + r - 1`` inputs,

    y = A^T [(G k) * (B^T x)],

with ``m + r - 1`` multiplications instead of ``r m``: the polynomials are multiplied at ``m + r - 1`` points. In two
dimensions each axis is transformed in turn, and summing over channels turns every point into a matrix product. The
transforms are sums of shifted images, which the compiler fuses. With three taps, tiles of 2x2 outputs take 16 products
instead of 36, and tiles of 2x4 outputs 24 instead of 72.

A 4x4 convolution with stride 2 is a 2x2 convolution with stride 1 of an image of half the size, whose pixels are blocks
of 2x2 pixels ("space to depth"): tiles of 2x2 outputs take 9 products instead of 16, tiles of 2x4 outputs 15 instead of
32.

The two gradients are the transposes of the same bilinear form: ``dk = G^T [(A dy) * (B^T x)]`` and
``dx = B [(G k) * (A dy)]``. The input gradient of a 3x3 convolution is computed as the 3x3 convolution that it is.

Reference: Lavin and Gray (2015), Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ganzoo.ops.apart import apart

Pair = tuple[int, int]
Matrix = tuple[tuple[float, ...], ...]
Grid = list[list[Array]]

POINTS = {
    3: [Fraction(0), Fraction(1)],
    4: [Fraction(0), Fraction(1), Fraction(-1)],
    5: [Fraction(0), Fraction(1, 2), Fraction(-1), Fraction(2)],
    6: [Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)],
}
"""Points where the polynomials are multiplied, besides infinity, by their number with it; simple fractions with the
least error of float32."""

MIN_CHANNELS = 64
"""Fewest channels: with fewer, the transforms take longer than the products they save."""
MIN_OUTPUTS = 256
"""Fewest outputs: with fewer, the kernel transform, whose cost is constant, takes longer than the products it saves."""
MIN_WIDE_OUTPUTS = 2048
"""Fewest outputs for 2x4 tiles: with fewer, transforming the kernel to 24 points instead of 16 does not pay off."""

STORED_POINTS = 4
"""Fewest points of an axis of which the first half of a transform is stored. Stored, the 3x3 convolutions of a whole
StyleGAN2 take the same time, and those of a StyleGAN3 of 256 pixels compile in 7/10 of it; strided 4x4 ones would take
5 to 10% longer."""


@dataclass(frozen=True)
class Transform:
    """Transform matrices of one axis: ``inputs`` is B^T, ``kernel`` is G, ``outputs`` is A^T."""

    inputs: Matrix
    kernel: Matrix
    outputs: Matrix


def best_tile(outputs: int, channels: int) -> Pair | None:
    """Return the (height, width) of the fastest tile on CPU, for both kinds; None if the definition is faster.

    Milliseconds of 3x3 on two cores with AVX-512, float32: output, input gradient and kernel gradient.

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

    CPU milliseconds of 4x4 with stride 2 on a busy machine with AVX2, 64 images, jax 0.10.2. The transpose takes 2x2
    tiles always. Errors: at most 9e-7 (direct), 1.6e-6 (2x2) and 1.5e-6 (2x4).

        H W I O               direct               2x2                  2x4
        8 8 256 512            83    64    70       42    39    46        -     -     -
        16 16 128 256          66    69    74       41    43    55       37    44    46
        32 32 64 128           74    81    97       53    54    65       43    69    56

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
    return _convolve(_padded(x, padding), kernel, tile, contract=0)


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
    return _convolve(_padded(y, (rows, columns)), kernel[::-1, ::-1], tile, contract=1)


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
    return _kernel_gradient(_padded(x, padding), y, tile, 3)


def conv4x4(
    x: Float[Array, "n h w i"], kernel: Float[Array, "4 4 i o"], padding: tuple[Pair, Pair], tile: Pair
) -> Float[Array, "n u v o"]:
    """Convolve with stride 2: ``y[u] = sum_i x[2 u + i - lo] kernel[i]``.

    Args:
        x: [N, H, W, I].
        kernel: [4, 4, I, O].
        padding: zeros ((above, below), (left, right)).
        tile: (height, width) of a tile of outputs, each 2 or 4.

    Returns:
        [N, (H + above + below) // 2 - 1, (W + left + right) // 2 - 1, O].
    """
    return _convolve(_space_to_depth(x, padding), _block_taps(kernel), tile, contract=0)


def conv4x4_transpose(
    y: Float[Array, "n u v o"], kernel: Float[Array, "4 4 i o"], padding: tuple[Pair, Pair], size: Pair, tile: Pair
) -> Float[Array, "n h w i"]:
    """Compute the adjoint of ``conv4x4`` in ``x``: ``x[t] = sum_{2 u + i - lo = t} kernel[i] y[u]``.

    Every tile of ``y`` makes a window of blocks that is one block longer than the tile; windows overlap by one block.

    Args:
        y: [N, U, V, O].
        kernel: [4, 4, I, O], the kernel of the forward convolution.
        padding: padding of the forward convolution.
        size: (H, W) of the result; the forward convolution maps (H, W) to (U, V).
        tile: (height, width) of a tile of ``y``, each 2 or 4.

    Returns:
        [N, H, W, I].
    """
    rows, columns = (transform(length, 2) for length in tile)
    n, u, v = y.shape[0], *_tiles(y.shape[1:3], tile)
    weights = _kernel_points(_block_taps(kernel), rows, columns)
    points = _products(_output_points(y, tile, 2), weights, 1, 1)
    windows = _both_axes(_transpose(rows.inputs), _transpose(columns.inputs), points)
    lines = [_overlap([block.reshape(n, u, v, -1) for block in window], axis=2) for window in windows]
    blocks = _transpose([_overlap(line, axis=1) for line in _transpose(lines)])
    image = _depth_to_space(blocks)
    (above, _), (left, _) = padding
    below, right = (
        length + edge - whole for length, edge, whole in zip(size, (above, left), image.shape[1:3], strict=True)
    )
    return _padded(image, ((-above, below), (-left, right)))


def kernel_gradient4x4(
    x: Float[Array, "n h w i"], y: Float[Array, "n u v o"], padding: tuple[Pair, Pair], tile: Pair
) -> Float[Array, "4 4 i o"]:
    """Compute the adjoint of ``conv4x4`` in the kernel: ``kernel[i] = sum_{n, u} x[n, 2 u + i - lo]^T y[n, u]``.

    Args:
        x: [N, H, W, I].
        y: [N, (H + above + below) // 2 - 1, (W + left + right) // 2 - 1, O].
        padding: padding of the forward convolution.
        tile: (height, width) of a tile of ``y``, each 2 or 4.

    Returns:
        [4, 4, I, O].
    """
    taps = _kernel_gradient(_space_to_depth(x, padding), y, tile, 2)
    blocks = taps.reshape(2, 2, 2, 2, x.shape[3], y.shape[3])
    return blocks.transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, x.shape[3], y.shape[3])


# The bilinear form --------------------------------------------------------------------------------------------------


def _convolve(x: Array, kernel: Array, tile: Pair, *, contract: int) -> Array:
    """Convolve ``x`` with taps; ``contract`` is the axis of each tap that holds the channels of ``x``."""
    taps = len(kernel)
    rows, columns = (transform(length, taps) for length in tile)
    height, width = (length - taps + 1 for length in x.shape[1:3])
    inputs = _input_points(x, (height, width), tile, taps)
    weights = _kernel_points(kernel, rows, columns)
    outputs = _both_axes(rows.outputs, columns.outputs, _products(inputs, weights, 1, contract))
    n, u, v = x.shape[0], *_tiles((height, width), tile)
    image = jnp.stack([jnp.stack([y.reshape(n, u, v, -1) for y in row], axis=3) for row in outputs], axis=2)
    return image.reshape(n, u * tile[0], v * tile[1], -1)[:, :height, :width]


def _kernel_gradient(x: Array, y: Array, tile: Pair, taps: int) -> Array:
    """Return the kernel gradient [taps, taps, I, O] of a stride-1 convolution that maps ``x`` to ``y``."""
    rows, columns = (transform(length, taps) for length in tile)
    points = _products(_input_points(x, y.shape[1:3], tile, taps), _output_points(y, tile, taps), 0, 0)
    gradient = _both_axes(_transpose(rows.kernel), _transpose(columns.kernel), points)
    return jnp.stack([jnp.stack(row) for row in gradient])


def _input_points(x: Array, outputs: Sequence[int], tile: Pair, taps: int) -> Grid:
    """Transform the windows of all tiles of ``x`` to the points: a grid of arrays [N * tiles, I]."""
    rows, columns = (transform(length, taps) for length in tile)
    return _points(x, rows.inputs, columns.inputs, _tiles(outputs, tile), tile)


def _output_points(y: Array, tile: Pair, taps: int) -> Grid:
    """Transform all tiles of the gradient ``y`` to the points: a grid of arrays [N * tiles, O]."""
    rows, columns = (transform(length, taps) for length in tile)
    return _points(y, _transpose(rows.outputs), _transpose(columns.outputs), _tiles(y.shape[1:3], tile), tile)


def _kernel_points(kernel: Array, rows: Transform, columns: Transform) -> Grid:
    """Transform a kernel [taps, taps, I, O] to the points: a grid of arrays [I, O]."""
    if not _is_stored(rows.kernel):
        return _both_axes(rows.kernel, columns.kernel, [list(line) for line in kernel])
    lines = apart(_kernel_lines, kernel, rows=rows.kernel)
    return [_combinations(list(line), columns.kernel) for line in lines]


def _kernel_lines(kernel: Array, rows: Matrix) -> list[Array]:
    """Transform the rows of a kernel: arrays [taps, I, O]."""
    return _combinations(list(kernel), rows)


def _tiles(outputs: Sequence[int], tile: Pair) -> Pair:
    """Return how many tiles cover the outputs on each axis."""
    return -(-outputs[0] // tile[0]), -(-outputs[1] // tile[1])


def _points(x: Array, rows: Matrix, columns: Matrix, tiles: Pair, tile: Pair) -> Grid:
    """Transform windows of ``x`` to points: a grid of arrays [N * tiles, C].

    Args:
        x: [N, H, W, C]; pixels outside are 0.
        rows: transform of the rows of a window.
        columns: transform of the columns of a window.
        tiles: number of windows along each axis.
        tile: pixels from a window to the next along each axis.
    """
    size = len(rows[0]), len(columns[0])
    shape = x.shape[0] * math.prod(tiles), x.shape[3]
    below, right = (
        (count - 1) * step + length - whole
        for count, step, length, whole in zip(tiles, tile, size, x.shape[1:3], strict=True)
    )

    def across(line: Array) -> list[Array]:
        return [pixels.reshape(shape) for pixels in _strided(line, 2, size[1], tiles[1], tile[1])]

    if not _is_stored(rows):
        lines = _strided(_padded(x, ((0, below), (0, right))), 1, size[0], tiles[0], tile[0])
        return _both_axes(rows, columns, [across(line) for line in lines])
    lines = apart(_line_points, x, rows=rows, edges=(below, right), tiles=tiles[0], step=tile[0])
    return [_combinations(across(line), columns) for line in lines]


def _line_points(x: Array, rows: Matrix, edges: Pair, tiles: int, step: int) -> list[Array]:
    """Pad below and on the right, and transform the rows of windows: arrays [N, tiles, W, C]."""
    return _combinations(_strided(_padded(x, ((0, edges[0]), (0, edges[1]))), 1, len(rows[0]), tiles, step), rows)


def _strided(x: Array, axis: int, window: int, count: int, step: int) -> list[Array]:
    """Return, for every place in a window, the slice of ``x`` along an axis that holds it for all ``count`` windows."""
    last = (count - 1) * step + 1
    return [lax.slice_in_dim(x, place, place + last, step, axis) for place in range(window)]


def _both_axes(rows: Matrix, columns: Matrix, grid: Grid) -> Grid:
    """Compute ``rows grid columns^T``."""
    transformed = apart if _is_stored(rows) else _called
    half = _transpose([transformed(_combinations, column, rows=rows) for column in _transpose(grid)])
    return [_combinations(line, columns) for line in half]


def _products(left: Grid, right: Grid, *axes: int) -> Grid:
    """Multiply matrices at every point, contracting one axis of each factor."""
    return [[jnp.tensordot(a, b, axes) for a, b in zip(*pair, strict=True)] for pair in zip(left, right, strict=True)]


def _is_stored(rows: Matrix) -> bool:
    """Whether to store what a transform of both axes is after the first one.

    XLA computes what is not stored again wherever it is used.
    """
    return max(len(rows), len(rows[0])) >= STORED_POINTS


def _called(function: Callable, *arrays: Any, **settings: Any) -> Any:
    return function(*arrays, **settings)


def _combinations(arrays: Sequence[Array], rows: Matrix) -> list[Array]:
    """Return a weighted sum of ``arrays`` for each row of weights."""
    return [_combine(row, arrays) for row in rows]


def _combine(coefficients: Sequence[float], arrays: Sequence[Array]) -> Array:
    """Return the weighted sum of ``arrays``, skipping terms with coefficient 0."""
    terms = [a if c == 1 else c * a for c, a in zip(coefficients, arrays, strict=True) if c]
    return sum(terms[1:], terms[0])


# Images of blocks ---------------------------------------------------------------------------------------------------


def _padded(x: Array, padding: tuple[Pair, Pair]) -> Array:
    """Add zeros around images [N, H, W, C]; negative numbers crop."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*edges, 0) for edges in padding), (0, 0, 0)))


def _space_to_depth(x: Array, padding: tuple[Pair, Pair]) -> Array:
    """Pad and turn blocks of 2x2 pixels into one: [N, H, W, C] -> [N, H', W', 4 C], ordered (row, column, channel)."""
    even = tuple((lo, hi - (size + lo + hi) % 2) for size, (lo, hi) in zip(x.shape[1:3], padding, strict=True))
    x = _padded(x, (even[0], even[1]))
    n, height, width, channels = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2 * channels)
    return x.transpose(0, 1, 3, 2, 4).reshape(n, height // 2, width // 2, 4 * channels)


def _depth_to_space(blocks: Sequence[Sequence[Array]]) -> Array:
    """Interleave a grid p x q of images of blocks [N, U, V, 4 C] to an image [N, 2 p U, 2 q V, C]."""
    n, u, v, channels = blocks[0][0].shape
    shape = n, u, v, 2, channels // 2
    image = jnp.stack([jnp.stack([block.reshape(shape) for block in row], axis=3) for row in blocks], axis=2)
    return jnp.moveaxis(image, 5, 3).reshape(n, 2 * len(blocks) * u, 2 * len(blocks[0]) * v, channels // 4)


def _block_taps(kernel: Array) -> Array:
    """Return the taps [2, 2, 4 I, O] of a 4x4 kernel, for images of blocks."""
    channels, features = kernel.shape[2:]
    blocks = kernel.reshape(2, 2, 2, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    return blocks.reshape(2, 2, 4 * channels, features)


def _overlap(blocks: Sequence[Array], axis: int) -> list[Array]:
    """Add the last block of every window to the first one of the next window along an axis, which grows by one."""

    def shifted(block: Array, by: int) -> Array:
        edges = [(by, 1 - by) if i + 1 == axis else (0, 0) for i in range(2)]
        return _padded(block, (edges[0], edges[1]))

    first, *middle, last = blocks
    return [shifted(first, 0) + shifted(last, 1), *(shifted(block, 0) for block in middle)]


# Transforms ---------------------------------------------------------------------------------------------------------


@cache
def transform(size: int, taps: int) -> Transform:
    """Return the transform F(size, taps), for tiles of ``size`` outputs."""
    points = POINTS[size + taps - 1]
    others = [[q for q in points if q != p] for p in points]
    inputs = [[*_polynomial(roots), Fraction(0)] for roots in others] + [_polynomial(points)]
    scales = [_value(_polynomial(roots), p) for roots, p in zip(others, points, strict=True)]
    kernel = [[p**i / scale for i in range(taps)] for p, scale in zip(points, scales, strict=True)]
    outputs = [[*(p**i for p in points), int(i == size - 1)] for i in range(size)]
    return Transform(_floats(inputs), _floats([*kernel, [0] * (taps - 1) + [1]]), _floats(outputs))


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


def _transpose(rows: Sequence[Sequence[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(zip(*rows, strict=True))
