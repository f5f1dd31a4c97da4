"""Several data sets as one: their images in order, classes by name, and one line for what does not fit."""

import numpy as np
import pytest

from .pictures import encode, opened, rainbow, refused, table, write_folder, write_zip

PNG = [encode(rainbow(seed=i)) for i in range(6)]


@pytest.fixture
def parts(tmp_path):
    one = write_folder(tmp_path / "one", {"cat/0.png": PNG[0], "dog/1.png": PNG[1]})
    two = write_zip(tmp_path / "two.zip", {"ant/0.png": PNG[2], "cat/1.png": PNG[3], "cat/2.png": PNG[4]})
    return one, two


@pytest.mark.parametrize("budget", [0, 100])
def test_images_follow_each_other_and_classes_are_joined_by_name(parts, budget):
    dataset = opened(",".join(map(str, parts)), (12, 12, 3), memory_budget_mib=budget)
    batch = dataset.read(np.arange(5))
    assert np.array_equal(batch["image"], np.stack([np.asarray(rainbow(seed=i)) for i in range(5)]))
    assert dataset.class_names == ("ant", "cat", "dog")
    assert batch["label"].argmax(1).tolist() == [1, 2, 0, 1, 1]
    assert str(parts[0]) in dataset.name
    assert str(parts[1]) in dataset.name


def test_numbered_classes_stay_in_the_order_of_numbers(tmp_path):
    files = [{f"{i}.png": PNG[0], "dataset.json": table([[f"{i}.png", number]])} for i, number in enumerate((2, 11))]
    folders = [write_folder(tmp_path / str(i), each) for i, each in enumerate(files)]
    dataset = opened(", ".join(map(str, folders)))
    assert dataset.class_names == tuple(map(str, range(12)))
    assert dataset.read([0, 1])["label"].argmax(1).tolist() == [2, 11]


def test_a_part_without_labels_takes_those_of_all(parts, tmp_path):
    plain = write_folder(tmp_path / "plain", {"a.png": PNG[5]})
    dataset = opened(f"{parts[0]},{plain}")
    assert dataset.label_size == 0
    with pytest.raises(ValueError, match=r"no labels for all: .*plain"):
        dataset.check_labels(2)


def test_vectors_of_one_length_are_joined(tmp_path):
    def folder(name, vector):
        return write_folder(tmp_path / name, {"a.png": PNG[0], "dataset.json": table([["a.png", vector]])})

    joined = opened(f"{folder('a', [1, 2])},{folder('b', [3, 4])}")
    assert joined.read([0, 1])["label"].tolist() == [[1, 2], [3, 4]]
    assert opened(f"{folder('c', [1, 2])},{folder('d', [3])}").label_size == 0
    assert opened(f"{folder('e', [1, 2])},{folder('f', 1)}").label_size == 0


def test_a_path_with_a_comma_is_one_path(tmp_path):
    assert len(opened(write_folder(tmp_path / "a,b", {"a.png": PNG[0]}))) == 1


def test_the_part_that_is_wrong_is_named(parts):
    assert "no data set 'nowhere'" in refused(f"{parts[0]},nowhere")
    assert "no data set" in refused(",")


def test_a_broken_image_is_named_with_its_part(parts):
    (parts[0] / "cat" / "0.png").write_bytes(b"")
    assert "one (folder): cat/0.png (not a PNG" in refused(",".join(map(str, parts)))
