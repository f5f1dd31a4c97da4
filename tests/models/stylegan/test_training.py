"""StyleGAN's losses at a level below the full size, its optimizers that restart, and runs that grow."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import draw, run
from PIL import Image

import ganzoo
from ganzoo import objectives
from ganzoo.models import stylegan
from ganzoo.models.stylegan.config import PRESETS, StyleGANConfig
from ganzoo.models.stylegan.networks import Epilogue, Generator, discriminator
from ganzoo.runs import experiments
from ganzoo.runs.run import run as run_experiment
from ganzoo.testing import assert_near, quick_jit
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints

KEY = jax.random.key(0)
CONFIG = replace(PRESETS["tiny"].config, image_size=16, constant_input=True)


@pytest.fixture(scope="module")
def state() -> Any:
    gan = stylegan.stylegan(CONFIG)
    start = jax.device_get(gan.init(KEY))
    return replace(start, level_of_detail=np.float32(1.4))


def images(seed: int, side: int) -> np.ndarray:
    return draw(seed, 4, side, side, 3)


def enlarged(small: np.ndarray) -> np.ndarray:
    return small.repeat(2, 1).repeat(2, 2)


# Losses -------------------------------------------------------------------------------------------------------------


def networks_at(halvings: int, config: StyleGANConfig = CONFIG) -> objectives.Networks:
    return stylegan.networks(config, Generator(config), discriminator(config), halvings)


@pytest.mark.parametrize("penalty", [objectives.r1, objectives.r2, objectives.wgan_gp])
def test_penalties_are_those_of_images_of_full_size(state: Any, penalty: Any) -> None:
    """A level's own networks, lines the size of a pixel, against all levels on enlarged images."""
    config = replace(CONFIG, use_noise=False, style_mixing=0.0)
    half, module = networks_at(1, config), discriminator(config)
    real, fake, params = images(1, 8), images(2, 8), state.discriminator.params

    def logits(params: Any, state: Any, images: Any, labels: Any) -> Any:
        return module.apply({"params": params}, images, labels, state.level_of_detail), state

    full = replace(half, logits=logits)
    share = {"share": np.linspace(0, 1, 4, dtype=np.float32)}

    def value(networks: Any, pixel_size: float, real: Any, fake: Any) -> Any:
        given = replace(networks, fake=lambda *_: (fake, state), real=lambda *_: real)
        drawn = {"fake": {}, "augment": {}, **share}
        return penalty(given, 3.0, pixel_size=pixel_size).loss(params, state, {"image": real, "drawn": drawn})[0]

    ours = run(partial(value, half, 2.0), real, fake)
    assert_near(ours, run(partial(value, full, 1.0), enlarged(real), enlarged(fake)), 1e-4)


def test_reals_are_averaged_rounded_and_blended(state: Any) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    small = stored.reshape(2, 8, 2, 8, 2, 3).astype(np.float64).mean((2, 4)).round() / 127.5 - 1
    coarse = enlarged(small.reshape(2, 4, 2, 4, 2, 3).mean((2, 4)))
    shown = networks_at(1).real(state, jnp.asarray(stored))
    np.testing.assert_allclose(shown, small + (coarse - small) * 0.4, atol=1e-6)


def test_the_first_level_has_nothing_to_blend(state: Any) -> None:
    first = replace(state, level_of_detail=np.float32(2))
    stored = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    assert networks_at(2).real(first, jnp.asarray(stored)).shape == (2, 4, 4, 3)


def test_labels_choose_their_logit(state: Any) -> None:
    config = replace(CONFIG, label_size=3)
    params = stylegan.stylegan(config).init(KEY).discriminator.params
    judge = quick_jit(lambda labels: networks_at(0, config).logits(params, state, images(1, 16), labels)[0])
    one_hot = np.eye(3, dtype=np.float32)
    logits = [judge(np.broadcast_to(row, (4, 3))) for row in one_hot]
    assert_near(judge(np.full((4, 3), 0.5, np.float32)), sum(logits) / 2)


def test_a_bias_that_normalisation_takes_away_has_no_gradient() -> None:
    """Features 0 and 1 have one sign in all places, feature 2 has both."""
    x = np.stack([1 + images(0, 4)[..., 0] / 10, -2 + images(1, 4)[..., 0] / 10, images(2, 4)[..., 0]], axis=-1)
    epilogue = Epilogue(replace(CONFIG, use_noise=False), follows_constant=True)
    cot, w = images(3, 4), jnp.zeros((4, 8))
    affine = {"kernel": np.zeros((8, 6), np.float32), "bias": np.zeros(6, np.float32)}

    def value(bias: Any) -> Any:
        return jnp.sum(epilogue.apply({"params": {"bias": bias, "affine": affine}}, jnp.asarray(x), w, "none") * cot)

    gradient = run(jax.grad(value), np.zeros(3, np.float32))
    assert np.array_equal(gradient[:2], [0, 0])
    step = 1e-2
    shifted = [float(run(value, np.array([0, 0, shift], np.float32))) for shift in (-step, step)]
    assert float(gradient[2]) == pytest.approx((shifted[1] - shifted[0]) / (2 * step), rel=0.05)


# Growing ------------------------------------------------------------------------------------------------------------


def grown(state: Any, before: float, images: int, step: int = 0) -> Any:
    """The state that ``grow`` makes of one with optimizers that remember ones."""
    filled = jax.tree.map(jnp.ones_like, state.generator.opt_state)
    network = replace(state.generator, opt_state=filled)
    state = replace(
        state, generator=network, level_of_detail=jnp.float32(before), images=jnp.uint32(images), step=jnp.int32(step)
    )
    return stylegan.grow(CONFIG, state, {}, KEY)[0]


@pytest.mark.parametrize(
    ("before", "images", "now", "restarts"),
    [(2.0, 8, 2.0, False), (2.0, 12, 1.75, True), (1.75, 16, 1.5, False), (1.5, 24, 1.0, True), (1.0, 30, 1.0, False)],
)
def test_optimizers_restart_where_a_fade_begins_and_ends(
    state: Any, before: float, images: int, now: float, restarts: bool
) -> None:
    after = grown(state, before, images)
    assert float(after.level_of_detail) == pytest.approx(now)
    remembered = {float(np.max(leaf)) for leaf in jax.tree.leaves(after.generator.opt_state)}
    assert remembered == ({0.0} if restarts else {1.0})


@pytest.mark.slow
def test_stages_compute_what_the_step_does() -> None:
    gan = ganzoo.create("stylegan", "tiny")
    batch = {"image": np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)}
    any_level = quick_jit(gan.step)
    coarse, fine = (quick_jit(stage.step) for stage in gan.stages)
    ours = theirs = gan.init(KEY)
    for step in (coarse, fine, fine):
        ours, _ = step(ours, batch, KEY)
        theirs, _ = any_level(theirs, batch, KEY)
    assert_near(ours, theirs, absolute=1e-5)


def test_samples_have_full_size_and_the_detail_of_the_state(state: Any) -> None:
    gan = stylegan.stylegan(CONFIG)
    coarse = np.asarray(gan.sample(replace(state, level_of_detail=jnp.float32(2)), KEY, 2))
    assert coarse.shape == (2, 16, 16, 3)
    np.testing.assert_allclose(coarse, coarse[:, ::4, ::4].repeat(4, 1).repeat(4, 2), atol=1e-5)
    fine = np.asarray(gan.sample(replace(state, level_of_detail=jnp.float32(0)), KEY, 2))
    assert np.abs(fine - fine[:, ::2, ::2].repeat(2, 1).repeat(2, 2)).max() > 1e-2


# Runs ---------------------------------------------------------------------------------------------------------------


def train(out: Path, images: int, **options: Any) -> list[str]:
    """Digits, 4x4 to 8x8, which fades in from image 48 to image 176, with batches of 32 and of 16."""
    base = experiments()["stylegan-tiny"]
    fields = {
        "training_images": 48,
        "fading_images": 128,
        "batch_sizes": (32, 16),
        "schedule_interval": 2,
        "channels": 1,
    }
    training = replace(
        base.training, images=images, batch_size=0, devices=1, log_every=32, sample_every=32, checkpoint_every=32
    )
    lines: list[str] = []
    chosen = replace(base, gan=replace(base.gan, **fields), training=training)
    run_experiment(chosen, out, log=lines.append, **options)
    return lines


def final_state(out: Path) -> list[np.ndarray]:
    base = experiments()["stylegan-tiny"].gan
    gan = stylegan.stylegan(replace(base, channels=1))
    with Checkpoints(out / "checkpoints") as checkpoints:
        state = checkpoints.restore(jax.eval_shape(gan.init, KEY), parallel.data_mesh(1))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


@pytest.mark.slow
def test_a_run_that_stopped_in_the_middle_of_a_fade_goes_on_bit_for_bit(tmp_path: Path) -> None:
    lines = train(tmp_path / "whole", 208)
    assert any(line.startswith("4x4       images          0 to         64, 32 at once") for line in lines)
    assert any(line.startswith("8x8       images         64 to        208, 16 at once") for line in lines)
    train(tmp_path / "parts", 144)
    train(tmp_path / "parts", 208, resume=True)
    ours, theirs = final_state(tmp_path / "parts"), final_state(tmp_path / "whole")
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    with Image.open(tmp_path / "whole" / "samples.webp") as film:
        assert film.n_frames > 3
