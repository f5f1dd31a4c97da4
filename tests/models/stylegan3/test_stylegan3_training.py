"""StyleGAN3's training steps against the records of NVlabs/stylegan3, through the fade of the discriminator's blur."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import nhwc
from models.stylegan3.stylegan3_records import config_of, load, modules_of, network, state_of, variables

from ganzoo.gan import named_leaves
from ganzoo.models import stylegan3
from ganzoo.ops.lowpass import gaussian_blur
from ganzoo.runs.config import experiments
from ganzoo.runs.run import run
from ganzoo.testing import assert_near, quick_jit
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.plan import plan

PHASES = {"Gboth": "generator", "Dmain": "discriminator"}
"""Phases of the records with draws, by the names of their objectives."""


def batch_of(meta: dict[str, Any], golden: Any, iteration: int) -> dict[str, Any]:
    """Real images, and the latents of each phase."""
    at, size = f"in/iter{iteration}", meta["batch_size"]
    latents = {
        name: golden[f"{at}/gen_z_0"][size * meta["phases"].index(phase) :][:size] for phase, name in PHASES.items()
    }
    draws = {name: {"fake": {"latents": z}} for name, z in latents.items()}
    return {"image": nhwc(golden[f"{at}/real_img"]), "draws": draws}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["train/sg3_r_blur"])
def test_three_iterations_of_the_training_loop(case: str) -> None:
    meta, golden = load(case)
    loop = meta["training_loop_args"]
    config = config_of(
        meta,
        generator_learning_rate=loop["G_opt_kwargs"]["lr"],
        discriminator_learning_rate=loop["D_opt_kwargs"]["lr"],
        r1_interval=loop["D_reg_interval"],
        ema_half_life=loop["ema_kimg"] * 1000,
        ema_ramp=loop["ema_rampup"],
    )
    state, step = state_of(config, golden), quick_jit(stylegan3.step(config, *modules_of(config)))
    for iteration in range(3):
        state, metrics = step(state, batch_of(meta, golden, iteration), jax.random.key(0))
        at = f"out/iter{iteration}"
        records = {
            "generator/loss": "Gboth/Loss/G/loss_0",
            "discriminator/loss": "Dmain/Loss/D/loss_0",
            "discriminator/r1": "Dreg/Loss/r1_penalty_0",
        }
        for ours, theirs in records.items():
            if f"{at}/{theirs}" in golden:
                expected = float(np.mean(golden[f"{at}/{theirs}"]))
                assert metrics[ours].value == pytest.approx(expected, rel=2e-5), ours
        if iteration in (0, 2):
            assert_recorded(config, golden, state, iteration + 1)


def assert_recorded(config: Any, golden: Any, state: Any, iterations: int) -> None:
    """Parameters, their EMA, and all statistics are the recorded ones."""
    after = f"out/after{iterations}"
    generator = network(config, golden, f"{after}/G/", "generator")
    ema = variables(golden, f"{after}/G_ema/")
    pairs = [
        (state.discriminator.params, network(config, golden, f"{after}/D/", "discriminator").params),
        (state.generator.params, generator.params),
        (state.generator.collections["statistics"], generator.collections["statistics"]),
        (state.ema["params"], ema["params"]),
        (state.ema["statistics"], ema["statistics"]),
    ]
    for ours, theirs in pairs:
        assert_near(ours, theirs, 1e-6, absolute=1e-5)


@pytest.mark.slow
def test_a_run_that_is_resumed_amid_the_fade_is_the_undisturbed_one(tmp_path: Path) -> None:
    """The tiny preset blurs its first 64 images; the program of the others is compiled after them."""
    base = experiments()["stylegan3-tiny"]

    def train(out: Path, images: int, *, resume: bool = False) -> dict[str, np.ndarray]:
        training = replace(base.training, images=images, devices=1, checkpoint_every=16)
        run(replace(base, training=training), out, resume=resume, log=lambda line: None)
        gan = stylegan3.stylegan3(base.gan)
        with Checkpoints(out / "checkpoints") as checkpoints:
            state = checkpoints.restore(jax.eval_shape(gan.init, jax.random.key(0)), parallel.data_mesh(1))
        return dict(named_leaves(jax.device_get(state)))

    whole = train(tmp_path / "whole", 96)
    train(tmp_path / "parts", 32)
    parts = train(tmp_path / "parts", 96, resume=True)
    assert whole.keys() == parts.keys()
    assert [name for name, leaf in whole.items() if not np.array_equal(leaf, parts[name])] == []


@pytest.mark.parametrize("fade", [64.0, 63.5])
def test_the_stage_without_a_blur_begins_when_the_blur_has_faded(fade: float) -> None:
    config = replace(experiments()["stylegan3-tiny"].gan, blur_images=fade)
    blurred, sharp = plan(stylegan3.stylegan3(config).stages, 1, 640)
    assert (blurred.stage.name, blurred.last_image, sharp.first_image) == ("blurred", 64, 64)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(1, *config.image_shape)), jnp.float32)
    blur = stylegan3.networks(config, *modules_of(config)).filtered
    assert not np.array_equal(blur(SimpleNamespace(images=jnp.uint32(0)), image), image)
    np.testing.assert_array_equal(blur(SimpleNamespace(images=jnp.uint32(sharp.first_image)), image), image)


def test_a_run_without_a_blur_is_one_stage() -> None:
    (stage,) = stylegan3.stylegan3(experiments()["stylegan3-faces64"].gan).stages
    assert list(stage.phases) == ["generator", "discriminator", "discriminator penalty", "averages"]


def test_a_blur_that_fades_is_a_gaussian_until_it_is_nothing() -> None:
    image = np.zeros((1, 9, 12, 1), np.float32)
    image[0, 4, 5] = 1
    blur = quick_jit(lambda sigma: gaussian_blur(image, sigma, 2.0))
    for sigma in (2.0, 1.3, 0.5):
        reach = int(3 * sigma)
        x = np.arange(-reach, reach + 1)
        taps = 2.0 ** -((x / sigma) ** 2)
        expected = np.zeros((30, 30))
        expected[10 + 4 - reach : 10 + 5 + reach, 10 + 5 - reach : 10 + 6 + reach] = (
            np.outer(taps, taps) / taps.sum() ** 2
        )
        assert_near(blur(jnp.float32(sigma))[0, :, :, 0], expected[10:19, 10:22], 1e-5)
    for sigma in (0.3, 0.0):
        np.testing.assert_array_equal(blur(jnp.float32(sigma)), image)
