import os
import zipfile

import numpy as np
import pytest

from ganzoo.errors import UserError

from .pictures import encode, flat, opened, rainbow, table, write_folder, write_zip

PNG = encode(rainbow())


def refused(data, **options):
    """The message of the error for ``data``: always one line that starts with its name."""
    with pytest.raises(UserError) as caught:
        opened(data, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def same(one, other):
    """Whether two data sets hold the same arrays."""
    one, other = one.read(np.arange(len(one))), other.read(np.arange(len(other)))
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("budget", [0, 100])
def test_folder_and_zip_give_the_same_arrays(tmp_path, folder, files, budget):
    from_folder = opened(folder, memory_budget_mib=budget)
    backwards = dict(reversed(files.items()))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        from_zip = opened(write_zip(tmp_path / "a.zip", backwards, compression), memory_budget_mib=budget)
        assert same(from_folder, from_zip)
        assert from_folder.fingerprint == from_zip.fingerprint


def test_pictures_are_in_the_order_of_their_paths(tmp_path):
    names = ["b/1.png", "a.png", "b.png", "B.png", "b/0/9.png"]
    files = {name: encode(flat((40 * i, 0, 0))) for i, name in enumerate(names)}
    reds = opened(write_folder(tmp_path / "set", files)).in_memory["image"][:, 0, 0, 0]
    assert reds.tolist() == [40 * names.index(name) for name in sorted(names)]


def test_other_and_hidden_files_are_left_out(tmp_path):
    files = {"a.PNG": PNG, "b.Jpeg": encode(rainbow(), "JPEG"), "notes.txt": b"", "c.png.part": b""}
    hidden = {".d.png": b"", ".git/e.png": b"", "__MACOSX/._a.PNG": b""}
    assert len(opened(write_folder(tmp_path / "set", files | hidden))) == 2
    assert len(opened(write_zip(tmp_path / "set.zip", files | hidden))) == 2


def test_names_of_any_language_or_bytes(tmp_path):
    files = {"ein Bild/ü 1.png": PNG, "画/二.png": PNG}
    folder = write_folder(tmp_path / "set", files)
    try:
        (folder / "画" / os.fsdecode(b"\xff.png")).write_bytes(b"broken")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert r"\udcff.png" in refused(folder)
    dataset = opened(folder, on_bad_file="skip")
    assert dataset.class_names == ("ein Bild", "画")
    assert dataset.fingerprint


def test_links_are_followed_but_not_in_circles(tmp_path):
    folder = write_folder(tmp_path / "set", {"a/1.png": PNG})
    write_folder(tmp_path / "elsewhere", {"2.png": PNG})
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "up").symlink_to(folder)
    assert len(opened(folder)) == 2


def test_a_dangling_link_is_a_broken_picture(tmp_path):
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    (folder / "b.png").symlink_to(tmp_path / "nowhere.png")
    assert "b.png" in refused(folder)


@pytest.mark.parametrize("write", [write_folder, write_zip])
class TestLabels:
    files = {"x/1.png": PNG, "x/2.png": PNG, "y/3.png": PNG}  # noqa: RUF012

    def test_folders_are_classes(self, tmp_path, write):
        dataset = opened(write(tmp_path / "s.zip", self.files))
        assert dataset.class_names == ("x", "y")
        assert dataset.in_memory["label"].tolist() == [[1, 0], [1, 0], [0, 1]]

    def test_a_dataset_json_comes_first(self, tmp_path, write):
        labels = table([["x/1.png", 2], ["x/2.png", 0], ["y/3.png", 0]])
        dataset = opened(write(tmp_path / "s.zip", self.files | {"dataset.json": labels}))
        assert dataset.in_memory["label"].argmax(1).tolist() == [2, 0, 0]
        assert dataset.label_size == 3

    def test_null_in_a_dataset_json_means_no_labels_even_with_folders(self, tmp_path, write):
        dataset = opened(write(tmp_path / "s.zip", self.files | {"dataset.json": table(None)}))
        assert dataset.label_size == 0
        assert "label" not in dataset.in_memory

    def test_vectors_are_kept(self, tmp_path, write):
        labels = table([["x/1.png", [0.5, -1]], ["x/2.png", [2, 3]], ["y/3.png", [4, 5]]])
        dataset = opened(write(tmp_path / "s.zip", self.files | {"dataset.json": labels}))
        assert dataset.in_memory["label"].tolist() == [[0.5, -1], [2, 3], [4, 5]]
        assert dataset.class_names == ()

    def test_labels_can_be_left_out_even_if_they_are_broken(self, tmp_path, write):
        path = write(tmp_path / "s.zip", self.files | {"dataset.json": b"{"})
        assert opened(path, labels="none").label_size == 0
        assert "dataset.json: not valid JSON" in refused(path)

    def test_a_missing_entry_names_file_and_remedy(self, tmp_path, write):
        path = write(tmp_path / "s.zip", self.files | {"dataset.json": table([["x/1.png", 0]])})
        message = refused(path)
        assert all(word in message for word in ("s.zip/dataset.json", "'x/2.png'", "1 others", "--labels none"))


def test_nothing_there(tmp_path):
    assert "tfds:NAME" in refused(tmp_path / "nowhere")
    assert "tfds:NAME" in refused("digit")


def test_no_pictures(tmp_path):
    assert "no images in this folder" in refused(write_folder(tmp_path / "set", {"a.txt": b""}))
    assert "no images in this zip" in refused(write_zip(tmp_path / "set.zip", {"a.txt": b""}))


def test_a_file_that_is_no_zip(tmp_path, archive):
    text = tmp_path / "text.zip"
    text.write_bytes(b"no zip")
    assert refused(text).startswith(f"{text}: a broken .zip file")
    half = tmp_path / "half.zip"
    half.write_bytes(archive.read_bytes()[:2000])
    assert "a broken .zip file" in refused(half)


def test_an_encrypted_zip(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(data)
    assert "encrypted" in refused(archive)


def test_a_damaged_entry_is_a_broken_picture(archive, files):
    name = "cat/1.JPG"
    data = archive.read_bytes()
    place = data.index(files[name]) + 50
    archive.write_bytes(data[:place] + b"~~~~" + data[place + 4 :])
    assert name in refused(archive)
    assert [skipped for skipped, _ in opened(archive, on_bad_file="skip").skipped] == [name]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path, archive):
    folder = write_folder(tmp_path / "set2", {"a/1.png": PNG, "b/2.png": PNG})
    (folder / "b").chmod(0)
    assert "check its permissions" in refused(folder)
    (folder / "b").chmod(0o700)
    archive.chmod(0)
    assert "check its permissions" in refused(archive)


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert refused(folder) == f"{folder}: cannot be read (Permission denied); check its permissions"
