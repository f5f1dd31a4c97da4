"""The combinators on two players of one number each, where every outcome can be worked out by hand."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ganzoo.errors import UserError
from ganzoo.gan import Average, Network, TrainState
from ganzoo.objectives import Objective, total, weighted
from ganzoo.phases import chain, checked, every, minimize, scanned, train_step, update_ema

KEY = jax.random.key(0)
BATCH = {"image": jnp.zeros((4, 2, 2, 1))}
SGD = optax.sgd(0.125)
NETWORKS = ("generator", "discriminator")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Remembering(TrainState):
    """A state with a field of its own."""

    path_length: Any


def network(value: float) -> Network:
    params = {"w": jnp.float32(value)}
    return Network(params, {}, SGD.init(params))


def fresh(kind: type = TrainState, **more: Any) -> Any:
    g, d = network(1.0), network(2.0)
    ema = {"params": {"w": jnp.float32(5.0)}}
    return kind(step=jnp.int32(0), images=jnp.uint32(0), generator=g, discriminator=d, ema=ema, **more)


def bowl(params, state, batch, key):
    """(w - 3)^2 / 2, with a metric."""
    del batch, key
    return (params["w"] - 3) ** 2 / 2, (state, {"distance": Average.of(params["w"] - 3)})


def drawing(name):
    """A phase that shows what it draws."""

    def phase(state, batch, key):
        del batch
        return state, {name: Average.of(jax.random.uniform(key, (1,)))}

    return phase


def marking(state, batch, key):
    """A phase that adds 1 to G's weight, and counts itself once."""
    del batch, key
    params = {"w": state.generator.params["w"] + 1}
    return replace(state, generator=replace(state.generator, params=params)), {"ran": Average.of(jnp.ones(1))}


def run(step, state, steps=5):
    """The last state and the metrics of every step, on the host."""
    step, shown = jax.jit(step), []
    for _ in range(steps):
        state, metrics = step(state, BATCH, KEY)
        shown.append(jax.device_get(metrics))
    return state, shown


# Composition --------------------------------------------------------------------------------------------------------


def test_a_chain_gives_every_phase_draws_of_its_own() -> None:
    _, metrics = chain(drawing("a"), drawing("b"))(fresh(), BATCH, KEY)
    assert float(metrics["a"].total) != float(metrics["b"].total)


def test_a_chain_within_a_chain_has_draws_of_its_own() -> None:
    _, metrics = chain(drawing("a"), chain(drawing("b"), drawing("c")))(fresh(), BATCH, KEY)
    assert len({float(metric.total) for metric in metrics.values()}) == 3


def test_a_shared_key_gives_the_same_draws() -> None:
    _, metrics = chain(drawing("a"), drawing("b"), share_key=True)(fresh(), BATCH, KEY)
    assert float(metrics["a"].total) == float(metrics["b"].total)


@pytest.mark.parametrize("share_key", [False, True])
def test_phases_run_in_order_and_equal_names_are_averaged(share_key: bool) -> None:
    descend = minimize("generator", bowl, SGD)
    state, metrics = chain(marking, descend, descend, share_key=share_key)(fresh(), BATCH, KEY)
    assert float(state.generator.params["w"]) == 2 + 0.125 + 0.875 * 0.125
    assert metrics["distance"].value == (-1 - 0.875) / 2
    assert (float(metrics["ran"].total), float(metrics["ran"].count)) == (1, 1)


@pytest.mark.parametrize(("n", "offset"), [(1, 0), (2, 0), (2, 1), (3, 2), (16, 0)])
def test_a_lazy_phase_runs_at_its_steps_only(n, offset) -> None:
    state, metrics = run(train_step(every(n, marking, offset=offset)), fresh(), 7)
    ran = [step % n == offset for step in range(7)]
    assert [(float(m["ran"].total), float(m["ran"].count)) for m in metrics] == [(r, r) for r in ran]
    assert float(state.generator.params["w"]) == 1 + sum(ran)


# Minimising ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "start"), [("generator", 1.0), ("discriminator", 2.0)])
def test_a_step_down_the_gradient_of_one_player_leaves_the_other(name, start) -> None:
    before = fresh()
    after, metrics = minimize(name, bowl, SGD)(before, BATCH, KEY)
    assert float(getattr(after, name).params["w"]) == start + 0.125 * (3 - start)
    assert metrics[f"{name}/gradient_norm"].value == 3 - start
    assert metrics[f"{name}/diverged"].value == 0
    untouched = {"step", "images", "ema", *NETWORKS} - {name}
    for field in untouched:
        jax.tree.map(np.testing.assert_array_equal, getattr(after, field), getattr(before, field))


def test_the_optimizer_remembers_from_step_to_step() -> None:
    momentum = optax.sgd(0.125, momentum=0.5)
    state = fresh()
    state = replace(state, generator=replace(state.generator, opt_state=momentum.init(state.generator.params)))
    for _ in range(2):
        state, _ = minimize("generator", bowl, momentum)(state, BATCH, KEY)
    # gradients -2 and then -1.75; the second step is along -1.75 - 0.5 * 2
    assert float(state.generator.params["w"]) == 1 + 0.125 * 2 + 0.125 * 2.75


def test_what_a_loss_renews_in_the_state_is_kept() -> None:
    def loss(params, state, batch, key):
        value, (state, metrics) = bowl(params, state, batch, key)
        return value, (replace(state, path_length=state.path_length + 1), metrics)

    state, _ = minimize("discriminator", loss, SGD)(fresh(Remembering, path_length=jnp.float32(7)), BATCH, KEY)
    assert float(state.path_length) == 8
    assert float(state.discriminator.params["w"]) != 2


# Divergence ---------------------------------------------------------------------------------------------------------


def meeting(bad: float, whom: str, at: int):
    """A step of both players, each seeing the other, in which the loss of ``whom`` is ``bad`` in step ``at`` alone."""

    def loss(name, other):
        def of(params, state, batch, key):
            value, (state, metrics) = bowl(params, state, batch, key)
            fault = jnp.where(state.step == at, bad, 1.0) if name == whom else 1.0
            return fault * value + 0 * getattr(state, other).params["w"] * params["w"], (state, metrics)

        return of

    return train_step(
        minimize("discriminator", loss("discriminator", "generator"), SGD),
        minimize("generator", loss("generator", "discriminator"), SGD),
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("whom", NETWORKS)
def test_only_the_player_whose_loss_broke_has_diverged_and_only_then(whom, bad) -> None:
    state, metrics = run(meeting(bad, whom, at=2), fresh())
    (other,) = set(NETWORKS) - {whom}
    assert [m[f"{whom}/diverged"].value for m in metrics] == [0, 0, 1, 0, 0]
    assert [m[f"{other}/diverged"].value for m in metrics] == [0, 0, 0, 0, 0]
    assert not np.isfinite(state.generator.params["w"])  # which is why the other must not be blamed
    assert not np.isfinite(state.discriminator.params["w"])


def test_nobody_has_diverged_in_a_healthy_run() -> None:
    _, metrics = run(meeting(1.0, "generator", at=2), fresh())
    assert [m[f"{name}/diverged"].value for m in metrics for name in NETWORKS] == [0] * 10


# Average, counters, scan --------------------------------------------------------------------------------------------


def test_the_average_moves_by_half_in_a_half_life() -> None:
    state, metrics = update_ema(half_life=4)(fresh(), BATCH, KEY)  # a batch of 4
    assert float(state.ema["params"]["w"]) == (5 + 1) / 2
    assert float(state.generator.params["w"]) == 1
    assert not metrics


def test_without_a_half_life_the_average_is_the_newest() -> None:
    state, _ = update_ema(half_life=0)(fresh(), BATCH, KEY)
    assert float(state.ema["params"]["w"]) == 1


def test_the_ramp_of_the_average_follows_the_images_seen() -> None:
    step = train_step(update_ema(half_life=1e9, ramp=0.5))
    state, _ = run(step, fresh(), 1)
    assert float(state.ema["params"]["w"]) == 1  # nothing was seen: the newest
    state = replace(state, ema={"params": {"w": jnp.float32(5)}}, images=jnp.uint32(8))
    state, _ = run(step, state, 1)
    assert float(state.ema["params"]["w"]) == (5 + 1) / 2  # half-life 0.5 * 8 images, a batch of 4


def test_the_average_takes_the_statistics_too() -> None:
    state = fresh()
    state = replace(
        state,
        generator=replace(state.generator, collections={"batch_stats": jnp.float32(2)}),
        ema={**state.ema, "batch_stats": jnp.float32(0)},
    )
    state, _ = update_ema(half_life=4)(state, BATCH, KEY)
    assert float(state.ema["batch_stats"]) == 1


def test_steps_and_images_are_counted_in_their_types() -> None:
    state, _ = run(train_step(marking), replace(fresh(), images=jnp.uint32(2**32 - 16)), 3)
    assert (int(state.step), state.step.dtype) == (3, jnp.int32)
    assert (int(state.images), state.images.dtype) == (2**32 - 4, jnp.uint32)


def test_every_step_draws_anew_and_a_repeated_one_draws_the_same() -> None:
    step = train_step(drawing("draw"))
    _, first = run(step, fresh())
    _, again = run(step, replace(fresh(), step=jnp.int32(3)), 1)
    draws = [float(m["draw"].total) for m in first]
    assert len(set(draws)) == 5
    assert float(again[0]["draw"].total) == draws[3]


def test_scanned_steps_are_the_steps_one_by_one() -> None:
    step = train_step(minimize("generator", bowl, SGD), every(2, marking), drawing("draw"))
    one_by_one, metrics = run(step, fresh(), 6)
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf] * 6), BATCH)
    at_once, sums = jax.jit(scanned(step))(fresh(), stack, KEY)
    jax.tree.map(np.testing.assert_array_equal, at_once, one_by_one)
    assert float(sums["ran"].count) == 3
    assert float(sums["draw"].count) == 6
    assert sums["draw"].value == pytest.approx(np.mean([m["draw"].value for m in metrics]))
    assert set(sums) == set(metrics[0])


def test_a_state_with_more_fields_passes_through_every_combinator() -> None:
    both = minimize("generator", bowl, SGD), minimize("discriminator", bowl, SGD)
    step = train_step(chain(*both, share_key=True), every(2, marking, offset=1), update_ema(half_life=100, ramp=0.1))
    state = fresh(Remembering, path_length=jnp.float32(7))
    stack = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), BATCH)
    after, _ = jax.jit(scanned(step))(state, stack, KEY)
    assert isinstance(after, Remembering)
    assert float(after.path_length) == 7
    plain, _ = jax.jit(scanned(step))(fresh(), stack, KEY)
    assert float(after.generator.params["w"]) == float(plain.generator.params["w"])


def test_an_average_of_averages_is_exact() -> None:
    parts = [jnp.asarray([1.0, 2.0, 6.0]), jnp.asarray([11.0])]
    assert (Average.of(parts[0]) + Average.of(parts[1])).value == 5
    assert np.isnan(Average.of(jnp.zeros(0)).value)


# Micro-batches ----------------------------------------------------------------------------------------------------


def towards_images(params, state, batch, key):
    """(w - mean image)^2 / 2; the state counts the examples of its last round."""
    del key
    mean = batch["image"].mean()
    state = replace(state, path_length=jnp.float32(batch["image"].shape[0]))
    return (params["w"] - mean) ** 2 / 2, (state, {"seen": Average.of(batch["image"].reshape(-1))})


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_micro_batches_average_gradients_and_sum_metrics(rounds: int) -> None:
    state = fresh(Remembering, path_length=jnp.float32(0))
    batch = {"image": jnp.arange(8.0).reshape(8, 1, 1, 1)}
    phase = minimize("generator", towards_images, SGD, micro_batch=8 // rounds)
    after, metrics = jax.jit(phase)(state, batch, KEY)
    assert after.generator.params["w"] == pytest.approx(1 - 0.125 * (1 - 3.5))
    assert metrics["seen"].value == 3.5
    assert metrics["seen"].count == 8
    assert after.path_length == 8 / rounds


def test_a_round_takes_every_rth_example_so_that_shards_stay_where_they_are() -> None:
    def loss(params, state, batch, key):
        del key
        first = batch["image"].reshape(-1)[0]
        return params["w"] * 0, (state, {"first": Average(first * 10.0 ** (first - 1), jnp.float32(1))})

    batch = {"image": jnp.arange(1.0, 7).reshape(6, 1, 1, 1)}
    _, metrics = minimize("generator", loss, SGD, micro_batch=2)(fresh(), batch, KEY)
    assert metrics["first"].total == 1 + 20 + 300


def test_each_round_has_draws_of_its_own() -> None:
    def loss(params, state, batch, key):
        del batch
        return params["w"] * 0, (state, {"draw": Average.of(jax.random.uniform(key, (1,)))})

    batch = {"image": jnp.zeros((4, 1, 1, 1))}
    _, both = minimize("generator", loss, SGD, micro_batch=2)(fresh(), batch, KEY)
    each = [float(jax.random.uniform(jax.random.fold_in(KEY, r), (1,))[0]) for r in range(2)]
    assert each[0] != each[1]
    assert float(both["draw"].total) == pytest.approx(sum(each))


# Objectives -----------------------------------------------------------------------------------------------------------


def pulled(name: str, *drawn: str) -> Objective:
    """(w - mean of what is drawn)^2 / 2."""

    def loss(params, state, batch):
        mean = sum(batch["drawn"][each].mean() for each in drawn)
        return (params["w"] - mean) ** 2 / 2, (state, {name: Average.of(mean)})

    def draw(batch, key):
        count = len(batch["image"])
        return {each: jax.random.uniform(jax.random.fold_in(key, len(each)), (count,)) for each in drawn}

    return Objective(name, draw, loss)


def test_weighted_and_summed_objectives() -> None:
    a, b = pulled("a", "x"), pulled("b", "x", "yy")
    args = {"w": jnp.float32(1)}, fresh(), BATCH, KEY
    value, (_, metrics) = total(a, weighted(b, 3.0))(*args)
    assert value == pytest.approx(float(a(*args)[0] + 3 * b(*args)[0]))
    assert set(metrics) == {"a", "b"}


def test_draws_in_the_batch_take_the_place_of_those_that_would_be_drawn() -> None:
    batch = {**BATCH, "draws": {"b": {"yy": jnp.full(4, 5.0)}}}
    step = minimize("generator", total(pulled("a", "x"), pulled("b", "yy")), SGD)
    _, metrics = step(fresh(), batch, KEY)
    assert 0 < metrics["a"].value < 1
    assert metrics["b"].value == 5


def test_micro_batches_divide_the_draws() -> None:
    batch = {**BATCH, "draws": {"a": {"x": jnp.arange(4.0)}}}
    _, metrics = minimize("generator", pulled("a", "x"), SGD, micro_batch=2)(fresh(), batch, KEY)
    assert float(metrics["a"].total) == (0 + 2) / 2 + (1 + 3) / 2
    assert float(metrics["a"].count) == 2


def test_collections_can_be_copied_instead_of_averaged() -> None:
    state = fresh()
    state = replace(state, generator=replace(state.generator, collections={"noise": jnp.float32(9)}))
    state = replace(state, ema={"params": {"w": jnp.float32(1)}, "noise": jnp.float32(1)})
    after, _ = update_ema(half_life=4.0, collections="copy")(state, BATCH, KEY)
    assert after.ema["noise"] == 9
    after, _ = update_ema(half_life=4.0)(state, BATCH, KEY)
    assert after.ema["noise"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({}, 'without an array "image"'),
        ({"image": [[0.0]]}, 'without an array "image"'),
        ({"image": np.zeros((4, 8, 8, 3), np.int32)}, "type int32: must be uint8 in 0..255, or float"),
        ({"image": np.zeros((4, 8, 8, 3), bool)}, "type bool: must be uint8"),
        ({"image": np.zeros((4, 8, 9, 3), np.uint8)}, "this model takes"),
        ({"image": np.zeros((4, 8, 8, 3), np.uint8)}, "no labels: this model is conditional"),
        ({"image": np.zeros((4, 8, 8, 3), np.uint8), "label": np.zeros((4, 1))}, r"takes \(4, 2\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_by_name(batch, words) -> None:
    step = checked(lambda state, batch, key: (state, {}), image_shape=(8, 8, 3), label_size=2)
    with pytest.raises(UserError, match=words):
        step(fresh(), batch, jax.random.key(0))


def test_a_phase_sees_the_reals_that_its_network_has_of_its_own() -> None:
    def brightness(params, state, batch, key):
        del key
        return params["w"] * batch["image"].mean(), (state, {"seen": Average.of(batch["image"].mean())})

    batch = {"image": jnp.zeros((4, 2, 2, 1)), "generator": {"image": jnp.ones((4, 2, 2, 1))}}
    for name, seen in (("generator", 1), ("discriminator", 0)):
        state, metrics = train_step(minimize(name, brightness, SGD))(fresh(), batch, KEY)
        assert metrics["seen"].value == seen
        assert int(state.images) == 4  # the images of the batch alone


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"image": np.zeros((4, 8, 8, 1), np.uint8)}, r"images of shape \(8, 8, 1\)"),
        ({"image": np.zeros((4, 8, 8, 3), np.uint8)}, "a batch 'generator' with no labels"),
        ({"image": np.zeros((2, 8, 8, 3), np.uint8), "label": np.zeros((2, 2))}, "must be as many as the batch"),
        ({"label": np.zeros((4, 2))}, "a batch 'generator' without an array"),
    ],
)
def test_reals_of_a_single_network_are_checked(own: dict, message: str) -> None:
    step = checked(lambda state, batch, key: (state, batch), image_shape=(8, 8, 3), label_size=2)
    shared = {"image": np.zeros((4, 8, 8, 3), np.uint8), "label": np.zeros((4, 2))}
    with pytest.raises(UserError, match=message):
        step(fresh(), {**shared, "generator": own}, KEY)


def test_labels_that_a_model_does_not_use_are_dropped_everywhere() -> None:
    step = checked(lambda state, batch, key: (state, batch), image_shape=(8, 8, 3), label_size=0)
    one = {"image": np.zeros((4, 8, 8, 3), np.uint8), "label": np.zeros((4, 2))}
    _, seen = step(fresh(), {**one, "generator": one}, KEY)
    assert set(seen) == {"image", "generator"}
    assert set(seen["generator"]) == {"image"}
