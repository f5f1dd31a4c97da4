"""Draws depend on a key and a place, on nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from ganzoo.ops import random
from ganzoo.ops.collective import AXIS
from ganzoo.training.parallel import data_mesh

KEY = jax.random.key(7)


def draw(key):
    return jax.random.normal(key, (3,))


def test_a_draw_depends_on_the_key_and_its_index_only() -> None:
    many = random.for_indices(draw, KEY, jnp.arange(10))
    np.testing.assert_array_equal(random.for_indices(draw, KEY, jnp.asarray([7, 2, 2])), many[jnp.asarray([7, 2, 2])])
    np.testing.assert_array_equal(random.for_batch(draw, KEY, 4), many[:4])
    np.testing.assert_array_equal(many[5], draw(jax.random.fold_in(KEY, 5)))
    assert not np.any(random.for_indices(draw, jax.random.key(8), jnp.arange(10)) == many)


def test_draws_differ_from_each_other() -> None:
    assert np.unique(random.for_batch(draw, KEY, 100)).size == 300


def test_the_number_of_devices_does_not_change_them() -> None:
    whole = random.for_batch(draw, KEY, 16)
    mesh = data_mesh(8)
    parts = jax.shard_map(
        lambda key: random.for_batch(draw, key, 2), mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(AXIS)
    )
    np.testing.assert_array_equal(parts(KEY), whole)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4, 5)])
def test_flat_normal_numbers_are_those_of_jax(shape) -> None:
    flat, theirs = random.normal(KEY, shape), jax.random.normal(KEY, shape)
    np.testing.assert_array_equal(flat, jax.random.normal(KEY, (flat.size,)).reshape(shape))
    np.testing.assert_array_max_ulp(flat, theirs, 2)  # the same bits, rounded by another loop of the inverse erf
