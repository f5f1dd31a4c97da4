"""DCGAN against the records of the PyTorch example, and against the table of the two lineages."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.errors import UserError
from ganzoo.gan import Network
from ganzoo.models import dcgan, dcgan_config
from ganzoo.ops import pixels

GOLDEN = Path(__file__).parent.parent / "golden" / "dcgan" / "train.npz"
ITERATIONS = 3


# The original's names -----------------------------------------------------------------------------------------------
# G.main: 0 project, 1 norm0, then (3 up1, 4 norm1), (6 up2, 7 norm2), (9 up3, 10 norm3), 12 up4
# D.main: 0 down0, then (2 down1, 3 norm1), (5 down2, 6 norm2), (8 down3, 9 norm3), 11 head


def torch_names(network: str) -> dict[str, str]:
    """Layer name here -> index in the original's ``main``."""
    if network == "G":
        names = {"project": "0", "norm0": "1", "up4": "12"}
        return names | {f"up{i}": str(3 * i) for i in (1, 2, 3)} | {f"norm{i}": str(3 * i + 1) for i in (1, 2, 3)}
    names = {"down0": "0", "head": "11"}
    return names | {f"down{i}": str(3 * i - 1) for i in (1, 2, 3)} | {f"norm{i}": str(3 * i) for i in (1, 2, 3)}


def from_torch(golden, prefix: str, network: str) -> tuple[dict, dict]:
    """(params, variables) in our names and layouts from a state dict (or gradients) of the original."""
    params, stats = {}, {}
    for name, index in torch_names(network).items():
        weight = golden[f"{prefix}/main.{index}.weight"]
        if name == "project":  # [z, C, 4, 4] -> [z, 4 * 4 * C]
            params[name] = weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)
        elif name == "head":  # [1, C, 4, 4] -> [4, 4, C]
            params[name] = weight[0].transpose(1, 2, 0)
        elif name.startswith(("up", "down")):  # IOHW -> [h, w, out, in]
            params[name] = {"kernel": weight.transpose(2, 3, 1, 0)}
        else:
            params[name] = {"scale": weight, "bias": golden[f"{prefix}/main.{index}.bias"]}
            if f"{prefix}/main.{index}.running_mean" in golden:
                mean, var = (golden[f"{prefix}/main.{index}.running_{moment}"] for moment in ("mean", "var"))
                stats[name] = {"mean": mean, "var": var}
    return jax.tree.map(jnp.asarray, (params, {"batch_stats": stats}))


def assert_close(ours, theirs, relative: float) -> None:
    """Every array to within ``relative`` of its largest value."""
    ours, theirs = jax.tree.leaves_with_path(ours), dict(jax.tree.leaves_with_path(theirs))
    assert len(ours) == len(theirs)
    for path, leaf in ours:
        largest = np.abs(theirs[path]).max()
        np.testing.assert_allclose(leaf, theirs[path], rtol=0, atol=relative * largest + 1e-7, err_msg=str(path))


def start(gan: ganzoo.GAN, seed: int = 0):
    """A fresh state, compiled as one program: much quicker than one operation at a time."""
    return jax.jit(gan.init)(jax.random.key(seed))


class Replay:
    """The recorded run: its latents in the place of drawn ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.golden = np.load(GOLDEN)
        self.gan = ganzoo.create("dcgan", "torch", latent_size=16, generator_features=8, discriminator_features=8)
        self.latents = self.noise(0)
        monkeypatch.setattr(dcgan, "draw_latents", lambda config, key, indices: self.latents)
        fresh = start(self.gan)
        self.state = replace(
            fresh, generator=self.network("params/G", "G"), discriminator=self.network("params/D", "D")
        )

    def network(self, prefix: str, network: str) -> Network:
        params, variables = from_torch(self.golden, prefix, network)
        return Network(params, variables, dcgan.optimizer(self.gan.config).init(params))

    def noise(self, iteration: int) -> jax.Array:
        return jnp.asarray(self.golden[f"in/iter{iteration}/noise"][:, :, 0, 0])

    def step(self, state, batch: dict, latents: jax.Array):
        self.latents = latents
        return self.gan.step(state, batch, jax.random.key(0))

    def batch(self, iteration: int) -> dict:
        return {"image": self.golden["in/real_batches_uint8"][iteration].transpose(0, 2, 3, 1)}


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replay:
    return Replay(monkeypatch)


def test_networks_in_evaluation(replay: Replay) -> None:
    golden, state = replay.golden, replay.state
    images = replay.gan.generate(state, golden["in/eval_noise"][:, :, 0, 0], ema=False)
    assert_close(images.transpose(0, 3, 1, 2), golden["out/eval/G(eval_noise)"], 1e-5)
    network = state.discriminator
    real = pixels.to_float(jnp.asarray(replay.batch(0)["image"]))
    logits = replay.gan.discriminator.apply({"params": network.params, **network.variables}, real, train=False)
    assert_close(jax.nn.sigmoid(logits), golden["out/eval/D(real_batches[0])"], 1e-5)


def test_gradients_of_the_first_iteration(replay: Replay) -> None:
    game = dcgan.Game(replay.gan.config, replay.gan.generator, replay.gan.discriminator, dcgan.LOSSES["non-saturating"])
    key, batch = jax.random.key(0), replay.batch(0)
    d_grads, _ = jax.jit(jax.grad(game.discriminator_loss, has_aux=True))(
        replay.state.discriminator.params, replay.state, batch, key
    )
    assert_close(d_grads, from_torch(replay.golden, "grad/iter0/D", "D")[0], 1e-4)
    discriminator = dcgan.minimize("discriminator", game.discriminator_loss, dcgan.optimizer(replay.gan.config))
    state, _ = jax.jit(discriminator)(replay.state, batch, key)
    g_grads, _ = jax.jit(jax.grad(game.generator_loss, has_aux=True))(state.generator.params, state, batch, key)
    assert_close(g_grads, from_torch(replay.golden, "grad/iter0/G", "G")[0], 1e-4)


def test_three_training_iterations(replay: Replay) -> None:
    golden, state, step = replay.golden, replay.state, jax.jit(replay.step)
    for k in range(ITERATIONS):
        state, metrics = step(state, replay.batch(k), replay.noise(k))
        theirs = golden[f"out/iter{k}/errD_real"] + golden[f"out/iter{k}/errD_fake"]
        assert metrics["discriminator/loss"].value == pytest.approx(float(theirs), rel=1e-5)
        assert metrics["generator/loss"].value == pytest.approx(float(golden[f"out/iter{k}/errG"]), rel=1e-5)
        assert metrics["discriminator/real"].value == pytest.approx(float(golden[f"out/iter{k}/D_x"]), rel=1e-5)
        assert metrics["discriminator/fake"].value == pytest.approx(float(golden[f"out/iter{k}/D_G_z1"]), rel=1e-5)
        if f"out/after{k + 1}/G/main.0.weight" in golden:
            for network, name in ((state.generator, "G"), (state.discriminator, "D")):
                assert_close(
                    (network.params, network.variables), from_torch(golden, f"out/after{k + 1}/{name}", name), 1e-5
                )
    for network, name in ((state.generator, "G"), (state.discriminator, "D")):
        assert_close((network.params, network.variables), from_torch(golden, f"out64/after3/{name}", name), 1e-5)


# The table of the two lineages --------------------------------------------------------------------------------------


def shapes(preset: str, **fields) -> tuple[dict, dict]:
    state = jax.eval_shape(ganzoo.create("dcgan", preset, **fields).init, jax.random.key(0))
    return tuple(
        jax.tree.map(lambda leaf: leaf.shape, player.params) for player in (state.generator, state.discriminator)
    )


def test_torch_shapes() -> None:
    generator, discriminator = shapes("torch")
    assert generator["project"] == (100, 4 * 4 * 512)
    assert [generator[f"up{i}"]["kernel"] for i in (1, 2, 3, 4)] == [
        (4, 4, 256, 512), (4, 4, 128, 256), (4, 4, 64, 128), (4, 4, 3, 64)
    ]  # fmt: skip
    assert [discriminator[f"down{i}"]["kernel"] for i in range(4)] == [
        (4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512)
    ]  # fmt: skip
    assert sorted(name for name in discriminator if name.startswith("norm")) == ["norm1", "norm2", "norm3"]


def test_paper_shapes() -> None:
    generator, discriminator = shapes("paper")
    assert generator["project"] == (100, 4 * 4 * 1024)
    assert generator["norm0"]["scale"] == (4 * 4 * 1024,)
    assert generator["up4"]["kernel"] == (5, 5, 3, 128)
    assert discriminator["down3"]["kernel"] == (5, 5, 512, 1024)
    assert discriminator["head"] == (4, 4, 1024)


def test_published_settings() -> None:
    torch, paper = dcgan_config.PRESETS["torch"], dcgan_config.PRESETS["paper"]
    for config in (torch, paper):
        assert (config.learning_rate, config.adam_beta1, config.adam_beta2) == (2e-4, 0.5, 0.999)
        assert (config.adam_epsilon, config.loss, config.latent_size) == (1e-8, "non-saturating", 100)
    assert (torch.norm_epsilon, torch.update, torch.weight_decay) == (1e-5, "same-fakes", 0)
    assert (paper.norm_epsilon, paper.update, paper.weight_decay) == (1e-8, "alternate", 1e-5)
    assert (torch.latent_distribution, paper.latent_distribution) == ("normal", "uniform")
    assert (torch.sample_statistics, paper.sample_statistics) == ("running", "batch")


def test_initial_weights() -> None:
    state = start(ganzoo.create("dcgan", "torch", generator_features=16))
    kernel = np.asarray(state.generator.params["up1"]["kernel"])
    assert abs(kernel.mean()) < 1e-3
    assert kernel.std() == pytest.approx(0.02, rel=0.02)
    scale = np.asarray(state.generator.params["norm0"]["scale"])
    assert scale.mean() == pytest.approx(1, abs=0.01)
    assert scale.std() == pytest.approx(0.02, rel=0.3)
    assert not np.any(state.generator.params["norm0"]["bias"])


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_size_and_channel_count(size: int, channels: int) -> None:
    gan = ganzoo.create("dcgan", "tiny", image_size=size, channels=channels)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    images = jax.eval_shape(lambda state: gan.sample(state, jax.random.key(0), 2), state)
    assert images.shape == (2, size, size, channels)
    batch = {"image": jax.ShapeDtypeStruct((2, size, size, channels), jnp.uint8)}
    after, _ = jax.eval_shape(gan.step, state, batch, jax.random.key(0))
    assert jax.tree.structure(after) == jax.tree.structure(state)


# What a step does ---------------------------------------------------------------------------------------------------


def batch(gan: ganzoo.GAN, count: int = 8, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    made = {"image": rng.integers(0, 256, (count, *gan.image_shape), np.uint8)}
    return made | (
        {"label": np.eye(gan.label_size, dtype=np.float32)[rng.integers(0, gan.label_size, count)]}
        if gan.label_size
        else {}
    )


def moved(before: Network, after: Network) -> bool:
    pairs = zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def test_alternate_updates_g_in_even_steps_and_d_in_odd_ones() -> None:
    gan = ganzoo.create("dcgan", "tiny", update="alternate")
    step, state = jax.jit(gan.step), start(gan)
    for k in range(4):
        before = state
        state, metrics = step(state, batch(gan, seed=k), jax.random.key(1))
        assert moved(before.generator, state.generator) == (k % 2 == 0)
        assert moved(before.discriminator, state.discriminator) == (k % 2 == 1)
        assert float(metrics["generator/loss"].count) == (8 if k % 2 == 0 else 0)
        assert float(metrics["discriminator/loss"].count) == (8 if k % 2 == 1 else 0)


def test_each_player_moves_alone_in_its_phase() -> None:
    gan = ganzoo.create("dcgan", "tiny")
    game = dcgan.Game(gan.config, gan.generator, gan.discriminator, dcgan.LOSSES["non-saturating"])
    state = start(gan)
    for player, other in (("generator", "discriminator"), ("discriminator", "generator")):
        phase = dcgan.minimize(player, getattr(game, f"{player}_loss"), dcgan.optimizer(gan.config))
        after, _ = jax.jit(phase)(state, batch(gan), jax.random.key(1))
        assert moved(getattr(state, player), getattr(after, player))
        assert not moved(getattr(state, other), getattr(after, other))


def test_fakes_of_both_players_are_generated_once() -> None:
    gan = ganzoo.create("dcgan", "torch", generator_features=16, discriminator_features=4)
    game = dcgan.Game(gan.config, gan.generator, gan.discriminator, dcgan.LOSSES["non-saturating"])
    state, images = jax.eval_shape(gan.init, jax.random.key(0)), batch(gan)
    phases = [
        dcgan.minimize(player, getattr(game, f"{player}_loss"), dcgan.optimizer(gan.config))
        for player in ("discriminator", "generator")
    ]

    def flops(function) -> float:
        return jax.jit(function).lower(state, images, jax.random.key(1)).compile().cost_analysis()["flops"]

    generating = flops(
        lambda state, batch, key: game.fakes(state.generator.params, state.generator.variables, batch, key)
    )
    saved = flops(dcgan.chain(*phases)) - flops(dcgan.same_draws(*phases))
    assert saved > 0.95 * generating


@pytest.mark.parametrize("loss", ["minimax", "least-squares", "hinge", "wasserstein", "relativistic"])
def test_other_losses_train_both_players(loss: str) -> None:
    gan = ganzoo.create("dcgan", "tiny", loss=loss, label_size=3)
    state = start(gan)
    after, metrics = jax.jit(gan.step)(state, batch(gan), jax.random.key(1))
    assert moved(state.generator, after.generator)
    assert moved(state.discriminator, after.discriminator)
    assert np.isfinite(metrics["generator/loss"].value)


def test_bfloat16_stays_near_float32() -> None:
    wide, narrow = (ganzoo.create("dcgan", "tiny", dtype=dtype) for dtype in ("float32", "bfloat16"))
    state = start(wide)
    after = [jax.jit(gan.step)(state, batch(gan), jax.random.key(1)) for gan in (wide, narrow)]
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(after[1][0]))
    for name in ("generator/loss", "discriminator/loss"):
        assert after[1][1][name].value == pytest.approx(after[0][1][name].value, rel=0.05)


# Sampling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_both_statistics_sample_independently_of_the_batch(statistics: str) -> None:
    gan = ganzoo.create("dcgan", "tiny", sample_statistics=statistics)
    state = start(gan)
    many = gan.sample(state, jax.random.key(2), 9)
    np.testing.assert_allclose(gan.sample(state, jax.random.key(2), 1, first=8), many[8:], atol=1e-5)


def test_batch_statistics_normalise_where_running_ones_do_not_yet() -> None:
    gan = ganzoo.create("dcgan", "tiny", generator_features=16)
    state = start(gan)  # running statistics still say mean 0, variance 1
    running, fresh = (
        ganzoo.create("dcgan", "tiny", generator_features=16, sample_statistics=which).sample(
            state, jax.random.key(2), 64
        )
        for which in ("running", "batch")
    )
    assert float(fresh.std()) > 3 * float(running.std())


def test_labels_matter() -> None:
    gan = ganzoo.create("dcgan", "tiny", label_size=3)
    state = start(gan)
    latents = gan.latents(jax.random.key(1), jnp.zeros(3, jnp.int32))
    images = gan.generate(state, latents, jnp.eye(3))
    assert float(jnp.abs(images[0] - images[1]).max()) > 1e-4
    given = gan.sample(state, jax.random.key(1), 6)
    cycled = gan.sample(state, jax.random.key(1), 6, labels=jnp.eye(3)[jnp.arange(6) % 3])
    np.testing.assert_array_equal(given, cycled)


# Errors -------------------------------------------------------------------------------------------------------------


def test_batches_that_do_not_fit() -> None:
    gan = ganzoo.create("dcgan", "tiny", label_size=3)
    state = start(gan)
    good = batch(gan)
    with pytest.raises(UserError, match=r"\(16, 16, 3\)"):
        gan.step(state, {**good, "image": good["image"][:, :8]}, jax.random.key(0))
    with pytest.raises(UserError, match="no labels"):
        gan.step(state, {"image": good["image"]}, jax.random.key(0))
    with pytest.raises(UserError, match=r"\(8, 2\): .* \(8, 3\)"):
        gan.step(state, {**good, "label": good["label"][:, :2]}, jax.random.key(0))
    with pytest.raises(UserError, match=r"\(7, 3\): .* \(8, 3\)"):
        gan.step(state, {**good, "label": good["label"][:7]}, jax.random.key(0))
