"""Every loss against float64 at logits where a careless formula fails, and what the optima of the games are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo import losses
from ganzoo.losses import LOSSES, minimax_generator, minimax_value

NAMES = sorted(LOSSES)
LOGITS = np.array([0, 0.5, -0.5, 5, -5, 50, -50, 500, -500], np.float32)
REAL, FAKE = (grid.ravel() for grid in np.meshgrid(LOGITS, LOGITS))
UNDERFLOW = float(np.finfo(np.float32).tiny)


# The formulas, in float64 -------------------------------------------------------------------------------------------


def softplus(x):
    return np.logaddexp(0, x)


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def minimax(r, f):
    """-log D(x) - log(1 - D(G(z)))"""
    return softplus(-r) + softplus(f), -sigmoid(-r), sigmoid(f)


EXACT = {  # name -> for D and for G: (r, f) -> (loss, its derivative in r, its derivative in f)
    "minimax": (minimax, lambda r, f: (-softplus(f), 0 * r, -sigmoid(f))),
    "non-saturating": (minimax, lambda r, f: (softplus(-f), 0 * r, -sigmoid(-f))),
    "least-squares": (
        lambda r, f: (((r - 1) ** 2 + f**2) / 2, r - 1, f),
        lambda r, f: ((f - 1) ** 2 / 2, 0 * r, f - 1),
    ),
    "hinge": (
        lambda r, f: (np.maximum(0, 1 - r) + np.maximum(0, 1 + f), -1.0 * (r < 1), 1.0 * (f > -1)),
        lambda r, f: (-f, 0 * r, -np.ones_like(f)),
    ),
    "wasserstein": (
        lambda r, f: (f - r, -np.ones_like(r), np.ones_like(f)),
        lambda r, f: (-f, 0 * r, -np.ones_like(f)),
    ),
    "relativistic": (
        lambda r, f: (softplus(f - r), -sigmoid(f - r), sigmoid(f - r)),
        lambda r, f: (softplus(r - f), sigmoid(r - f), -sigmoid(r - f)),
    ),
}
SIDES = [(name, side) for name in NAMES for side in ("discriminator", "generator")]


def value_and_gradients(loss, real, fake):
    gradients = jax.grad(lambda r, f: loss(r, f).sum(), argnums=(0, 1))(jnp.asarray(real), jnp.asarray(fake))
    return loss(jnp.asarray(real), jnp.asarray(fake)), *gradients


@pytest.mark.parametrize(("name", "side"), SIDES)
def test_value_and_gradients_equal_float64(name, side) -> None:
    exact = EXACT[name][side == "generator"](REAL.astype(np.float64), FAKE.astype(np.float64))
    ours = value_and_gradients(getattr(LOSSES[name], side), REAL, FAKE)
    for what, a, b in zip(("loss", "gradient in real", "gradient in fake"), ours, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=UNDERFLOW, err_msg=what)


@pytest.mark.parametrize(("name", "side"), SIDES)
def test_finite_at_huge_logits(name, side) -> None:
    huge = np.array([1e4, 1e4, -1e4, -1e4], np.float32)
    for values in value_and_gradients(getattr(LOSSES[name], side), huge, huge[::-1].copy()):
        assert np.isfinite(values).all()


# The games ----------------------------------------------------------------------------------------------------------


def test_the_minimax_value_is_minus_log_4_where_d_cannot_tell() -> None:
    half = jnp.zeros(3)  # D = sigmoid(0) = 1/2
    np.testing.assert_array_equal(minimax_value(half, half), np.full(3, -np.log(4), np.float32))


def test_minimax_is_a_zero_sum_game() -> None:
    fake = jnp.asarray(LOGITS)
    of_value = jax.grad(lambda f: minimax_value(jnp.zeros_like(f), f).sum())(fake)
    np.testing.assert_array_equal(jax.grad(lambda f: minimax_generator(f, f).sum())(fake), of_value)
    np.testing.assert_array_equal(LOSSES["minimax"].discriminator(fake, fake), -minimax_value(fake, fake))


@pytest.mark.parametrize("name", NAMES)
def test_the_players_pull_in_opposite_directions(name) -> None:
    undecided = np.full(1, 0.5, np.float32)
    _, d_real, d_fake = value_and_gradients(LOSSES[name].discriminator, undecided, undecided)
    _, _, g_fake = value_and_gradients(LOSSES[name].generator, undecided, undecided)
    assert d_real < 0 < d_fake  # D raises the logits of reals, lowers those of fakes
    assert g_fake < 0


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_sees_the_reals_only_where_the_loss_says_so(name) -> None:
    _, in_real, _ = value_and_gradients(LOSSES[name].generator, REAL, FAKE)
    assert bool(np.any(in_real)) == LOSSES[name].pairs_examples


def test_the_relativistic_players_are_each_other_with_the_sides_exchanged() -> None:
    pair = LOSSES["relativistic"]
    np.testing.assert_array_equal(pair.generator(REAL, FAKE), pair.discriminator(FAKE, REAL))
    # -log sigmoid(a) + log sigmoid(-a) = -a: the difference of the two is odd in the difference of the logits
    difference = pair.discriminator(REAL, FAKE) - pair.generator(REAL, FAKE)
    np.testing.assert_allclose(difference, FAKE - REAL, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["relativistic", "wasserstein"])
def test_critics_that_only_compare_do_not_care_for_a_common_shift(name) -> None:
    loss, real, fake = LOSSES[name].discriminator, jnp.asarray(REAL), jnp.asarray(FAKE)
    np.testing.assert_array_equal(loss(real + 8, fake + 8), loss(real, fake))


@pytest.mark.parametrize("ratio", [0.25, 0.8, 3.0])
@pytest.mark.parametrize(
    ("name", "optimum"),
    [
        ("minimax", np.log),  # D = p / (p + q), so the logit is log p / q. Goodfellow et al. 2014, proposition 1
        ("non-saturating", np.log),
        ("least-squares", lambda ratio: ratio / (ratio + 1)),  # Mao et al. 2017, equation 5 with b = 1, a = 0
        ("hinge", lambda ratio: 1.0 if ratio > 1 else -1.0),  # sign(p - q). Lim and Ye 2017
    ],
)
def test_the_best_discriminator_is_the_published_one(name, optimum, ratio) -> None:
    logits = jnp.linspace(-2, 2, 4001)
    loss = LOSSES[name].discriminator
    nothing = jnp.zeros_like(logits)
    at_real = loss(logits, nothing) - loss(nothing, nothing)
    at_fake = loss(nothing, logits) - loss(nothing, nothing)
    expected = ratio * at_real + at_fake  # up to a constant: where reals are ``ratio`` times as dense as fakes
    assert float(logits[jnp.argmin(expected)]) == pytest.approx(optimum(ratio), abs=5e-3)


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_a_value_of_its_name(name) -> None:
    assert getattr(losses, name.replace("-", "_")) is LOSSES[name]
    assert LOSSES[name].name == name
