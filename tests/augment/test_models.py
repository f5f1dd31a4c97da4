"""Augmentation in the losses of models: StyleGAN2's, which are unlike the others', are tested beside that model."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo import losses, objectives
from ganzoo.models import dcgan, stylegan
from ganzoo.ops import pixels
from ganzoo.testing import quick_jit

BATCH = {"image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))}
KEY = jax.random.key(1)


def start(model: str, augment: str):
    """The networks at full size, and a fresh state."""
    gan = ganzoo.create(model, "tiny", image_size=16, augment=augment)
    modules = gan.generator, gan.discriminator
    networks = {
        "dcgan": lambda: dcgan.networks(gan.config, *modules),
        "stylegan": lambda: stylegan.networks(gan.config, *modules, 0),
    }[model]()
    state = quick_jit(gan.init)(jax.random.key(0))
    return networks, replace(state, level_of_detail=jnp.float32(0)) if model == "stylegan" else state


@pytest.mark.parametrize("model", ["dcgan", pytest.param("stylegan", marks=pytest.mark.slow)])
def test_both_networks_learn_from_augmented_images(model: str) -> None:
    """At p = 0 the losses are those without augmentation, and at p = 1 others; logits of reals are counted."""
    (plain, bare), (networks, state) = start(model, "none"), start(model, "color")

    def value(networks, name: str, state):
        objective = getattr(objectives, name)(networks, losses.non_saturating)
        loss, (state, _) = quick_jit(partial(objective, batch=BATCH, key=KEY))(getattr(state, name).params, state)
        return float(loss), state.augment

    always = replace(state, augment=replace(state.augment, p=jnp.float32(1)))
    for name in ("generator", "discriminator"):
        expected, _ = value(plain, name, bare)
        found, counted = value(networks, name, state)
        assert found == pytest.approx(expected, rel=1e-5)
        assert abs(value(networks, name, always)[0] - expected) > 1e-3 * abs(expected)
    images = jnp.asarray(pixels.to_float(BATCH["image"]))
    logits, _ = quick_jit(plain.logits)(state.discriminator.params, state, images, None)
    assert (float(counted.count), float(counted.signs)) == (8, float(jnp.sum(jnp.sign(logits))))
