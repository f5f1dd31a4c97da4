"""The filtered leaky ReLU against the records of the original, and against plain automatic differentiation."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, nchw, nhwc, run

from ganzoo.ops import fir, lowpass
from ganzoo.testing import assert_near

# Records ------------------------------------------------------------------------------------------------------------


def value_and_gradients(case: Case, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    options = case.options
    left, right, top, bottom = options["padding"]
    names = [name for name in ("x", "b") if name in arrays]

    def activated(x: jax.Array, bias: jax.Array | None = None) -> jax.Array:
        return nchw(
            lowpass.filtered_lrelu(
                nhwc(x),
                case.get("in/fu"),
                case.get("in/fd"),
                bias,
                padding=((top, bottom), (left, right)),
                correlate=options.get("flip_filter", False),
                **{name: options[name] for name in ("up", "down", "slope", "gain", "clamp")},
            )
        )

    y, back = jax.vjp(activated, *(arrays[name] for name in names))
    return {"y": y} | {f"d{name}": gradient for name, gradient in zip(names, back(arrays["cot"]), strict=True)}


@golden_cases.over(golden_cases.cases("ops/filtered_lrelu"))
def test_records(case: Case) -> None:
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            inputs = {name: array for name, array in case.inputs(dtype).items() if name not in ("fu", "fd")}
            golden_cases.assert_recorded(case, run(partial(value_and_gradients, case), inputs))


# Truths -------------------------------------------------------------------------------------------------------------

UP = lowpass.design(8, 3, 4, 32)
RADIAL = lowpass.design(6, 4, 5, 32, radial=True)


def plain(x: jax.Array, clamp: float) -> jax.Array:
    """The definition, differentiated step by step."""
    u = fir.upfirdn(x, UP, up=2, padding=(5, 4), gain=4)
    y = jnp.clip(1.3 * jnp.where(u > 0, u, 0.1 * u), -clamp, clamp)
    return fir.upfirdn(y, RADIAL, down=2)


def test_derivatives_of_every_order(doubles: None) -> None:
    x, probe, clamp = jnp.asarray(draw(0, 2, 5, 6, 2)), jnp.asarray(draw(1, 2, 5, 6, 2)), 0.7

    def family(x: jax.Array) -> jax.Array:
        return lowpass.filtered_lrelu(x, UP, RADIAL, up=2, down=2, padding=(5, 4), slope=0.1, gain=1.3, clamp=clamp)

    def orders(function: Any) -> list[jax.Array]:
        def energy(x: jax.Array) -> jax.Array:
            return jnp.sum(function(x) ** 3)

        def slope(x: jax.Array) -> jax.Array:
            return jnp.sum(jax.grad(energy)(x) ** 2 * probe)

        return [
            function(x),
            jax.grad(energy)(x),
            jax.grad(slope)(x),
            jax.grad(lambda x: jnp.sum(jax.grad(slope)(x) ** 2))(x),
        ]

    ours, theirs = run(lambda: orders(family)), run(lambda: orders(partial(plain, clamp=clamp)))
    for actual, expected in zip(ours, theirs, strict=True):
        assert_near(actual, expected, 1e-12)


def test_nothing_but_the_input_is_kept_for_the_backward_pass() -> None:
    x = jnp.zeros((1, 16, 16, 4))
    _, back = jax.vjp(lambda x: lowpass.filtered_lrelu(x, UP, UP, up=2, down=2, padding=(8, 7)), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(back)) == x.size


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("taps", [23, 24])
def test_filters_pass_low_and_stop_high_frequencies(radial: bool, taps: int) -> None:
    f = lowpass.design(taps, cutoff=6, width=5, rate=32, radial=radial)
    assert f is not None
    assert f.sum() == pytest.approx(1)
    plane = f if radial else np.outer(f, f)
    np.testing.assert_allclose(plane, plane[::-1, ::-1], atol=1e-15)

    def response(x: float, y: float) -> float:
        """The amplitude that passes of a wave of x, y cycles per unit."""
        at = np.exp(-2j * np.pi * np.arange(taps) / 32)
        return abs(at**y @ plane @ at**x)

    assert response(3, 0) > 0.95
    assert response(6, 0) == pytest.approx(0.5, abs=0.06)
    assert response(9, 0) < 0.02
    diagonal = response(6 / 2**0.5, 6 / 2**0.5)
    assert diagonal == pytest.approx(0.5, abs=0.06) if radial else diagonal > 0.6


def test_one_tap_is_no_filter() -> None:
    assert lowpass.design(1, 4, 6, 32) is None
