"""StyleGAN2's losses and whole training steps against the records of NVlabs/stylegan2-ada-pytorch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import nhwc
from models.stylegan2_records import assert_same_state, config_of, game_of, load, network, state_of, worst
from stylegan2_names import tree

from ganzoo import phases
from ganzoo.models import stylegan2

KEY = jax.random.key(0)
PHASES = {
    ("Gmain", "generator"): "generator_main",
    ("Greg", "generator"): "path_length",
    ("Dmain", "discriminator"): "discriminator_main",
    ("Dreg", "discriminator"): "r1",
}


# Single phases ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sg2/gan_cond_resnet_skip_r16"])
def recorded(request: pytest.FixtureRequest) -> tuple:
    """A case with its game, state and batch; all phases start from the same state."""
    meta, golden = load(request.param)
    config = config_of(meta)
    labels = (lambda c: jnp.asarray(c)) if config.label_size else (lambda c: None)
    fakes = {"latents": golden["in/z"], "label": labels(golden["in/c"])}
    half = len(golden["in/z"]) // 2
    batch = {
        "image": nhwc(golden["in/real_img"]),
        "label": labels(golden["in/real_c"]),
        "fakes": fakes,
        "paths": jax.tree.map(lambda leaf: leaf[:half], fakes),
        "path_noise": nhwc(golden["in/pl_noise"]),
    }
    return meta, golden, game_of(config, meta), state_of(config, golden, meta["loss"]["pl_mean_before"]), batch


def test_images_and_logits(recorded: tuple) -> None:
    meta, golden, game, state, batch = recorded
    weights, z, c = state.generator.weights, batch["fakes"]["latents"], batch["fakes"]["label"]
    variables = {"params": weights["params"], **weights["variables"]}
    settings = {
        "psi1": {},
        "psi0.7": {"psi": 0.7},
        "psi0.7_cutoff": {"psi": 0.7, "cutoff": meta["truncation_cutoff"]},
        "psi1_noise_none": {"noise": "none"},
    }
    for name, options in settings.items():
        images = jax.jit(lambda v, options=options: game.generator.apply(v, z, c, **options))(variables)
        assert worst(images, nhwc(golden[f"out/img_{name}"])) < 1e-5
        if name == "psi1":
            judged = jax.jit(game.judge)(state.discriminator.params, images, c)
            assert worst(judged, golden["out/logits_fake_psi1"][:, 0]) < 1e-5
    judged = jax.jit(game.judge)(state.discriminator.params, batch["image"], batch["label"])
    assert worst(judged, golden["out/logits_real"][:, 0]) < 1e-5


@pytest.mark.parametrize(("phase", "player"), PHASES)
def test_losses_and_gradients_of_a_phase(recorded: tuple, phase: str, player: str) -> None:
    _, golden, game, state, batch = recorded
    loss = getattr(game, PHASES[phase, player])
    params = getattr(state, player).params
    gradients, (after, metrics) = jax.jit(jax.grad(loss, has_aux=True))(params, state, batch, KEY)
    prefix = f"grad/{phase}/{'G' if player == 'generator' else 'D'}/"
    theirs = tree({name: golden[name] for name in golden.files if name.startswith(prefix)}, prefix)["params"]
    assert worst(gradients, theirs) < 1e-4
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
        average = after.generator.variables["statistics"]["mapping"]["w_average"]
        assert worst(average, golden["out/Gmain/w_avg_after"]) < 1e-5


# Whole steps --------------------------------------------------------------------------------------------------------


class Replay:
    """A recorded run of three iterations; its random numbers stand in the place of those that would be drawn."""

    def __init__(self, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
        names = iter(self.phases)

        def drawn(draw: Any, phase: Any) -> Any:
            name = next(names)
            return lambda state, batch, key: phase(state, {**batch["real"], **batch[name]}, key)

        monkeypatch.setattr(stylegan2, "drawn", drawn)
        self.state = state_of(self.config, self.golden)
        step = stylegan2.train_step(game_of(self.config, self.meta))
        self.step = jax.jit(lambda state, batch: step(state, {**batch, "image": batch["real"]["image"]}, KEY))

    def dealt(self, rows: np.ndarray) -> np.ndarray:
        """Round after round of rows as this library deals them out: one row of each round in turn."""
        return rows.reshape(self.rounds, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)

    def batch(self, iteration: int) -> dict[str, Any]:
        """Real images and, by phase, all draws."""
        at = f"in/iter{iteration}"
        real = {"image": self.dealt(nhwc(self.golden[f"{at}/real_img"]))}
        if self.config.label_size:
            real["label"] = self.dealt(self.golden[f"{at}/real_c"])
        return {"real": real, **{name: self.draws(at, i, name) for i, name in enumerate(self.phases)}}

    def draws(self, at: str, position: int, phase: str) -> dict[str, Any]:
        whole = self.fakes(at, position, phase, 1)
        noises = [self.golden.get(f"{at}/{phase}/pl_noise_{r}") for r in range(self.rounds)]
        if noises[0] is None:  # in this iteration the phase is skipped, but compiled all the same
            noises = [np.zeros((self.size // self.rounds // 2, self.config.channels, *self.config.image_shape[:2]))]
            noises = [noises[0].astype(np.float32)] * self.rounds
        path_noise = self.dealt(nhwc(np.concatenate(noises)))
        return {"fakes": whole, "paths": self.fakes(at, position, phase, 2), "path_noise": path_noise}

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
            fakes["mixed"] = self.dealt(np.concatenate(mixed))
            fakes["cutoff"] = self.dealt(np.asarray(cutoffs, np.int32))
        return fakes


@pytest.mark.parametrize("case", ["train/sg2_basic", "train/sg2_cond_mixing_accum", "train/sg2_nonlazy"])
def test_three_iterations_of_the_training_loop(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Replay(case, monkeypatch)
    golden, state = replay.golden, replay.state
    for iteration in range(3):
        state, metrics = replay.step(state, replay.batch(iteration))
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
        generator, discriminator, average = (
            network(replay.config, replay.golden, f"{out}/after{iterations}/{name}/", player)
            for name, player in (("G", "generator"), ("D", "discriminator"), ("G_ema", "generator"))
        )
        assert_same_state(state.discriminator.params, discriminator.params)
        assert_same_state(state.generator.params, generator.params)
        assert_same_state(state.generator.variables["statistics"], generator.variables["statistics"])
        assert_same_state(state.ema["params"], average.params)
        assert_same_state(state.ema["variables"]["statistics"], average.variables["statistics"])


def test_micro_batches_average_the_gradient_of_the_whole_batch() -> None:
    meta, golden = load("train/sg2_basic")
    config = config_of(meta)
    game, state = game_of(config, meta), state_of(config, golden)
    rng = np.random.default_rng(0)
    batch = {"image": jnp.asarray(rng.normal(size=(8, *config.image_shape)), jnp.float32)}
    params = state.discriminator.params

    def loss(params, state, batch, key):
        del key
        logits = game.judge(params, batch["image"], None)
        return jnp.mean(logits**2), (state, {})

    parts = [{"image": batch["image"][r::2]} for r in range(2)]  # groups of the statistics are those of a micro-batch
    each = [jax.jit(jax.grad(loss, has_aux=True))(params, state, part, KEY)[0] for part in parts]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *each)
    ours, _ = jax.jit(lambda params: phases._gradients(loss, params, state, batch, KEY, 2))(params)
    assert worst(ours, mean) < 1e-5
