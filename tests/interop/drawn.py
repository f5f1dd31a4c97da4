"""Models whose weights are our own numbers: to initialise takes long to compile."""

import jax
import numpy as np
from golden_cases import draw

import ganzoo
from ganzoo import interop
from ganzoo.config import to_json
from ganzoo.gan import named_leaves


def weights_of(gan: ganzoo.GAN) -> dict[str, np.ndarray]:
    """Weights by their names in a train state."""
    leaves = named_leaves(networks_of(jax.eval_shape(gan.init, jax.random.key(0))))
    return {name: np.asarray(draw(seed, *leaf.shape)) for seed, (name, leaf) in enumerate(leaves)}


def networks_of(state: ganzoo.TrainState) -> dict:
    """The networks of a state without their optimizers."""
    both = {name: getattr(state, name) for name in ("generator", "discriminator")}
    parts = {name: {"params": each.params, "collections": each.collections} for name, each in both.items()}
    return {**parts, "ema": state.ema}


def converted_of(gan: ganzoo.GAN) -> interop.Converted:
    """A model as it is read from a file."""
    return interop.Converted(gan.name, to_json(gan.config), weights_of(gan))


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """The arrays are the same, bit for bit."""
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
