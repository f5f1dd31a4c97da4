"""DCGAN against the records of the PyTorch example, and against the table of the two lineages."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.errors import UserError
from ganzoo.gan import NetworkState
from ganzoo.models import dcgan
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
        elif name.startswith("up"):  # IOHW -> [h, w, out, in]
            params[name] = {"kernel": weight.transpose(2, 3, 1, 0)}
        elif name.startswith("down"):  # OIHW -> HWIO
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


class Replay:
    """The recorded run: its latents in the place of drawn ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.golden = np.load(GOLDEN)
        self.gan = ganzoo.create("dcgan", "torch", latent_size=16, generator_features=8, discriminator_features=8)
        self.latents = [self.golden[f"in/iter{k}/noise"][:, :, 0, 0] for k in range(ITERATIONS)]
        self.current = 0
        monkeypatch.setattr(dcgan, "draw_latents", lambda config, key, indices: jnp.asarray(self.latents[self.current]))
        fresh = self.gan.init(jax.random.key(0))
        self.state = replace(
            fresh, generator=self.network("params/G", "G"), discriminator=self.network("params/D", "D")
        )

    def network(self, prefix: str, network: str) -> NetworkState:
        params, variables = from_torch(self.golden, prefix, network)
        return NetworkState(params, variables, dcgan.optimizer(self.gan.config).init(params))

    def batch(self, iteration: int) -> dict:
        return {"image": self.golden["in/real_batches_uint8"][iteration].transpose(0, 2, 3, 1)}


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replay:
    return Replay(monkeypatch)


def test_networks_in_evaluation(replay: Replay) -> None:
    golden, state = replay.golden, replay.state
    images = replay.gan.generate(state, golden["in/eval_noise"][:, :, 0, 0], averaged=False)
    assert_close(images.transpose(0, 3, 1, 2), golden["out/eval/G(eval_noise)"], 1e-5)
    network = state.discriminator
    real = pixels.scaled(jnp.asarray(replay.batch(0)["image"]))
    logits = replay.gan.discriminator.apply({"params": network.params, **network.variables}, real, train=False)
    assert_close(jax.nn.sigmoid(logits), golden["out/eval/D(real_batches[0])"], 1e-5)


def test_gradients_of_the_first_iteration(replay: Replay) -> None:
    game = dcgan.Game(replay.gan.config, replay.gan.generator, replay.gan.discriminator, dcgan.LOSSES["non-saturating"])
    key, batch = jax.random.key(0), replay.batch(0)
    d_grads, _ = jax.grad(game.discriminator_loss, has_aux=True)(replay.state.discriminator.params, replay.state, batch, key)
    assert_close(d_grads, from_torch(replay.golden, "grad/iter0/D", "D")[0], 1e-4)
    discriminator = dcgan.minimize("discriminator", game.discriminator_loss, dcgan.optimizer(replay.gan.config))
    state, _ = discriminator(replay.state, batch, key)
    g_grads, _ = jax.grad(game.generator_loss, has_aux=True)(state.generator.params, state, batch, key)
    assert_close(g_grads, from_torch(replay.golden, "grad/iter0/G", "G")[0], 1e-4)


def test_three_training_iterations(replay: Replay) -> None:
    golden, state = replay.golden, replay.state
    for k in range(ITERATIONS):
        replay.current = k
        state, metrics = jax.jit(lambda *args: replay.gan.step(*args))(state, replay.batch(k), jax.random.key(0))
        theirs = golden[f"out/iter{k}/errD_real"] + golden[f"out/iter{k}/errD_fake"]
        assert metrics["discriminator/loss"].value == pytest.approx(float(theirs), rel=1e-5)
        assert metrics["generator/loss"].value == pytest.approx(float(golden[f"out/iter{k}/errG"]), rel=1e-5)
        assert metrics["discriminator/real"].value == pytest.approx(float(golden[f"out/iter{k}/D_x"]), rel=1e-5)
        assert metrics["discriminator/fake"].value == pytest.approx(float(golden[f"out/iter{k}/D_G_z1"]), rel=1e-5)
        if f"out/after{k + 1}/G/main.0.weight" in golden:
            for network, name in ((state.generator, "G"), (state.discriminator, "D")):
                assert_close((network.params, network.variables), from_torch(golden, f"out/after{k + 1}/{name}", name), 1e-5)
    for network, name in ((state.generator, "G"), (state.discriminator, "D")):
        assert_close((network.params, network.variables), from_torch(golden, f"out64/after3/{name}", name), 1e-5)
