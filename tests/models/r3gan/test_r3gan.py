"""R3GAN's networks, losses and whole training steps against the records of brownvc/R3GAN, and its own settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, case, cases, nhwc, over
from models.r3gan.r3gan_records import below, config_of, state_of, tree

import ganzoo
from ganzoo import losses, objectives
from ganzoo.errors import UserError
from ganzoo.gan import parameter_count
from ganzoo.models import r3gan
from ganzoo.models.r3gan import Discriminator, Generator, R3GANConfig
from ganzoo.models.r3gan.networks import ResidualBlock
from ganzoo.ops import fir
from ganzoo.runs.config import find_experiment
from ganzoo.runs.run import run as run_experiment
from ganzoo.testing import assert_near, quick_jit
from ganzoo.training.report import flops

KEY = jax.random.key(0)
NETWORKS = [case("r3gan/gan_r16_cond"), case("r3gan/gan_r16_filter")]
GRADIENTS = 1e-4


def nets(config: R3GANConfig) -> objectives.Networks:
    return r3gan.networks(config, Generator(config), Discriminator(config))


# Networks -----------------------------------------------------------------------------------------------------------


@over(NETWORKS)
def test_images_logits_and_their_gradients(case: Case) -> None:
    config = config_of(case)
    params, z, c, cot = tree(case, "params/G/"), case["in/z"], case.get("in/c"), nhwc(case["in/cot"])

    def total(params: Any, z: Any) -> Any:
        images = Generator(config).apply({"params": params}, z, c)
        return jnp.sum(images * cot), images

    gradients, images = quick_jit(jax.grad(total, (0, 1), has_aux=True))(params, z)
    assert_near(images, nhwc(case["out/img"]))
    assert_near(gradients[0], tree_of_gradients(case, "grad/sum(img*cot)/"), GRADIENTS)
    assert_near(gradients[1], case["grad/sum(img*cot)/__in__/z"], GRADIENTS)


def tree_of_gradients(case: Case, prefix: str) -> Any:
    """Gradients of the generator; the record has none of the constant filters, from which the config's taps come."""
    own = {name: a for name, a in below(case, prefix).items() if not name.startswith("__in__")}
    return tree(Case(case.name, case.options, {f"G/{name}": array for name, array in own.items()}), "G/")


@over(NETWORKS)
def test_losses_penalties_and_gradients(case: Case) -> None:
    """Of both phases; R1 and R2 by one gradient of the sum of all logits. The record scales both losses."""
    gamma, scale = case.options["gamma"], case.options["scale"]
    config = config_of(case, r1_gamma=gamma, r2_gamma=gamma)
    state, networks = state_of(config, case), nets(config)
    fakes = {"latents": case["in/z"], **({"label": case["in/c"]} if config.label_size else {})}
    draws = {name: {"fake": fakes} for name in ("generator", "discriminator")}
    batch = {"image": nhwc(case["in/real_img"]), "draws": draws}
    batch |= {"label": case["in/c"]} if config.label_size else {}
    phases = {
        "D": ("discriminator", objectives.discriminator(networks, losses.relativistic, r1=gamma, r2=gamma)),
        "G": ("generator", objectives.generator(networks, losses.relativistic)),
    }
    for kind, (name, loss) in phases.items():
        params = getattr(state, name).params
        gradients, (_, metrics) = quick_jit(jax.grad(loss, has_aux=True))(params, state, batch, KEY)
        assert_near(jax.tree.map(lambda g: g * scale, gradients), tree(case, f"grad/{kind}/"), GRADIENTS)
        assert metrics[f"{name}/loss"].value == pytest.approx(case[f"out/{kind}/adversarial_loss"].mean(), rel=1e-5)
        if kind == "D":
            for penalty in ("r1", "r2"):
                value = metrics[f"discriminator/{penalty}"].value
                assert value == pytest.approx(case[f"out/D/{penalty}_penalty"].mean(), rel=1e-5)
            for side in ("real", "fake"):
                value = metrics[f"discriminator/{side}"].value
                assert value == pytest.approx(case[f"out/logits_{side}"].mean(), rel=1e-5)


@over(cases("r3gan/resamplers"))
def test_resamplers(case: Case) -> None:
    """Those of the networks convolve their taps with [1, 1]; the others go with a pixel shuffle."""
    row = np.convolve(case.options["filter"], [1, 1] if "Interpolative" in case.name else [1])
    kernel = np.outer(row, row) / np.sum(row) ** 2
    assert_near(case["out/kernel"], kernel)
    f, x = fir.setup_filter(row), jnp.asarray(nhwc(case["in/x"]))

    def shuffled(x: Any) -> Any:
        n, h, w, c = x.shape
        return x.reshape(n, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c // 4)

    def unshuffled(x: Any) -> Any:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)

    function = {
        "InterpolativeUpsampler": lambda x: fir.upsample(x, f),
        "InterpolativeDownsampler": lambda x: fir.downsample(x, f),
        "InplaceUpsampler": lambda x: fir.blur(shuffled(x), f),
        "InplaceDownsampler": lambda x: unshuffled(fir.blur(x, f)),
    }[case.name.partition("_")[0]]

    def both(x: Any, cot: Any) -> Any:
        y, pull = jax.vjp(function, x)
        return y, pull(cot)[0]

    assert_near(quick_jit(both)(x, nhwc(case["in/cot"])), (nhwc(case["out/y"]), nhwc(case["out/dx"])))


# Training -----------------------------------------------------------------------------------------------------------


def text(schedule: dict[str, float]) -> str:
    return f"cosine({schedule['base_value']}, {schedule['final_value']}, {schedule['total_nimg']})"


def replay(case: Case) -> tuple[R3GANConfig, Any]:
    """The config and the step of a recorded run of three iterations."""
    loop, size, micro = case.options["training_loop_args"], case.options["batch_size"], case.options["batch_gpu"]
    config = config_of(
        case,
        learning_rate=text(loop["lr_scheduler"]),
        adam_beta2=text(loop["beta2_scheduler"]),
        r1_gamma=text(loop["gamma_scheduler"]),
        r2_gamma=text(loop["gamma_scheduler"]),
        ema_half_life=text(loop["ema_scheduler"]),
        micro_batch=0 if micro == size else micro,
        adam_epsilon=1e-8,
    )
    return config, quick_jit(r3gan.step(config, nets(config)))


def recorded_batch(case: Case, config: R3GANConfig, iteration: int) -> dict[str, Any]:
    """Real images and latents of an iteration: D's are those of the batch, G's its own."""
    rounds = case.options["batch_size"] // case.options["batch_gpu"]

    def dealt(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(rounds, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    reals, draws = {}, {}
    for kind, name in (("D", "discriminator"), ("G", "generator")):
        at = f"in/iter{iteration}/{kind}"
        labels = {"label": dealt(case[f"{at}/real_c"])} if config.label_size else {}
        reals[name] = {"image": dealt(nhwc(case[f"{at}/real_img"])), **labels}
        draws[name] = {"fake": {"latents": dealt(case[f"{at}/gen_z_0"]), **labels}}
    return {**reals["discriminator"], "generator": reals["generator"], "draws": draws}


@pytest.mark.parametrize("path", ["train/r3gan_cond"])
def test_three_iterations_of_the_training_loop(path: str) -> None:
    """With all schedules, in micro-batches, D and G on real images of their own; images are counted once."""
    run = case(path)
    config, step = replay(run)
    state = state_of(config, run)
    for iteration in range(3):
        state, metrics = step(state, recorded_batch(run, config, iteration), KEY)
        at = f"out/iter{iteration}"
        names = {"generator/loss": "G/Loss/G/loss", "discriminator/loss": "D/Loss/D/loss",
                 "discriminator/r1": "D/Loss/r1_penalty", "discriminator/r2": "D/Loss/r2_penalty"}  # fmt: skip
        for ours, theirs in names.items():
            values = [a.mean() for name, a in run.arrays.items() if name.startswith(f"{at}/{theirs}")]
            assert metrics[ours].value == pytest.approx(float(np.mean(values)), rel=2e-5)
    assert int(state.images) == 3 * run.options["batch_size"]
    for ours, theirs in (
        (state.generator.params, "G"),
        (state.discriminator.params, "D"),
        (state.ema["params"], "G_ema"),
    ):
        assert_near(ours, tree(run, f"out/after3/{theirs}/"), 1e-5, absolute=1e-5)


# Costs and settings ---------------------------------------------------------------------------------------------------


def test_both_penalties_cost_one_more_backward_pass() -> None:
    """Of the FLOPs of D on both halves: forward 1, and 1 more for the images' gradients of both penalties together."""
    gan = ganzoo.create("r3gan", "tiny")
    networks = nets(gan.config)
    state = jax.eval_shape(gan.init, KEY)
    images = jax.ShapeDtypeStruct((8, *gan.image_shape), jnp.float32)

    def cost(function: Any, *args: Any) -> float:
        return flops(jax.make_jaxpr(function)(*args)).least

    def loss(**gammas: float) -> float:
        objective = objectives.discriminator(networks, losses.relativistic, **gammas)
        return cost(lambda s, b: objective(s.discriminator.params, s, b, KEY)[0], state, {"image": images})

    forward = 2 * cost(lambda s, x: networks.logits(s.discriminator.params, s, x, None)[0], state, images)
    plain = loss()
    assert loss(r1=1.0, r2=1.0) - plain == pytest.approx(forward, rel=0.05)
    assert loss(r1=1.0) - plain == pytest.approx(forward / 2, rel=0.05)


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [("cifar10", 20.78, 21.28), ("ffhq64", 22.43, 22.38), ("ffhq256", 23.06, 23.01), ("imagenet32", 82.91, 86.55),
     ("imagenet64", 103.57, 107.21), ("stacked-mnist", 20.73, 20.68)],
)  # fmt: skip
def test_published_presets_have_the_published_parameters(preset: str, generator: float, discriminator: float) -> None:
    gan = ganzoo.create("r3gan", preset)
    state = jax.eval_shape(gan.init, KEY)
    for network, millions in ((state.generator, generator), (state.discriminator, discriminator)):
        assert parameter_count(network.params) / 1e6 == pytest.approx(millions, abs=0.005)


def test_blocks_start_as_identities_and_stages_are_bfloat16_from_the_top() -> None:
    config = replace(ganzoo.create("r3gan", "tiny").config, low_precision_levels=1)
    x = jax.random.normal(KEY, (1, 4, 4, 12))
    block = ResidualBlock(3, 2, 3, 1.0)
    assert_near(block.apply(block.init(KEY, x), x), x)
    for network, inputs in ((Generator(config), (1, 8)), (Discriminator(config), (1, 8, 8, 3))):

        def traced(network: Any = network, inputs: tuple[int, ...] = inputs) -> Any:
            x = jnp.zeros(inputs)
            return network.apply(network.init(KEY, x), x, capture_intermediates=True)

        result, captured = jax.eval_shape(traced)
        small, large = (captured["intermediates"][f"b{size}_block0"]["__call__"][0].dtype for size in (4, 8))
        assert (small, large, result.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": ()}, "widths = \\(\\): must hold 1 to 2 whole numbers"),
        ({"widths": (8, 8, 8)}, "must hold 1 to 2 whole numbers from 1 on, for the 2 sizes"),
        ({"groups": (5,)}, "groups = 5: must divide the channels inside the blocks, 24"),
        ({"blocks": (0,)}, "blocks = "),
        ({"kernel_size": 4}, "kernel_size = 4: must be odd"),
        ({"resample_filter": (1, -1)}, "resample_filter"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ganzoo.create("r3gan", "tiny", **fields)


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_in_the_middle_of_its_burn_in(tmp_path: Path) -> None:
    """Of 64 images; rate, beta2, gammas and the EMA's half-life all move, and D and G have reals of their own."""

    def train(out: str, images: int, *, resume: bool = False) -> Any:
        base = find_experiment("r3gan-tiny")
        often = {"batch_size": 8, "devices": 1, "log_every": 16, "sample_every": 0, "checkpoint_every": 16}
        config = replace(base.gan, channels=1, label_size=10)
        experiment = replace(base, gan=config, training=replace(base.training, images=images, **often))
        run_experiment(experiment, tmp_path / out, resume=resume, log=lambda line: None)
        return ganzoo.load(tmp_path / out, checkpoint="latest")[1]

    undisturbed = train("whole", 64)
    train("stopped", 32)
    resumed = train("stopped", 64, resume=True)
    assert int(resumed.images) == 64
    same = jax.tree.map(lambda a, b: bool((jnp.asarray(a) == jnp.asarray(b)).all()), undisturbed, resumed)
    assert all(jax.tree.leaves(same))
