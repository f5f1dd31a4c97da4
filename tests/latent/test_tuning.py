"""Pivotal tuning: what a generator could not make, it makes afterwards, from the same styles."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.tuning import Tuned, TuningConfig, pivotal_tuning, psnr, towards
from ganzoo.typing import Images, PerExample

CONFIG = TuningConfig(steps=120, learning_rate=2e-3, threshold=0.02, locality_reach=5.0)


def squares(images: Images, targets: Images) -> PerExample:
    """A distance of the simplest kind."""
    return jnp.mean(jnp.square(jnp.asarray(images) - targets), axis=(1, 2, 3))


class Case(NamedTuple):
    """Two images of a generator with a bright square that it knows nothing of, and what tuning made of it."""

    sampler: Sampler
    ws: np.ndarray
    targets: np.ndarray
    tuned: Tuned
    told: list[tuple[int, float]]


@pytest.fixture(scope="module")
def case() -> Case:
    gan = ganzoo.create("stylegan2", "tiny")
    sampler = Sampler(gan, drawn_state(gan, noise_strength=0.01))
    ws = np.asarray(sampler.styles(sampler.latents([1, 2])))
    targets, told = sampler.synthesise(ws).copy(), []
    targets[:, 2:4, 2:4] = 0.9
    tuned = pivotal_tuning(sampler, targets, ws, CONFIG, distance=squares, log=lambda *seen: told.append(seen))
    return Case(sampler, ws, targets, tuned, told)


def test_several_images_tune_one_generator(case: Case, tmp_path: Path) -> None:
    """The file of the new state gives them, and everything but the EMA of the synthesis network is as it was."""
    sampler, ws, targets, tuned, _ = case
    assert (psnr(tuned.images, targets) > psnr(tuned.before, targets) + 5).all()
    np.testing.assert_allclose(tuned.before, sampler.synthesise(ws), atol=1e-5)
    ganzoo.save(sampler.gan, tuned.state, tmp_path / "tuned.safetensors")
    again = Sampler(*ganzoo.load(tmp_path / "tuned.safetensors"))
    np.testing.assert_allclose(again.synthesise(ws), tuned.images, atol=1e-5)
    as_it_was = dataclasses.replace(tuned.state, ema=sampler.state.ema)
    assert jax.tree.all(jax.tree.map(np.array_equal, as_it_was, sampler.state))
    np.testing.assert_array_equal(again.styles(again.latents([1, 2])), ws)


def test_tuning_ends_at_the_threshold(case: Case) -> None:
    """The images are those of the first weights whose distance is small enough; every step is told."""
    _, _, targets, tuned, told = case
    means = tuned.distances.mean(axis=1)
    assert 1 < len(means) < CONFIG.steps
    assert means[-1] <= CONFIG.threshold < means[:-1].min()
    assert [step for step, _ in told] == list(range(1, len(means) + 1))
    np.testing.assert_allclose([distance for _, distance in told], means, rtol=1e-5)
    assert (squares(tuned.images, targets) <= tuned.distances[-1] + 1e-6).all()  # less where an image is clipped


@pytest.mark.slow
def test_other_styles_keep_their_images(case: Case) -> None:
    """With the locality loss, images of other seeds change less."""
    sampler, ws, targets, tuned, _ = case
    others = sampler.styles(sampler.latents(range(10, 26)))
    known = sampler.synthesise(others)
    config = dataclasses.replace(CONFIG, locality_weight=3.0)
    local = pivotal_tuning(sampler, targets, ws, config, distance=squares)
    free, kept = (
        np.square(Sampler(sampler.gan, each.state).synthesise(others) - known).mean() for each in (tuned, local)
    )
    assert kept < 0.8 * free


def test_the_styles_of_the_locality_loss_are_at_a_distance_from_the_pivots() -> None:
    """In the direction of the others: equation 4."""
    ws, others = np.random.default_rng(0).normal(size=(2, 2, 4, 8)).astype(np.float32)
    near = np.asarray(towards(ws, others, 5.0))
    np.testing.assert_allclose(np.corrcoef((near - ws).ravel()[:32], (others - ws).ravel()[:32])[0, 1], 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm((near - ws).reshape(2, -1), axis=1), 5, rtol=1e-5)


def test_tuning_of_what_does_not_fit(case: Case) -> None:
    sampler, ws, targets, _, _ = case
    with pytest.raises(UserError, match="ws = "):
        pivotal_tuning(sampler, targets, ws[:, 1:])
    with pytest.raises(UserError, match="targets = "):
        pivotal_tuning(sampler, targets[:, :4], ws)
    with pytest.raises(UserError, match="noise = "):
        pivotal_tuning(sampler, targets, ws, noise={"b4": np.zeros((2, 4, 4), np.float32)})
    with pytest.raises(UserError, match="pivotal tuning: dcgan has no styles"):
        pivotal_tuning(Sampler(ganzoo.create("dcgan", "tiny"), None), targets, ws)
    with pytest.raises(UserError, match="learning_rate = 0"):
        TuningConfig(learning_rate=0.0)
