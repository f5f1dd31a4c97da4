"""Gradient penalties of critics whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.draws import interpolation_shares
from ganzoo.penalties import image_gradients, path_lengths, r1, wgan_gp

KEY = jax.random.key(0)
SHAPE = (3, 2, 2)
IMAGES = jax.random.normal(jax.random.key(1), (5, *SHAPE))
WEIGHTS = jax.random.normal(jax.random.key(2), SHAPE)
UNIT = WEIGHTS / jnp.linalg.norm(WEIGHTS)

SHARES = np.linspace(0, 1, 5, dtype=np.float32)


def linear(weights):
    return lambda images: jnp.einsum("nhwc,hwc->n", images, weights)


def bowl(images):
    """|x|^2 / 2, whose gradient is x."""
    return jnp.sum(images**2, axis=(1, 2, 3)) / 2


# R1 and R2 ----------------------------------------------------------------------------------------------------------


def test_r1_of_a_linear_critic_is_the_square_of_its_slope_everywhere() -> None:
    np.testing.assert_allclose(r1(linear(WEIGHTS), IMAGES), np.full(5, np.sum(WEIGHTS**2)), rtol=1e-6)


def test_r1_of_a_bowl_is_the_square_of_the_distance() -> None:
    np.testing.assert_allclose(r1(bowl, IMAGES), np.sum(IMAGES**2, axis=(1, 2, 3)), rtol=1e-6)


def test_the_gradient_of_an_image_is_that_of_its_own_logit() -> None:
    one_by_one = [image_gradients(lambda x: jnp.tanh(bowl(x)), image[None])[0] for image in IMAGES]
    np.testing.assert_allclose(image_gradients(lambda x: jnp.tanh(bowl(x)), IMAGES), one_by_one, rtol=1e-6)


def test_terms_across_the_batch_count() -> None:
    def centred(images):
        logits = linear(WEIGHTS)(images)
        return logits - logits.mean()  # they always sum to 0

    np.testing.assert_allclose(r1(centred, IMAGES), np.zeros(5), atol=1e-12)


def test_the_second_derivative_is_the_closed_form() -> None:
    """D = tanh(u), u = w.x: R1 = g^2 |w|^2 with g = 1 - tanh(u)^2, g' = -2 tanh(u) g."""
    images = 0.1 * IMAGES

    def penalty(weights):
        return r1(lambda x: jnp.tanh(linear(weights)(x)), images).sum()

    x, w = np.asarray(images, np.float64), np.asarray(WEIGHTS, np.float64)
    t = np.tanh(np.einsum("nhwc,hwc->n", x, w))
    g = 1 - t**2
    exact = (2 * g * (-2 * t * g) * np.sum(w**2)) @ x.reshape(5, -1) + 2 * np.sum(g**2) * w.ravel()
    np.testing.assert_allclose(jax.grad(penalty)(WEIGHTS).ravel(), exact, rtol=1e-5)


# WGAN-GP ------------------------------------------------------------------------------------------------------------


def test_a_linear_critic_of_slope_s_costs_its_distance_from_1() -> None:
    for slope in (0.25, 1.0, 3.0):
        values = wgan_gp(linear(slope * UNIT), IMAGES, -IMAGES, SHARES)
        np.testing.assert_allclose(values, np.full(5, (slope - 1) ** 2), atol=1e-6)


def test_the_target_is_the_slope_that_is_free() -> None:
    np.testing.assert_allclose(
        wgan_gp(linear(750 * UNIT), IMAGES, -IMAGES, SHARES, target=750.0), np.zeros(5), atol=1e-10
    )
    values = wgan_gp(linear(3 * UNIT), IMAGES, -IMAGES, SHARES, target=2.0)
    np.testing.assert_allclose(values, np.full(5, (3 - 2) ** 2 / 2**2), rtol=1e-5)


def test_a_flat_critic_has_a_gradient_of_zero_not_nan() -> None:
    value, gradient = jax.value_and_grad(lambda w: wgan_gp(linear(w), IMAGES, -IMAGES, SHARES).sum())(jnp.zeros(SHAPE))
    assert value == 5  # (0 - 1)^2 each
    np.testing.assert_array_equal(gradient, np.zeros(SHAPE))


def test_the_gradient_is_the_closed_form() -> None:
    """(|w| - 1)^2 has the derivative 2 (|w| - 1) w / |w|, also right beside the flat critic."""
    for slope in (1e-3, 0.5, 2.0):
        gradient = jax.grad(lambda w: wgan_gp(linear(w), IMAGES, -IMAGES, SHARES).mean())(slope * UNIT)
        np.testing.assert_allclose(gradient, 2 * (slope - 1) * UNIT, rtol=1e-4)


def shares(real, fake, key=KEY):
    """Where between fake (0) and real (1) the critic was asked, for every value of every image."""
    asked = []

    def critic(images):
        jax.debug.callback(asked.append, images)
        return bowl(images)

    wgan_gp(critic, real, fake, interpolation_shares({"image": real}, key))
    jax.effects_barrier()
    return (np.asarray(asked[0]) - np.asarray(fake)) / np.asarray(real - fake)


def test_each_pair_has_one_point_of_its_own_on_the_line_between() -> None:
    found = shares(IMAGES, IMAGES + 2).reshape(5, -1)
    np.testing.assert_allclose(found, found[:, :1].repeat(found.shape[1], axis=1), atol=1e-5)
    assert np.unique(found[:, 0].round(5)).size == 5
    assert 0 <= found.min() < found.max() <= 1


def test_points_are_uniform_and_depend_on_the_key_and_the_place_only() -> None:
    many = jnp.zeros((2000, 1, 1, 1))
    found = shares(many + 1, many).ravel()
    assert np.histogram(found, 4, (0, 1))[0] == pytest.approx(500, abs=100)
    np.testing.assert_array_equal(shares(many[:7] + 1, many[:7]).ravel(), found[:7])
    assert not np.any(shares(many + 1, many, jax.random.key(1)).ravel() == found)


# Path lengths -------------------------------------------------------------------------------------------------------


def test_the_path_length_of_a_linear_generator_is_the_norm_of_its_transpose() -> None:
    """G(w) = A mean(w), so J_w^T y = A^T y / L for each of the L inputs: their mean square is |A^T y|^2 / L^2."""
    rng = np.random.default_rng(0)
    matrix, noise = rng.normal(size=(2 * 3, 4)), rng.normal(size=(5, 2, 3, 1))
    ws = jnp.asarray(rng.normal(size=(5, 7, 4)), jnp.float32)

    def generator(ws):
        return (ws.mean(axis=1) @ jnp.asarray(matrix, jnp.float32).T).reshape(-1, 2, 3, 1)

    y = noise.reshape(5, 6) / np.sqrt(2 * 3)
    expected = np.linalg.norm(y @ matrix, axis=1) / 7
    np.testing.assert_allclose(path_lengths(generator, ws, jnp.asarray(noise, jnp.float32)), expected, rtol=1e-5)


def test_a_constant_generator_has_paths_of_length_0_and_no_nan_gradient() -> None:
    def penalty(scale):
        return path_lengths(lambda ws: 0 * scale * ws[:, :, :, None], jnp.ones((2, 3, 4)), jnp.ones((2, 3, 4, 1))).sum()

    value, gradient = jax.value_and_grad(penalty)(jnp.float32(1))
    assert value == 0
    assert gradient == 0
