"""Starting from other weights: what is copied, resized and left fresh, what the table says, and what is refused."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

import ganzoo
from ganzoo.config import to_json
from ganzoo.errors import UserError
from ganzoo.pretrained import read_start
from ganzoo.runs.transfer import COLUMNS, MAX_LINES, matches, other_settings, table, transfer, unused
from ganzoo.training.checkpoint import Checkpoints, named_leaves


def state_of(seed: int = 0, **fields):
    gan = ganzoo.create("stylegan2", "tiny", **fields)
    return gan.init(jax.random.key(seed))


@pytest.fixture(scope="module")
def source() -> dict[str, np.ndarray]:
    """The weights of a trained 8 x 8 model, by name; everything else of the state is there as well."""
    return {name: np.asarray(leaf) for name, leaf in named_leaves(state_of(7))}


def by_name(state) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in named_leaves(state)}


def test_the_same_model_is_copied_whole_but_not_its_optimizers(source) -> None:
    source = {**source, "generator.opt_state.1.0.count": np.asarray(99), "step": np.asarray(5)}
    fresh = state_of(0)
    assert {row.fate for row in matches(fresh, source)} == {"copied"}
    ours, before = by_name(transfer(fresh, source)), by_name(fresh)
    for name, array in ours.items():
        is_weight = ".opt_state" not in name and name.startswith(("generator", "discriminator", "ema"))
        np.testing.assert_array_equal(array, source[name] if is_weight else before[name], err_msg=name)


def test_a_larger_image_keeps_the_blocks_below(source) -> None:
    fresh = state_of(0, image_size=16, channel_base=48)
    fates = {row.name: row.fate for row in matches(fresh, source)}
    assert fates["generator.params.synthesis.b8.conv0.kernel"] == "copied"
    assert fates["generator.params.synthesis.b16.conv0.kernel"] == "fresh"
    assert fates["discriminator.params.b16.from_rgb.kernel"] == "fresh"
    assert fates["discriminator.params.b4.dense.kernel"] == "copied"
    lines = table(matches(fresh, source))
    assert lines[0].split() == ["copied", "resized", "fresh"]
    assert next(line for line in lines if line.startswith("generator synthesis.b16")).split()[-3:-1] == ["-", "-"]


def test_another_shape_resizes_what_is_an_image(source) -> None:
    fresh = state_of(0, image_size=(8, 12))
    rows = {row.name: row for row in matches(fresh, source)}
    assert rows["generator.params.synthesis.b4.constant"].fate == "resized"
    assert rows["generator.collections.noise.synthesis.b4.conv1.constant"].fate == "resized"
    assert rows["discriminator.params.b4.dense.kernel"].fate == "fresh"
    ours = by_name(transfer(fresh, source))["generator.params.synthesis.b4.constant"]
    theirs = source["generator.params.synthesis.b4.constant"]
    assert ours.shape == (4, 6, 8)
    np.testing.assert_allclose(ours.mean(axis=1), theirs.mean(axis=1), atol=0.25)
    told = [line for line in table(list(rows.values())) if "resized:" in line]
    assert any("(4, 4, 8) -> (4, 6, 8)" in line for line in told)


def test_other_channels_leave_the_colours_fresh(source) -> None:
    rows = {row.name: row.fate for row in matches(state_of(0, channels=1), source)}
    assert rows["generator.params.synthesis.b8.to_rgb.kernel"] == "fresh"
    assert rows["generator.params.synthesis.b8.conv0.kernel"] == "copied"


def test_weights_of_another_model_are_refused() -> None:
    dcgan = ganzoo.create("dcgan", "tiny")
    weights = by_name(jax.jit(dcgan.init)(jax.random.key(0)))
    with pytest.raises(UserError, match="nothing fits"):
        matches(state_of(0), weights)


def test_weights_without_a_place_are_named(source) -> None:
    """Whole blocks in a row as one span, networks that lose the same in one line; not what is no weight."""
    whole = {**source, "generator.opt_state.1.0.count": np.asarray(99), "path_length_mean": np.asarray(5)}
    assert unused(state_of(0), whole) == []
    shapes = jax.eval_shape(
        ganzoo.create("stylegan2", "tiny", mapping_layers=8, image_size=32, channel_base=48).init, jax.random.key(0)
    )
    larger = {name: np.zeros(leaf.shape) for name, leaf in named_leaves(shapes)}
    lines = unused(state_of(0), larger)
    spans = "unused: ema, generator: mapping.dense2 ... dense7, synthesis.b16, synthesis.b32"
    assert [line.split(" (")[0] for line in lines][:2] == ["unused: discriminator: b16, b32", spans]
    assert max(map(len, lines)) <= COLUMNS
    names = {name for name, _ in named_leaves(state_of(0))}
    for network, total in (("ema", 2), ("discriminator", 1)):
        lost = [name for name in larger if name.startswith(f"{network}.") and name not in names and ".opt_" not in name]
        assert f"({total * len(lost)} arrays)" in " ".join(lines)


def test_odd_weights_without_a_place_are_no_flood(source) -> None:
    odd = {f"ema.params.part{i}x.b{j}.kernel": np.zeros(1) for i in range(40) for j in range(2)}
    single = {"generator.params.synthesis.b8.extra": np.zeros(1)}
    lines = unused(state_of(0), {**source, **odd, **single})
    assert len(lines) == MAX_LINES + 1
    assert lines[-1].startswith("  ... and ")
    assert unused(state_of(0), {**source, **single}) == ["unused: generator: part of synthesis.b8 (1 array)"]


def test_settings_of_the_networks_that_are_others_now_are_named() -> None:
    """Of the networks only: not how they are trained. A list of JSON is as good as a tuple."""
    config = ganzoo.create("stylegan2", "tiny", mapping_layers=2).config
    same = json.loads(json.dumps(to_json(config)))
    assert other_settings(config, same) == []
    found = {**same, "mapping_layers": 8, "conv_clamp": 0.0, "r1_gamma": 99.0, "channel_base": None, "unknown": 1}
    assert other_settings(config, found) == [
        "other settings than the source's: mapping_layers 8 -> 2, conv_clamp 0.0 -> 256.0"
    ]
    many = other_settings(config, dict.fromkeys(same, "x" * 70))
    assert 1 < len(many) <= MAX_LINES


def test_a_run_folder_and_files_of_arrays_are_read(source, tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(100, state_of(7))
    np.savez(tmp_path / "weights.npz", **source)
    safetensors.numpy.save_file(source, tmp_path / "weights.safetensors")
    np.savez(tmp_path / "ema.npz", **{name: array for name, array in source.items() if name.startswith("ema.")})
    wanted = {name for name in source if name.startswith(("generator.p", "generator.c", "discriminator.p", "ema"))}
    for name in ("run", "weights.npz", "weights.safetensors", "ema.npz"):
        weights = read_start(str(tmp_path / name), lambda line: None).weights
        is_half = name == "ema.npz"
        assert set(weights) == {name for name in wanted if not (is_half and name.startswith("discriminator"))}
        for key in ("ema", "generator"):
            key = f"{key}.params.mapping.dense0.kernel"
            theirs = source[key.replace("generator", "ema") if is_half else key]
            np.testing.assert_array_equal(weights[key], theirs)


def test_what_holds_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    np.savez_compressed(tmp_path / "bomb.npz", **{"ema.params.a": np.zeros(2**23, np.float32)})
    refused = {
        "nothing": "there is no .*nothing; give a run folder",
        "empty": "is no run folder",
        "text.npz": "neither a pickle, nor",
        "array.npy": "neither a pickle, nor",
        "other.npz": "no generator of a known model",
        "pickled.npz": "refused: a holds object, which is no type of numbers",
        "bomb.npz": "refused: arrays of 33554",
    }
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            read_start(str(tmp_path / name))
