"""Our exchange format and the originals' state dicts: round trips bit for bit, run folders, starting from files."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pickles
import pytest
import safetensors.numpy
from drawn import assert_same, networks_of, weights_of

import ganzoo
from ganzoo import interop, pretrained
from ganzoo.cli import main
from ganzoo.config import to_json
from ganzoo.errors import UserError
from ganzoo.gan import named_leaves
from ganzoo.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def tiny() -> tuple[ganzoo.GAN, dict[str, np.ndarray]]:
    """A conditional StyleGAN2 of another shape than a square."""
    gan = ganzoo.create("stylegan2", "tiny", image_size=(8, 12), label_size=3)
    return gan, weights_of(gan)


def test_a_model_comes_back_bit_for_bit(tiny, tmp_path: Path) -> None:
    gan, weights = tiny
    converted = interop.Converted("stylegan2", to_json(gan.config), weights, {"augment_p": 0.5})
    interop.save(tmp_path / "model.safetensors", converted)
    back = interop.from_exchange(interop.read(tmp_path / "model.safetensors"))
    assert_same(dict(back.weights), weights)
    assert (back.model, back.facts) == ("stylegan2", {"augment_p": 0.5})
    again, state = ganzoo.load(tmp_path / "model.safetensors")
    assert again.config == gan.config
    assert again.image_shape == (8, 12, 3)
    names = {"ema.noise.synthesis.b4.conv1.constant", "generator.collections.statistics.mapping.w_average"}
    assert names <= set(weights)
    leaves = named_leaves(networks_of(state))
    assert_same({name: np.asarray(leaf) for name, leaf in leaves}, weights)


def test_a_run_folder_is_loaded_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gan = ganzoo.create("dcgan", "tiny")
    state = gan.init(jax.random.key(4))
    record = {"format": 2, "experiment": {"model": "dcgan", "gan": to_json(gan.config)}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(100, state)
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "dcgan.safetensors")]) == 0
    assert "dcgan" in capsys.readouterr().out
    for source in (tmp_path / "run", tmp_path / "dcgan.safetensors"):
        again, loaded = ganzoo.load(source)
        key = jax.random.key(2)
        np.testing.assert_array_equal(again.sample(loaded, key, 2), gan.sample(state, key, 2))


def test_from_a_pickle_to_the_originals_names_and_back(tmp_path: Path) -> None:
    path = pickles.written("sg2_cond", tmp_path)
    first, second = tmp_path / "a.safetensors", tmp_path / "b.npz"
    assert main(["convert", str(path), str(first)]) == 0
    assert main(["convert", str(first), str(second), "--names", "original"]) == 0
    theirs, ours = interop.read(path), interop.read(second)
    for name, network in theirs.networks.items():
        assert_same(dict(ours.networks[name].arrays), dict(network.arrays))
    assert_same(dict(interop.convert(ours).weights), dict(interop.convert(theirs).weights))


def test_a_state_dict_of_the_originals_opens_in_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = pickles.written("sg2_uncond", tmp_path)
    assert main(["convert", str(path), str(tmp_path / "o.safetensors"), "--names", "original"]) == 0
    import safetensors.torch

    found = safetensors.torch.load_file(tmp_path / "o.safetensors")
    for name, array in interop.read(path).networks["G_ema"].arrays.items():
        assert torch.equal(found[f"G_ema.{name}"], torch.from_numpy(array.copy()))


def test_a_run_starts_from_a_pickle(tmp_path: Path) -> None:
    """Where there is only the EMA of the generator, both start from it."""
    contents = interop.read(pickles.written("sg2_uncond", tmp_path))
    only = interop.convert(interop.Contents("", {"G_ema": contents.networks["G_ema"]}))
    interop.save(tmp_path / "g.safetensors", only)
    for source in ("sg2_uncond.pkl", "g.safetensors"):
        start = pretrained.read_start(str(tmp_path / source)).weights
        assert any(name.startswith("discriminator.") for name in start) == (source == "sg2_uncond.pkl")
        name = "params.mapping.dense0.kernel"
        assert start[f"generator.{name}"].shape == start[f"ema.{name}"].shape == (64, 64)


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "stylgan2"}, "did you mean 'stylegan2'"),
        ({"config": {"image_sise": 8}}, "did you mean 'image_size'"),
        (
            {"config": {"image_size": 16}},
            "is no weight of|missing weight .*: incomplete file, or another stylegan2|where the config says",
        ),
        ({"version": 1}, "version 1 of ganzoo's format, which this ganzoo does not read .*; convert the original"),
        ({"config": 3}, "not as ganzoo writes it"),
    ],
)
def test_a_head_that_does_not_fit(tiny, change, words, tmp_path: Path) -> None:
    gan, weights = tiny
    head = {"version": 2, "model": "stylegan2", "config": to_json(gan.config), "facts": {}, **change}
    (tmp_path / "m.safetensors").write_bytes(safetensors.numpy.save(weights, {"ganzoo": json.dumps(head)}))
    with pytest.raises(UserError, match=words) as error:
        ganzoo.load(tmp_path / "m.safetensors")
    assert "\n" not in str(error.value)


def test_what_a_state_holds_besides_its_networks_comes_back(tmp_path: Path) -> None:
    """Such as the level of detail of a StyleGAN that still grows."""
    gan = ganzoo.create("stylegan", "tiny")
    weights = {**weights_of(gan), "level_of_detail": np.float32(0.4)}
    interop.save(tmp_path / "m.safetensors", interop.Converted("stylegan", to_json(gan.config), weights))
    assert float(ganzoo.load(tmp_path / "m.safetensors")[1].level_of_detail) == np.float32(0.4)


def test_a_model_of_ones_own_is_given(tiny, tmp_path: Path) -> None:
    gan, weights = tiny
    interop.save(tmp_path / "m.safetensors", interop.Converted("mine", to_json(gan.config), weights))
    with pytest.raises(UserError, match="unknown model 'mine'"):
        ganzoo.load(tmp_path / "m.safetensors")
    own = dataclasses.replace(ganzoo.MODELS["stylegan2"], name="mine")
    assert ganzoo.load(tmp_path / "m.safetensors", model=own)[0].config == gan.config


def test_commands_refuse_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = str(tmp_path / "other.npz")
    np.savez(path, **{"blocks.0.0.bn1.gain.weight": np.ones((2, 3), np.float32)})
    for args, words in {
        ("inspect", "none.pkl"): "No such file",
        ("inspect",): "--help",
        ("inspect", path, "--arays"): "did you mean '--arrays'",
        ("sample", path): "a BigGAN of ajbrock",
        ("convert", path, "x.pkl"): "a BigGAN of ajbrock",
        ("sample", "hf:somebody"): "must be hf:owner/name",
    }.items():
        assert main(list(args)) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert words in lines[0]
    path = str(pickles.written("sg1_legacy_tf", tmp_path))
    assert main(["inspect", path, "--arrays"]) == 0
    assert "G_synthesis/4x4/Const/const  float32  (1, 16, 4, 4)" in capsys.readouterr().out
