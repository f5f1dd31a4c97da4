"""The mapping network against the records of the original; its average, and the truncation towards that."""

from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stylegan2_names
from golden_cases import Case, draw, filled, run
from jax.sharding import Mesh, PartitionSpec

from ganzoo.errors import UserError
from ganzoo.nn.mapping import MappingNetwork
from ganzoo.nn.styles import truncate

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

    def value_and_gradients(params: dict, given: dict, cot: jax.Array) -> tuple[jax.Array, tuple]:
        def mapped(params: dict, given: dict) -> jax.Array:
            return module.apply({**variables, "params": params}, given.get("latents"), given.get("labels"))

        ws, back = jax.vjp(mapped, params, given)
        return ws, back(cot)

    ws, (gradients, back) = run(value_and_gradients, variables["params"], inputs(case), case["in/cot"])
    golden_cases.assert_near(ws, case.most_exact("ws_psi1"))
    of = "grad/sum(ws_psi1*cot)/"
    recorded = stylegan2_names.tree(case.group(of))["params"]
    golden_cases.assert_near(gradients, recorded, golden_cases.GRADIENTS)
    if "latents" in back:
        golden_cases.assert_near(back["latents"], case[f"{of}__in__/z"], golden_cases.GRADIENTS)
    for name, options in case.options.get("truncation", {}).items():
        psi, cutoff = options["truncation_psi"], options["truncation_cutoff"]
        truncated = truncate(ws, variables["statistics"]["w_average"], psi, cutoff=cutoff)
        golden_cases.assert_near(truncated, case.most_exact(name))


@golden_cases.over([case for case in golden_cases.files("sg2/mapping_*") if "params/w_avg" in case.arrays])
def test_recorded_average(case: Case) -> None:
    module, variables = network(case.options["kwargs"]), stylegan2_names.tree(case.group("params/"))
    given = inputs(case)

    def averaged(variables: dict, latents: jax.Array, labels: jax.Array | None) -> dict:
        return module.apply(variables, latents, labels, update_average=True, mutable=["statistics"])[1]

    renewed = run(averaged, variables, given["latents"], given.get("labels"))["statistics"]["w_average"]
    golden_cases.assert_near(renewed, case.most_exact("w_avg_after_one_training_forward"), 1e-6)


# The running average ------------------------------------------------------------------------------------------------

SMALL = MappingNetwork(6, layers=2, lr_multiplier=1.0, average_decay=0.9, copies=3)
VARIABLES = filled(SMALL, draw(0, 1, 5))


def train(z: jax.Array) -> tuple[jax.Array, dict]:
    return SMALL.apply(VARIABLES, z, update_average=True, mutable=["statistics"])


def test_the_average_moves_only_in_training() -> None:
    fresh = run(SMALL.init, jax.random.key(0), draw(0, 8, 5))["statistics"]["w_average"]
    np.testing.assert_array_equal(fresh, np.zeros(6))
    ws, renewed = run(train, draw(0, 8, 5))
    np.testing.assert_allclose(ws, run(SMALL.apply, VARIABLES, draw(0, 8, 5)), rtol=1e-6)
    expected = 0.9 * VARIABLES["statistics"]["w_average"] + 0.1 * np.asarray(ws)[:, 0].mean(0)
    np.testing.assert_allclose(renewed["statistics"]["w_average"], expected, atol=1e-6)


def test_the_average_has_no_gradient() -> None:
    gradient = jax.grad(lambda z: jnp.sum(train(z)[1]["statistics"]["w_average"]))
    assert not np.any(run(gradient, draw(0, 8, 5)))


@pytest.mark.parametrize("check_vma", [True, False])
def test_the_average_is_that_of_all_devices(check_vma: bool) -> None:
    mesh, data, whole = Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(train, mesh=mesh, in_specs=data, out_specs=(data, whole), check_vma=check_vma)
    expected = run(train, draw(0, 16, 5))
    golden_cases.assert_near(run(mapped, draw(0, 16, 5)), expected, 1e-6)
    parts = jax.pmap(train, axis_name="data")(draw(0, 16, 5).reshape(8, 2, 5))[1]
    golden_cases.assert_near(jax.tree.map(lambda leaf: leaf[3], parts), expected[1], 1e-6)


# Truths -------------------------------------------------------------------------------------------------------------


def test_the_length_of_a_latent_does_not_matter() -> None:
    z = draw(0, 4, 5)
    one, two = (run(SMALL.apply, VARIABLES, latents) for latents in (z, 7 * z))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_styles_of_half_precision_latents_are_of_float32() -> None:
    assert jax.eval_shape(SMALL.apply, VARIABLES, draw(0, 4, 5).astype(jnp.bfloat16)).dtype == jnp.float32


def test_shapes() -> None:
    z, c = jax.ShapeDtypeStruct((3, 5), jnp.float32), jax.ShapeDtypeStruct((3, 4), jnp.float32)
    wide = MappingNetwork(6, layers=3, hidden_size=9, embedding_size=7, average_decay=None)
    ws, made = jax.eval_shape(wide.init_with_output, jax.random.key(0), z, c)
    assert ws.shape == (3, 6)
    assert made.keys() == {"params"}
    kernels = {name: layer["kernel"].shape for name, layer in made["params"].items()}
    assert kernels == {"embed": (4, 7), "dense0": (12, 9), "dense1": (9, 9), "dense2": (9, 6)}


def test_truncation() -> None:
    def all_of(ws: jax.Array, average: jax.Array, half: jax.Array) -> list[jax.Array]:
        numbers = [truncate(ws, average, psi) for psi in (1, 0, -1, half)]
        return numbers + [truncate(ws, average, 0.5, cutoff=cutoff) for cutoff in (0, 1, 4)]

    ws, average = draw(0, 2, 4, 3), np.asarray([1, 2, -1], np.float32)
    whole, nothing, opposite, half, uncut, mixed, cut = map(np.asarray, run(all_of, ws, average, np.float32(0.5)))
    np.testing.assert_allclose(whole, ws, atol=1e-6)
    np.testing.assert_array_equal(nothing, np.broadcast_to(average, ws.shape))
    np.testing.assert_allclose(opposite, 2 * average.reshape(1, 1, 3) - ws, atol=1e-6)
    np.testing.assert_allclose(half, (ws + average.reshape(1, 1, 3)) / 2, atol=1e-6)
    np.testing.assert_array_equal(uncut, ws)
    np.testing.assert_allclose(cut, half, atol=1e-6)
    np.testing.assert_allclose(mixed, np.concatenate([half[:, :1], ws[:, 1:]], axis=1), atol=1e-6)


def test_truncations_out_of_range() -> None:
    ws, average = np.ones((2, 4, 3), np.float32), np.ones(3, np.float32)
    for psi in (101, -1e9, float("nan"), np.float32(np.inf)):
        with pytest.raises(UserError, match=r"psi = .*: must be from -100 to 100"):
            truncate(ws, average, psi)
    for cutoff in (-1, 5):
        with pytest.raises(UserError, match=f"cutoff = {cutoff}: must be 0 to 4, the number of style inputs"):
            truncate(ws, average, cutoff=cutoff)
