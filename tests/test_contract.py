"""What every registered model promises, checked once for all of them through their ``tiny`` presets."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.config import from_json, to_json
from ganzoo.models import MODELS
from ganzoo.training import parallel

BATCH, STEPS = 16, 3
KEY = jax.random.key(3)


PLAIN = [(name, {}) for name in MODELS if name != "progan"]
"""Every model as its ``tiny`` preset has it. ProGAN is StyleGAN with other settings."""

WIDE = {"label_size": 3, "image_size": (8, 10), "channels": 4}
ADAPTIVE = {"augment": "color", "augment_target": -0.9, "augment_images": 64, "augment_interval": 2}

VARIANTS = [
    *PLAIN,
    ("progan", {}),
    (
        "dcgan",
        {
            "update": "alternate",
            "first_norm": "unit",
            "kernel_size": 5,
            "weight_decay": 1e-5,
            "label_size": 3,
            **ADAPTIVE,
        },
    ),
    (
        "dcgan",
        {
            "loss": "relativistic",
            "sample_statistics": "batch",
            "latent_distribution": "uniform",
            "augment": "diffaugment",
        },
    ),
    (
        "stylegan",
        {**WIDE, "progressive": False, "loss": "wasserstein", "augment": "color", "augment_p": 0.5},
    ),
    (
        "stylegan2",
        {
            **WIDE,
            "micro_batch": 8,
            "path_length_interval": 0,
            "r1_interval": 0,
            "path_length_batch_shrink": 1,
            "minibatch_std_group": 0,
            **ADAPTIVE,
        },
    ),
]
"""These, and settings that take other paths through a step."""


def named(variant: tuple) -> str:
    return "-".join([variant[0], *variant[1]])[:60]


@pytest.fixture(params=VARIANTS, scope="module", ids=named)
def gan(request: pytest.FixtureRequest) -> ganzoo.GAN:
    name, fields = request.param
    return ganzoo.create(name, "tiny", **fields)


QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiled in half the time to slower code, of which little is run."""


@pytest.fixture(autouse=True)
def _compile_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "compiler_options", lambda mesh: QUICKLY)


def jit(step):
    return jax.jit(step, compiler_options=QUICKLY)


@pytest.fixture(scope="module")
def start(gan: ganzoo.GAN):
    """A state as numbers on the host: every test may donate its own copy."""
    return jax.device_get(jax.jit(gan.init)(jax.random.key(0)))


def batches(gan: ganzoo.GAN, steps: int = STEPS) -> dict:
    """[K, N, ...] of random images, with labels where the model wants them."""
    rng = np.random.default_rng(0)
    stack = {"image": rng.integers(0, 256, (steps, BATCH, *gan.image_shape), np.uint8)}
    if gan.label_size:
        stack["label"] = np.eye(gan.label_size, dtype=np.float32)[rng.integers(0, gan.label_size, (steps, BATCH))]
    return stack


def one(stack: dict, i: int) -> dict:
    return {name: leaf[i] for name, leaf in stack.items()}


def run(step, state, stack):
    """The state after all batches, one step at a time, and the last metrics."""
    for i in range(len(stack["image"])):
        state, metrics = step(state, one(stack, i), KEY)
    return state, metrics


@pytest.fixture(scope="module")
def expected(gan: ganzoo.GAN, start):
    """Three steps of plain ``jit`` on one device."""
    return jax.device_get(run(jit(gan.step), start, batches(gan)))


def assert_equal_up_to_rounding(ours, theirs, tolerance: float = 1e-5) -> None:
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        name = jax.tree_util.keystr(path)
        scale = max(1.0, float(np.abs(np.asarray(b, np.float64)).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=name)


# Shapes and values --------------------------------------------------------------------------------------------------


def test_state_is_a_fixed_point_of_shapes(gan, start) -> None:
    spec = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), start)
    state, _ = jax.eval_shape(gan.step, start, one(batches(gan), 0), KEY)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == spec
    assert jax.tree.structure(state) == jax.tree.structure(start)
    assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in jax.tree.leaves(start))


def test_finite_after_three_steps_and_counted(gan, expected) -> None:
    state, metrics = expected
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert all(np.isfinite(metric.value) for metric in metrics.values() if metric.count)
    assert int(state.step) == STEPS
    assert int(state.images) == STEPS * BATCH


def test_samples(gan, start) -> None:
    images = gan.sample(start, jax.random.key(1), 5)
    assert images.shape == (5, *gan.image_shape)
    assert images.dtype == jnp.float32
    assert float(jnp.abs(images).max()) <= 1


def test_a_sample_does_not_depend_on_those_beside_it(gan, start) -> None:
    many = gan.sample(start, jax.random.key(1), 12)
    np.testing.assert_allclose(gan.sample(start, jax.random.key(1), 4), many[:4], atol=1e-5)
    np.testing.assert_allclose(gan.sample(start, jax.random.key(1), 3, first=6), many[6:9], atol=1e-5)


def test_no_samples(gan, start) -> None:
    assert gan.sample(start, jax.random.key(1), 0).shape == (0, *gan.image_shape)


def test_another_seed_gives_other_weights(gan, start) -> None:
    other = jax.device_get(gan.init(jax.random.key(1)))
    matrices = [
        (a, b) for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(other), strict=True) if a.ndim > 1 and a.any()
    ]
    assert matrices
    assert all(not np.array_equal(a, b) for a, b in matrices)


def test_weights_drawn_for_different_layers_differ(gan, start) -> None:
    leaves = [leaf.ravel()[:8] for leaf in jax.tree.leaves((start.generator.params, start.discriminator.params))]
    drawn = [tuple(leaf) for leaf in leaves if len(leaf) == 8 and np.unique(leaf).size == 8]
    assert len(set(drawn)) == len(drawn)


# One step, compiled in every way ------------------------------------------------------------------------------------


def test_no_recompilation(gan, start) -> None:
    step = parallel.jit_step(gan.step, parallel.data_mesh(1))
    state = parallel.replicate(start, parallel.data_mesh(1))
    run(step, state, batches(gan))
    assert step._cache_size() == 1


MODES = {
    "jit": parallel.jit_step,
    "pmap": parallel.pmap_step,
    "shard_map": parallel.shard_map_step,
    "shard_map_unchecked": lambda step, mesh: parallel.shard_map_step(step, mesh, check_vma=False),
}


@pytest.mark.parametrize("mode", ["jit", "shard_map"])
def test_eight_devices_equal_one(gan, start, expected, mode) -> None:
    assert_equal_on_eight_devices(gan, start, expected, mode)


@pytest.mark.parametrize("mode", ["pmap", "shard_map_unchecked"])
@pytest.mark.parametrize("gan", PLAIN, ids=named, indirect=True, scope="module")
def test_eight_devices_equal_one_also_otherwise(gan, start, expected, mode) -> None:
    assert_equal_on_eight_devices(gan, start, expected, mode)


def assert_equal_on_eight_devices(gan, start, expected, mode) -> None:
    mesh = parallel.data_mesh(8)
    step = MODES[mode](gan.step, mesh)
    state, metrics = run(step, parallel.replicate(start, mesh), batches(gan))
    assert_equal_up_to_rounding(jax.device_get(state), expected[0])
    assert_equal_up_to_rounding(jax.device_get(metrics), expected[1], 1e-4)


@pytest.mark.parametrize("gan", PLAIN, ids=named, indirect=True, scope="module")
def test_scan_equals_single_steps(gan, start, expected) -> None:
    mesh = parallel.data_mesh(8)
    state, metrics = parallel.scan_step(gan.step, mesh)(parallel.replicate(start, mesh), batches(gan), KEY)
    assert_equal_up_to_rounding(jax.device_get(state), expected[0])
    assert all(np.isfinite(metric.value) for metric in jax.device_get(metrics).values())


@pytest.mark.parametrize("gan", PLAIN, ids=named, indirect=True, scope="module")
def test_vmap_over_seeds_equals_separate_runs(gan, start) -> None:
    other = jax.device_get(gan.init(jax.random.key(1)))
    keys = jax.random.split(jax.random.key(5), 2)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), start, other)
    batch = one(batches(gan), 0)
    states, _ = parallel.vmap_step(gan.step)(stacked, batch, keys)
    for i, state in enumerate((start, other)):
        alone, _ = jit(gan.step)(state, batch, keys[i])
        assert_equal_up_to_rounding(jax.tree.map(lambda leaf, i=i: leaf[i], states), alone)


@pytest.mark.parametrize("gan", PLAIN, ids=named, indirect=True, scope="module")
def test_donation_frees_the_state(gan, start) -> None:
    mesh = parallel.data_mesh(1)
    state = parallel.replicate(start, mesh)
    parallel.jit_step(gan.step, mesh)(state, one(batches(gan), 0), KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.generator.params))


def test_the_key_and_the_step_decide_the_draws(gan, start) -> None:
    step, batch = jit(gan.step), one(batches(gan), 0)
    first, _ = step(start, batch, KEY)
    again, _ = step(start, batch, KEY)
    other, _ = step(start, batch, jax.random.key(4))
    later, _ = step(dataclasses.replace(start, step=jnp.int32(2)), batch, KEY)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), first.generator.params, again.generator.params)
    assert all(jax.tree.leaves(same))
    for changed in (other, later):
        ours, theirs = ((state.generator.params, state.discriminator.params) for state in (first, changed))
        assert not all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), ours, theirs)))


# Learning -----------------------------------------------------------------------------------------------------------


def test_every_parameter_is_trained(gan, start, expected) -> None:
    for player in ("generator", "discriminator"):
        before, after = getattr(start, player).params, getattr(expected[0], player).params
        still = [
            jax.tree_util.keystr(path)
            for (path, a), b in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(after), strict=True)
            if np.array_equal(a, b)
        ]
        assert not still


# Configs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preset"), [(name, preset) for name, model in MODELS.items() for preset in model.presets]
)
def test_every_preset_builds_and_survives_json(name, preset) -> None:
    gan = ganzoo.create(name, preset)
    assert from_json(type(gan.config), to_json(gan.config)) == gan.config
    state = jax.eval_shape(gan.init, jax.random.key(0))
    images = jax.eval_shape(lambda state: gan.sample(state, jax.random.key(0), 2), state)
    assert images.shape == (2, *gan.image_shape)
    if max(gan.image_shape) > 16:  # a step of all levels takes minutes to trace
        gan = ganzoo.create(name, preset, image_size=16)
        state = jax.eval_shape(gan.init, jax.random.key(0))
    shape = (8, *gan.image_shape)
    batch = {
        "image": jax.ShapeDtypeStruct(shape, jnp.uint8),
        "label": jax.ShapeDtypeStruct((8, gan.label_size), jnp.float32),
    }
    assert jax.eval_shape(gan.step, state, batch if gan.label_size else {"image": batch["image"]}, KEY)
