"""What a compiled step is given: the right images, in the right order, from the device or from the host."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.data.feed import Feed, dispatches, gather
from ganzoo.errors import UserError
from ganzoo.gan import Average
from ganzoo.training.parallel import data_mesh, jit_step

SHAPE = (8, 8, 1)
KEY = jax.random.key(0)


def feed(devices: int = 1, **config) -> Feed:
    return Feed(open_dataset(replace(DataConfig(), **config), SHAPE), seed=3, mesh=data_mesh(devices))


def seen(feed: Feed, first: int, last: int, steps: int) -> np.ndarray:
    """[steps, N, ...]: the images that a step meets, told apart by a state that collects them."""

    def step(state, batch, key):
        shown = jax.lax.dynamic_update_index_in_dim(state["shown"], batch["image"], state["step"], 0)
        return {"step": state["step"] + 1, "shown": shown}, {"labels": Average.of(batch["label"].sum())}

    state = {"step": jnp.int32(0), "shown": jnp.zeros((last - first, 8, *SHAPE), jnp.uint8)}
    compiled = jit_step(feed.steps(step), feed.mesh, batch=feed.spec)
    counts = []
    for count, payload in feed.payloads(first, last, steps, batch_size=8, images=8 * first):
        state = jax.device_put(state, jax.NamedSharding(feed.mesh, jax.P()))
        state, metrics = compiled(state, payload, KEY)
        assert metrics["labels"].value == 8  # one-hot labels came along
        counts.append(count)
    assert sum(counts) == last - first
    return np.asarray(state["shown"])


def expected(first: int, last: int, **config) -> np.ndarray:
    dataset = open_dataset(replace(DataConfig(), **config), SHAPE)
    order = positions(3, len(dataset), first * 8, (last - first) * 8)
    return dataset.read(order)["image"].reshape(last - first, 8, *SHAPE)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("budget", [0, 64])
def test_images_are_those_of_the_order(mirror: bool, budget: int) -> None:
    made = feed(mirror=mirror, memory_budget_mib=budget)
    assert made.resident == (budget > 0)
    np.testing.assert_array_equal(seen(made, 0, 5, 2), expected(0, 5, mirror=mirror))


def test_order_goes_on_across_epochs_and_starts() -> None:
    last = 2 * 1797 // 8
    np.testing.assert_array_equal(seen(feed(), last - 3, last + 2, 2), expected(last - 3, last + 2))


@pytest.mark.parametrize("budget", [0, 64])
def test_eight_devices_see_the_same_batch(budget: int) -> None:
    np.testing.assert_array_equal(seen(feed(8, memory_budget_mib=budget), 0, 3, 3), expected(0, 3))


def test_mirrored_half() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
    batch = gather({"image": jnp.asarray(images)}, jnp.array([1, 3, 0]), 2)
    np.testing.assert_array_equal(batch["image"], np.stack([images[1], images[1][:, ::-1], images[0]]))


def test_dispatches_are_cut_at_multiples_whatever_the_start() -> None:
    whole = list(dispatches(0, 10, 4))
    assert whole == [(0, 4), (4, 4), (8, 2)]
    assert list(dispatches(4, 10, 4)) == whole[1:]
    assert list(dispatches(3, 10, 4)) == [(3, 1), *whole[1:]]
    assert list(dispatches(10, 10, 4)) == []


def test_a_batch_must_divide_among_the_devices() -> None:
    with pytest.raises(UserError, match="multiple of the 8 devices"):
        next(feed(8).payloads(0, 1, 1, batch_size=12, images=0))


def test_another_batch_size_goes_on_where_the_last_one_stopped() -> None:
    payloads = feed().payloads(5, 7, 1, batch_size=4, images=40)
    indices = [np.asarray(payload["index"]["shared"])[0] for _, payload in payloads]
    np.testing.assert_array_equal(np.concatenate(indices), positions(3, 1797, 40, 8))


@pytest.mark.parametrize("budget", [0, 64])
def test_networks_with_reals_of_their_own_take_the_batches_in_turn(budget: int) -> None:
    """Also where a run goes on: the position counts the batches of both."""
    config = {"memory_budget_mib": budget}
    dataset = open_dataset(replace(DataConfig(), **config), SHAPE)
    made = Feed(dataset, seed=3, mesh=data_mesh(2), own_reals=("generator",))
    order = positions(3, len(dataset), 2 * 8 * 2, 3 * 2 * 8).reshape(3, 2, 8)  # steps 2, 3, 4 of two batches each

    def step(state, batch, key):
        images = jnp.stack([batch["image"], batch["generator"]["image"]])
        assert batch["generator"]["label"].shape == batch["label"].shape
        shown = jax.lax.dynamic_update_index_in_dim(state["shown"], images, state["step"], 0)
        return {"step": state["step"] + 1, "shown": shown}, {}

    state = {"step": jnp.int32(0), "shown": jnp.zeros((3, 2, 8, *SHAPE), jnp.uint8)}
    compiled = jit_step(made.steps(step), made.mesh, batch=made.spec)
    for count, payload in made.payloads(2, 5, 2, batch_size=8, images=16):
        described = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), payload)
        assert described == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), made.example(count, 8))
        state, _ = compiled(jax.device_put(state, jax.NamedSharding(made.mesh, jax.P())), payload, KEY)
    np.testing.assert_array_equal(state["shown"], dataset.read(order.reshape(-1))["image"].reshape(3, 2, 8, *SHAPE))
