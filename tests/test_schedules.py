"""Schedules: the recorded ones, what is refused, and where settings take them."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_cases import case

import ganzoo
from ganzoo.config import check_fields, from_json, to_json
from ganzoo.errors import UserError
from ganzoo.models.config import AdamConfig, adam
from ganzoo.models.dcgan import DCGANConfig
from ganzoo.models.r3gan import R3GANConfig
from ganzoo.schedules import ScheduledPositive, at_start, parse, value_at
from ganzoo.testing import assert_near


@dataclass(frozen=True)
class Rate:
    """A config of one field."""

    rate: ScheduledPositive | None

    def __post_init__(self) -> None:
        check_fields(self)


def recorded_text(options: dict[str, Any]) -> str:
    """The original counts the stretch at the first value from the end of the warmup on."""
    warmup, hold = options.get("warmup_nimg", 0), options.get("hold_base_value_nimg", 0)
    ends = f"{options['base_value']}, {options['final_value']}, {options['total_nimg']}"
    initial = f", initial={options.get('warmup_value', 0.0)}" if warmup else ""
    return f"cosine({ends}, begin={warmup + hold}, warmup={warmup}{initial})"


@pytest.mark.parametrize("options", case("r3gan/schedules").options["cases"], ids=lambda options: options["case"])
def test_cosines_are_the_recorded_ones(options: dict[str, Any]) -> None:
    golden, name = case("r3gan/schedules"), options["case"]
    seen, expected = golden[f"in/{name}/cur_nimg"], golden[f"out/{name}/value"]
    schedule = parse(recorded_text(options))
    with jax.enable_x64(True):
        assert_near(schedule(seen.astype(np.float64)), expected, 1e-12)
    values = schedule(seen.astype(np.uint32))
    assert values.dtype == jnp.float32
    assert_near(values, expected.astype(np.float32), 1e-6)
    early = (seen > 1_000) & (expected > 0)  # an EMA's half-life begins near 0, where 1 - cos would have lost digits
    np.testing.assert_allclose(values[early], expected[early], rtol=2e-5)


def test_other_kinds() -> None:
    ramp = parse("linear(0, 0.5, 1_000, begin=500)")
    assert [float(ramp(jnp.uint32(n))) for n in (0, 500, 750, 1000, 4_000_000_000)] == [0, 0, 0.25, 0.5, 0.5]
    assert float(value_at("constant(3)", jnp.uint32(7))) == 3
    assert value_at(0.3, jnp.uint32(7)) == 0.3
    rise = parse("linear(2, 1, 40, warmup=10, initial=1)")
    assert [float(rise(jnp.uint32(n))) for n in (0, 5, 10, 25, 40)] == [1, 1.5, 2, 1.5, 1]
    assert at_start("linear(2, 1, 40, warmup=10, initial=1)") == 1


@pytest.mark.parametrize(
    "text", ["cosine(2e-4, 5e-5, 20e6)", " linear( 1 ,0,  8, warmup=2,initial=0.5 )", "constant(1)"]
)
def test_a_schedule_is_read_as_it_is_written(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


BAD = {
    "cosine(1, 0, 100, begin=200)": "ends at 100 images, before it begins at 200",
    "cosine(1, 0, 0)": "must take at least 1 image",
    "cosine(1, 0, 1e-50)": "must take at least 1 image",
    "linear(1, 0, -5)": "must not be negative",
    "linear(1, 0, 50, begin=10, warmup=20)": "before its warmup ends at 20",
    "linear(1, 0, 50, initial=3)": "give warmup=IMAGES",
    "cosin(1, 0, 5)": "unknown schedule 'cosin'; did you mean 'cosine'?",
    "cosine(1, 0)": "cosine takes FIRST, LAST, END in this order",
    "cosine(1, 0, 5, 6)": "cosine takes FIRST, LAST, END in this order",
    "cosine(1, 0, 5, start=2)": "'start' is no setting of cosine",
    "constant(1, warmup=2)": "'warmup' is no setting of constant",
    "cosine(1, x, 5)": "'x' is no number",
    "cosine(1, nan, 5)": "must be finite",
    "cosine 1 0 5": "must be a number or a schedule, cosine(FIRST, LAST, END)",
    "fast": "must be a number or a schedule",
    "cosine(1, 0, 5" + " " * 300 + ")": "must be a number or a schedule",
    "linear(-1, 1, 10)": "be 0 or more",
    "constant(0)": "be positive",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_bad_schedules_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as error:
        DCGANConfig(learning_rate=text)
    assert BAD[text] in str(error.value)
    assert str(error.value).startswith("learning_rate = ")


def test_limits_hold_for_all_values_of_a_schedule() -> None:
    assert DCGANConfig(adam_beta2="linear(0.9, 0.99, 10)")
    assert DCGANConfig(learning_rate="linear(0, 1e-3, 10)")  # a step size may begin at 0, but not stay there
    with pytest.raises(UserError, match=r"adam_beta2 = 'linear.*1 is not"):
        DCGANConfig(adam_beta2="linear(0.9, 1, 10)")
    with pytest.raises(UserError, match=r"rate = \[\]: must be a number or a schedule, cosine"):
        Rate([])  # ty: ignore[invalid-argument-type]
    with pytest.raises(UserError, match="augment_ramp = 10: must be 0: augment_p is a schedule already"):
        DCGANConfig(augment="bgc", augment_p="linear(0, 0.5, 10)", augment_ramp=10)


def test_configs_with_schedules_survive_json() -> None:
    config = R3GANConfig(learning_rate="linear(1e-3, 1e-4, 5e6)", adam_beta2=0.9)
    assert from_json(R3GANConfig, to_json(config)) == config


def test_adam_takes_the_rate_and_beta2_of_the_images_seen() -> None:
    """v = b v + (1 - b) g^2, corrected by 1 - b^t with the newest b; beta1 = 0."""
    config = AdamConfig(adam_beta2="linear(0.5, 0.9, 100)")
    optimizer = adam(config, "linear(0.1, 0.3, 100)")
    params, gradients, v = {"w": jnp.float32(1)}, [0.5, -2.0, 0.1], 0.0
    state, expected = optimizer.init(params), 1.0
    update = optax.with_extra_args_support(optimizer).update
    for t, (images, g) in enumerate(zip((0, 50, 100), gradients, strict=True), start=1):
        updates, state = update({"w": jnp.float32(g)}, state, params, images=jnp.uint32(images))
        params = optax.apply_updates(params, updates)
        b, rate = 0.5 + 0.4 * images / 100, 0.1 + 0.2 * images / 100
        v = b * v + (1 - b) * g**2
        expected -= rate * g / (np.sqrt(v / (1 - b**t)) + 1e-8)
        assert float(params["w"]) == pytest.approx(expected, rel=1e-5)
    assert jax.tree.structure(state) == jax.tree.structure(optax.adam(1.0).init(params))


def test_other_models_take_schedules() -> None:
    """Rate, beta2, gammas, EMA and p at once; a step is traced, not run."""
    gan = ganzoo.create(
        "stylegan2", "tiny", generator_learning_rate="linear(0, 2e-3, 100)", adam_beta2="cosine(0.9, 0.99, 64)",
        r1_gamma="cosine(1, 0.1, 64)", ema_half_life="linear(0, 100, 64)", augment="color",
        augment_p="linear(0, 0.5, 64)",
    )  # fmt: skip
    state = jax.eval_shape(gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, *gan.image_shape), jnp.uint8)}
    after, _ = jax.eval_shape(gan.step, state, batch, jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.dtype, after) == jax.tree.map(lambda leaf: leaf.dtype, state)
