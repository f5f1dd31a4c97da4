"""Starting from other weights: what is copied, resized and left fresh, what the table says, and what is refused."""

from pathlib import Path

import jax
import numpy as np
import pytest

import ganzoo
from ganzoo.errors import UserError
from ganzoo.pretrained import read_weights
from ganzoo.runs.transfer import matches, table, transfer
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


def test_a_run_folder_and_an_npz_file_are_read(source, tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        checkpoints.save(100, state_of(7))
    np.savez(tmp_path / "weights.npz", **source)
    wanted = {name for name in source if name.startswith(("generator.p", "generator.c", "discriminator.p", "ema"))}
    for path in (tmp_path / "run", tmp_path / "weights.npz"):
        weights = read_weights(path)
        assert set(weights) == wanted
        np.testing.assert_array_equal(weights["ema.params.mapping.dense0.kernel"],
                                      source["ema.params.mapping.dense0.kernel"])  # fmt: skip


def test_what_holds_no_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    refused = {
        "nothing": "no weights at",
        "empty": "is no run folder",
        "text.npz": "no .npz file",
        "array.npy": "no .npz file",
        "other.npz": "holds no weights",
        "pickled.npz": "no .npz file",
    }
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            read_weights(tmp_path / name)
