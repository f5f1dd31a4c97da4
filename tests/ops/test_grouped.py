"""Grouped convolutions against the library's, with first and second derivatives, in float64."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from golden_cases import draw
from jax import lax

from ganzoo.ops import grouped
from ganzoo.ops.grouped import grouped_conv
from ganzoo.testing import assert_near, quick_jit

CASES = [(2, 3, 3, (1, 1)), (3, 3, 1, (0, 2)), (4, 1, 2, (0, 0)), (1, 3, 3, (1, 1))]
"""Groups, channels of a group of the input and of the output, zeros."""


def library(x: Any, kernel: Any, *, padding: tuple[int, int]) -> Any:
    numbers, count = ("NHWC", "HWIO", "NHWC"), x.shape[3] // kernel.shape[2]
    pads = (padding, padding)
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=numbers, feature_group_count=count)


def derivatives(conv: Any, x: Any, kernel: Any, *, padding: tuple[int, int]) -> Any:
    """The result, its gradients, and those of a penalty of the gradient in the input, as R1 is."""

    def value(x: Any, kernel: Any) -> Any:
        return jnp.sum(jnp.sin(conv(x, kernel, padding=padding)))

    def penalty(x: Any, kernel: Any) -> Any:
        return jnp.sum(jnp.square(jax.grad(value)(x, kernel)) + jnp.sum(jax.grad(value, 1)(x, kernel) ** 3))

    return conv(x, kernel, padding=padding), jax.grad(value, (0, 1))(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)


@pytest.mark.parametrize(("groups", "inputs", "outputs", "padding"), CASES)
def test_values_and_derivatives(groups: int, inputs: int, outputs: int, padding: tuple[int, int]) -> None:
    with jax.enable_x64(True):
        size = 1 if padding == (0, 0) else 3
        x = jnp.asarray(draw(0, 4, 5, 6, groups * inputs), jnp.float64)
        kernel = jnp.asarray(draw(1, size, size, inputs, groups * outputs), jnp.float64)
        ours, theirs = (
            quick_jit(partial(derivatives, conv, padding=padding))(x, kernel) for conv in (grouped_conv, library)
        )
        assert_near(ours, theirs, 1e-10)


def test_formulations_agree() -> None:
    """Those of CPU, in parts of the batch, and those of accelerators."""
    window = grouped.Window(3, (3, 3), ((1, 1), (1, 1)))
    x, kernel, y = (
        jnp.asarray(draw(i, *shape)) for i, shape in enumerate([(4, 6, 5, 6), (3, 3, 2, 12), (4, 6, 5, 12)])
    )
    assert_near(grouped._cpu_conv(window, x, kernel), grouped._library_conv(window, x, kernel))
    gradient = grouped._cpu_kernel_gradient(window, x, y)
    assert_near(grouped._taps_kernel_gradient(window, x, y), gradient)
    assert_near(jax.vjp(lambda k: library(x, k, padding=(1, 1)), kernel)[1](y)[0], gradient)


def test_no_images() -> None:
    assert grouped_conv(jnp.zeros((0, 4, 4, 6)), jnp.zeros((3, 3, 2, 9)), padding=(1, 1)).shape == (0, 4, 4, 9)


def test_half_precision_is_summed_in_float32() -> None:
    x, kernel = jnp.ones((1, 3, 3, 512), jnp.bfloat16), jnp.full((3, 3, 256, 2), 1 / 64, jnp.bfloat16)
    y = grouped_conv(x, kernel, padding=(1, 1))
    assert y.dtype == jnp.bfloat16
    assert float(y[0, 1, 1, 0]) == 9 * 256 / 64


@pytest.mark.parametrize(
    ("shape", "padding", "message"),
    [((3, 3, 4, 6), (1, 1), "groups must divide"), ((3, 3, 3, 5), (1, 1), "groups must divide"),
     ((3, 3, 3, 6), (3, 3), "less than the kernel")],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...], padding: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grouped_conv(jnp.zeros((1, 4, 4, 6)), jnp.zeros(shape), padding=padding)
