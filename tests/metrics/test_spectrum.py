"""Power spectra of white noise and of a wave."""

import numpy as np
import pytest

from ganzoo.metrics.spectrum import decibels, power_spectrum, radial

DRAWS = np.random.default_rng(0)


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
