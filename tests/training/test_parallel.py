"""Steps over meshes of ``jax.make_mesh``: axes of any type and name, with arrays that lie on the mesh already; states
that are divided over devices."""

import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import ganzoo
from ganzoo.errors import UserError
from ganzoo.ops import collective
from ganzoo.testing.comparison import QUICKLY, assert_near
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


# Divided states -------------------------------------------------------------------------------------------------------


def test_large_arrays_are_divided_along_their_largest_axis_that_fits() -> None:
    shapes = {"even": (16, 3, 32, 32), "tie": (64, 64), "odd": (4099,), "small": (8, 8), "step": ()}
    state = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    layout = parallel.divided_layout(state, parallel.data_mesh(8))
    whole = PartitionSpec()
    expected = {"even": PartitionSpec(None, None, "data"), "tie": PartitionSpec("data"), "odd": whole, "small": whole}
    assert {name: sharding.spec for name, sharding in layout.items()} == {**expected, "step": whole}
    assert parallel.bytes_of_one_device(state, layout) == 4 * (16 * 3 * 32 * 32 // 8 + 64 * 64 // 8 + 4099 + 64 + 1)


def test_a_published_state_takes_an_eighth_on_each_of_eight_devices() -> None:
    state = jax.eval_shape(ganzoo.create("dcgan", "torch").init, jax.random.key(0))
    share = parallel.bytes_of_one_device(state, parallel.divided_layout(state, parallel.data_mesh(8)))
    assert share < 1.15 / 8 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def work(compiled: jax.stages.Compiled) -> Counter:
    """The shapes of the results of matrix products and convolutions on one device."""
    return Counter(re.findall(r"= (\S+?\])\S* (?:convolution|dot)\(", compiled.as_text()))


def test_a_divided_state_leaves_the_work_of_a_device_as_it_is() -> None:
    """Each device works on its part of the batch, and there is more communication of parameters alone."""
    gan, mesh = ganzoo.create("dcgan", "tiny"), parallel.data_mesh(8)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    args = state, {"image": np.zeros((16, *gan.image_shape), np.uint8)}, jax.random.key(0)
    layout = parallel.divided_layout(state, mesh, least=64)
    steps = (parallel.jit_step(gan.step, mesh, layout=each, options=QUICKLY) for each in (None, layout))
    whole, divided = (step.lower(*args).compile() for step in steps)
    assert work(whole) == work(divided)
    assert work(whole).total() > 40
    assert " all-gather(" in divided.as_text()
    assert " collective-permute(" not in divided.as_text()
    assert " all-gather(" not in whole.as_text()


@pytest.mark.slow
def test_a_divided_state_trains_the_same_in_scans_and_micro_batches() -> None:
    gan, mesh = ganzoo.create("dcgan", "tiny", micro_batch=8), parallel.data_mesh(8)
    start = jax.device_get(gan.init(jax.random.key(0)))
    layout = parallel.divided_layout(start, mesh, least=64)
    batches = {"image": np.random.default_rng(0).integers(0, 256, (2, 16, *gan.image_shape), np.uint8)}
    found = [
        parallel.scan_step(gan.step, mesh, layout=each, options=QUICKLY)(
            parallel.place(start, mesh, each), batches, jax.random.key(1)
        )
        for each in (None, layout)
    ]
    assert_near(found[1], found[0], 1e-4, absolute=1e-5)
    assert jax.tree.map(lambda leaf: leaf.sharding, found[1][0]) == layout


@pytest.mark.parametrize("compiled", [parallel.jit_step, parallel.shard_map_step, parallel.pmap_step])
def test_steps_of_a_whole_state_refuse_a_divided_one(compiled) -> None:
    mesh = parallel.data_mesh(8)
    state = {"w": jnp.ones((8, 8))}
    divided = parallel.place(state, mesh, parallel.divided_layout(state, mesh, least=1))
    with pytest.raises(
        UserError, match=r"such as w: .*place\(state, mesh\) .*layout=parallel.divided_layout"
    ) as raised:
        compiled(step, mesh)(divided, {"image": np.ones((8, 8), np.float32)}, jax.random.key(0))
    assert "\n" not in str(raised.value)


def test_steps_of_a_divided_state_refuse_a_whole_one() -> None:
    mesh = parallel.data_mesh(8)
    state = {"w": jnp.ones((8, 8))}
    batch, layout = {"image": np.ones((8, 8), np.float32)}, parallel.divided_layout(state, mesh, least=1)
    compiled = parallel.jit_step(step, mesh, layout=layout)
    with pytest.raises(UserError, match=r"such as w: parallel.place\(state, mesh, layout\)"):
        compiled(parallel.replicate(state, mesh), batch, jax.random.key(0))


def test_an_error_of_the_step_is_not_taken_for_one_of_the_layout() -> None:
    def failing(state, batch, key):
        raise ValueError("a fault of one's own")

    state = jax.device_put({"w": jnp.ones((8, 8))}, jax.devices()[0])
    with pytest.raises(ValueError, match="a fault of one's own"):
        parallel.pmap_step(failing, parallel.data_mesh(8))(state, {"image": np.ones((8, 8))}, jax.random.key(0))


def test_a_step_within_another_program() -> None:
    """Whose compiler takes the options of a program only."""
    mesh = parallel.data_mesh(1)
    compiled = parallel.jit_step(step, mesh)
    state, batch = {"w": jnp.eye(3)}, {"image": np.ones((4, 3), np.float32)}
    shapes, _ = jax.eval_shape(compiled, state, batch, jax.random.key(0))
    assert shapes["w"].shape == (3, 3)
    found, _ = jax.jit(compiled)(state, batch, jax.random.key(0))
    np.testing.assert_allclose(found["w"], np.eye(3) + 1)
