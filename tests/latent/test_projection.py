"""Projection of what a generator made itself, its distances, and what it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.latent.projection import ProjectionConfig, noise_regularity, pixel_distance, project
from ganzoo.latent.sampler import Sampler


def test_projection_recovers_images_of_the_generator_itself() -> None:
    """At 16 x 16 pixels, so that it is quick; each target is sought by itself."""
    gan = ganzoo.create("stylegan2", "tiny", image_size=16, channel_base=256, channel_max=32, style_size=32)
    sampler = Sampler(gan, drawn_state(gan, noise_strength=0.01))
    targets = sampler.images(sampler.latents([1, 2, 3]))
    config = ProjectionConfig(steps=400, style_samples=500)
    found = project(sampler, targets, config)
    assert found.ws.shape == (3, gan.styles.count, 32)
    assert found.distances.shape == (400, 3)
    error = np.square(found.images - targets).mean(axis=(1, 2, 3))
    assert (10 * np.log10(4 / error) > 27).all()
    maps = jax.tree.leaves(found.noise)
    np.testing.assert_allclose([map_.mean() for map_ in maps], 0, atol=1e-3)
    np.testing.assert_allclose([map_.std() for map_ in maps], 1, atol=1e-3)


@pytest.mark.slow
def test_projection_sees_the_level_of_detail() -> None:
    """What is found for a StyleGAN that still grows gives the images of that level."""
    gan = ganzoo.create("stylegan", "tiny")
    state = dataclasses.replace(drawn_state(gan), level_of_detail=jnp.float32(0.4))
    sampler = Sampler(gan, state)
    targets = sampler.images(sampler.latents([1, 2]))
    found = project(sampler, targets, ProjectionConfig(steps=30, style_samples=50))
    images = gan.styles.synthesise(state, jnp.asarray(found.ws), noise=jax.tree.map(jnp.asarray, found.noise))
    np.testing.assert_allclose(found.images, np.clip(images, -1, 1), atol=1e-5)
    assert found.distances[-1].mean() < found.distances[0].mean()
    grown = dataclasses.replace(state, level_of_detail=jnp.float32(0))
    assert np.abs(sampler.synthesise(found.ws) - Sampler(gan, grown).synthesise(found.ws)).max() > 0.01


def test_projection_of_what_does_not_fit() -> None:
    gan = ganzoo.create("stylegan2", "tiny")
    sampler = Sampler(gan, drawn_state(gan))
    with pytest.raises(UserError, match="targets = "):
        project(sampler, np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(UserError, match="steps = 0"):
        ProjectionConfig(steps=0)


def test_distances_and_the_regularity_of_noise() -> None:
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    assert np.asarray(pixel_distance(images, images)).tolist() == [0, 0]
    far = np.asarray(pixel_distance(images, images + 1))
    np.testing.assert_allclose(far, 3, rtol=1e-5)  # 32, 16 and 8 pixels
    noise, stripes = images[..., 0], np.tile([1.0, -1.0], (2, 32, 16)).astype(np.float32)
    assert float(noise_regularity([noise])) < 0.1 * float(noise_regularity([stripes]))
