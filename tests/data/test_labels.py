import json

import numpy as np
import pytest

from ganzoo.data.labels import from_folders, from_json, of_classes
from ganzoo.errors import UserError

from .pictures import table

NAMES = ["a.png", "b/c.png", "d.png"]


def parsed(labels):
    return from_json(table(labels), NAMES, "set/dataset.json")


def test_class_numbers_become_one_hot_rows_of_all_classes():
    labels = parsed([["d.png", 3], ["a.png", 0], ["b/c.png", 1]])
    assert labels.size == 4
    assert labels.class_names == ("0", "1", "2", "3")
    rows = labels.rows(np.array([2, 0, 1, 2]))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_vectors_are_taken_as_they_are():
    labels = parsed([["d.png", [1, 2.5]], ["a.png", [-1, 0]], ["b/c.png", [0, 1e-3]]])
    assert labels.size == 2
    assert labels.class_names == ()
    assert labels.lines() == []
    assert np.array_equal(labels.rows(np.array([2, 1])), np.array([[1, 2.5], [0, 1e-3]], np.float32))


def test_null_is_no_labels():
    assert parsed(None) is None


def test_entries_of_other_pictures_are_ignored_and_backslashes_are_slashes():
    labels = parsed([["x.png", 9], ["a.png", 0], ["b\\c.png", 1], ["d.png", 0], ["d.png", 0]])
    assert labels.values.tolist() == [0, 1, 0]
    assert labels.size == 2


GOOD = [["a.png", 0], ["b/c.png", 1]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (GOOD, ["'d.png'", "--labels none"]),
        ([], ["'a.png'", "2 others"]),
        ([*GOOD, ["d.png", [1, 0]]], ["'d.png'", "'a.png'", "one kind"]),
        ([["a.png", [1]], ["b/c.png", 1], ["d.png", [1]]], ["'b/c.png'", "one kind"]),
        ([*GOOD, ["d.png", -1]], ["'d.png'", "-1", "whole number"]),
        ([*GOOD, ["d.png", 1.0]], ["'d.png'", "1.0", "whole number"]),
        ([*GOOD, ["d.png", True]], ["'d.png'", "True"]),
        ([*GOOD, ["d.png", "cat"]], ["'d.png'", "'cat'"]),
        ([*GOOD, ["d.png", None]], ["'d.png'", "None"]),
        ([*GOOD, ["d.png", 10**9]], ["'d.png'", "65,535"]),
        ([*GOOD, ["d.png", 1], ["d.png", 2]], ["'d.png'", "two different"]),
        ([["a.png", [1, 2]], ["b/c.png", [1]], ["d.png", [1, 2]]], ["'b/c.png'", "one length"]),
        ([["a.png", []], ["b/c.png", []], ["d.png", []]], ["'a.png'", "length >= 1"]),
        ([["a.png", [1]], ["b/c.png", [float("nan")]], ["d.png", [1]]], ["'b/c.png'", "finite"]),
        ([["a.png", [1]], ["b/c.png", [10**400]], ["d.png", [1]]], ["'b/c.png'", "finite"]),
        ([["a.png", [1]], ["b/c.png", ["x"]], ["d.png", [1]]], ["'b/c.png'", "finite"]),
        ([["a.png"]], ["entry 0", "pair"]),
        ([*GOOD, "d.png"], ["entry 2", "pair"]),
        ({"a.png": 1}, ["list", "pairs"]),
    ],
)
def test_wrong_labels_are_named_with_the_file(labels, words):
    with pytest.raises(UserError) as caught:
        parsed(labels)
    message = str(caught.value)
    assert message.startswith("set/dataset.json: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_broken_json_is_named(text):
    with pytest.raises(UserError, match=r"^set/dataset\.json: not valid JSON"):
        from_json(text, NAMES, "set/dataset.json")


@pytest.mark.parametrize("content", [[], {}, {"label": []}, 3])
def test_json_without_labels_is_named(content):
    with pytest.raises(UserError, match='no "labels" entry'):
        from_json(json.dumps(content).encode(), NAMES, "set/dataset.json")


def test_folders_are_classes_in_sorted_order():
    labels, notes = from_folders(["dog/1.png", "cat/1.png", "cat/deep/2.png", "ant/3.png"])
    assert labels is not None
    assert notes == []
    assert labels.class_names == ("ant", "cat", "dog")
    assert labels.values.tolist() == [2, 1, 1, 0]


@pytest.mark.parametrize("names", [["a.png"], ["cat/a.png", "b.png"], ["cat/a.png", "cat/b.png"]])
def test_loose_pictures_or_a_single_folder_have_no_classes(names):
    assert from_folders(names)[0] is None


def test_many_classes_are_counted_in_few_lines():
    labels = of_classes(list(range(1000)) + [5] * 41, [f"class {i}" for i in range(1000)])
    lines = labels.lines()
    assert len(lines) == 11
    assert "42" in lines[5]
    assert lines[-1] == "and 990 more classes of 1 to 1 images"
    assert len(of_classes(range(11), [str(i) for i in range(11)]).lines()) == 11


def test_classes_without_images_are_said_and_not_listed():
    labels = of_classes([1, 3, 3], ["a", "b", "c", "d"])
    assert labels.present().tolist() == [1, 3]
    assert [line.split() for line in labels.lines()] == [["b", "1"], ["d", "2"]]
    assert labels.gaps() == ["2 of 4 classes have no images and are never drawn in samples: a, c"]
    assert of_classes([0, 1], "ab").gaps() == []
