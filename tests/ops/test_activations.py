"""Bias, activation, gain and clamp against the records of the original, and against what they are for."""

from functools import partial
from typing import get_args

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, run

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
            golden_cases.assert_recorded(case, run(partial(value_and_gradients, case), case.inputs(dtype)))


def test_every_activation_is_recorded_and_named() -> None:
    assert {case.options["act"] for case in golden_cases.cases("ops/bias_act")} == set(ACTIVATIONS)
    assert set(get_args(ActivationName)) == set(ACTIVATIONS)


@pytest.mark.parametrize(("activation", "moment"), [("linear", 1), ("relu", 1), ("lrelu", 1.04)])
def test_gains_keep_the_second_moment(activation: str, moment: float) -> None:
    y = run(lambda x: bias_act(x, None, activation), draw(0, 200_000, 1))
    assert np.square(y).mean() == pytest.approx(moment, rel=0.02)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gain_comes_before_the_clamp(activation: str) -> None:
    def all_of(x: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
        act = partial(bias_act, x, bias, activation)
        return act(gain=1), act(gain=3), act(gain=3, clamp=0.9)

    plain, larger, clamped = run(all_of, 10 * draw(0, 100, 2), draw(1, 2))
    np.testing.assert_allclose(larger, 3 * np.asarray(plain), rtol=1e-6)
    np.testing.assert_allclose(clamped, np.clip(larger, -0.9, 0.9), rtol=1e-6)


def test_clamped_values_have_no_gradient() -> None:
    gradient = jax.grad(lambda x: jnp.sum(bias_act(x, None, clamp=1)))
    np.testing.assert_array_equal(run(gradient, np.asarray([[-2.0, -0.5, 0.5, 2.0]], np.float32)), [[0, 1, 1, 0]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_rounded_once(dtype: jnp.dtype) -> None:
    def both(x: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
        act = partial(bias_act, bias=bias, activation="lrelu", gain=0.7, clamp=1)
        return act(x), act(x.astype(jnp.float32)).astype(dtype)

    rough, exact = run(both, draw(0, 1000, 1).astype(dtype), np.asarray([0.1], np.float32))
    assert rough.dtype == dtype
    np.testing.assert_array_equal(rough, exact)
