"""Interpolation goes through its points, smoothly or on the sphere."""

import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.latent.paths import interpolate, slerp

DRAWS = np.random.default_rng(0)


@pytest.mark.parametrize("way", ["linear", "slerp", "cubic"])
def test_a_path_goes_through_its_points(way) -> None:
    points = DRAWS.normal(size=(4, 2, 8)).astype(np.float32)
    closed, open_ = (interpolate(points, 10, way, closed=closed) for closed in (True, False))
    assert (closed.shape, open_.shape) == ((40, 2, 8), (31, 2, 8))
    np.testing.assert_allclose(closed[::10], points, atol=1e-6)
    np.testing.assert_allclose(open_[::10], points, atol=1e-6)
    np.testing.assert_allclose(interpolate(points, 10, way)[9], closed[9])


def test_a_cubic_path_is_smooth_where_a_straight_one_bends() -> None:
    points = DRAWS.normal(size=(5, 8))
    bends = []
    for way in ("linear", "cubic"):
        steps = np.diff(interpolate(points, 100, way), axis=0)
        bends.append(np.abs(np.diff(steps, axis=0))[90:110].max() / np.abs(steps).max())
    assert bends[1] < bends[0] / 10
    line = np.arange(5.0)[:, None] * np.ones(3)
    np.testing.assert_allclose(np.diff(interpolate(line, 10, "cubic", closed=False), axis=0), 0.1, atol=1e-6)


def test_slerp_keeps_lengths_and_turns_evenly() -> None:
    a, b = DRAWS.normal(size=(2, 16))
    a, b = a / np.linalg.norm(a), 3 * b / np.linalg.norm(b)
    points = slerp(a, b, np.linspace(0, 1, 11)[:, None])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linspace(1, 3, 11), rtol=1e-6)
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    angles = np.arccos(np.clip(np.sum(units[1:] * units[:-1], axis=1), -1, 1))
    np.testing.assert_allclose(angles, angles[0], rtol=1e-4)
    np.testing.assert_allclose(slerp(a, a, np.array([[0.3]]))[0], a, rtol=1e-6)


def test_a_path_needs_two_points() -> None:
    with pytest.raises(UserError, match="2 points"):
        interpolate(np.zeros((1, 3)), 5)
