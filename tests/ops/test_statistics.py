"""Normalisation and minibatch standard deviation: the records of the original, their truths, and many devices."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, nchw, nhwc, run
from jax.sharding import Mesh, PartitionSpec

from ganzoo.ops.statistics import minibatch_stddev, pixel_norm

# Records ------------------------------------------------------------------------------------------------------------


@golden_cases.over(golden_cases.cases("ops/layers_sg2", layer="MinibatchStdLayer"))
def test_recorded_minibatch_stddev(case: Case) -> None:
    options = {"group_size": case.options["group_size"], "channels": case.options["num_channels"]}

    def value_and_gradient(x: jax.Array, cot: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, back = jax.vjp(lambda x: nchw(minibatch_stddev(nhwc(x), **options)), x)
        return y, back(cot)[0]

    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            y, dx = run(value_and_gradient, case["in/x"].astype(dtype), case["in/cot"].astype(dtype))
            golden_cases.assert_recorded(case, {"y": y})
            golden_cases.assert_near(dx, case["grad/sum(y*cot)/__in__/x"])


@golden_cases.over(golden_cases.cases("ops/layers_sg2", case="normalize_2nd_moment"))
def test_recorded_pixel_norm(case: Case) -> None:
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            golden_cases.assert_recorded(case, {"y": run(pixel_norm, case["in/x"].astype(dtype))})


# Truths -------------------------------------------------------------------------------------------------------------


def features(n: int = 8, channels: int = 6, seed: int = 8) -> np.ndarray:
    return draw(seed, n, 4, 3, channels)


def test_normalised_vectors_have_a_mean_square_of_one(doubles: None) -> None:
    y, shorter = run(lambda x: (pixel_norm(100 * x), pixel_norm(x)), features())
    np.testing.assert_allclose(np.square(y).mean(axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose(y, shorter, atol=1e-6)
    assert np.isfinite(run(jax.grad(lambda x: jnp.sum(pixel_norm(x))), np.zeros((1, 4)))).all()


def test_groups_are_strided(doubles: None) -> None:
    def both(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return minibatch_stddev(x, group_size=4), minibatch_stddev(x.at[6].mul(3), group_size=4)

    x = features()
    y, changed = map(np.asarray, run(both, x))
    np.testing.assert_array_equal(y[..., :-1], x)
    statistics = y[:, 0, 0, -1]
    np.testing.assert_array_equal(y[..., -1], np.broadcast_to(statistics[:, None, None], (8, 4, 3)))
    for group in (0, 1):  # of eight images in groups of four, 0 2 4 6 and 1 3 5 7
        deviation = x[group::2].std(axis=0)
        np.testing.assert_allclose(statistics[group::2], np.full(4, deviation.mean()), rtol=1e-6)
    assert statistics[0] != statistics[1]
    assert (changed[:, 0, 0, -1] != statistics).tolist() == [True, False] * 4


def test_every_statistic_has_its_share_of_the_features(doubles: None) -> None:
    x = features(4)
    y = run(partial(minibatch_stddev, group_size=None, channels=3), x)
    deviations = x.std(axis=0).mean(axis=(0, 1)).reshape(3, 2).mean(axis=1)
    np.testing.assert_allclose(np.asarray(y)[0, 0, 0, 6:], deviations, rtol=1e-6)


def test_equal_images_have_a_finite_gradient() -> None:
    gradient = jax.grad(lambda x: jnp.sum(minibatch_stddev(x, group_size=4) ** 2))
    assert np.isfinite(run(gradient, np.ones((4, 2, 2, 3), np.float32))).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_keeps_its_type(dtype: jnp.dtype) -> None:
    x = (300 * features()).astype(dtype)  # the squares overflow in float16
    y, exact = (run(partial(minibatch_stddev, group_size=None), x.astype(t)) for t in (dtype, np.float32))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, np.asarray(exact).astype(dtype))


def test_mistakes_are_named() -> None:
    x = jnp.ones((6, 2, 2, 4))
    with pytest.raises(ValueError, match="groups of 4 in a batch of 6"):
        minibatch_stddev(x, group_size=4)
    with pytest.raises(ValueError, match="3 statistics of 4 features"):
        minibatch_stddev(x, group_size=3, channels=3)


# Devices ------------------------------------------------------------------------------------------------------------


def value_and_gradient(options: dict[str, Any], x: jax.Array, cot: jax.Array) -> tuple[jax.Array, jax.Array]:
    y, back = jax.vjp(partial(minibatch_stddev, **options), x)
    return y, back(cot)[0]


@pytest.fixture(params=[(4, 1), (None, 2), (2, 3)], ids=str)
def part(request: pytest.FixtureRequest, doubles: None) -> tuple[Any, tuple, tuple]:
    """A function of a part of the batch, its whole batch, and the result for that on one device."""
    f = partial(value_and_gradient, {"group_size": request.param[0], "channels": request.param[1]})
    args = features(16), features(16, 6 + request.param[1], seed=9)
    return f, args, run(f, *args)


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_sees_the_whole_batch(part: tuple, check_vma: bool) -> None:
    f, args, expected = part
    mesh, data = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data")
    mapped = jax.shard_map(f, mesh=mesh, in_specs=(data, data), out_specs=(data, data), check_vma=check_vma)
    golden_cases.assert_near(run(mapped, *args), expected, 1e-12)


def test_pmap_sees_the_whole_batch(part: tuple) -> None:
    f, args, expected = part
    parts = jax.pmap(f, axis_name="data")(*(a.reshape(8, 2, *a.shape[1:]) for a in args))
    golden_cases.assert_near(jax.tree.map(lambda a: a.reshape(16, *a.shape[2:]), parts), expected, 1e-12)
