"""States of generators that are quick to make."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from golden_cases import draw

import ganzoo
from ganzoo.gan import Network, TrainState


def drawn_state(gan: ganzoo.GAN, noise_strength: float = 0.5) -> TrainState:
    """Fresh weights by NumPy, which compiles nothing; noise and the mean of w are not 0."""

    def fresh(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name, seed = jax.tree_util.keystr(path), sum(map(ord, jax.tree_util.keystr(path)))
        if "bias" in name:
            return jnp.full(leaf.shape, 1.0 if "affine" in name else 0.0)
        if "['var']" in name:
            return 1 + jnp.abs(jnp.asarray(draw(seed, *leaf.shape)))
        if "noise_strength" in name:
            return jnp.full(leaf.shape, noise_strength)
        return jnp.asarray(draw(seed, *leaf.shape) * (100 if "mapping" in name and "kernel" in name else 1))

    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    drawn = jax.tree_util.tree_map_with_path(fresh, shapes.ema)
    generator, none = Network.create(drawn, lambda params: ()), Network({}, {}, ())
    state = replace(shapes, generator=generator, discriminator=none, ema=drawn)
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jnp.zeros(leaf.shape, leaf.dtype), state)
