"""Parquet files as Hugging Face's library writes them, and others."""

import importlib
import json

import numpy as np
import pytest

from .pictures import encode, opened, rainbow, refused

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
PICTURES = [encode(rainbow(9 + i, 14 - i, seed=i), ["PNG", "JPEG"][i % 2]) for i in range(7)]
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["ant", "bee", "cow"]}}


def write(path, *, images=PICTURES, labels=(0, 1, 2, 0, 1, 2, 0), features=FEATURES, plain=False, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = images if plain else [{"bytes": data, "path": None} for data in images]
    table = pyarrow.table({"image": cells, **({"label": list(labels)} if labels else {}), **columns})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=3)
    return path


@pytest.mark.parametrize("budget", [0, 100])
@pytest.mark.parametrize("plain", [False, True])
def test_images_and_classes_are_read(tmp_path, budget, plain):
    for index, data in enumerate(PICTURES):
        (tmp_path / f"{index}.png").write_bytes(data)
    path = write(tmp_path / "set" / "a.parquet", plain=plain)
    for data in (path, path.parent):
        dataset = opened(data, memory_budget_mib=budget)
        batch = dataset.read(np.arange(7))
        assert np.array_equal(batch["image"], opened(tmp_path, labels="none").read(np.arange(7))["image"])
        assert dataset.class_names == ("ant", "bee", "cow")
        assert batch["label"].argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_several_files_of_a_split(tmp_path):
    for index in range(2):
        write(tmp_path / "data" / f"train-0000{index}-of-00002.parquet")
    write(tmp_path / "data" / "test-00000-of-00001.parquet", images=PICTURES[:2], labels=(0, 1))
    (tmp_path / "README.md").write_text("x")
    dataset = opened(tmp_path)
    assert len(dataset) == 14
    assert "splits that are left out (--split): test" in dataset.describe()
    assert "1 file skipped: README.md" in dataset.describe()
    assert len(opened(tmp_path, split="test")) == 2
    assert "no parquet files of the split 'dev'; there: test, train" in refused(tmp_path, split="dev")


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["b", "a", "b", "a", "b", "a", "c"], None, ("a", "b", "c")),
        ([0, 2, 0, 0, 0, 0, 0], None, ("0", "1", "2")),
        ([[0.5, 1]] * 7, None, ()),
        ((), None, ()),
    ],
)
def test_labels_of_every_kind(tmp_path, labels, names, expected):
    dataset = opened(write(tmp_path / "a.parquet", labels=labels, features=names))
    assert dataset.class_names == expected


def test_other_columns_are_named(tmp_path):
    text = opened(write(tmp_path / "a.parquet", caption=["x"] * 7)).describe()
    assert "columns that are not used: caption" in text


def test_a_row_without_bytes_is_broken(tmp_path):
    path = write(tmp_path / "a.parquet", images=[*PICTURES[:6], None], plain=True)
    assert "row 6 (no bytes in this row)" in refused(path)
    assert len(opened(path, on_bad_file="skip")) == 6


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    path = write(tmp_path / "a.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert "a.parquet: a broken parquet file" in refused(path)
    path.write_bytes(b"PAR1")
    assert "a.parquet: a broken parquet file" in refused(path)
    assert "class 2 of 1" in refused(
        write(path, features={"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["x"]}})
    )
    assert "whole number" in refused(write(path, labels=[-1] * 7))
    parquet.write_table(pyarrow.table({"text": ["a"]}), path)
    assert "no column image of encoded images; the columns: text" in refused(path)
    parquet.write_table(pyarrow.table({"image": ["a"]}), path)
    assert "no column image of encoded images" in refused(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet")

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    message = refused(path)
    assert "need the extra parquet: in the folder of its source, uv run --extra parquet" in message
    assert "pip install ganzoo" not in message
