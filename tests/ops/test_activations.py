"""Bias, activation, gain and clamp against the records of the original, and against what they are for."""

from functools import partial
from typing import get_args

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case

from ganzoo.ops.activations import ACTIVATIONS, ActivationName, bias_act


def value_and_gradients(case: Case, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    axis = case.options.get("dim", 1)
    options = {name: case.options[name] for name in ("alpha", "gain", "clamp") if name in case.options}

    def activated(x: jax.Array, b: jax.Array | None) -> jax.Array:
        y = bias_act(jnp.moveaxis(x, axis, -1), b, case.options["act"], **options)
        return jnp.moveaxis(y, -1, axis)

    y, back = jax.vjp(activated, arrays["x"], arrays.get("b"))
    dx, db = back(arrays["cot"])
    return {"y": y, "dx": dx} | ({} if db is None else {"db": db})


@golden_cases.over(golden_cases.cases("ops/bias_act"))
def test_records(case: Case) -> None:
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            golden_cases.assert_recorded(case, jax.jit(partial(value_and_gradients, case))(case.inputs(dtype)))


def test_every_activation_is_recorded_and_named() -> None:
    assert {case.options["act"] for case in golden_cases.cases("ops/bias_act")} == set(ACTIVATIONS)
    assert set(get_args(ActivationName)) == set(ACTIVATIONS)


def draws(dtype: jnp.dtype = jnp.float32) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (200_000, 1)).astype(dtype)


@pytest.mark.parametrize(("activation", "moment"), [("linear", 1), ("relu", 1), ("lrelu", 1.04)])
def test_gains_keep_the_second_moment(activation: str, moment: float) -> None:
    assert float(jnp.mean(jnp.square(bias_act(draws(), None, activation)))) == pytest.approx(moment, rel=0.02)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gain_comes_before_the_clamp(activation: str) -> None:
    x, bias = 10 * draws()[:100], jnp.asarray([0.5])
    plain = bias_act(x, bias, activation, gain=1)
    np.testing.assert_allclose(bias_act(x, bias, activation, gain=3), 3 * plain, rtol=1e-6)
    clamped = bias_act(x, bias, activation, gain=3, clamp=0.9)
    np.testing.assert_allclose(clamped, jnp.clip(3 * plain, -0.9, 0.9), rtol=1e-6)


def test_clamped_values_have_no_gradient() -> None:
    gradient = jax.grad(lambda x: jnp.sum(bias_act(x, None, clamp=1)))(jnp.asarray([[-2.0, -0.5, 0.5, 2.0]]))
    np.testing.assert_array_equal(gradient, [[0, 1, 1, 0]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_rounded_once(dtype: jnp.dtype) -> None:
    x, bias = draws(dtype)[:1000], jnp.asarray([0.1])
    y = bias_act(x, bias, "lrelu", gain=0.7, clamp=1)
    assert y.dtype == dtype
    exact = bias_act(x.astype(jnp.float32), bias, "lrelu", gain=0.7, clamp=1)
    np.testing.assert_array_equal(y, exact.astype(dtype))
