"""The mapping network against the records of the original; its average, and the truncation towards that."""

from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stylegan2_names
from golden_cases import Case
from jax.sharding import Mesh, PartitionSpec

from ganzoo.errors import UserError
from ganzoo.nn.mapping import MappingNetwork, truncate

# Records ------------------------------------------------------------------------------------------------------------


def network(kwargs: dict[str, Any]) -> MappingNetwork:
    """The network of the original's arguments."""
    return MappingNetwork(
        kwargs["w_dim"],
        kwargs.get("num_layers", 8),
        hidden_size=kwargs.get("layer_features"),
        embedding_size=kwargs.get("embed_features"),
        activation=kwargs.get("activation", "lrelu"),
        lr_multiplier=kwargs.get("lr_multiplier", 0.01),
        average_decay=kwargs.get("w_avg_beta", 0.995),
        copies=kwargs["num_ws"],
    )


def inputs(case: Case) -> dict[str, jax.Array]:
    """Latents and labels, of those that this case has."""
    return {ours: case[f"in/{z}"] for ours, z in (("latents", "z"), ("labels", "c")) if f"in/{z}" in case.arrays}


@golden_cases.over(golden_cases.files("sg2/mapping_*"))
def test_records(case: Case) -> None:
    module, variables = network(case.options["kwargs"]), stylegan2_names.tree(case.group("params/"))

    @jax.jit
    def value_and_gradients(params: dict, given: dict, cot: jax.Array) -> tuple[jax.Array, tuple]:
        def mapped(params: dict, given: dict) -> jax.Array:
            return module.apply({**variables, "params": params}, given.get("latents"), given.get("labels"))

        ws, back = jax.vjp(mapped, params, given)
        return ws, back(cot)

    ws, (gradients, back) = value_and_gradients(variables["params"], inputs(case), case["in/cot"])
    golden_cases.assert_near(ws, case["out64/ws_psi1"])
    of = "grad/sum(ws_psi1*cot)/"
    recorded = stylegan2_names.tree(case.group(of))["params"]
    golden_cases.assert_near(gradients, recorded, golden_cases.GRADIENTS)
    if "latents" in back:
        golden_cases.assert_near(back["latents"], case[f"{of}__in__/z"], golden_cases.GRADIENTS)
    for name, options in case.options.get("truncation", {}).items():
        psi, cutoff = options["truncation_psi"], options["truncation_cutoff"]
        truncated = truncate(ws, variables["statistics"]["w_average"], psi, cutoff=cutoff)
        golden_cases.assert_near(truncated, case[f"out64/{name}"])


@golden_cases.over([case for case in golden_cases.files("sg2/mapping_*") if "params/w_avg" in case.arrays])
def test_recorded_average(case: Case) -> None:
    module, variables = network(case.options["kwargs"]), stylegan2_names.tree(case.group("params/"))
    given = inputs(case)

    @jax.jit
    def averaged(variables: dict) -> dict:
        return module.apply(
            variables, given.get("latents"), given.get("labels"), update_average=True, mutable=["statistics"]
        )[1]

    renewed = averaged(variables)["statistics"]["w_average"]
    golden_cases.assert_near(renewed, case["out64/w_avg_after_one_training_forward"], 1e-6)


# The running average ------------------------------------------------------------------------------------------------

SMALL = MappingNetwork(6, layers=2, average_decay=0.9, copies=3)


@pytest.fixture(scope="module")
def variables() -> dict:
    """Of the small network, unconditional, with an average that is not 0."""
    made = jax.jit(SMALL.init)(jax.random.key(0), jnp.ones((1, 5)))
    return {**made, "statistics": {"w_average": jnp.linspace(-1, 1, 6)}}


def latents(n: int = 8, key: int = 1) -> jax.Array:
    return jax.random.normal(jax.random.key(key), (n, 5))


def train(variables: dict, z: jax.Array) -> tuple[jax.Array, dict]:
    return SMALL.apply(variables, z, update_average=True, mutable=["statistics"])


def test_the_average_moves_only_in_training(variables: dict) -> None:
    fresh = jax.jit(SMALL.init)(jax.random.key(0), latents())["statistics"]["w_average"]
    np.testing.assert_array_equal(fresh, jnp.zeros(6))
    ws, renewed = jax.jit(train)(variables, latents())
    np.testing.assert_array_equal(ws, SMALL.apply(variables, latents()))
    expected = 0.9 * variables["statistics"]["w_average"] + 0.1 * ws[:, 0].mean(0)
    np.testing.assert_allclose(renewed["statistics"]["w_average"], expected, atol=1e-6)


def test_the_average_has_no_gradient(variables: dict) -> None:
    def average(z: jax.Array) -> jax.Array:
        return jnp.sum(train(variables, z)[1]["statistics"]["w_average"])

    assert not jax.jit(jax.grad(average))(latents()).any()


@pytest.mark.parametrize("check_vma", [True, False])
def test_the_average_is_that_of_all_devices(variables: dict, check_vma: bool) -> None:
    mesh, data, whole = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(
        train, mesh=mesh, in_specs=(whole, data), out_specs=(data, whole), check_vma=check_vma
    )  # fmt: skip
    expected = jax.jit(train)(variables, latents(16))
    golden_cases.assert_near(jax.jit(mapped)(variables, latents(16)), expected, 1e-6)
    parts = jax.pmap(train, axis_name="data", in_axes=(None, 0))(variables, latents(16).reshape(8, 2, 5))[1]
    golden_cases.assert_near(jax.tree.map(lambda leaf: leaf[3], parts), expected[1], 1e-6)


# Truths -------------------------------------------------------------------------------------------------------------


def test_the_length_of_a_latent_does_not_matter(variables: dict) -> None:
    z = latents()
    np.testing.assert_allclose(SMALL.apply(variables, z), SMALL.apply(variables, 7 * z), atol=1e-5)


def test_styles_of_half_precision_latents_are_of_float32(variables: dict) -> None:
    assert SMALL.apply(variables, latents().astype(jnp.bfloat16)).dtype == jnp.float32


def test_shapes() -> None:
    z, c = jax.ShapeDtypeStruct((3, 5), jnp.float32), jax.ShapeDtypeStruct((3, 4), jnp.float32)
    wide = MappingNetwork(6, layers=3, hidden_size=9, embedding_size=7, average_decay=None)
    ws, made = jax.eval_shape(wide.init_with_output, jax.random.key(0), z, c)
    assert ws.shape == (3, 6)
    assert made.keys() == {"params"}
    kernels = {name: layer["kernel"].shape for name, layer in made["params"].items()}
    assert kernels == {"embed": (4, 7), "dense0": (12, 9), "dense1": (9, 9), "dense2": (9, 6)}


def test_truncation() -> None:
    ws, average = jax.random.normal(jax.random.key(0), (2, 4, 3)), jnp.asarray([1.0, 2.0, -1.0])
    np.testing.assert_allclose(truncate(ws, average, 1), ws, atol=1e-6)
    np.testing.assert_array_equal(truncate(ws, average, 0), np.broadcast_to(average, ws.shape))
    np.testing.assert_allclose(truncate(ws, average, -1), 2 * average.reshape(1, 1, 3) - ws, atol=1e-6)
    half = truncate(ws, average, 0.5)
    np.testing.assert_allclose(half, (ws + average.reshape(1, 1, 3)) / 2, atol=1e-6)
    np.testing.assert_array_equal(truncate(ws, average, 0.5, cutoff=0), ws)
    np.testing.assert_array_equal(truncate(ws, average, 0.5, cutoff=4), half)
    mixed = truncate(ws, average, 0.5, cutoff=1)
    np.testing.assert_array_equal(mixed[:, :1], half[:, :1])
    np.testing.assert_array_equal(mixed[:, 1:], ws[:, 1:])
    traced = jax.jit(truncate)(np.asarray(ws), np.asarray(average), 0.5)
    np.testing.assert_allclose(traced, half, atol=1e-6)


def test_truncations_out_of_range() -> None:
    ws, average = jnp.ones((2, 4, 3)), jnp.ones(3)
    for psi in (1.1, -2, float("nan"), jnp.asarray(3.0)):
        with pytest.raises(UserError, match=r"psi = .*: must be in \[-1, 1\]"):
            truncate(ws, average, psi)
    for cutoff in (-1, 5):
        with pytest.raises(UserError, match=f"cutoff = {cutoff}: must be 0 to 4, the number of style inputs"):
            truncate(ws, average, cutoff=cutoff)
