"""Files of other PyTorch repositories: what their networks compute, and files for them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_same, converted_of

import ganzoo
from ganzoo import cli, interop, pretrained
from ganzoo.config import to_json
from ganzoo.errors import UserError
from ganzoo.interop import pytorch_dcgan, rosinality
from ganzoo.interop.convert import variables_of
from ganzoo.interop.torch_writer import torch_file
from ganzoo.testing import assert_near

GOLDEN = Path(__file__).parent.parent / "golden" / "foreign"


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def quiet(line: str) -> None:
    del line


# StyleGAN2 of rosinality --------------------------------------------------------------------------------------------


def test_rosinality_computes_the_same() -> None:
    theirs = recorded("rosinality")
    gan, state = ganzoo.load(GOLDEN / "rosinality.pt", log=quiet)
    z = jnp.asarray(theirs["z"])
    for name, ema in (("g", False), ("g_ema", True)):
        variables = state.ema if ema else state.generator.variables
        images = gan.generator.apply(variables, z, None, noise="const")
        assert_near(images.transpose(0, 3, 1, 2), theirs[f"images/{name}"])
    given = jnp.asarray(theirs["images/g"]).transpose(0, 2, 3, 1)
    assert_near(gan.discriminator.apply(state.discriminator.variables, given), theirs["logits"][:, 0])


def test_rosinality_has_the_same_gradients() -> None:
    theirs = recorded("rosinality")
    gan, state = ganzoo.load(GOLDEN / "rosinality.pt", log=quiet)
    given, z = jnp.asarray(theirs["images/g"]).transpose(0, 2, 3, 1), jnp.asarray(theirs["z"])

    def of_d(params):
        return jnp.mean(jnp.square(gan.discriminator.apply(state.discriminator.with_params(params), given)))

    def of_g(params):
        return jnp.mean(jnp.square(gan.generator.apply(state.generator.with_params(params), z, None, noise="const")))

    tables = {"d": rosinality.discriminator_table(16), "g": rosinality.GENERATOR}
    for name, function, network in (("d", of_d, state.discriminator), ("g", of_g, state.generator)):
        found = {f"params.{key}": leaf for key, leaf in named(jax.grad(function)(network.params)).items()}
        prefix = f"grad/{name}/"
        theirs_here = tables[name].to_ours(
            {k.removeprefix(prefix): v for k, v in theirs.items() if k.startswith(prefix)}
        )
        assert found.keys() == theirs_here.keys()
        for key, gradient in theirs_here.items():
            assert_near(found[key], gradient, 1e-4)


def named(tree) -> dict:
    return dict(ganzoo.gan.named_leaves(tree))


def test_what_is_said_of_a_checkpoint_of_rosinality() -> None:
    notes: list[str] = []
    ganzoo.load(GOLDEN / "rosinality.pt", log=notes.append)
    told = "\n".join(notes)
    for word in ("g_optim", "d_optim", "mapping_lr_multiplier = 0.01", "4096 latents", "not used: r1, ckpt"):
        assert word in told


def test_rosinality_is_written_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["convert", str(GOLDEN / "rosinality.pt"), str(tmp_path / "x.pt"), "--names", "rosinality"])
    assert "other widths" in capsys.readouterr().out
    before, after = (interop.read(path) for path in (GOLDEN / "rosinality.pt", tmp_path / "x.pt"))
    for name in ("g", "d"):
        mine = {key: array for key, array in after.networks[name].arrays.items() if key != "latent_avg"}
        assert_same(dict(before.networks[name].arrays), mine)
    assert after.networks["g_ema"].arrays["latent_avg"].shape == (8,)
    assert_same(*(dict(interop.convert(each).weights) for each in (after, interop.read(tmp_path / "x.pt"))))


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"label_size": 3}, "label_size = 3: must be 0"),
        ({"conv_clamp": 256.0}, "conv_clamp = 256.0"),
        ({"conv_clamp": 0.0, "discriminator_conv_clamp": 3.0}, "conv_clamp = 3.0"),
        ({"generator_architecture": "resnet"}, "generator_architecture"),
        ({"discriminator_architecture": "skip"}, "discriminator_architecture"),
        ({"activation": "relu"}, "activation"),
        ({"channels": 1}, "channels = 1"),
        ({"image_size": (16, 32)}, "image_size"),
        ({"minibatch_std_group": 2}, "minibatch_std_group"),
        ({"latent_size": 4}, "latent_size"),
        ({"use_noise": False}, "use_noise"),
        ({"mapping_lr_multiplier": 0.1}, "mapping_lr_multiplier"),
    ],
)
def test_rosinality_refuses_by_name(fields: dict, word: str, tmp_path: Path) -> None:
    small = {"image_size": 8, "channel_base": 32, "channel_max": 4, "latent_size": 8, "style_size": 8}
    gan = ganzoo.create("stylegan2", "tiny", **{**small, "conv_clamp": 0.0, **fields})
    with pytest.raises(UserError, match=word):
        interop.save_torch(tmp_path / "x.pt", converted_of(gan), "rosinality")


def test_filters_of_rosinality_become_taps() -> None:
    contents = interop.read(GOLDEN / "rosinality.pt")
    assert interop.convert(contents).fields["resample_filter"] == (1, 3, 3, 1)
    arrays = dict(contents.networks["g_ema"].arrays)
    arrays["to_rgbs.0.upsample.kernel"] = np.ones((4, 4), np.float32) / 4
    odd = replace(contents, networks={"g_ema": replace(contents.networks["g_ema"], arrays=arrays)})
    with pytest.raises(UserError, match="all must be the same"):
        interop.convert(odd)


# DCGAN of pytorch/examples ------------------------------------------------------------------------------------------


def test_dcgan_computes_the_same() -> None:
    theirs = recorded("dcgan")
    gan, state = ganzoo.load(GOLDEN / "netG_epoch_1.pth", log=quiet)
    assert_near(gan.generate(state, jnp.asarray(theirs["z"])).transpose(0, 3, 1, 2), theirs["images"])
    gan, state = ganzoo.load(GOLDEN / "lightning.ckpt", log=quiet)
    images = jnp.asarray(theirs["images"]).transpose(0, 2, 3, 1)
    assert_near(gan.discriminator.apply(state.discriminator.variables, images), theirs["logits"])


@pytest.mark.parametrize("name", ["module.pt", "parallel.pt", "lightning.ckpt"])
def test_wrapped_networks_are_the_same(name: str) -> None:
    plain, wrapped = (interop.convert(interop.read(GOLDEN / each)) for each in ("netG_epoch_1.pth", name))
    mine = interop.mirror_generator(wrapped.weights)
    assert_same(dict(plain.weights), {key: array for key, array in mine.items() if key.startswith("ema.")})
    assert plain.fields["generator_features"] == wrapped.fields["generator_features"] == 2


def test_a_discriminator_alone_starts_a_run_but_makes_no_images() -> None:
    start = pretrained.read_start(str(GOLDEN / "netD_epoch_1.pth"), log=quiet)
    assert start.model == "dcgan"
    assert {name.partition(".")[0] for name in start.weights} == {"discriminator"}
    with pytest.raises(UserError, match="no generator"):
        ganzoo.load(GOLDEN / "netD_epoch_1.pth", log=quiet)


def test_dcgan_is_written_as_both_files(tmp_path: Path) -> None:
    for name in ("netG_epoch_1.pth", "netD_epoch_1.pth"):
        cli.main(["convert", str(GOLDEN / "lightning.ckpt"), str(tmp_path / name), "--names", "original"])
        (before,), (after,) = (interop.read(path / name).networks.values() for path in (GOLDEN, tmp_path))
        assert_same(dict(before.arrays), dict(after.arrays))


def test_dcgan_refuses_by_name(tmp_path: Path) -> None:
    for field, value in (("image_size", 32), ("kernel_size", 5), ("first_norm", "unit"), ("label_size", 2)):
        gan = ganzoo.create("dcgan", "tiny", **{"image_size": 64, field: value})
        with pytest.raises(UserError, match=rf"{field} = {value}: must be"):
            interop.save_torch(tmp_path / "netG.pth", converted_of(gan), "original")
    other = interop.Converted("stylegan2", to_json(ganzoo.create("stylegan2", "tiny").config), {})
    with pytest.raises(UserError, match="not stylegan2"):
        interop.save_torch(tmp_path / "x.pt", other, "original")


@pytest.mark.parametrize("levels", [2, 4, 6])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_tables_of_dcgan_have_every_weight(network: str, levels: int) -> None:
    gan = ganzoo.create("dcgan", "tiny", image_size=4 << levels)
    weights = converted_of(gan).weights
    own, table = variables_of(network, weights), pytorch_dcgan.table(network, levels)
    assert_same(own, table.to_ours(table.to_theirs(own)))


def test_arrays_and_optimizers_beside_networks_are_told(tmp_path: Path) -> None:
    """Of a whole optimizer, its keys are parameters."""
    arrays = dict(interop.read(GOLDEN / "netG_epoch_1.pth").networks["G_ema"].arrays)
    (tmp_path / "x.pt").write_bytes(torch_file({"netG": arrays, "rng": np.arange(3)}))
    converted = interop.convert(interop.read(tmp_path / "x.pt"))
    assert converted.notes == ("rng, an array beside the networks, is not used",)
    assert converted.facts["rng"] == [0, 1, 2]
    optimizer = interop.read(GOLDEN / "optimizer.pt")
    assert list(optimizer.networks) == ["netG"]
    assert optimizer.notes == ("opt, the state of an optimizer, is not used",)


# PyTorch ------------------------------------------------------------------------------------------------------------


def test_pytorch_opens_what_is_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    cli.main(["convert", str(GOLDEN / "rosinality.pt"), str(tmp_path / "x.pt"), "--names", "rosinality"])
    theirs, mine = (torch.load(path, weights_only=False) for path in (GOLDEN / "rosinality.pt", tmp_path / "x.pt"))
    assert set(mine["d"]) == set(theirs["d"])
    assert torch.load(tmp_path / "x.pt", weights_only=True).keys() == mine.keys()


def test_neither_torch_nor_their_code_is_imported() -> None:
    code = f"""
import sys
from pathlib import Path
from ganzoo import interop
interop.read(Path({str(GOLDEN / "module.pt")!r}))
print("torch" in sys.modules, "dcgan" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "False"]
