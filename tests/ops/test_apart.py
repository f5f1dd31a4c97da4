"""What is computed apart has the same values, and stays a program of its own where XLA compiles it."""

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.ops.apart import apart


def scaled(arrays: list[jax.Array], by: float) -> list[jax.Array]:
    return [by * jnp.sin(array) for array in arrays]


def both(x: jax.Array) -> jax.Array:
    first, second = apart(scaled, [x, x + 1], by=2.0)
    return first * second


def test_it_is_the_function() -> None:
    x = jnp.linspace(0, 1, 12).reshape(3, 4)
    expected = 4 * np.sin(x) * np.sin(x + 1)
    np.testing.assert_allclose(both(x), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(both))(x), expected, rtol=1e-6)


def test_xla_keeps_it_apart() -> None:
    program = jax.jit(both).lower(jnp.ones((64, 64))).compile().as_text()
    assert " call(" in program
