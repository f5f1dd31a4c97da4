"""Lists of seeds, ways between points, mixing, directions and spectra: small truths of each."""

import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.latent.directions import edited, principal_components
from ganzoo.latent.mixing import mixed, mixing_table
from ganzoo.latent.paths import path, slerp
from ganzoo.cli.seeds import numbers
from ganzoo.metrics.spectrum import decibels, power_spectrum, radial

DRAWS = np.random.default_rng(0)


def test_lists_of_seeds() -> None:
    assert numbers("0-3,100") == [0, 1, 2, 3, 100]
    assert numbers(" 7 , 5-5") == [7, 5]
    assert numbers("4294967295") == [2**32 - 1]


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "1,,2", "4294967296", "0-2000000", "²"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(UserError, match="seeds = "):
        numbers(text)


@pytest.mark.parametrize("way", ["linear", "slerp", "cubic"])
def test_a_path_goes_through_its_points(way) -> None:
    points = DRAWS.normal(size=(4, 2, 8)).astype(np.float32)
    closed, open_ = (path(points, 10, way, closed=closed) for closed in (True, False))
    assert (closed.shape, open_.shape) == ((40, 2, 8), (31, 2, 8))
    np.testing.assert_allclose(closed[::10], points, atol=1e-6)
    np.testing.assert_allclose(open_[::10], points, atol=1e-6)
    np.testing.assert_allclose(path(points, 10, way)[9], closed[9])


def test_a_cubic_path_is_smooth_where_a_straight_one_bends() -> None:
    points = DRAWS.normal(size=(5, 8))
    bends = []
    for way in ("linear", "cubic"):
        steps = np.diff(path(points, 100, way), axis=0)
        bends.append(np.abs(np.diff(steps, axis=0))[90:110].max() / np.abs(steps).max())
    assert bends[1] < bends[0] / 10
    line = np.arange(5.0)[:, None] * np.ones(3)
    np.testing.assert_allclose(np.diff(path(line, 10, "cubic", closed=False), axis=0), 0.1, atol=1e-6)


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
        path(np.zeros((1, 3)), 5)


def test_mixing_takes_the_chosen_layers() -> None:
    rows, columns = DRAWS.normal(size=(2, 6, 4)), DRAWS.normal(size=(3, 6, 4))
    result = mixed(rows, columns, [4, 5])
    assert result.shape == (2, 3, 6, 4)
    np.testing.assert_array_equal(result[1, 2, :4], rows[1, :4])
    np.testing.assert_array_equal(result[1, 2, 4:], columns[2, 4:])
    with pytest.raises(UserError, match="layers = 6"):
        mixed(rows, columns, [6])
    table = mixing_table(np.zeros((2, 2, 2, 1)), np.ones((3, 2, 2, 1)), np.full((2, 3, 2, 2, 1), 0.5))
    assert table[:, 0, 0, 0].tolist() == [1, 1, 1, 1, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5]


def test_principal_components_of_a_known_cloud() -> None:
    axes, _ = np.linalg.qr(DRAWS.normal(size=(8, 8)))
    ws = (DRAWS.normal(size=(4000, 3)) * [3, 2, 1]) @ axes[:3] + 5
    found, deviations = principal_components(ws.astype(np.float32), 3)
    np.testing.assert_allclose(np.abs(found @ axes[:3].T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(deviations, [3, 2, 1], rtol=0.05)
    with pytest.raises(UserError, match="count = 9"):
        principal_components(ws, 9)


def test_edits_move_the_chosen_layers_only() -> None:
    ws, direction = DRAWS.normal(size=(2, 4, 3)), np.array([1.0, 0, 0])
    moved = edited(ws, direction, [-1, 0, 2], [0, 1]) - ws[:, None]
    np.testing.assert_allclose(moved[:, :, 2:], 0)
    np.testing.assert_allclose(moved[0, :, 0, 0], [-1, 0, 2], atol=1e-6)
    np.testing.assert_allclose(edited(ws, direction, [1], None)[:, 0] - ws, np.broadcast_to(direction, ws.shape))


def test_the_spectrum_of_white_noise_is_flat_and_of_a_wave_a_peak() -> None:
    noise = power_spectrum(DRAWS.normal(size=(10, 40, 32, 32, 1)))
    assert noise.shape == (32, 32)
    assert noise.mean() == pytest.approx(1, rel=0.05)
    np.testing.assert_allclose(radial(noise)[2:], 1, atol=0.25)
    wave = np.cos(2 * np.pi * 8 * np.arange(32) / 32)[None, None, :, None] * np.ones((1, 32, 1, 1))
    spectrum = power_spectrum([wave])
    assert np.unravel_index(spectrum.argmax(), spectrum.shape) in ((16, 24), (16, 8))
    assert radial(spectrum).argmax() == 8
    assert decibels(np.array([100.0, 0]))[0] == pytest.approx(20)
