"""Steps over meshes of ``jax.make_mesh``: axes of any type and name, with arrays that lie on the mesh already."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import ganzoo
from ganzoo.errors import UserError
from ganzoo.ops import collective
from ganzoo.training import parallel


def step(state, batch, key):
    """A step with a matrix product and a mean over the batch."""
    rows = batch["image"] @ state["w"]
    return {"w": state["w"] + collective.mean(rows.mean(axis=0, keepdims=True))}, {"draw": jax.random.uniform(key)}


@pytest.mark.parametrize("kind", [AxisType.Explicit, AxisType.Auto])
@pytest.mark.parametrize("compiled", [parallel.jit_step, parallel.shard_map_step, parallel.pmap_step])
def test_arrays_on_a_mesh_of_any_type_and_name(compiled, kind) -> None:
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(kind,))
    images = np.arange(24, dtype=np.float32).reshape(8, 3)
    state = jax.device_put({"w": jnp.eye(3)}, NamedSharding(mesh, PartitionSpec()))
    batch = jax.device_put({"image": images}, NamedSharding(mesh, PartitionSpec("rows")))
    found, metrics = compiled(step, mesh)(state, batch, jax.random.key(0))
    np.testing.assert_allclose(found["w"], np.eye(3) + images.mean(axis=0), rtol=1e-6)
    assert metrics["draw"] == jax.random.uniform(jax.random.key(0))


def test_a_mesh_of_two_axes_is_refused() -> None:
    with pytest.raises(UserError, match="give one with one axis"):
        parallel.jit_step(step, jax.make_mesh((2, 1), ("x", "y")))


def test_a_step_alone_names_the_axis_and_the_remedy() -> None:
    mesh = jax.make_mesh((2,), ("rows",), axis_types=(AxisType.Explicit,))
    batch = jax.device_put({"image": np.zeros((8, 4, 4, 3), np.uint8)}, NamedSharding(mesh, PartitionSpec("rows")))
    gan = ganzoo.create("dcgan", "tiny")
    state = jax.eval_shape(gan.init, jax.random.key(0))
    with pytest.raises(UserError, match=r"Explicit axes rows: .*jit_step"):
        jax.eval_shape(gan.step, state, batch, jax.random.key(0))
