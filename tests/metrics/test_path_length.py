"""Path lengths against the parts that NVlabs' code has, and against a generator whose length is known."""

import golden_cases as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.latent import paths
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.path_length import (
    EPSILON,
    endpoints,
    filtered_mean,
    perceptual_path_length,
    shrunk,
    slerp,
    unit_slerp,
)
from ganzoo.ops.random import for_indices
from ganzoo.training.parallel import data_mesh

RECORD = golden.case("metrics/ppl_parts")


def test_unit_slerp() -> None:
    a, b, t = (jnp.asarray(RECORD[f"in/{name}"]) for name in ("a", "b", "t"))
    np.testing.assert_allclose(unit_slerp(a, b, t), RECORD["out/slerp"], atol=2e-6)
    np.testing.assert_allclose(unit_slerp(a, b, t + EPSILON), RECORD["out/slerp_eps"], atol=2e-6)


def test_the_mean_without_both_ends() -> None:
    distances = RECORD["in/dist"]
    np.testing.assert_allclose(filtered_mean(distances), RECORD["out/ppl"], rtol=1e-5)


def test_the_sphere_has_both_latents_on_it() -> None:
    a, b = jnp.asarray(golden.draw(0, 4, 8)), jnp.asarray(golden.draw(1, 4, 8))
    np.testing.assert_allclose(slerp(a, b, jnp.zeros(4)), a, atol=1e-5)
    np.testing.assert_allclose(slerp(a, b, jnp.ones(4)), b, atol=1e-5)


def test_the_two_slerps_are_equal() -> None:
    a, b = golden.draw(0, 4, 8), golden.draw(1, 4, 8)
    for t in (0.2, 0.7):
        ours = slerp(jnp.asarray(a), jnp.asarray(b), jnp.full(4, t))
        np.testing.assert_allclose(ours, paths.slerp(a, b, np.float64([[t]])), atol=1e-5)


def draw(key, indices):
    return for_indices(lambda key: jax.random.normal(key, (6,)), key, indices)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_of_a_linear_generator(sampling) -> None:
    """In w, |a - b|^2 / epsilon^2 is the squared length of the way between two latents: 2 * 6 on average."""
    extractor = Extractor("flat", lambda weights, images: images.reshape(len(images), -1) / 127.5)

    def pairs(indices):
        ends = endpoints(draw, jax.random.key(1), jnp.asarray(indices), space="w", sampling=sampling)
        near, far = (w.reshape(-1, 1, 2, 3) for w in ends)
        return near, far

    def length(batch_size, devices):
        mesh = data_mesh(devices)
        return perceptual_path_length(pairs, extractor, 500, batch_size=batch_size, mesh=mesh)

    one = length(500, 1)
    assert 10 < one < 14
    np.testing.assert_allclose(length(64, 8), one, rtol=2e-3)  # float32 leaves few digits to so small a difference


def test_paths_depend_on_their_number_alone() -> None:
    many = endpoints(draw, jax.random.key(1), jnp.arange(7), space="z", sampling="full")
    few = endpoints(draw, jax.random.key(1), jnp.arange(3, 5), space="z", sampling="full")
    for ours, theirs in zip(few, many, strict=True):
        np.testing.assert_allclose(ours, theirs[3:5], atol=1e-6)


def test_at_the_end_is_the_first_latent() -> None:
    near, _ = endpoints(draw, jax.random.key(1), jnp.arange(4), space="w", sampling="end")
    np.testing.assert_array_equal(near, draw(jax.random.fold_in(jax.random.key(1), 0), jnp.arange(4)))


def test_large_images_are_shrunk_by_whole_factors() -> None:
    image = jnp.asarray(golden.draw(0, 1, 512, 512, 1))
    small = shrunk(image)
    assert small.shape == (1, 256, 256, 1)
    np.testing.assert_allclose(small[0, 3, 5, 0], image[0, 6:8, 10:12].mean(), atol=1e-6)
    assert shrunk(image[:, :300]).shape == (1, 300, 512, 1)
