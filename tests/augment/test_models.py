"""Augmentation in the losses of models: StyleGAN2's, which are unlike the others', are tested beside that model."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.losses import LOSSES
from ganzoo.models import dcgan, stylegan
from ganzoo.ops import pixels

BATCH = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))}
KEY = jax.random.key(1)


def play(model: str, augment: str):
    """The networks and losses, and a fresh state."""
    gan = ganzoo.create(model, "tiny", image_size=16, augment=augment)
    config = gan.config
    games = {
        "dcgan": lambda: dcgan.Game(config, gan.generator, gan.discriminator, LOSSES[config.loss]),
        "stylegan": lambda: stylegan.play(config, 0),
    }
    return games[model](), gan.init(jax.random.key(0))


def judged(model: str, game, state):
    """The discriminator's logits of the batch, as in training."""
    images, network = jnp.asarray(pixels.to_float(BATCH["image"])), state.discriminator
    if model == "dcgan":
        return dcgan._train(game.discriminator, network.params, network.variables, images, None)[0]
    return game.judge(network.params, state, images, None, None)


@pytest.mark.parametrize("model", ["dcgan", "stylegan"])
def test_both_players_are_judged_on_augmented_images(model: str) -> None:
    """At p = 0 the losses are those without augmentation, and at p = 1 others; logits of reals are counted."""
    plain, bare = play(model, "none")
    game, state = play(model, "color")
    if model == "stylegan":
        bare, state = (replace(each, level_of_detail=jnp.float32(0)) for each in (bare, state))

    @partial(jax.jit, static_argnums=(0, 1))
    def value(game, player: str, state):
        loss, (state, _) = getattr(game, f"{player}_loss")(getattr(state, player).params, state, BATCH, KEY)
        return loss, state.augment

    always = replace(state, augment=replace(state.augment, p=jnp.float32(1)))
    for player in ("generator", "discriminator"):
        expected, _ = value(plain, player, bare)
        found, strength = value(game, player, state)
        assert float(found) == pytest.approx(float(expected), rel=1e-5)
        assert abs(float(value(game, player, always)[0]) - float(expected)) > 1e-3 * abs(float(expected))
    signs = float(jnp.sum(jnp.sign(judged(model, plain, state))))
    assert (float(strength.count), float(strength.signs)) == (8, signs)
