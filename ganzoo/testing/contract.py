"""The contract of a model as checks: each takes a ``Contract`` and raises ``AssertionError`` where it does not hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.config import from_json, replaced, to_json
from ganzoo.gan import GAN, Model, named_leaves
from ganzoo.latent.sampler import Sampler
from ganzoo.models import find_preset
from ganzoo.testing.comparison import QUICKLY, assert_near, quick_jit
from ganzoo.training import parallel
from ganzoo.typing import Batch, Key, Metrics, State, Step

ROUNDING, METRIC_ROUNDING = 1e-5, 1e-4


@dataclass(frozen=True)
class Contract:
    """A GAN under test, with what its checks share: a fresh state, random batches, and three steps."""

    gan: GAN
    batch_size: int = 16
    steps: int = 3

    @property
    def key(self) -> Key:
        """The run's key."""
        return jax.random.key(3)

    @cached_property
    def start(self) -> State:
        """A fresh state on the host, so that a check may donate a copy."""
        return jax.device_get(quick_jit(self.gan.init)(jax.random.key(0)))

    @cached_property
    def batches(self) -> Batch:
        """Random images [K, N, H, W, C], with labels [K, N, k] of a conditional model, and those of single networks."""
        rng, shape = np.random.default_rng(0), (self.steps, self.batch_size)

        def stack() -> dict[str, np.ndarray]:
            images = {"image": rng.integers(0, 256, (*shape, *self.gan.image_shape), np.uint8)}
            if not self.gan.label_size:
                return images
            classes = rng.integers(0, self.gan.label_size, shape)
            return {**images, "label": np.eye(self.gan.label_size, dtype=np.float32)[classes]}

        return {**stack(), **{network: stack() for network in self.gan.own_reals}}

    def batch(self, i: int = 0) -> Batch:
        """Return batch ``i`` of ``batches``."""
        return jax.tree.map(lambda leaf: leaf[i], self.batches)

    def run(self, step: Step, state: State) -> list[tuple[State, Metrics]]:
        """Return states and metrics, on the host, after each of the batches."""
        after = []
        for i in range(self.steps):
            state, metrics = step(state, self.batch(i), self.key)
            after.append(jax.device_get((state, metrics)))
        return after

    @cached_property
    def one_device(self) -> Step:
        """The step, compiled for one device."""
        return parallel.jit_step(self.gan.step, parallel.data_mesh(1), options=QUICKLY)

    @cached_property
    def expected(self) -> list[tuple[State, Metrics]]:
        """What ``run`` gives on one device."""
        return self.run(self.one_device, parallel.replicate(self.start, parallel.data_mesh(1)))


# Shapes and values --------------------------------------------------------------------------------------------------


def state_is_a_fixed_point_of_shapes(contract: Contract) -> None:
    """Check that a step keeps the tree, the shapes and the types of the state, whose leaves are arrays."""
    start = contract.start
    state, _ = contract.one_device.eval_shape(start, contract.batch(), contract.key)  # ty: ignore[missing-attribute]  # traced for later, too
    described = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (state, start)]
    assert described[0] == described[1]
    assert jax.tree.structure(state) == jax.tree.structure(start)
    assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(start))


def three_steps_are_finite_and_counted(contract: Contract) -> None:
    """Check that state and metrics stay finite; steps and images are counted."""
    state, metrics = contract.expected[-1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert all(np.isfinite(metric.value) for metric in metrics.values() if metric.count)
    assert int(state.step) == contract.steps
    assert int(state.images) == contract.steps * contract.batch_size


def types_do_not_depend_on_x64(contract: Contract) -> None:
    """Check that state and samples have the same types under ``jax_enable_x64``."""
    gan = contract.gan
    with jax.enable_x64(True):
        start = jax.eval_shape(gan.init, jax.random.key(0))
        state, _ = jax.eval_shape(gan.step, start, contract.batch(), contract.key)
        images = jax.eval_shape(lambda state: gan.sample(state, jax.random.key(0), 2), state)
    for tree in (start, state):
        assert jax.tree.map(lambda leaf: leaf.dtype, tree) == jax.tree.map(lambda leaf: leaf.dtype, contract.start)
    assert images.dtype == jnp.float32


def a_step_is_compiled_once(contract: Contract) -> None:
    """Check that later steps find the program of the first one."""
    assert contract.expected
    assert contract.one_device._cache_size() == 1  # ty: ignore[missing-attribute]


def every_parameter_is_trained(contract: Contract) -> None:
    """Check that three steps change every array of parameters of both networks."""
    for network in ("generator", "discriminator"):
        before, after = (getattr(state, network).params for state in (contract.start, contract.expected[-1][0]))
        pairs = zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
        still = [jax.tree_util.keystr(path) for (path, a), b in pairs if np.array_equal(a, b)]
        assert not still, f"{network}: {still}"


def weights_depend_on_seed_and_layer(contract: Contract) -> None:
    """Check that another seed gives other weights, and no two layers start with the same ones."""
    other = jax.device_get(quick_jit(contract.gan.init)(jax.random.key(1)))
    pairs = zip(jax.tree.leaves(contract.start), jax.tree.leaves(other), strict=True)
    matrices = [(a, b) for a, b in pairs if a.ndim > 1 and a.any()]
    assert matrices
    assert all(not np.array_equal(a, b) for a, b in matrices)
    networks = contract.start.generator.params, contract.start.discriminator.params
    leaves = [leaf.ravel()[:8] for leaf in jax.tree.leaves(networks)]
    drawn = [tuple(leaf) for leaf in leaves if len(leaf) == 8 and np.unique(leaf).size == 8]
    assert len(set(drawn)) == len(drawn)


# Sampling -----------------------------------------------------------------------------------------------------------


def samples_have_shape_and_range(contract: Contract) -> None:
    """Check that samples are [N, H, W, C] float32 in [-1, 1], also for N = 0."""
    images = contract.gan.sample(contract.start, jax.random.key(1), 3)
    assert images.shape == (3, *contract.gan.image_shape)
    assert images.dtype == jnp.float32
    assert float(jnp.abs(images).max()) <= 1
    assert contract.gan.sample(contract.start, jax.random.key(1), 0).shape == (0, *contract.gan.image_shape)


def samples_depend_on_their_number_alone(contract: Contract) -> None:
    """Check that image i of a key is the same whatever is sampled beside it."""
    gan, key = contract.gan, jax.random.key(1)
    many = gan.sample(contract.start, key, 8)
    assert_near(gan.sample(contract.start, key, 3), many[:3], absolute=ROUNDING)
    assert_near(gan.sample(contract.start, key, 3, first=4), many[4:7], absolute=ROUNDING)


def generator_applies_to_the_ema(contract: Contract) -> None:
    """Check that ``gan.generator.apply(state.ema, z)`` gives images, as any Flax user types it."""
    gan, state = contract.gan, contract.expected[-1][0]
    latents = gan.latents(contract.key, jnp.arange(2))
    labels = jax.nn.one_hot(jnp.arange(2), gan.label_size) if gan.label_size else None
    apply = quick_jit(gan.generator.apply)
    images = apply(state.ema, latents, labels) if gan.label_size else apply(state.ema, latents)
    assert images.shape == (2, *gan.image_shape)


def tools_give_what_generate_gives(contract: Contract) -> None:
    """Check that tools and style space give the images of ``gan.generate`` at any moment of a run."""
    gan = contract.gan
    for state in (contract.start, *(state for state, _ in contract.expected)):
        for ema in (True, False):
            sampler = Sampler(gan, state, ema=ema, batch=4)
            latents, labels = sampler.latents(range(4)), sampler.labels(4)
            expected = gan.generate(state, latents, labels, ema=ema)
            assert_near(sampler.images(latents, labels), expected, absolute=ROUNDING)
            if gan.styles is not None:
                ws = gan.styles.map(state, latents, labels, ema=ema)
                assert ws.shape[:2] == (4, gan.styles.count)
                images = gan.styles.synthesise(state, ws, ema=ema)
                assert_near(jnp.clip(images, -1, 1), expected, absolute=ROUNDING)


def feature_maps_have_their_sizes(contract: Contract) -> None:
    """Check that every level of feature maps that the style space names is there, beside the images."""
    gan, space = contract.gan, contract.gan.styles
    if space is None:
        return
    ws = jnp.zeros((2, space.count, *space.mean(contract.start).shape))
    for level, size in enumerate(space.feature_sizes):
        images, maps = jax.eval_shape(partial(space.features, contract.start, level=level), ws)
        assert images.shape == (2, *gan.image_shape)
        assert maps.shape[:3] == (2, *size)


# One step, compiled in every way ------------------------------------------------------------------------------------


def jit_over_devices_equals_one(contract: Contract) -> None:
    """Check that ``jit`` over a mesh of up to 8 devices trains what one device trains, up to summation order."""
    _assert_equals_one(contract, parallel.jit_step, _device_count(contract, 8))


def shard_map_equals_one(contract: Contract) -> None:
    """Check that ``shard_map`` trains what one device trains."""
    _assert_equals_one(contract, parallel.shard_map_step, _device_count(contract, 8))


def unchecked_shard_map_equals_one(contract: Contract) -> None:
    """Check that ``shard_map`` with ``check_vma=False`` trains what one device trains."""

    def unchecked(step: Step, mesh: jax.sharding.Mesh, options: Any) -> Step:
        return parallel.shard_map_step(step, mesh, check_vma=False, options=options)

    _assert_equals_one(contract, unchecked, _device_count(contract, 2))


def pmap_equals_one(contract: Contract) -> None:
    """Check that ``pmap`` trains what one device trains."""
    _assert_equals_one(contract, lambda step, mesh, options: parallel.pmap_step(step, mesh), _device_count(contract, 2))


def scan_equals_single_steps(contract: Contract) -> None:
    """Check that three steps in one dispatch over a mesh are three steps."""
    mesh = parallel.data_mesh(_device_count(contract, 8))
    step = parallel.scan_step(contract.gan.step, mesh, options=QUICKLY)
    state, metrics = step(parallel.replicate(contract.start, mesh), contract.batches, contract.key)
    assert_near(state, contract.expected[-1][0], absolute=ROUNDING)
    assert all(np.isfinite(metric.value) for metric in jax.device_get(metrics).values())


def divided_state_equals_one(contract: Contract) -> None:
    """Check that a state divided over a mesh of up to 8 devices stays so, and trains what one device trains."""
    mesh = parallel.data_mesh(_device_count(contract, 8))
    layout = parallel.divided_layout(contract.start, mesh, least=64)
    step = parallel.jit_step(contract.gan.step, mesh, layout=layout, options=QUICKLY)
    state = parallel.place(contract.start, mesh, layout)
    for i in range(contract.steps):
        state, _ = step(state, contract.batch(i), contract.key)
    for (name, leaf), sharding in zip(named_leaves(state), jax.tree.leaves(layout), strict=True):
        held = [shard.data.shape for shard in leaf.addressable_shards]
        assert held == [sharding.shard_shape(leaf.shape)] * mesh.size, name
    assert_near(state, contract.expected[-1][0], absolute=ROUNDING)


def vmap_equals_separate_runs(contract: Contract) -> None:
    """Check that two seeds at once are two runs."""
    gan, batch, keys = contract.gan, contract.batch(), jax.random.split(jax.random.key(5), 2)
    starts = [contract.start, jax.device_get(quick_jit(gan.init)(jax.random.key(1)))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    states, _ = parallel.vmap_step(gan.step, options=QUICKLY)(stacked, batch, keys)
    for i, start in enumerate(starts):
        mesh = parallel.data_mesh(1)
        alone, _ = contract.one_device(parallel.replicate(start, mesh), batch, parallel.replicate(keys[i], mesh))
        assert_near(jax.tree.map(lambda leaf, i=i: leaf[i], states), alone, absolute=ROUNDING)


def a_step_takes_its_state(contract: Contract) -> None:
    """Check that a compiled step frees the memory of the state that it was given."""
    state = parallel.replicate(contract.start, parallel.data_mesh(1))
    contract.one_device(state, contract.batch(), contract.key)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.generator.params))


def key_and_step_decide_the_draws(contract: Contract) -> None:
    """Check that the same key and step number repeat a step, and that others change it."""
    mesh, batch = parallel.data_mesh(1), contract.batch()

    def params(start: State, key: Key) -> Any:
        state, _ = contract.one_device(parallel.replicate(start, mesh), batch, key)
        return jax.device_get((state.generator.params, state.discriminator.params))

    def is_same(a: Any, b: Any) -> bool:
        return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))

    first = params(contract.start, contract.key)
    assert is_same(first, params(contract.start, contract.key))
    assert not is_same(first, params(contract.start, jax.random.key(4)))
    assert not is_same(first, params(replace(contract.start, step=np.int32(2)), contract.key))


def _device_count(contract: Contract, most: int) -> int:
    """Return how many devices to take: at most ``most``, a divisor of the batch."""
    counts = range(1, min(most, len(jax.devices())) + 1)
    return max(count for count in counts if contract.batch_size % count == 0)


def _assert_equals_one(contract: Contract, mode: Callable[..., Step], devices: int) -> None:
    mesh = parallel.data_mesh(devices)
    step = mode(contract.gan.step, mesh, options=QUICKLY)
    state, metrics = contract.run(step, parallel.replicate(contract.start, mesh))[-1]
    assert_near(state, contract.expected[-1][0], absolute=ROUNDING)
    assert_near(metrics, contract.expected[-1][1], METRIC_ROUNDING, absolute=METRIC_ROUNDING)


CHECKS: Mapping[str, Callable[[Contract], None]] = {
    check.__name__: check
    for check in (
        state_is_a_fixed_point_of_shapes,
        three_steps_are_finite_and_counted,
        types_do_not_depend_on_x64,
        a_step_is_compiled_once,
        every_parameter_is_trained,
        weights_depend_on_seed_and_layer,
        samples_have_shape_and_range,
        samples_depend_on_their_number_alone,
        generator_applies_to_the_ema,
        tools_give_what_generate_gives,
        feature_maps_have_their_sizes,
        jit_over_devices_equals_one,
        shard_map_equals_one,
        unchecked_shard_map_equals_one,
        pmap_equals_one,
        scan_equals_single_steps,
        divided_state_equals_one,
        vmap_equals_separate_runs,
        a_step_takes_its_state,
        key_and_step_decide_the_draws,
    )
}
"""All checks, by name."""


def check_model(model: Model, preset: str = "tiny", **fields: Any) -> None:
    """Run all checks on one preset of a model, and those of ``check_presets``.

    Args:
      model: inside or outside of this package.
      preset: should be small: each check compiles a step.
      fields: config fields that differ from the preset.

    Raises:
      AssertionError: the first check that does not hold.
    """
    contract = Contract(model.build(replaced(find_preset(model, preset).config, fields)))
    for check in CHECKS.values():
        check(contract)
    check_presets(model)


def check_presets(model: Model) -> None:
    """Check that every preset builds, survives JSON, makes images and takes a step; nothing is compiled."""
    for name, preset in model.presets.items():
        gan = model.build(preset.config)
        assert from_json(type(gan.config), to_json(gan.config)) == gan.config, name
        state = jax.eval_shape(gan.init, jax.random.key(0))
        images = jax.eval_shape(lambda state, gan=gan: gan.sample(state, jax.random.key(0), 2), state)
        assert images.shape == (2, *gan.image_shape), name
