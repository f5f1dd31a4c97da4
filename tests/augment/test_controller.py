"""How strongly to augment: the arithmetic of r_t and p, also over devices."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo import augment
from ganzoo.augment import controller
from ganzoo.errors import UserError
from ganzoo.models import MODELS
from ganzoo.models.stylegan2.config import StyleGAN2Config
from ganzoo.phases import adapt_augmentation, train_step
from ganzoo.runs.config import experiments, resolve

SEEN = jnp.uint32(64)


def strength(p: float, signs: float, count: float) -> controller.AugmentState:
    return controller.AugmentState(*map(jnp.float32, (p, 0.0, signs, count)))


@pytest.mark.parametrize(
    ("p", "r_t", "expected"),
    [(0.2, 0.7, 0.2 + 64 / 1000), (0.2, 0.5, 0.2 - 64 / 1000), (0.01, 0.0, 0.0), (0.79, 1.0, 0.8), (0.3, 0.6, 0.3)],
)
def test_p_moves_by_the_sign_of_what_is_over_the_target(p: float, r_t: float, expected: float) -> None:
    """Whatever the distance is. Paper, section 3; exactly at the target it stays, and it stays in its bounds."""
    control = controller.adaptive(images_per_unit=1000, p_max=0.8)
    after = controller.adapt(strength(p, 1000 * r_t, 1000), control, SEEN, 64)
    assert float(after.p) == pytest.approx(expected, abs=1e-6)
    assert float(after.r_t) == pytest.approx(r_t)
    assert (float(after.signs), float(after.count)) == (0, 0)


def test_published_speed() -> None:
    """500,000 images from 0 to 1, in steps of 4 batches: 1,954 of them at batch 64."""
    now, control = strength(0, 0, 0), controller.adaptive()
    after = controller.adapt(replace(now, signs=jnp.float32(10), count=jnp.float32(10)), control, SEEN, 256)
    assert float(after.p) == pytest.approx(256 / 500_000)


def test_given_controls() -> None:
    now = strength(0.9, 5, 5)
    assert float(controller.init(controller.given(0.3)).p) == pytest.approx(0.3)
    assert float(controller.adapt(now, controller.given(0.3), SEEN, 64).p) == pytest.approx(0.3)
    ramp = controller.given("linear(0, 0.5, 128)")
    assert float(controller.init(ramp).p) == 0
    assert float(controller.adapt(now, ramp, SEEN, 64).p) == pytest.approx(0.25)
    assert float(controller.adapt(now, ramp, jnp.uint32(10_000), 64).p) == pytest.approx(0.5)


def test_logits_of_all_devices_and_calls_are_counted() -> None:
    logits = np.asarray([3.0, -1.0, 0.0, 2.0, 5.0, -2.0, 1.0, 1.0], np.float32)
    once = controller.count_signs(strength(0, 0, 0), jnp.asarray(logits))
    assert (float(once.signs), float(once.count)) == (3, 8)
    twice = controller.count_signs(once, jnp.asarray(logits[:4]))
    assert (float(twice.signs), float(twice.count)) == (4, 12)
    over_devices = jax.pmap(partial(controller.count_signs, strength(0, 0, 0)), axis_name="data", out_axes=None)
    assert jax.tree.map(float, over_devices(logits[:, None])) == jax.tree.map(float, once)


def test_the_phase_moves_p_at_the_end_of_each_interval() -> None:
    """As the original: after 4, 8, 12 ... steps; p is logged in every step, and r_t when it is known."""
    phase = adapt_augmentation(controller.adaptive(images_per_unit=100), interval=4)

    @jax.jit
    def step(state, signs):
        counted = replace(state.augment, signs=state.augment.signs + signs, count=state.augment.count + 1)
        return train_step(phase)(replace(state, augment=counted), {"image": jnp.zeros((5, 1))}, jax.random.key(0))

    state, moved, logged = State(jnp.int32(0), jnp.uint32(0), strength(0, 0, 0)), [], []
    for i in range(9):
        state, metrics = step(state, jnp.float32(1.0 if i < 4 else 0.0))
        moved.append(round(float(state.augment.p), 6))
        logged.append((round(metrics["augment/p"].value, 6), float(metrics["augment/r_t"].count)))
    assert moved == [0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0, 0]
    assert logged[:5] == [(0, 0), (0, 0), (0, 0), (0, 1), (0.2, 0)]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """The fields of a train state that the phase needs."""

    step: jax.Array
    images: jax.Array
    augment: controller.AugmentState


# Settings -----------------------------------------------------------------------------------------------------------

WRONG = {
    "augment_p": (0.5, "has no p"),
    "augment_p_max": (1.5, r"be in \[0, 1\]"),
    "augment_target": (1.0, r"be in \(-1, 1\)"),
    "augment_interval": (0, "at least 1"),
    "augment_images": (0, "positive"),
    "augment_ramp": (1000, "unless augment_p"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("field", WRONG)
def test_settings_that_cannot_be(field: str, model: str) -> None:
    value, words = WRONG[field]
    with pytest.raises(UserError, match=words):
        MODELS[model].config(image_size=16, **{field: value})


@pytest.mark.parametrize("model", ["dcgan", "stylegan"])
def test_p_cannot_adapt_to_logits_whose_sign_says_nothing(model: str) -> None:
    config = partial(MODELS[model].config, image_size=16, augment="bgc", loss="wasserstein")
    with pytest.raises(UserError, match=r"augment_p = None: must be set.*wasserstein"):
        config()
    assert config(augment_p=0.5).augment_p == 0.5


@pytest.mark.parametrize("name", ["dcgan-torch", "stylegan-faces64", "stylegan2-auto"])
def test_p_moves_faster_in_a_run_that_starts_with_other_weights(name: str) -> None:
    def chosen(init_from: str, **fields: int) -> int | None:
        experiment = experiments()[name]
        gan = replace(experiment.gan, augment="bgc", **fields)
        training = replace(experiment.training, init_from=init_from)
        return resolve(replace(experiment, gan=gan, training=training), 1)[0].gan.augment_images

    assert (chosen(""), chosen("other.safetensors")) == (500_000, 100_000)
    assert chosen("other.safetensors", augment_images=7) == 7


def test_only_what_has_a_p_has_a_strength() -> None:
    def start(**fields) -> controller.AugmentState | None:
        return augment.init(StyleGAN2Config(image_size=16, **fields))

    assert start() is None
    assert start(augment="diffaugment") is None
    assert float(start(augment="bgc").p) == 0
    assert float(start(augment="bgc", augment_p=0.4).p) == pytest.approx(0.4)
    assert float(start(augment="bgc", augment_p=0.4, augment_ramp=1000).p) == 0
