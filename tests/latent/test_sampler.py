"""A sampler: seeds, batches, styles, noise; its images are those of the GAN, also of one that still grows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo import interop
from ganzoo.errors import UserError
from ganzoo.latent import Sampler, factorise, project


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    """A conditional StyleGAN2 whose noise and mean of w are not zero."""
    gan = ganzoo.create("stylegan2", "tiny", label_size=3)
    return Sampler(gan, drawn_state(gan))


@pytest.fixture(scope="module")
def plain() -> Sampler:
    """A model without styles."""
    gan = ganzoo.create("dcgan", "tiny")
    return Sampler(gan, jax.jit(gan.init)(jax.random.key(0)))


def test_an_image_depends_on_its_seed_alone(sampler: Sampler) -> None:
    seeds = [5, 2**32 - 1, 7, 0, 9]
    latents, labels = sampler.latents(seeds), sampler.labels(5, 1)
    options = {"psi": 0.7, "cutoff": 2, "noise": "random"}
    together = sampler.images(latents, labels, **options, seeds=seeds)
    assert together.shape == (5, 8, 8, 3)
    by_two = Sampler(sampler.gan, sampler.state, batch=2)
    split = by_two.images(latents, labels, **options, seeds=seeds)
    np.testing.assert_allclose(together, split, atol=1e-5)
    pair = by_two.images(sampler.latents([7, 5]), by_two.labels(2, 1), **options, seeds=[7, 5])
    np.testing.assert_allclose(together[[2, 0]], pair, atol=1e-5)


def test_images_are_those_of_the_gan(sampler: Sampler, plain: Sampler) -> None:
    latents, labels = sampler.latents(range(3)), sampler.labels(3)
    expected = sampler.gan.generate(sampler.state, jnp.asarray(latents), jnp.asarray(labels), psi=0.5)
    np.testing.assert_allclose(sampler.images(latents, labels, psi=0.5), expected, atol=1e-6)
    expected = plain.gan.sample(plain.state, jax.random.key(0), 3)
    np.testing.assert_allclose(plain.images(plain.latents(range(3))), expected, atol=1e-6)


def test_latents_of_the_original_tools(sampler: Sampler) -> None:
    expected = np.random.RandomState(85).randn(1, 8)
    np.testing.assert_array_equal(sampler.latents([3, 85], "numpy")[1], expected[0].astype(np.float32))


def test_labels(sampler: Sampler, plain: Sampler) -> None:
    np.testing.assert_array_equal(sampler.labels(4), np.eye(3)[[0, 1, 2, 0]])
    np.testing.assert_array_equal(sampler.labels(2, 2), np.eye(3)[[2, 2]])
    assert plain.labels(2) is None
    partly = dataclasses.replace(sampler, gan=dataclasses.replace(sampler.gan, present_classes=(0, 2)))
    np.testing.assert_array_equal(partly.labels(3), np.eye(3)[[0, 2, 0]])
    with pytest.raises(UserError, match="class = 3: must be 0 to 2"):
        sampler.labels(1, 3)
    with pytest.raises(UserError, match="has no classes"):
        plain.labels(1, 0)


def test_a_model_without_styles_says_so(plain: Sampler) -> None:
    latents = plain.latents([0])
    for use in (
        lambda: plain.styles(latents),
        lambda: plain.images(latents, psi=0.5),
        lambda: project(plain, np.zeros((1, 16, 16, 3), np.float32)),
        lambda: factorise(plain, 1),
        lambda: interop.export(plain.gan, plain.state, psi=0.5),
    ):
        with pytest.raises(UserError, match="no styles"):
            use()


# The same images as the GAN's -----------------------------------------------------------------------------------------

LEVELS = {"stylegan": (None, 0.4, 1.0), "progan": (None, 0.4, 1.0)}
"""Levels of detail of models that grow; None leaves the state as it is."""


@pytest.mark.parametrize(
    ("name", "level"), [(name, level) for name in ganzoo.MODELS for level in LEVELS.get(name, (None,))]
)
def test_sampler_equals_generate(name, level) -> None:
    gan = ganzoo.create(name, "tiny")
    state = drawn_state(gan)
    if level is not None:
        state = dataclasses.replace(state, level_of_detail=jnp.float32(level))
    sampler = Sampler(gan, state, batch=2)
    latents = sampler.latents(range(3))
    expected = np.asarray(gan.generate(state, jnp.asarray(latents)))
    np.testing.assert_allclose(sampler.images(latents), expected, atol=1e-5)
    if gan.styles is not None:
        np.testing.assert_allclose(sampler.synthesise(sampler.styles(latents)), expected, atol=1e-5)
    if level:
        grown = gan.generate(dataclasses.replace(state, level_of_detail=jnp.float32(0)), jnp.asarray(latents))
        assert np.abs(expected - grown).max() > 0.01  # the level decides on the image


def test_a_stream_is_the_same_images_in_batches(sampler: Sampler) -> None:
    """Also where the last batch is not full; classes go on in turn from batch to batch."""
    by_two, seeds = Sampler(sampler.gan, sampler.state, batch=2), [4, 9, 1, 7, 3]
    parts = list(by_two.stream(seeds, psi=0.7, noise="random"))
    assert [len(part) for part in parts] == [2, 2, 1]
    whole = by_two.images(by_two.latents(seeds), by_two.labels(5), psi=0.7, noise="random", seeds=seeds)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert list(by_two.stream([])) == []
    with pytest.raises(UserError, match="class = 3"):
        next(by_two.stream(seeds, label=3))
