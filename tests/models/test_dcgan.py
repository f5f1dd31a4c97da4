"""DCGAN against the records of the PyTorch example, and against the table of the two lineages."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import ganzoo
from ganzoo import losses, objectives, phases
from ganzoo.errors import UserError
from ganzoo.gan import Network
from ganzoo.interop.families import pytorch_dcgan
from ganzoo.models import dcgan
from ganzoo.ops import pixels
from ganzoo.testing import assert_near, quick_jit

GOLDEN = Path(__file__).parent.parent / "golden" / "dcgan" / "train.npz"
ITERATIONS = 3


# The original's names -----------------------------------------------------------------------------------------------


def from_torch(golden, prefix: str, network: str) -> tuple[dict, dict]:
    """(params, collections) in our names and layouts from a state dict (or gradients) of the original."""
    table = pytorch_dcgan.table("generator" if network == "G" else "discriminator")
    own = {name.removeprefix(f"{prefix}/"): golden[name] for name in golden if name.startswith(f"{prefix}/main.")}
    tree = traverse_util.unflatten_dict({tuple(name.split(".")): a for name, a in table.to_ours(own).items()})
    return jax.tree.map(jnp.asarray, (tree["params"], {"batch_stats": tree.get("batch_stats", {})}))


def start(gan: ganzoo.GAN, seed: int = 0):
    """A fresh state, compiled as one program: much quicker than one operation at a time."""
    return quick_jit(gan.init)(jax.random.key(seed))


class Replay:
    """The recorded run: its latents enter the step through the batch."""

    def __init__(self) -> None:
        self.golden = np.load(GOLDEN)
        self.gan = ganzoo.create("dcgan", "torch", latent_size=16, generator_features=8, discriminator_features=8)
        self.networks = dcgan.networks(self.gan.config, self.gan.generator, self.gan.discriminator)
        fresh = start(self.gan)
        self.state = replace(
            fresh,
            generator=self.network("params/G", "generator"),
            discriminator=self.network("params/D", "discriminator"),
        )

    def network(self, prefix: str, network: str) -> Network:
        params, collections = from_torch(self.golden, prefix, network[0].upper())
        return Network(params, collections, dcgan.optimizer(self.gan.config, network).init(params))

    def batch(self, iteration: int) -> dict:
        latents = jnp.asarray(self.golden[f"in/iter{iteration}/noise"][:, :, 0, 0])
        draws = {name: {"fake": {"latents": latents}} for name in ("generator", "discriminator")}
        return {"image": self.golden["in/real_batches_uint8"][iteration].transpose(0, 2, 3, 1), "draws": draws}


@pytest.fixture
def replay() -> Replay:
    return Replay()


def test_networks_in_evaluation(replay: Replay) -> None:
    golden, state = replay.golden, replay.state
    images = replay.gan.generate(state, golden["in/eval_noise"][:, :, 0, 0], ema=False)
    assert_near(images.transpose(0, 3, 1, 2), golden["out/eval/G(eval_noise)"])
    real = pixels.to_float(jnp.asarray(replay.batch(0)["image"]))
    logits = replay.gan.discriminator.apply(state.discriminator.variables, real)
    assert_near(jax.nn.sigmoid(logits), golden["out/eval/D(real_batches[0])"])


def test_gradients_of_the_first_iteration(replay: Replay) -> None:
    loss = losses.non_saturating
    discriminator = objectives.discriminator(replay.networks, loss)
    generator = objectives.generator(replay.networks, loss)
    key, batch, state = jax.random.key(0), replay.batch(0), replay.state
    gradients, _ = quick_jit(jax.grad(discriminator, has_aux=True))(state.discriminator.params, state, batch, key)
    assert_near(gradients, from_torch(replay.golden, "grad/iter0/D", "D")[0], 1e-4)
    adam = dcgan.optimizer(replay.gan.config, "discriminator")
    state, _ = quick_jit(phases.minimize("discriminator", discriminator, adam))(state, batch, key)
    gradients, _ = quick_jit(jax.grad(generator, has_aux=True))(state.generator.params, state, batch, key)
    assert_near(gradients, from_torch(replay.golden, "grad/iter0/G", "G")[0], 1e-4)


def test_probabilities_of_the_first_iteration(replay: Replay) -> None:
    state, real = replay.state, pixels.to_float(jnp.asarray(replay.batch(0)["image"]))
    logits, _ = quick_jit(replay.networks.logits)(state.discriminator.params, state, real, None)
    assert float(jax.nn.sigmoid(logits).mean()) == pytest.approx(float(replay.golden["out/iter0/D_x"]), rel=1e-5)


def test_three_training_iterations(replay: Replay) -> None:
    golden, state, step = replay.golden, replay.state, quick_jit(replay.gan.step)
    for k in range(ITERATIONS):
        state, metrics = step(state, replay.batch(k), jax.random.key(0))
        theirs = golden[f"out/iter{k}/errD_real"] + golden[f"out/iter{k}/errD_fake"]
        assert metrics["discriminator/loss"].value == pytest.approx(float(theirs), rel=1e-5)
        assert metrics["generator/loss"].value == pytest.approx(float(golden[f"out/iter{k}/errG"]), rel=1e-5)
        if f"out/after{k + 1}/G/main.0.weight" in golden:
            assert_recorded(state, golden, f"out/after{k + 1}")
    assert_recorded(state, golden, "out64/after3")


def assert_recorded(state, golden, prefix: str) -> None:
    for network, name in ((state.generator, "G"), (state.discriminator, "D")):
        recorded = from_torch(golden, f"{prefix}/{name}", name)
        assert_near((network.params, network.collections), recorded, absolute=1e-7)


# The table of the two lineages --------------------------------------------------------------------------------------


def shapes(preset: str, **fields) -> tuple[dict, dict]:
    state = jax.eval_shape(ganzoo.create("dcgan", preset, **fields).init, jax.random.key(0))
    return tuple(
        jax.tree.map(lambda leaf: leaf.shape, network.params) for network in (state.generator, state.discriminator)
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
    torch, paper = dcgan.PRESETS["torch"].config, dcgan.PRESETS["paper"].config
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
    step, state = quick_jit(gan.step), start(gan)
    for k in range(4):
        before = state
        state, metrics = step(state, batch(gan, seed=k), jax.random.key(1))
        assert moved(before.generator, state.generator) == (k % 2 == 0)
        assert moved(before.discriminator, state.discriminator) == (k % 2 == 1)
        assert float(metrics["generator/loss"].count) == (8 if k % 2 == 0 else 0)
        assert float(metrics["discriminator/loss"].count) == (8 if k % 2 == 1 else 0)


def phases_of(gan: ganzoo.GAN) -> dict:
    """The phase of each network, in the order of a step."""
    networks, loss = dcgan.networks(gan.config, gan.generator, gan.discriminator), losses.non_saturating
    both = {"discriminator": objectives.discriminator, "generator": objectives.generator}
    return {
        name: phases.minimize(name, make(networks, loss), dcgan.optimizer(gan.config, name))
        for name, make in both.items()
    }


def test_each_network_moves_alone_in_its_phase() -> None:
    gan = ganzoo.create("dcgan", "tiny")
    state = start(gan)
    for network, other in (("generator", "discriminator"), ("discriminator", "generator")):
        after, _ = quick_jit(phases_of(gan)[network])(state, batch(gan), jax.random.key(1))
        assert moved(getattr(state, network), getattr(after, network))
        assert not moved(getattr(state, other), getattr(after, other))


def flops(function, *args) -> float:
    return quick_jit(function).lower(*args).compile().cost_analysis()["flops"]


def test_fakes_of_both_networks_are_generated_once() -> None:
    gan = ganzoo.create("dcgan", "torch", image_size=16, generator_features=16, discriminator_features=4)
    networks = dcgan.networks(gan.config, gan.generator, gan.discriminator)
    args = jax.eval_shape(gan.init, jax.random.key(0)), batch(gan), jax.random.key(1)

    def generate(state, batch, key):
        return networks.fake(state.generator.params, state, networks.draw(batch, key))

    both = phases_of(gan).values()
    saved = flops(phases.chain(*both), *args) - flops(phases.chain(*both, share_key=True), *args)
    assert saved > 0.95 * flops(generate, *args)


def test_penalties_of_fakes_generate_no_fakes_of_their_own() -> None:
    gan = ganzoo.create("dcgan", "torch", image_size=16, generator_features=32, discriminator_features=4)
    networks = dcgan.networks(gan.config, gan.generator, gan.discriminator)
    args = jax.eval_shape(gan.init, jax.random.key(0)), batch(gan), jax.random.key(1)
    main, penalty = objectives.discriminator(networks, losses.wasserstein), objectives.wgan_gp(networks, 10.0)

    def phase(objective):
        return phases.minimize("discriminator", objective, dcgan.optimizer(gan.config, "discriminator"))

    def generate(state, batch, key):
        return networks.fake(state.generator.params, state, networks.draw(batch, key))

    apart = flops(phase(main), *args) + flops(phase(penalty), *args)
    assert apart - flops(phase(objectives.total(main, penalty)), *args) > 0.95 * flops(generate, *args)


@pytest.mark.parametrize("loss", ["minimax", "least-squares", "hinge", "wasserstein", "relativistic"])
def test_other_losses_train_both_networks(loss: str) -> None:
    gan = ganzoo.create("dcgan", "tiny", loss=loss, label_size=3)
    state = start(gan)
    after, metrics = quick_jit(gan.step)(state, batch(gan), jax.random.key(1))
    assert moved(state.generator, after.generator)
    assert moved(state.discriminator, after.discriminator)
    assert np.isfinite(metrics["generator/loss"].value)


def test_bfloat16_stays_near_float32() -> None:
    wide, narrow = (ganzoo.create("dcgan", "tiny", dtype=dtype) for dtype in ("float32", "bfloat16"))
    state = start(wide)
    after = [quick_jit(gan.step)(state, batch(gan), jax.random.key(1)) for gan in (wide, narrow)]
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(after[1][0]))
    for name in ("generator/loss", "discriminator/loss"):
        assert after[1][1][name].value == pytest.approx(after[0][1][name].value, rel=0.05)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"r1_gamma": 1.0}, marks=pytest.mark.slow),
        {"r1_gamma": 1.0, "r1_interval": 2},
        {"r2_gamma": 1.0, "loss": "relativistic"},
        {"gradient_penalty": 10.0, "drift_penalty": 1e-3, "loss": "wasserstein"},
    ],
)
def test_penalties_are_a_config(fields: dict) -> None:
    plain, penalised = (
        ganzoo.create("dcgan", "tiny", **each) for each in ({"loss": fields.get("loss", "hinge")}, fields)
    )
    state = start(penalised)
    after, metrics = quick_jit(penalised.step)(state, batch(penalised), jax.random.key(1))
    without, _ = quick_jit(plain.step)(state, batch(plain), jax.random.key(1))
    assert moved(after.discriminator, without.discriminator)
    names = {"r1_gamma": "r1", "r2_gamma": "r2", "gradient_penalty": "gradient_penalty"}
    assert all(metrics[f"discriminator/{names[name]}"].value > 0 for name in fields if name in names)


def test_micro_batches_are_a_config() -> None:
    gan = ganzoo.create("dcgan", "tiny", micro_batch=4)
    after, metrics = quick_jit(gan.step)(start(gan), batch(gan), jax.random.key(1))
    assert float(metrics["discriminator/loss"].count) == 8
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))
    with pytest.raises(UserError, match="micro_batch = 3: must divide the batch of 8"):
        jax.eval_shape(ganzoo.create("dcgan", "tiny", micro_batch=3).step, start(gan), batch(gan), jax.random.key(1))


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
