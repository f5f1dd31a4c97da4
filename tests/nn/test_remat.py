"""Rematerialised networks: the same parameters and numbers, and less that is kept for the gradient."""

from typing import Any

import jax
import numpy as np
import pytest

import ganzoo
from ganzoo.testing import assert_near, quick_jit

SECOND_ORDER = {
    "dcgan": {"gradient_penalty": 10.0, "loss": "wasserstein"},
    "stylegan": {"progressive": False},
    "stylegan2": {"path_length_interval": 0, "r1_interval": 0},
    "stylegan3": {"r1_interval": 0, "style_mixing": 0.9},
}
"""Settings with which every step has penalties of gradients."""
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("stylegan", "stylegan2", "stylegan3")]


def both(name: str, **fields: Any) -> list[ganzoo.GAN]:
    return [ganzoo.create(name, "tiny", **fields, remat=remat) for remat in (False, True)]


@pytest.mark.parametrize("name", ["dcgan", *SLOW])
def test_a_step_is_the_same_but_for_rounding(name: str) -> None:
    batch, results = {}, []
    for gan in both(name, **SECOND_ORDER[name]):
        batch = {"image": np.random.default_rng(0).integers(0, 256, (4, *gan.image_shape), np.uint8)}
        state = quick_jit(gan.init)(jax.random.key(0))
        results.append(quick_jit(gan.step)(state, batch, jax.random.key(1)))
    assert_near(results[1], results[0], 1e-5)


BLOCKS = {"dcgan": (1, 2), "stylegan": (3, 2), "stylegan2": (3, 2), "stylegan3": (4, 2)}
"""Blocks of G and D at 16 pixels; StyleGAN3's generator has layers, of which the preset has three and the colours."""


@pytest.mark.parametrize("name", ["dcgan", "stylegan", "stylegan2", pytest.param("stylegan3", marks=pytest.mark.slow)])
def test_each_block_is_rematerialised_under_the_same_names(name: str) -> None:
    """In both networks, whose states are the same."""
    plain, remat = both(name, image_size=16)
    state = jax.eval_shape(plain.init, jax.random.key(0))
    assert jax.eval_shape(remat.init, jax.random.key(0)) == state
    images = jax.ShapeDtypeStruct((4, *plain.image_shape), np.float32)
    latents = jax.ShapeDtypeStruct((4, plain.config.latent_size), np.float32)
    for gan, blocks in ((plain, (0, 0)), (remat, BLOCKS[name])):
        for module, variables, inputs, count in (
            (gan.generator, state.generator.variables, latents, blocks[0]),
            (gan.discriminator, state.discriminator.variables, images, blocks[1]),
        ):
            traced = jax.make_jaxpr(module.apply)(variables, inputs)
            names = [eqn.primitive.name for eqn in traced.eqns]
            assert sum(name in ("checkpoint", "remat2") for name in names) == count  # by the version of JAX


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_less_is_kept_for_the_gradient(network: str) -> None:
    kept = []
    for gan in both("stylegan2", image_size=32, channel_max=4):
        variables = getattr(jax.eval_shape(gan.init, jax.random.key(0)), network).variables
        inputs = np.zeros((8, *({"generator": (8,), "discriminator": gan.image_shape}[network])), np.float32)
        apply = getattr(gan, network).apply
        pulled = jax.eval_shape(lambda v, apply=apply, x=inputs: jax.vjp(lambda v: apply(v, x), v)[1], variables)
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(pulled)))
    assert kept[1] < 0.3 * kept[0]
