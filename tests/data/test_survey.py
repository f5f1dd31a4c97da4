"""What is said of a data set before training: what was found, what becomes of it, and what the model needs."""

import pytest

from ganzoo.data import DataConfig, Found, inspect
from ganzoo.data.images import Look
from ganzoo.errors import UserError
from ganzoo.nn.pyramid import pyramid

from .pictures import encode, opened, rainbow, refused, table, write_folder


@pytest.fixture
def classes(tmp_path):
    """Grey images of 64 x 48 pixels in three classes."""
    return write_folder(tmp_path / "set", {f"{name}/0.png": encode(rainbow(64, 48, 1)) for name in "abc"})


@pytest.mark.parametrize(
    ("label_size", "words"),
    [
        (0, "trained as 16 x 16 RGB without labels (--label-size 3 to use them)"),
        (3, "trained as 16 x 16 RGB with labels"),
        (None, "read as 16 x 16 RGB"),
    ],
)
def test_the_table_says_what_becomes_of_the_data(classes, label_size, words):
    text = opened(classes, (16, 16, 3)).describe(label_size)
    assert f"found    64 x 48 grey, 3 classes -> {words}" in text.splitlines()


def test_images_of_several_kinds(tmp_path):
    files = {"a.png": encode(rainbow(8, 8, 1)), "b.jpg": encode(rainbow(20, 30), "JPEG"), "c.png": b"broken"}
    dataset = opened(write_folder(tmp_path / "set", files), on_bad_file="skip")
    assert "found    8 x 8 to 20 x 30 grey and RGB, no labels -> trained as 8 x 8 RGB without labels" in (
        dataset.describe(0)
    )


@pytest.mark.parametrize("labels", ["auto", "none"])
def test_labels_that_do_not_fit_have_the_right_remedy(classes, labels):
    dataset = opened(classes, labels=labels)
    dataset.check_labels(0)
    with pytest.raises(UserError) as caught:
        dataset.check_labels(7)
    words = {"auto": "set --label-size 3", "none": "leave out --labels none"}[labels]
    assert words in str(caught.value)
    if labels == "auto":
        dataset.check_labels(3)


def test_labels_that_are_null(tmp_path):
    folder = write_folder(tmp_path / "set", {"a.png": encode(rainbow()), "dataset.json": table(None)})
    with pytest.raises(UserError, match=r'dataset\.json says "labels": null'):
        opened(folder).check_labels(2)


def test_a_data_set_is_inspected_without_decoding_it(classes):
    found = inspect(DataConfig(data=str(classes)))
    assert (found.count, found.size, found.channels, found.label_size) == (3, (64, 48), 1, 3)
    assert found.side == 32
    assert str(found) == "64 x 48 grey, 3 classes"
    digits = inspect(DataConfig())
    assert (digits.count, digits.size, digits.channels, digits.label_size) == (1797, (8, 8), 1, 10)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((64, 64), 64), ((28, 28), 28), ((64, 48), (64, 48)), ((8, 8), 8), ((100, 100), 64), ((250, 180), 128),
     ((3, 3), 4), ((96, 160), (96, 160)), ((1024, 1024), 1024), ((17, 17), 16)],
)  # fmt: skip
def test_a_size_to_train_at_is_one_that_models_take(size, expected):
    found = Found(1, (Look(*size, 3),), 0, is_classes=False)
    assert found.image_size == expected
    assert pyramid(found.image_size, 64, 8)


def test_sizes_that_differ_have_none_in_common(tmp_path):
    sizes = [(100, 140), (130, 260), (70, 300)]
    files = {f"{i}.png": encode(rainbow(*size, 4)) for i, size in enumerate(sizes)}
    found = inspect(DataConfig(data=str(write_folder(tmp_path / "set", files))))
    assert (found.size, found.side, found.channels) == (None, 64, 3)


def test_a_limit_of_pixels_is_a_field(tmp_path):
    folder = write_folder(tmp_path / "set", {"a.png": encode(rainbow(40, 50)), "b.png": encode(rainbow())})
    message = refused(folder, max_pixels=1999)
    assert "raise --max-pixels" in message
    assert "repair" not in message
    assert "a.png (50 x 40 = 2,000 pixels, more than --max-pixels 1999)" in message
    assert len(opened(folder, max_pixels=2000)) == 2
    assert opened(folder, max_pixels=1999, on_bad_file="skip").fingerprint != opened(folder).fingerprint
    assert opened(folder, max_pixels=2000).fingerprint == opened(folder).fingerprint


def test_lines_fit_a_terminal_of_80_columns(tmp_path):
    files = {f"{name}/{i}.png": encode(rainbow()) for i in range(2) for name in ("x" * 80, "y\x1b" * 40)}
    others = {f"{'z' * 30}{i}.txt": b"" for i in range(30)}
    lines = opened(write_folder(tmp_path / "set", files | others)).describe(0).splitlines()
    notes = lines[next(i for i, line in enumerate(lines) if line.startswith("note")) :]
    assert max(map(len, notes)) <= 80
    assert all(line.isprintable() for line in lines)
