"""Affine maps of the plane as homogeneous matrices, and images looked up at arbitrary places.

Points are columns (x, y, 1), x to the right and y down, so that positive angles turn clockwise on the screen.
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
    """Moves points by (x, y): [N] each -> [N, 3, 3]."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    return _matrices([[one, zero, x], [zero, one, y], [zero, zero, one]])


def scaling(x: PerExample, y: PerExample) -> Matrices:
    """Multiplies the coordinates by x and y: [N] each -> [N, 3, 3]."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    return _matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: PerExample) -> Matrices:
    """Turns points about the origin by an angle in radians, from the x axis towards the y axis: [N] -> [N, 3, 3]."""
    c, s, one, zero = jnp.cos(angle), jnp.sin(angle), jnp.ones_like(angle), jnp.zeros_like(angle)
    return _matrices([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def product(*matrices: Matrices) -> Matrices:
    """The maps one after the other, the last one first; full precision also where products usually have less."""
    return reduce(lambda a, b: jnp.einsum("nij,njk->nik", a, b, precision=lax.Precision.HIGHEST), matrices)


def mapped(matrices: Matrices, x: Float[Array, "_ _"], y: Float[Array, "_ _"]) -> tuple[Grid, Grid]:
    """The points (x, y), arrays that broadcast to [H, W], under each of the maps: two arrays [N, H, W]."""
    a, b, c, d, e, f = (matrices[:, i, j, None, None] for i in (0, 1) for j in (0, 1, 2))
    return a * x[None] + b * y[None] + c, d * x[None] + e * y[None] + f


def bilinear(images: Float[Array, "_n _h _w _c"], x: Grid, y: Grid) -> Float[Array, "_n _h2 _w2 _c"]:
    """The images at points, interpolated linearly between four pixels; there are zeros around an image.

    Args:
        images: [N, H, W, C].
        x: columns [N, h, w]; pixel j is at j, whole numbers are pixels.
        y: rows [N, h, w].

    Returns:
        [N, h, w, C]. It is linear in the images, and differentiable any number of times.
    """
    height, width, channels = images.shape[1:]
    padded = lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    (column, to_right), (row, to_bottom) = _split(x, width), _split(y, height)

    def square(image: Array, row: Array, column: Array) -> Array:
        return lax.dynamic_slice(image, (row, column, jnp.zeros_like(row)), (2, 2, channels))

    over_grid = jax.vmap(jax.vmap(square, in_axes=(None, 0, 0)), in_axes=(None, 0, 0))
    squares = jax.vmap(over_grid)(padded, row, column)
    upper, lower = (_between(squares[..., i, 0, :], squares[..., i, 1, :], to_right) for i in (0, 1))
    return _between(upper, lower, to_bottom)


def _split(x: Grid, size: int) -> tuple[Int[Array, "_n _h _w"], Grid]:
    """The pixel before each coordinate, counted in the image with a border, and the way to the one after it, 0 to 1."""
    x = jnp.clip(x, -1, size)
    before = jnp.clip(jnp.floor(x), -1, size - 1)
    return before.astype(jnp.int32) + 1, x - before


def _between(a: Array, b: Array, share: Grid) -> Array:
    return a + (b - a) * share[..., None].astype(a.dtype)


def _matrices(rows: list[list[PerExample]]) -> Matrices:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
