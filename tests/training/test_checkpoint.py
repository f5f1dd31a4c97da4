"""An explicit save wins or raises; a checkpoint is what was saved, or the damaged array is named."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from small_runs import snapshot

from ganzoo.errors import UserError
from ganzoo.training.checkpoint import METADATA, Checkpoints, unchecked
from ganzoo.training.checksums import Damaged, checksums, require_checksums
from ganzoo.training.parallel import data_mesh, divided_layout, place

A, B = {"w": jnp.zeros(3)}, {"w": jnp.ones(3)}
DRAWN = {
    "w": np.random.default_rng(0).integers(0, 2**32, (40, 50), np.uint32),  # which zstd keeps as they are
    "half": jnp.linspace(0, 1, 300, dtype=jnp.bfloat16),
    "count": jnp.int32(7),
}


def newest(folder: Path) -> float:
    with Checkpoints(folder, read_only=True) as checkpoints:
        return float(checkpoints.restore(A)["w"][0])


def test_saving_under_a_number_that_is_there_raises(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(100, A)
        with pytest.raises(UserError, match="a checkpoint of 100 images is there already"):
            checkpoints.save(100, B)
    assert newest(tmp_path / "c") == 0


def test_saving_under_a_lower_number_raises(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(100, A)
        with pytest.raises(UserError, match=r"would never be the newest: .* holds one of 100"):
            checkpoints.save(50, B)
        checkpoints.save(101, B)
    assert newest(tmp_path / "c") == 1


def test_best_checkpoints_come_in_any_order_of_images(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c", keep_best=2) as checkpoints:
        checkpoints.save(100, A, 2.0)
        checkpoints.save(200, B, 1.0)
        assert checkpoints.best == 200
    assert jax.tree.leaves(A)[0].shape == (3,)


def test_a_state_is_restored_from_and_to_any_layout(tmp_path: Path) -> None:
    state = {"w": np.arange(16 * 24, dtype=np.float32).reshape(16, 24), "count": np.int32(7)}
    meshes = {count: data_mesh(count) for count in (1, 2, 8)}
    layouts = [(mesh, layout) for mesh in meshes.values() for layout in (None, divided_layout(state, mesh, least=64))]
    for i, (mesh, layout) in enumerate(layouts):
        with Checkpoints(tmp_path / str(i)) as checkpoints:
            checkpoints.save(100, place(state, mesh, layout))
            checkpoints.wait()
            for other, wanted in layouts[i:] + layouts[:i]:
                found = checkpoints.restore(state, other, layout=wanted)
                assert len(found["w"].sharding.device_set) == other.size
                assert found["w"].addressable_shards[0].data.shape[1] == 24 // (other.size if wanted else 1)
                jax.tree.map(np.testing.assert_array_equal, found, state)


def test_a_save_that_fails_leaves_nothing(folder: Path) -> None:
    """On a disk that takes only short files."""
    resource = pytest.importorskip("resource", reason="only on POSIX")
    before, (soft, hard) = snapshot(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    message = r"a checkpoint could not be saved in .*/c \(.*\); the last whole one is at 200 images"
    with Checkpoints(folder) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        try:
            checkpoints.save(300, DRAWN)
            with pytest.raises(UserError, match=message):
                checkpoints.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert snapshot(folder) == before


# Damage -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of the same arrays."""
    folder = tmp_path_factory.mktemp("saved") / "c"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(100, DRAWN)
        checkpoints.save(200, DRAWN)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of them that may be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "c"))


def read(folder: Path, images: int | None = None) -> dict[str, np.ndarray]:
    with Checkpoints(folder, read_only=True) as checkpoints:
        return checkpoints.read(images)


def array_file(folder: Path) -> Path:
    """Return the file with the arrays of the newest checkpoint, which are not compressible."""
    return max((folder / "200" / "state").rglob("d/*"), key=lambda file: file.stat().st_size)


def test_zeros_in_the_file_of_arrays_are_noticed_by_every_reader(folder: Path) -> None:
    content = bytearray(array_file(folder).read_bytes())
    content[3000:3512] = bytes(512)
    array_file(folder).write_bytes(content)
    message = r"checkpoint 200 in .* is damaged \(w differs from its checksum\); delete .*200 to resume from 100 images"
    with pytest.raises(UserError, match=message):
        read(folder)
    with Checkpoints(folder) as checkpoints, pytest.raises(UserError, match=f"{message}.*--checkpoint 100"):
        checkpoints.restore(DRAWN)
    assert read(folder, 100).keys() == DRAWN.keys()


def test_any_damage_is_refused_in_one_line_or_changes_nothing(folder: Path, saved: Path, capfd) -> None:
    draws = random.Random(0)
    files = sorted(file for file in (saved / "200").rglob("*") if file.is_file())
    refused: list[str] = []
    for _ in range(40):
        file = draws.choice(files)
        spoilt, content = folder / file.relative_to(saved), bytearray(file.read_bytes())
        place = draws.randrange(len(content))
        if draws.random() < 0.6:
            content[place] ^= 1 << draws.randrange(8)
        elif draws.random() < 0.5:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        else:
            del content[place:]
        spoilt.write_bytes(content)
        try:
            for name, array in read(folder, 200).items():
                np.testing.assert_array_equal(array, DRAWN[name])
        except UserError as error:
            refused.append(str(error))
        shutil.copy(file, spoilt)
    assert len(refused) > 5
    assert all("checkpoint 200 in" in line for line in refused)
    assert capfd.readouterr() == ("", "")  # neither of Orbax nor of its threads


def test_arrays_without_a_checksum_are_read_and_noted(folder: Path) -> None:
    file = folder / "200" / METADATA
    assert unchecked(folder / "200") == []
    file.write_text(json.dumps(json.loads(file.read_text()) | {"custom_metadata": {}}))
    np.testing.assert_array_equal(read(folder)["w"], DRAWN["w"])
    assert unchecked(folder / "200") == [f"{folder / '200'} has no checksums, so damage to it would pass unseen"]


METADATA_TEXTS = {
    "no object": "[]",
    "wrong types": '{"init_timestamp_nsecs": "x", "metrics": 5}',
    "deep": "[" * 100_000,
    "twice": '{"metrics": {}, "metrics": {}}',
    "half": '{"metrics"',
    "null": '{"custom_metadata": null}',
    "long": '{"init_timestamp_nsecs": ' + "9" * 5000 + "}",
}


@pytest.mark.parametrize("text", METADATA_TEXTS.values(), ids=METADATA_TEXTS)
def test_metadata_of_another_kind_is_refused(text: str, folder: Path) -> None:
    (folder / "200" / METADATA).write_text(text)
    with pytest.raises(UserError, match=r"checkpoint 200 in .*: metadata .*; delete .*200"):
        Checkpoints(folder)


@pytest.mark.parametrize("text", ['{"value": "x"}', "{}", '{"value": NaN}', '{"value": true}', "1", "["])
def test_a_value_of_another_kind_is_refused(text: str, tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c", keep_best=2) as checkpoints:
        checkpoints.save(100, A, 2.0)
    (tmp_path / "c" / "100" / "metrics" / "metrics").write_text(text)
    with pytest.raises(UserError, match=r"checkpoint 100 in .*: metadata"):
        Checkpoints(tmp_path / "c", keep_best=2)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda place: place.symlink_to(target)


@pytest.mark.parametrize("where", ["200", f"200/{METADATA}", "200/state/_METADATA", "200/state", "300"])
@pytest.mark.parametrize("make", [link_to("/dev/zero"), link_to("nowhere"), os.mkfifo], ids=["zero", "gone", "pipe"])
def test_links_and_pipes_among_checkpoints_are_refused(where: str, make: Callable, folder: Path) -> None:
    place = folder / where
    if place.exists():
        place.rename(folder.with_name("aside"))
    make(place)
    with pytest.raises(UserError, match=r"is a link, which is not followed|is no regular file"):
        Checkpoints(folder)


def test_a_link_to_the_checkpoints_of_another_run_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "c").symlink_to(saved)
    with pytest.raises(UserError, match="is a link, which is not followed"):
        Checkpoints(tmp_path / "c", keep_last=1)
    assert sorted(file.name for file in saved.glob("*")) == ["100", "200"]


# Checksums ----------------------------------------------------------------------------------------------------------


def test_checksums_are_of_content_type_and_shape_wherever_it_is() -> None:
    zeros = np.zeros((2, 3), np.float32)
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    arrays = {
        "numpy": zeros,
        "device": jnp.asarray(zeros),
        "split": jax.device_put(zeros, NamedSharding(mesh, PartitionSpec("data"))),
        "copies": jax.device_put(zeros, NamedSharding(mesh, PartitionSpec())),
        "transposed": np.zeros((3, 2), np.float32).T,
    }
    (same,) = set(checksums(arrays).values())
    others = [zeros.T, zeros.astype(np.int32), zeros + 1, -zeros, np.zeros(())]
    assert len({same, *checksums({str(i): other for i, other in enumerate(others)}).values()}) == 6
    with pytest.raises(Damaged, match="a and 1 more differs"):
        require_checksums({"a": zeros, "b": zeros, "c": zeros}, {"a": "0", "b": "0"})
