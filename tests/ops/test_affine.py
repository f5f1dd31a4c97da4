"""Affine maps and bilinear lookups: records of PyTorch's grid_sample, and truths of geometry."""

import math
import re
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, nchw, nhwc, run

from ganzoo.ops import affine


def looked_up(theta: Any, x: Any, cot: Any) -> dict[str, jax.Array]:
    """What the original does: theta maps places in the result to places in the image, which go from -1 to 1."""
    (height, width), (rows, columns) = x.shape[2:], cot.shape[2:]
    last = jnp.broadcast_to(jnp.asarray([[[0, 0, 1]]], theta.dtype), (len(theta), 1, 3))
    across, down = ((2 * jnp.arange(size) + 1) / size - 1 for size in (columns, rows))
    grid = affine.mapped(jnp.concatenate([theta, last], axis=1), across[None, :], down[:, None])
    places = [((g + 1) * size - 1) / 2 for g, size in zip(grid, (width, height), strict=True)]
    y, back = jax.vjp(lambda x: affine.bilinear(x, *places), jnp.asarray(nhwc(x)))
    return {"grid": jnp.stack(grid, axis=-1), "y": nchw(y), "dx": nchw(back(jnp.asarray(nhwc(cot)))[0])}


@golden_cases.over(golden_cases.cases("ops/grid_sample"))
def test_records(case: Case) -> None:
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype == np.float64):
            inputs = case.inputs(dtype)
            golden_cases.assert_recorded(case, run(looked_up, inputs["theta"], inputs["x"], inputs["cot"]))


def test_pixels_are_themselves_and_zeros_are_around_them() -> None:
    image = draw(0, 1, 3, 4, 2)
    x, y = np.meshgrid(np.arange(-3.0, 7), np.arange(-2.0, 5))
    seen = run(affine.bilinear, image, x[None].astype(np.float32), y[None].astype(np.float32))
    np.testing.assert_array_equal(seen[0], np.pad(image[0], ((2, 2), (3, 3), (0, 0))))


def test_the_gradient_of_a_gradient_is_that_of_the_definition(doubles: None) -> None:
    image, x, y = (jnp.asarray(a) for a in (draw(0, 2, 4, 5, 1), 3 * draw(1, 2, 3, 3) + 2, 3 * draw(2, 2, 3, 3) + 2))

    def tents(image: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        """The definition: every pixel times its tent at the place."""
        (rows, columns) = (
            jnp.maximum(0, 1 - jnp.abs(place[..., None] - jnp.arange(size)[None, None, None]))
            for place, size in ((y, image.shape[1]), (x, image.shape[2]))
        )
        return jnp.einsum("nijh,nijw,nhwc->nijc", rows, columns, image)

    def derivatives(lookup: Any, image: jax.Array) -> tuple:
        cubes = jax.grad(lambda image: jnp.sum(lookup(image, x, y) ** 3))
        return lookup(image, x, y), cubes(image), jax.grad(lambda image: jnp.sum(cubes(image) ** 2))(image)

    ours, theirs = (run(lambda image, f=f: derivatives(f, image), image) for f in (affine.bilinear, tents))
    golden_cases.assert_near(ours, theirs, 1e-12)


def test_both_lookups_are_one_function(doubles: None) -> None:
    """In value, first and second derivative, at the corners, too."""
    image, random = jnp.asarray(draw(0, 4, 5, 2)), np.random.default_rng(1)
    row, column = (jnp.asarray([*random.integers(0, last, 8), 0, last]).reshape(2, 5) for last in (2, 3))

    def all_of(lookup: Any, image: jax.Array) -> tuple:
        def cubes(image: jax.Array) -> jax.Array:
            return sum((jnp.sum((i + 1) * part**3) for i, part in enumerate(lookup(image, row, column))), jnp.zeros(()))

        slopes = jax.grad(cubes)
        return lookup(image, row, column), slopes(image), jax.grad(lambda image: jnp.sum(slopes(image) ** 2))(image)

    lookups = affine._by_pixels, affine._by_squares
    one, other = (run(lambda image, f=f: all_of(f, image), image) for f in lookups)
    golden_cases.assert_near(one, other, 1e-12)


@pytest.mark.parametrize(("platform", "widest"), [("cpu", 4), ("tpu", 1), ("cuda", 1)])
def test_only_a_cpu_looks_up_squares(platform: str, widest: int) -> None:
    args = jnp.ones((1, 5, 6, 3)), jnp.ones((1, 4, 4)), jnp.ones((1, 4, 4))
    text = jax.jit(affine.bilinear).trace(*args).lower(lowering_platforms=(platform,)).as_text()
    sizes = re.findall(r"slice_sizes = array<i64: ([\d, ]+)>", text)
    assert max(math.prod(map(int, size.split(","))) // 3 for size in sizes) == widest


def test_matrices_act_on_points_from_the_right_to_the_left() -> None:
    angle, two = jnp.asarray([np.pi / 2], jnp.float32), jnp.asarray([2.0])
    three = jnp.asarray([3.0])
    matrix = affine.product(affine.translation(two, three), affine.rotation(angle), affine.scaling(two, three))
    x, y = affine.mapped(matrix, jnp.asarray([[1.0]]), jnp.asarray([[1.0]]))
    # (1, 1) -> (2, 3) -> a quarter turn from x to y: (-3, 2) -> (-1, 5)
    assert (float(x[0, 0, 0]), float(y[0, 0, 0])) == pytest.approx((-1, 5), abs=1e-6)
