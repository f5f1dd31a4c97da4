"""Affine maps of the plane as homogeneous matrices, and bilinear sampling of images at arbitrary points.

Points are column vectors (x, y, 1); x points right and y points down, so positive angles turn clockwise on the screen.
"""

from functools import reduce
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Matrices: TypeAlias = Float[Array, "_n 3 3"]
PerExample: TypeAlias = Float[Array, " _n"]
Grid: TypeAlias = Float[Array, "_n _h _w"]


def translation(x: PerExample, y: PerExample) -> Matrices:
    """Return the maps that move points by (x, y): [N] each -> [N, 3, 3]."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    return _matrices([[one, zero, x], [zero, one, y], [zero, zero, one]])


def scaling(x: PerExample, y: PerExample) -> Matrices:
    """Return the maps that multiply the coordinates by x and y: [N] each -> [N, 3, 3]."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    return _matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: PerExample) -> Matrices:
    """Return the rotations about the origin by an angle in radians, from the x axis to the y axis: [N] -> [N, 3, 3]."""
    c, s, one, zero = jnp.cos(angle), jnp.sin(angle), jnp.ones_like(angle), jnp.zeros_like(angle)
    return _matrices([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def product(*matrices: Matrices) -> Matrices:
    """Multiply matrices [N, 3, 3]; the last map is applied first. Always at ``Precision.HIGHEST``."""
    return reduce(lambda a, b: jnp.einsum("nij,njk->nik", a, b, precision=lax.Precision.HIGHEST), matrices)


def mapped(matrices: Matrices, x: Float[Array, "_ _"], y: Float[Array, "_ _"]) -> tuple[Grid, Grid]:
    """Apply each map [N, 3, 3] to the points (x, y), two arrays that broadcast to [H, W]; return x and y [N, H, W]."""
    a, b, c, d, e, f = (matrices[:, i, j, None, None] for i in (0, 1) for j in (0, 1, 2))
    return a * x[None] + b * y[None] + c, d * x[None] + e * y[None] + f


def bilinear(images: Float[Array, "_n _h _w _c"], x: Grid, y: Grid) -> Float[Array, "_n _h2 _w2 _c"]:
    """Sample images at points by bilinear interpolation; outside of an image all pixels are 0.

    Args:
        images: [N, H, W, C].
        x: columns [N, h, w], in pixels; the centre of pixel j is at j.
        y: rows [N, h, w], in pixels.

    Returns:
        [N, h, w, C]; linear in the images, and differentiable any number of times.
    """
    height, width = images.shape[1:3]
    padded = lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    (column, to_right), (row, to_bottom) = _split(x, width), _split(y, height)
    by_pixels = jax.vmap(_by_pixels)
    pixels = lax.platform_dependent(padded, row, column, cpu=jax.vmap(_by_squares), default=by_pixels)
    upper, lower = (_between(left, right, to_right) for left, right in (pixels[:2], pixels[2:]))
    return _between(upper, lower, to_bottom)


def _by_pixels(image: Array, row: Array, column: Array) -> tuple[Array, ...]:
    """Look up pixels [h, w, C] of an image [H, W, C] at places [h, w], and those to the right, below, and of both.

    Each by itself: as squares, a TPU pads them to whole tiles (70 times the memory), and adds up the gradient in a loop
    over the points.
    """
    steps = ((0, 0), (0, 1), (1, 0), (1, 1))
    return tuple(image.at[row + below, column + right].get(mode="promise_in_bounds") for below, right in steps)


def _by_squares(image: Array, row: Array, column: Array) -> tuple[Array, ...]:
    """Do the same by squares of 2 x 2 pixels, which takes a CPU half the time."""

    def square(row: Array, column: Array) -> Array:
        return lax.dynamic_slice(image, (row, column, jnp.zeros_like(row)), (2, 2, image.shape[2]))

    squares = jax.vmap(jax.vmap(square))(row, column)
    return tuple(squares[..., below, right, :] for below in (0, 1) for right in (0, 1))


def _split(x: Grid, size: int) -> tuple[Int[Array, "_n _h _w"], Grid]:
    """Split coordinates into the pixel before, as an index of the zero-padded image, and the fraction in [0, 1]."""
    x = jnp.clip(x, -1, size)
    before = jnp.clip(jnp.floor(x), -1, size - 1)
    return before.astype(jnp.int32) + 1, x - before


def _between(a: Array, b: Array, share: Grid) -> Array:
    return a + (b - a) * share[..., None].astype(a.dtype)


def _matrices(rows: list[list[PerExample]]) -> Matrices:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
