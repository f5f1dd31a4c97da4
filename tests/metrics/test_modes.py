"""Modes of stacked images: their count and divergence in closed form, and the classifiers that find them."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import UserError
from ganzoo.metrics import classifier
from ganzoo.metrics.classifier import HELD_OUT, Classifier, digit_classifier, fit
from ganzoo.metrics.mode_count import count_modes, mode_numbers

HOME = Path(classifier.__file__).parent
READ = jax.jit(classifier.channel_classes)
THOUSAND = np.arange(1000)


@pytest.fixture(scope="module")
def stacks() -> tuple[np.ndarray, np.ndarray]:
    """Stacked digits, and the modes that they are of."""
    data = open_dataset(DataConfig(data="stacked-digits"), (32, 32, 3))
    return data.read(np.arange(600))["image"], data.stack.modes[:600]


@pytest.mark.parametrize("order", [0, 1])
def test_even_samples_have_all_modes_and_no_divergence(order: int) -> None:
    samples = np.random.RandomState(order).permutation(np.repeat(THOUSAND, 25))
    assert count_modes(samples, THOUSAND) == (1000, 1000, 0.0, 0.0)


def test_divergence_is_that_of_the_definition() -> None:
    assert count_modes(np.full(50, 7), THOUSAND).kl == pytest.approx(np.log(1000))
    assert count_modes(np.array([0, 1] * 10), np.arange(8)).kl == pytest.approx(np.log(4))
    shares = np.array([0.5, 0.25, 0.125, 0.125])
    found = count_modes(np.repeat([3, 1, 4, 15], [4, 2, 1, 1]), np.array([1, 3, 4, 9, 15, 3]))
    assert (found.found, found.held) == (4, 5)
    assert found.kl == pytest.approx((shares * np.log(shares / 0.2)).sum())


def test_samples_outside_of_the_data_are_told_apart() -> None:
    found = count_modes(np.array([0, 0, 1, 1, 5, 6, 6, 6]), np.array([0, 1]))
    assert found == (2, 2, 0.0, 0.5)
    assert count_modes(np.array([9, 9]), np.array([0, 1])) == (0, 2, np.inf, 1.0)


def test_uniform_samples_have_the_divergence_of_chance() -> None:
    samples = np.random.RandomState(0).randint(0, 1000, 25_000)
    found = count_modes(samples, THOUSAND)
    assert found.found == 1000
    assert found.kl == pytest.approx(999 / 50_000, rel=0.15)


def test_classes_are_the_digits_of_a_mode() -> None:
    classes = np.array([[4, 0, 7], [0, 0, 9]], np.float32)
    assert mode_numbers(classes, 10).tolist() == [407, 9]
    assert mode_numbers(classes, 11).tolist() == [4 * 121 + 7, 9]


# The classifier of digits -------------------------------------------------------------------------------------------


def test_the_classifier_that_ships_is_as_good_as_its_card_says() -> None:
    digits = open_dataset(DataConfig(data="digits"), (32, 32, 1)).in_memory
    held = np.random.RandomState(0).permutation(1797)[: 1797 // HELD_OUT]
    images, classes = digits["image"][held], digits["label"][held].argmax(-1)
    shipped = digit_classifier()
    right = np.asarray(READ(shipped.params, jnp.float32(images)))[:, 0] == classes
    assert right.mean() >= 0.98
    assert (right.mean(), len(right)) == (shipped.accuracy, shipped.held_out)
    assert f"{right.mean():.2%}" in (HOME / "digit_classifier.md").read_text()
    assert (HOME / "digit_classifier.npz").stat().st_size < 400_000


def test_modes_of_stacked_digits_are_their_labels(stacks) -> None:
    images, modes = stacks
    found = ganzoo.metrics.modes(images)
    assert abs(found.found - len(np.unique(modes))) <= 5
    assert found.outside == 0
    of_data = ganzoo.metrics.modes(images[:300], images[300:])
    assert 0 < of_data.outside < 1
    assert of_data.held == len(np.unique(modes[300:])) or abs(of_data.held - len(np.unique(modes[300:]))) <= 5


def test_floats_and_any_size_are_read_as_well(stacks) -> None:
    images, modes = stacks
    for size in (16, 64):
        resized = jax.image.resize(jnp.float32(images[:200]) / 127.5 - 1, (200, size, size, 3), "linear")
        classes = READ(digit_classifier().params, (resized + 1) * 127.5)
        assert (mode_numbers(classes, 10) == modes[:200]).mean() > 0.95


def test_a_collapsed_generator_has_one_mode(stacks) -> None:
    images, _ = stacks
    found = ganzoo.metrics.modes(np.repeat(images[:1], 64, axis=0), batch_size=32)
    assert (found.found, found.held, found.outside) == (1, 1000, 0)
    assert found.kl == pytest.approx(np.log(1000))


@pytest.mark.parametrize("shape", [(4, 32, 32, 1), (4, 32, 32, 4)])
def test_other_than_three_channels_are_refused_in_one_line(shape) -> None:
    with pytest.raises(UserError, match=r"^modes needs images of 3 channels, with a grey picture in each; .*fake"):
        ganzoo.metrics.modes(np.zeros(shape, np.uint8))


# Classifiers of other sets ------------------------------------------------------------------------------------------


def test_a_classifier_of_ones_own_set() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 90)
    images = rng.integers(0, 60, (90, 12, 12, 1)).astype(np.uint8)
    for image, number in zip(images, classes, strict=True):
        image[4 * number : 4 * number + 4] += 150  # a bright bar, whose place is the class
    found = fit("bars", images, classes, 3, steps=60)
    assert (found.accuracy, found.held_out, found.classes) == (1.0, 18, 3)
    stacked = images.reshape(30, 3, 12, 12).transpose(0, 2, 3, 1)
    counted = ganzoo.metrics.modes(stacked, classifier=found)
    assert counted.held == 27
    assert counted.found == len(np.unique(mode_numbers(classes.reshape(30, 3), 3)))
    read = Classifier.from_bytes(found.to_bytes(), "bars")
    assert read.extractor.facts == found.extractor.facts
    assert all(np.array_equal(read.params[name], found.params[name]) for name in found.params)
