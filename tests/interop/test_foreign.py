"""Files of other PyTorch repositories: what their networks compute, and files for them."""

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import hostile
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import assert_same, converted_of, networks_of

import ganzoo
from ganzoo import cli, interop, pretrained
from ganzoo.config import to_json
from ganzoo.errors import UserError
from ganzoo.interop.convert import variables_of
from ganzoo.interop.families import pytorch_dcgan, rosinality
from ganzoo.interop.torch_writer import torch_file
from ganzoo.testing import assert_near

GOLDEN = Path(__file__).parent.parent / "golden" / "foreign"


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def quiet(line: str) -> None:
    del line


# StyleGAN2 of rosinality --------------------------------------------------------------------------------------------


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize(("size", "multiplier"), [(256, 1), (256, 2), (1024, 2)])
def test_rosinality_has_the_names_of_its_published_networks(size: int, multiplier: int) -> None:
    """Numbers of layers and channels of model.py there; the arrays are views of one zero, so nothing large is made."""
    channels = {4 << k: 512 if k <= 3 else (16384 >> (k + 2)) * multiplier for k in range(size.bit_length() - 2)}
    gan = ganzoo.create(
        "stylegan2", "tiny", image_size=size, channel_base=16384 * multiplier, channel_max=512, latent_size=512,
        style_size=512, mapping_layers=8, generator_architecture="skip", conv_clamp=0.0,
    )  # fmt: skip
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    weights = {name: np.broadcast_to(np.float32(0), leaf.shape) for name, leaf in named(networks_of(shapes)).items()}
    fields = to_json(gan.config)
    theirs = rosinality.originals("generator", variables_of("ema", weights), fields)
    blocks = size.bit_length() - 3
    assert {name for name in theirs if name.startswith("convs.") and name.endswith(".conv.weight")} == {
        f"convs.{i}.conv.weight" for i in range(2 * blocks)
    }
    for k in range(1, blocks + 1):
        own, before = channels[4 << k], channels[2 << k]
        assert theirs[f"convs.{2 * k - 2}.conv.weight"].shape == (1, own, before, 3, 3)
        assert theirs[f"convs.{2 * k - 1}.conv.weight"].shape == (1, own, own, 3, 3)
        assert theirs[f"to_rgbs.{k - 1}.conv.weight"].shape == (1, 3, own, 1, 1)
        assert theirs[f"noises.noise_{2 * k}"].shape == (1, 1, 4 << k, 4 << k)
    assert theirs["style.8.weight"].shape == (512, 512)
    found = rosinality.generator(interop.Network("", {**theirs, "latent_avg": np.zeros(512, np.float32)}))
    assert {name: found.fields[name] for name in ("image_size", "latent_size", "mapping_layers")} == {
        "image_size": size, "latent_size": 512, "mapping_layers": 8,
    }  # fmt: skip
    assert (found.fields["channel_base"], found.fields["channel_max"]) == (16384 * multiplier, 512)
    theirs = rosinality.originals("discriminator", variables_of("discriminator", weights), fields)
    assert theirs["convs.0.0.weight"].shape == (channels[size], 3, 1, 1)
    for k in range(1, blocks + 1):
        own, after = channels[size >> (k - 1)], channels[size >> k]
        assert theirs[f"convs.{k}.conv1.0.weight"].shape == (own, own, 3, 3)
        assert theirs[f"convs.{k}.conv2.1.weight"].shape == (after, own, 3, 3)
        assert theirs[f"convs.{k}.skip.1.weight"].shape == (after, own, 1, 1)
    assert theirs["final_linear.0.weight"].shape == (512, 512 * 16)
    assert rosinality.discriminator(interop.Network("", theirs), {}).fields["channel_base"] == 16384 * multiplier


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


def test_whole_modules_of_the_older_format_are_read_without_their_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a class stands with the path and the text of its source, which would make a file if it were run."""
    monkeypatch.chdir(tmp_path)
    kind = b"(" + hostile.text("module") + b"cnetworks\nNet\n" + hostile.text("networks.py")
    kind += hostile.text(hostile.SOURCE) + b"tQ"
    storage = b"(" + hostile.text("storage") + b"ctorch\nFloatStorage\n" + hostile.text("0") + hostile.text("cpu")
    weight = hostile.tensor(storage + hostile.number(2) + b"NtQ", 0, hostile.shape(2), hostile.shape(1))
    state = hostile.dictionary(_parameters=hostile.dictionary(w=weight), _buffers=b"}", _modules=b"}", width=b"K\x02")
    start = hostile.storage_file(0, b"")
    head = start[: start.index(b"type_sizes")]
    head += start[start.index(b"type_sizes") :].partition(b".")[0] + b"."
    content = hostile.program(kind + b")\x81" + state + b"b", 2)
    keys = hostile.program(b"](" + hostile.text("0") + b"e", 2)
    (tmp_path / "net.pth").write_bytes(head + content + keys + struct.pack("<q2f", 2, 3, 4))
    (network,) = interop.read(tmp_path / "net.pth").networks.values()
    assert network.kind == "networks.Net".rpartition(".")[2]
    assert network.arrays["w"].tolist() == [3, 4]
    assert network.attributes == {"width": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


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
