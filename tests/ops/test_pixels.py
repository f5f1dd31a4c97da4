"""The way from stored pixels to the networks' range and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.ops.pixels import to_float, to_uint8

ALL = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def test_every_value_comes_back() -> None:
    np.testing.assert_array_equal(to_uint8(to_float(ALL)), ALL)


def test_the_range_is_reached_at_both_ends() -> None:
    ends = to_float(ALL)
    assert (float(ends.min()), float(ends.max())) == (-1, 1)
    assert ends.dtype == jnp.float32


def test_float_images_are_left_alone() -> None:
    images = jnp.asarray([-1.0, 0.3, 1.0]).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(to_float(images), images)


def test_what_is_outside_is_clipped() -> None:
    images = jnp.asarray([-1e9, -1.01, 1.01, 1e9]).reshape(1, 2, 2, 1)
    assert to_uint8(images).ravel().tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(
    ("value", "pixel"), [(0.0, 128), (-1.0, 0), (-0.5, 64), (0.5, 191), (0.003, 128), (-0.001, 127)]
)
def test_x_times_127_5_plus_128_is_truncated(value, pixel) -> None:
    assert to_uint8(np.full((1, 1, 1, 1), value, np.float32)).item() == pixel


@pytest.mark.parametrize("shape", [(16, 16, 1), (2, 2, 4, 16, 1)])
def test_any_number_of_leading_axes(shape) -> None:
    assert to_uint8(np.zeros(shape, np.float32)).shape == shape
