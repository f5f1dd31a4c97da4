"""Data sets as people and their tools lay them out: wrapper folders, stray files, names in other forms, parts."""

import unicodedata
import zipfile

import numpy as np
import pytest

from .pictures import encode, opened, rainbow, refused, table, write_folder, write_tar, write_zip

PNG = encode(rainbow())
WAYS = {"folder": write_folder, "zip": write_zip, "tar": write_tar}


@pytest.fixture(params=WAYS)
def packed(request, tmp_path):
    """Writes files in one of the ways, and opens what was written."""

    def make(files, **options):
        suffix = "" if request.param == "folder" else f".{request.param}"
        return opened(WAYS[request.param](tmp_path / f"set{suffix}", files), **options)

    return make


def notes(dataset):
    """The notes of the table, each on one line."""
    lines, found = dataset.describe().splitlines(), []
    for line in lines[next((i for i, line in enumerate(lines) if line.startswith("note")), len(lines)) :]:
        found = [*found, line[9:]] if line.startswith("note") else [*found[:-1], f"{found[-1]} {line[9:]}"]
    return found


def classes(dataset):
    return [dataset.class_names[number] for number in dataset.labels.values]


def test_a_wrapper_folder_around_classes(packed):
    dataset = packed({"set/cat/0.png": PNG, "set/dog/1.png": PNG, "__MACOSX/set/cat/._0.png": b"mac"})
    assert classes(dataset) == ["cat", "dog"]
    assert notes(dataset) == ["the classes are the folders in set/"]


def test_a_wrapper_folder_around_a_dataset_json(packed):
    labels = table([["0.png", 1], ["x/1.png", 0]])
    dataset = packed({"faces/0.png": PNG, "faces/x/1.png": PNG, "faces/dataset.json": labels, "__MACOSX/._f": b""})
    assert classes(dataset) == ["1", "0"]
    assert notes(dataset) == ["the labels are those of faces/dataset.json"]


@pytest.mark.parametrize("written", ["img/0.png", "0.png", "./img/0.png", r"img\0.png", "IMG/0.PNG"])
def test_a_dataset_json_beside_the_folder_of_images(packed, written):
    dataset = packed({"img/0.png": PNG, "dataset.json": table([[written, 1]])})
    assert classes(dataset) == ["1"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_another_unicode_form(packed, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    name = unicodedata.normalize(form, "é.png")
    dataset = packed({name: PNG, "dataset.json": table([[unicodedata.normalize(other, "é.png"), 3]])})
    assert classes(dataset) == ["3"]


def test_names_that_differ_in_letter_case_only_keep_their_own_labels(packed):
    dataset = packed({"a.png": PNG, "A.png": PNG, "dataset.json": table([["a.png", 0], ["A.png", 1]])})
    assert dict(zip(dataset.source.names, classes(dataset), strict=True)) == {"a.png": "0", "A.png": "1"}


def test_a_class_in_two_unicode_forms_is_one(packed):
    paths = [unicodedata.normalize("NFC", "é/0.png"), unicodedata.normalize("NFD", "é/1.png"), "z/2.png"]
    assert classes(packed(dict.fromkeys(paths, PNG))) == ["z", "é", "é"]


def test_classes_that_differ_in_letter_case_only_are_said(packed):
    assert notes(packed({"Cat/0.png": PNG, "cat/1.png": PNG})) == [
        "two classes differ in letter case only: Cat and cat"
    ]


def test_a_stray_image_takes_the_labels_and_says_so(packed):
    dataset = packed({"cat/0.png": PNG, "dog/1.png": PNG, "preview.png": PNG})
    assert (len(dataset), dataset.label_size) == (3, 0)
    (note,) = notes(dataset)
    assert note.startswith("1 image lies outside of the 2 folders (preview.png): move or remove")
    with pytest.raises(ValueError, match=r"has no labels, the model wants 2; .*preview\.png"):
        dataset.check_labels(2)


def test_a_dataset_json_that_is_too_deep_is_named(packed):
    dataset = packed({"a/0.png": PNG, "b/1.png": PNG, "a/dataset.json": table([["0.png", 0]])})
    assert classes(dataset) == ["a", "b"]
    assert notes(dataset) == ["a/dataset.json is not used: not all images lie in its folder"]


@pytest.mark.parametrize("parts", [("train", "val"), ("Train", "Test"), ("training", "validation")])
def test_parts_of_a_set_are_no_classes(packed, parts):
    one, other = parts
    dataset = packed({f"{one}/cat/0.png": PNG, f"{one}/dog/1.png": PNG, f"{other}/cat/2.png": PNG})
    assert dataset.class_names == ("cat", "dog")
    first, second = sorted(parts)
    assert notes(dataset) == [
        f"parts of the set, read together: {first}, {second}; the folders in them are the classes"
    ]


def test_parts_in_a_wrapper_folder(packed):
    dataset = packed({"set/train/cat/0.png": PNG, "set/train/dog/1.png": PNG, "set/val/cat/2.png": PNG})
    assert classes(dataset) == ["cat", "dog", "cat"]
    assert notes(dataset) == ["parts of the set, read together: train, val; the folders in them are the classes"]


def test_parts_without_classes(packed):
    dataset = packed({"train/0.png": PNG, "val/1.png": PNG})
    assert dataset.label_size == 0
    assert notes(dataset) == ["parts of the set, read together: train, val; they are no classes"]


def test_other_files_are_counted_and_named(packed):
    dataset = packed({"a.png": PNG, "a.txt": b"", "b.psd": b"", ".c.png": PNG, ".d": b"", "Thumbs.db": b""})
    assert len(dataset) == 1
    assert notes(dataset) == ["2 files skipped: a.txt, b.psd", "1 hidden image skipped: .c.png"]


def test_many_other_files_are_not_all_named(packed):
    dataset = packed({"a.png": PNG, **{f"{i:03}.txt": b"" for i in range(100)}})
    assert notes(dataset) == ["100 files skipped: 000.txt, 001.txt, 002.txt, 003.txt and 96 more"]


def test_folders_without_images_are_no_classes(tmp_path):
    folder = write_folder(tmp_path / "set", {"a/0.png": PNG, "b/1.png": PNG})
    (folder / "c").mkdir()
    dataset = opened(folder)
    assert dataset.class_names == ("a", "b")
    assert notes(dataset) == ["no class, without an image: 1 folder: c"]


def test_names_that_begin_with_a_dot_and_a_slash(tmp_path):
    for write in (write_zip, write_tar):
        dataset = opened(write(tmp_path / "set.x", {"./a/0.png": PNG, "./b//1.png": PNG}))
        assert dataset.source.names == ["a/0.png", "b/1.png"]
        assert dataset.class_names == ("a", "b")


def test_a_name_that_an_archive_has_twice(tmp_path):
    white, black = encode(rainbow(seed=1)), encode(rainbow(seed=2))
    path = write_zip(tmp_path / "set.zip", {"a.png": white})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a.png", black)
    dataset = opened(path, shape=(12, 12, 3))
    assert np.array_equal(dataset.read([0])["image"][0], np.asarray(rainbow(seed=2)))
    assert notes(dataset) == ["1 file more than once in the archive, of which the last counts: a.png"]


def test_gaps_between_class_numbers_are_said(packed):
    dataset = packed({"0.png": PNG, "1.png": PNG, "dataset.json": table([["0.png", 1], ["1.png", 3]])})
    assert dataset.present_classes.tolist() == [1, 3]
    assert notes(dataset) == ["2 of 4 classes have no images and are never drawn in samples: 0, 2"]


CSV = b"file_name,label,text\n0.png,cat,a\n1.png,dog,b\n"
JSONL = b'{"file_name": "0.png", "label": 1, "text": "a"}\n\n{"file_name": "1.png", "label": 0}\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"metadata.csv": CSV}, ["cat", "dog"]),
        ({"metadata.csv": b"\xef\xbb\xbffile_name,label\r\n0.png,1\r\n1.png,0\r\n"}, ["1", "0"]),
        ({"metadata.jsonl": JSONL}, ["1", "0"]),
    ],
)
@pytest.mark.parametrize("folder", ["", "train/"])
def test_tables_of_hugging_face(packed, files, expected, folder):
    dataset = packed({folder + name: content for name, content in {"0.png": PNG, "1.png": PNG, **files}.items()})
    assert classes(dataset) == expected
    assert all("columns that are not used: text" in note for note in notes(dataset))


def test_a_table_for_each_part(packed):
    dataset = packed({"train/0.png": PNG, "test/0.png": PNG, "train/metadata.csv": b"file_name,label\n0.png,a\n",
                      "test/metadata.csv": b"file_name,label\n0.png,b\n"})  # fmt: skip
    assert dict(zip(dataset.source.names, classes(dataset), strict=True)) == {"train/0.png": "a", "test/0.png": "b"}


def test_a_table_without_labels(packed):
    dataset = packed({"0.png": PNG, "metadata.jsonl": b'{"file_name": "0.png", "text": "a cat"}'})
    assert dataset.label_size == 0
    assert "gives no labels: it has no column label, but file_name, text" in notes(dataset)[0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.jsonl", b"{", "metadata.jsonl: damaged"),
        ("metadata.jsonl", b"[1]", "every line must be a JSON object"),
        ("metadata.jsonl", b"[" * 100_000, "metadata.jsonl: damaged"),
        ("metadata.csv", b"file_name,label\n\xff,1\n", "metadata.csv: damaged"),
        ("metadata.csv", b"file_name,label\n" + b"x" * 200_000, "metadata.csv: damaged"),
        ("metadata.csv", b"file_name,label\n1.png,1\n", "no label for '0.png'"),
        ("metadata.csv", b"file_name,label\n0.png,1\n0.png,2\n", "two different labels for 0.png"),
        ("metadata.jsonl", b'{"file_name": "0.png", "label": 1.5}', "whole number"),
    ],
)
def test_damaged_tables_are_refused_in_one_line(tmp_path, name, text, words):
    folder = write_folder(tmp_path / "set", {"0.png": PNG, name: text})
    assert words in refused(folder)
    assert opened(folder, labels="none").label_size == 0


NO_SETS = {
    "x.tfrecords": (b"x", "TFRecords"),
    "x.tfrecord-00000-of-00001": (b"x", "TFRecords"),
    "x.csv": (b"x", "a table"),
    "x.png": (PNG, "a single image: give the folder"),
    "x.rar": (b"Rar!", "unpack it"),
    "x.npz": (b"x", "write them as image files"),
    "x.mp4": (b"x", "a film"),
    "x.zip": (b"<!DOCTYPE html><html>", "a web page"),
    "x.tar": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "x": (b"hello", "a file of a kind that is not read"),
}


@pytest.mark.parametrize("name", NO_SETS)
def test_a_file_that_is_no_set_is_told_what_it_is(tmp_path, name):
    content, words = NO_SETS[name]
    (tmp_path / name).write_bytes(content)
    message = refused(tmp_path / name)
    assert words in message
    assert "pip install ganzoo" not in message


def test_a_folder_of_something_else_is_told_what_it_is(tmp_path):
    assert "a.zip is an archive" in refused(write_folder(tmp_path / "one", {"a.zip": b"", "b": b""}))
    assert "a.tfrecord is TFRecords" in refused(write_folder(tmp_path / "two", {"a.csv": b"", "a.tfrecord": b""}))
    assert "part1.zip is an archive" in refused(write_zip(tmp_path / "set.zip", {"part1.zip": b""}))
