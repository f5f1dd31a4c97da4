"""Packs, and the cache of them, give the batches of the data set, and are never taken for what they are not."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.data import DataConfig, Dataset, describe_pack, inspect, open_dataset, pack, positions
from ganzoo.data.packs import HEAD, MAGIC
from ganzoo.errors import UserError

from .pictures import encode, opened, rainbow, refused, table, write_folder

SHAPE = (8, 8, 3)


def packed(data: Path, path: Path, shape: tuple[int, int, int] = SHAPE, **options: Any) -> bool:
    return pack(DataConfig(data=str(data), **options), shape, path)


def assert_same(ours: Dataset, theirs: Dataset) -> None:
    """In their batches, bit for bit, and in what decides whether a run is resumed with them."""
    assert len(ours) == len(theirs)
    index = positions(3, len(theirs), 5, 4 * len(theirs)).reshape(-1, 2)
    for mine, other in zip(ours.prefetch(index), theirs.prefetch(index), strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], other[name])
            assert mine[name].dtype == other[name].dtype
    assert ours.class_names == theirs.class_names
    assert ours.fingerprint == theirs.fingerprint


@pytest.mark.parametrize("budget", [0, 100])
@pytest.mark.parametrize(("shape", "options"), [((8, 8, 3), {}), ((6, 9, 1), {"crop": "none"}), ((5, 4, 4), {})])
def test_a_pack_is_the_data_set(folder: Path, tmp_path: Path, shape: Any, options: dict, budget: int) -> None:
    assert packed(folder, tmp_path / "set.pack", shape, **options)
    options = {**options, "shape": shape, "mirror": True, "memory_budget_mib": budget}
    ours, theirs = (opened(data, **options) for data in (tmp_path / "set.pack", folder))
    assert_same(ours, theirs)
    assert ours.source.names == theirs.source.names
    assert ("in memory" if budget else "mapped from") in ours.describe()
    found = inspect(DataConfig(data=str(tmp_path / "set.pack")))
    assert (found.size, found.labels) == (shape[:2], "2 classes")


@pytest.mark.parametrize("labels", [[0, 3], [[0.5, 1.0], [2.0, -1.0]]])
def test_labels_of_every_kind_are_kept(labels: list, tmp_path: Path) -> None:
    files = {f"{name}.png": encode(rainbow(seed=seed)) for seed, name in enumerate("ab")}
    files["dataset.json"] = table([["a.png", labels[0]], ["b.png", labels[1]]])
    folder = write_folder(tmp_path / "set", files)
    packed(folder, tmp_path / "all.pack")
    packed(folder, tmp_path / "none.pack", labels="none")
    for name, option in (("all", "auto"), ("all", "none"), ("none", "auto")):
        theirs = opened(folder, labels="none" if name == "none" else option)
        assert_same(opened(tmp_path / f"{name}.pack", labels=option), theirs)


def test_broken_pictures_are_as_in_the_data_set(folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "broken.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"1 of 10 images cannot be decoded.*broken.png"):
        packed(folder, tmp_path / "set.pack")
    assert not list(tmp_path.glob("set.pack*"))
    packed(folder, tmp_path / "set.pack", on_bad_file="skip")
    assert "broken.png" in refused(tmp_path / "set.pack")
    ours, theirs = (opened(data, on_bad_file="skip") for data in (tmp_path / "set.pack", folder))
    assert_same(ours, theirs)
    assert ours.skipped == theirs.skipped


def test_other_sizes_are_made_of_the_packed_images(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "set.pack")
    smaller = opened(tmp_path / "set.pack", (4, 4, 3), memory_budget_mib=0)
    assert smaller.read(np.arange(9))["image"].shape == (9, 4, 4, 3)
    assert smaller.fingerprint != opened(folder, (4, 4, 3)).fingerprint
    assert "resized from the 8 x 8 x 3 of the pack" in " ".join(smaller.describe().split())
    other = opened(tmp_path / "set.pack", crop="none")
    assert "packed with crop = center; crop = none changes nothing" in " ".join(other.describe().split())
    both = opened(f"{tmp_path}/set.pack,{folder}")
    assert (both.read(np.arange(9))["image"] == both.read(np.arange(9, 18))["image"]).all()


def test_a_pack_is_written_again_where_something_has_changed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.pack"
    assert packed(folder, path)
    before = path.stat().st_mtime_ns
    assert not packed(folder, path)
    assert path.stat().st_mtime_ns == before
    assert packed(folder, path, resize_filter="box")
    assert packed(folder, path, labels="none")
    (folder / "cat" / "new.png").write_bytes(encode(rainbow(seed=99)))
    assert packed(folder, path)
    assert_same(opened(path), opened(folder))


def test_another_file_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pack").write_text("mine")
    for name, message in (("mine.pack", "is no pack, and is not replaced"), ("set.zip", r"must end in \.pack")):
        with pytest.raises(UserError, match=message):
            packed(folder, tmp_path / name)
    assert (tmp_path / "mine.pack").read_text() == "mine"


def other_version(content: bytes) -> bytes:
    return content.replace(b'"version": 1', b'"version": 2')


def other_shape(content: bytes) -> bytes:
    return content.replace(b'"shape": [8, 8, 3]', b'"shape": [8, 6, 4]')


HARM = {
    "empty": (lambda content: b"", "no pack, or a damaged one"),
    "foreign": (lambda content: b"text", "no pack, or a damaged one"),
    "cut in the head": (lambda content: content[:200], "not JSON|no "),
    "cut": (lambda content: content[:-1], "a damaged pack .*bytes instead of"),
    "longer": (lambda content: content + b"0", "a damaged pack .*bytes instead of"),
    "tail": (lambda content: content[:-3] + b"?" + content[-2:], "another checksum"),
    "head": (other_shape, "another checksum"),
    "version": (other_version, "a pack of version 2"),
    "huge": (lambda content: content.replace(b'"count": 9', b'"count": 9' + b"9" * 30), "not JSON|impossible sizes"),
    "kind": (lambda content: content.replace(b'"count": 9', b'"count":"9"'), "wrong type"),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_pack_is_refused_in_one_line(harm: str, folder: Path, tmp_path: Path) -> None:
    spoil, message = HARM[harm]
    path = tmp_path / "set.pack"
    packed(folder, path)
    path.write_bytes(spoil(path.read_bytes()))
    assert "make it again: ganzoo pack DATA set.pack" in refused(path)
    with pytest.raises(UserError, match=message):
        opened(path)


def test_a_damaged_image_is_named_when_it_is_read(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.pack"
    packed(folder, path)
    with path.open("r+b") as file:
        file.seek(HEAD + 2 * 192 + 50)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    dataset = opened(path, memory_budget_mib=0)
    dataset.read(np.asarray([0, 1, 3]))
    with pytest.raises(UserError, match="image 2 is damaged"):
        dataset.read(np.asarray([1, 2]))
    assert "image 2 is damaged" in refused(path)


def test_a_pack_says_what_it_holds(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path / "set.pack")
    text = describe_pack(tmp_path / "set.pack")
    assert "9 of 8 x 8 x 3" in text
    assert "2 classes" in text
    assert json.loads((tmp_path / "set.pack").read_bytes()[len(MAGIC) + 65 : HEAD])["title"] == f"{folder} (folder)"


# The cache ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "decoded" / "here"


def mapped(data: Path, store: Path, **options: Any) -> Dataset:
    return opened(data, memory_budget_mib=0, cache=str(store), **options)


def test_the_cache_is_the_data_set(folder: Path, store: Path) -> None:
    for labels in ("auto", "none", "auto"):
        assert_same(mapped(folder, store, labels=labels), opened(folder, labels=labels))
    (file,) = store.iterdir()
    assert f"mapped from {file}" in mapped(folder, store).describe()
    mapped(folder, store, shape=(4, 4, 3))
    assert len(list(store.iterdir())) == 2


def test_the_cache_is_used_until_the_data_set_changes(folder: Path, store: Path) -> None:
    mapped(folder, store)
    (file,) = store.iterdir()
    before = file.stat().st_mtime_ns
    assert_same(opened(folder, cache=str(store)), opened(folder))
    assert file.stat().st_mtime_ns == before
    (folder / "cat" / "new.png").write_bytes(encode(rainbow(seed=99)))
    assert_same(mapped(folder, store), opened(folder))
    assert list(store.iterdir()) == [file]
    file.write_bytes(file.read_bytes()[:-1])
    assert_same(mapped(folder, store), opened(folder))


def test_a_repaired_picture_comes_back(folder: Path, store: Path, tmp_path: Path) -> None:
    (folder / "cat" / "late.png").symlink_to(tmp_path / "share")
    with pytest.raises(UserError, match="1 of 10 images cannot be decoded"):
        mapped(folder, store)
    assert len(mapped(folder, store, on_bad_file="skip")) == 9
    (tmp_path / "share").write_bytes(encode(rainbow(seed=99)))
    assert_same(mapped(folder, store), opened(folder))


def test_what_the_cache_refuses_and_notes(folder: Path, store: Path, tmp_path: Path) -> None:
    mapped(folder, store)
    (file,) = store.iterdir()
    file.write_text("mine")
    with pytest.raises(UserError, match="is no pack, but has the place of one"):
        mapped(folder, store)
    assert file.read_text() == "mine"
    with pytest.raises(UserError, match="give another folder by --cache"):
        mapped(folder, file)
    packed(folder, tmp_path / "set.pack")
    assert "the cache is not used" in mapped(tmp_path / "set.pack", store).describe()


def test_a_stopped_writer_leaves_nothing(folder: Path, store: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset(DataConfig(data=str(folder), cache=str(store), memory_budget_mib=0), SHAPE, interrupt)
    assert not list(store.iterdir())
