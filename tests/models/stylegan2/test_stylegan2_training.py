"""StyleGAN2's losses and whole training steps against the records of NVlabs/stylegan2-ada-pytorch."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden_cases import nhwc
from models.stylegan2.stylegan2_records import config_of, load, network, networks_of, state_of
from stylegan2_names import tree

from ganzoo import losses, objectives, phases
from ganzoo.models import stylegan2
from ganzoo.testing import assert_near, quick_jit

KEY = jax.random.key(0)
NETWORKS = {"Gmain": "generator", "Greg": "generator", "Dmain": "discriminator", "Dreg": "discriminator"}
OBJECTIVES = {"Gmain": "generator", "Greg": "path_length", "Dmain": "discriminator", "Dreg": "r1"}
"""Names of the phases in the records: of the network that they train, and of their objective here."""


# Single phases ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sg2/gan_cond_resnet_skip_r16"])
def recorded(request: pytest.FixtureRequest) -> tuple:
    """A case with its networks, state and batch; all phases start from the same state."""
    meta, golden = load(request.param)
    config = config_of(meta)
    labels = (lambda c: jnp.asarray(c)) if config.label_size else (lambda c: None)
    fakes = {"latents": golden["in/z"], "label": labels(golden["in/c"])}
    half = len(golden["in/z"]) // 2
    paths = {"path": jax.tree.map(lambda leaf: leaf[:half], fakes), "probe": nhwc(golden["in/pl_noise"])}
    batch = {
        "image": nhwc(golden["in/real_img"]),
        "label": labels(golden["in/real_c"]),
        "draws": {"generator": {"fake": fakes}, "discriminator": {"fake": fakes}, "path_length": paths},
    }
    state = state_of(config, golden, meta["loss"]["pl_mean_before"])
    return meta, golden, config, networks_of(config, meta), state, batch


def objective_of(config, networks, phase: str) -> objectives.Objective:
    loss, weight = losses.non_saturating, config.path_length_weight
    return {
        "Gmain": lambda: objectives.generator(networks, loss),
        "Greg": lambda: objectives.path_length(networks, weight, decay=config.path_length_decay, shrink=2),
        "Dmain": lambda: objectives.discriminator(networks, loss),
        "Dreg": lambda: objectives.r1(networks, config.r1_gamma),
    }[phase]()


def test_images_and_logits(recorded: tuple) -> None:
    meta, golden, config, networks, state, batch = recorded
    z, c = (batch["draws"]["generator"]["fake"][name] for name in ("latents", "label"))
    settings = {
        "psi1": {},
        "psi0.7": {"psi": 0.7},
        "psi0.7_cutoff": {"psi": 0.7, "cutoff": meta["truncation_cutoff"]},
        "psi1_noise_none": {"noise": "none"},
    }
    generator = stylegan2.Generator(config)
    judge = quick_jit(lambda images, labels: networks.logits(state.discriminator.params, state, images, labels)[0])
    for name, options in settings.items():
        images = quick_jit(lambda v, options=options: generator.apply(v, z, c, **options))(state.generator.variables)
        assert_near(images, nhwc(golden[f"out/img_{name}"]))
        if name == "psi1":
            assert_near(judge(images, c), golden["out/logits_fake_psi1"][:, 0])
    assert_near(judge(batch["image"], batch["label"]), golden["out/logits_real"][:, 0])


@pytest.mark.parametrize("phase", NETWORKS)
def test_losses_and_gradients_of_a_phase(recorded: tuple, phase: str) -> None:
    _, golden, config, networks, state, batch = recorded
    loss = objective_of(config, networks, phase)
    assert loss.name == OBJECTIVES[phase]
    params = getattr(state, NETWORKS[phase]).params
    gradients, (after, metrics) = quick_jit(jax.grad(loss, has_aux=True))(params, state, batch, KEY)
    prefix = f"grad/{phase}/{NETWORKS[phase][0].upper()}/"
    theirs = tree({name: golden[name] for name in golden.files if name.startswith(prefix)}, prefix)["params"]
    assert_near(gradients, theirs, 1e-4)
    values = {
        "Gmain": ("generator/loss", "Loss/G/loss"),
        "Greg": ("generator/path_penalty", "Loss/G/reg"),
        "Dmain": ("discriminator/loss", "Loss/D/loss"),
        "Dreg": ("discriminator/r1", "Loss/r1_penalty"),
    }
    ours, recorded_name = values[phase]
    expected = golden[f"out/{phase}/{recorded_name}"]
    assert metrics[ours].value == pytest.approx(float(expected.mean()), rel=1e-5)
    if phase == "Greg":
        assert float(after.path_length_mean) == pytest.approx(float(golden["out/Greg/pl_mean_after"]), rel=1e-6)
    if phase == "Gmain":
        average = after.generator.collections["statistics"]["mapping"]["w_average"]
        assert_near(average, golden["out/Gmain/w_avg_after"])


# Whole steps --------------------------------------------------------------------------------------------------------


class Replay:
    """A recorded run of three iterations; its random numbers enter the step through the batch."""

    def __init__(self, case: str) -> None:
        self.meta, self.golden = load(case)
        loop = self.meta["training_loop_args"]
        size, micro = self.meta["batch_size"], self.meta["batch_gpu"]
        self.config = config_of(
            self.meta,
            micro_batch=0 if micro == size else micro,
            generator_learning_rate=loop["G_opt_kwargs"]["lr"],
            discriminator_learning_rate=loop["D_opt_kwargs"]["lr"],
            path_length_interval=loop["G_reg_interval"] or 0,
            r1_interval=loop["D_reg_interval"] or 0,
            ema_half_life=loop["ema_kimg"] * 1000,
            ema_ramp=loop["ema_rampup"],
            # the original sums the gradients of R rounds: R g / (R |g| + e) = g / (|g| + e / R)
            adam_epsilon=1e-8 * micro / size,
        )
        self.rounds, self.size = size // micro, size
        self.phases = self.meta["phases"]
        self.state = state_of(self.config, self.golden)
        self.step = quick_jit(stylegan2.step(self.config, networks_of(self.config, self.meta)))

    def dealt(self, rows: np.ndarray) -> np.ndarray:
        """Round after round of rows as this library deals them out: one row of each round in turn."""
        return rows.reshape(self.rounds, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    def batch(self, iteration: int) -> dict[str, Any]:
        """Real images, and all draws by the names of the objectives."""
        at = f"in/iter{iteration}"
        batch = {"image": self.dealt(nhwc(self.golden[f"{at}/real_img"]))}
        if self.config.label_size:
            batch["label"] = self.dealt(self.golden[f"{at}/real_c"])
        draws = {}
        for i, phase in enumerate(self.phases):
            whole, paths = {"fake": self.fakes(at, i, phase, 1)}, self.paths(at, i, phase)
            if phase in ("Gmain", "Gboth"):
                draws["generator"] = whole
            if phase in ("Greg", "Gboth"):
                draws["path_length"] = paths
            if phase in ("Dmain", "Dboth"):
                draws["discriminator"] = whole
        return {**batch, "draws": draws}

    def paths(self, at: str, position: int, phase: str) -> dict[str, Any]:
        noises = [self.golden.get(f"{at}/{phase}/pl_noise_{r}") for r in range(self.rounds)]
        if noises[0] is None:  # in this iteration the phase is skipped, but compiled all the same
            noises = [np.zeros((self.size // self.rounds // 2, self.config.channels, *self.config.image_shape[:2]))]
            noises = [noises[0].astype(np.float32)] * self.rounds
        return {"path": self.fakes(at, position, phase, 2), "probe": self.dealt(nhwc(np.concatenate(noises)))}

    def fakes(self, at: str, position: int, phase: str, shrink: int) -> dict[str, Any]:
        """Latents and labels: the first of each round, where the phase takes fewer."""
        count = self.size // self.rounds // shrink

        def first(rows: np.ndarray) -> np.ndarray:
            split = rows.reshape(self.rounds, -1, *rows.shape[1:])[:, :count]
            return self.dealt(split.reshape(-1, *rows.shape[1:]))

        z = self.golden[f"{at}/gen_z_0"][position * self.size :][: self.size]
        fakes: dict[str, Any] = {"latents": first(z)}
        if self.config.label_size:
            fakes["label"] = first(self.golden[f"{at}/gen_c"][position])
        if self.config.style_mixing:
            cutoffs, mixed = [], []
            for r in range(self.rounds):
                where = f"{at}/{phase}/mix"
                gate, cutoff = (self.golden.get(f"{where}_{name}_{r}", 1) for name in ("gate", "cutoff"))
                cutoffs += [int(cutoff) if gate < self.config.style_mixing else self.config.style_count] * count
                mixed.append(self.golden.get(f"{where}_z_{r}", z[:count])[:count])
            fakes["mixed_latents"] = self.dealt(np.concatenate(mixed))
            fakes["cutoff"] = self.dealt(np.asarray(cutoffs, np.int32))
        return fakes


LONG = [pytest.param(f"train/sg2_{name}", marks=pytest.mark.slow) for name in ("cond_mixing_accum", "nonlazy")]


@pytest.mark.parametrize("case", ["train/sg2_basic", *LONG])
def test_three_iterations_of_the_training_loop(case: str) -> None:
    replay = Replay(case)
    golden, state = replay.golden, replay.state
    for iteration in range(3):
        state, metrics = replay.step(state, replay.batch(iteration), KEY)
        for ours, theirs in {"generator/loss": "G/loss", "discriminator/loss": "D/loss"}.items():
            records = [
                golden[n] for n in golden.files if n.startswith(f"out/iter{iteration}/") and f"Loss/{theirs}" in n
            ]
            assert metrics[ours].value == pytest.approx(float(np.mean(records)), rel=2e-5)
        if iteration in (0, 2):
            assert_recorded(replay, state, iteration + 1)
    assert float(state.path_length_mean) == pytest.approx(float(golden["out/after3/pl_mean"]), rel=1e-5)


def assert_recorded(replay: Replay, state: Any, iterations: int) -> None:
    """Parameters, their average and the average of w are the recorded ones, also those in float64."""
    for out in ("out", "out64"):
        if f"{out}/after{iterations}/D/b4.out.bias" not in replay.golden:
            continue
        generator, discriminator, ema = (
            network(replay.config, replay.golden, f"{out}/after{iterations}/{name}/", which)
            for name, which in (("G", "generator"), ("D", "discriminator"), ("G_ema", "generator"))
        )
        pairs = [
            (state.discriminator.params, discriminator.params),
            (state.generator.params, generator.params),
            (state.generator.collections["statistics"], generator.collections["statistics"]),
            (state.ema["params"], ema.params),
            (state.ema["statistics"], ema.collections["statistics"]),
        ]
        for ours, theirs in pairs:  # where values are large, that is twice what the record says of float32
            assert_near(ours, theirs, 1e-6, absolute=1e-5)


def test_micro_batches_average_the_gradient_of_the_whole_batch() -> None:
    meta, golden = load("train/sg2_basic")
    config = config_of(meta)
    networks, state = networks_of(config, meta), state_of(config, golden)
    rng = np.random.default_rng(0)
    batch = {"image": jnp.asarray(rng.normal(size=(8, *config.image_shape)), jnp.float32)}

    def loss(params, state, batch, key):
        del key
        logits, state = networks.logits(params, state, batch["image"], None)
        return jnp.mean(logits**2), (state, {})

    params = state.discriminator.params
    parts = [{"image": batch["image"][r::2]} for r in range(2)]  # groups of the statistics are those of a micro-batch
    each = [quick_jit(jax.grad(loss, has_aux=True))(params, state, part, KEY)[0] for part in parts]
    expected = jax.tree.map(lambda p, a, b: p - (a + b) / 2, params, *each)
    descend = phases.minimize("discriminator", loss, optax.sgd(1.0), micro_batch=4)
    network = replace(state.discriminator, opt_state=optax.sgd(1.0).init(params))
    after, _ = quick_jit(descend)(replace(state, discriminator=network), batch, KEY)
    assert_near(after.discriminator.params, expected)
