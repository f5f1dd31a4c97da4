"""Three grey images in the channels of one: which, of what class, always the same, and what cannot be stacked."""

import jax
import numpy as np
import pytest

from ganzoo.data import DataConfig, inspect
from ganzoo.data.feed import Feed
from ganzoo.data.stacked import COUNT
from ganzoo.training.parallel import data_mesh

from .pictures import encode, flat, opened, rainbow, refused, table, write_folder, write_zip

SOME = np.array([0, 1, 77, 64_000, COUNT - 1])


@pytest.fixture(scope="module")
def digits():
    return opened("stacked-digits", (32, 32, 3))


def greys(classes=3, each=2):
    return {f"{c}/{i}.png": encode(rainbow(10, 10, 1, seed=9 * c + i)) for c in range(classes) for i in range(each)}


def test_there_are_as_many_as_in_the_literature_and_all_thousand_classes(digits):
    assert len(digits) == COUNT == 128_000
    assert digits.image_shape == (32, 32, 3)
    assert digits.label_size == len(digits.present_classes) == 1000
    assert digits.class_names[407] == "407"
    assert digits.in_memory is None  # only the grey images are kept
    assert len(digits.describe().splitlines()) < 20


def test_each_channel_is_a_digit_and_the_class_says_which(digits):
    grey = opened("digits", (32, 32, 1)).in_memory
    known = {image.tobytes(): label.argmax() for image, label in zip(grey["image"], grey["label"], strict=True)}
    batch = digits.read(SOME)
    places = [[known[image[..., c].tobytes()] for c in range(3)] for image in batch["image"]]
    assert batch["label"].argmax(1).tolist() == [100 * a + 10 * b + c for a, b, c in places]
    assert digits.stack.modes[SOME].tolist() == batch["label"].argmax(1).tolist()
    assert len(np.unique(places)) > 3


def test_the_set_follows_from_its_seed(digits):
    again, other = (opened("stacked-digits", (32, 32, 3), stack_seed=seed) for seed in (0, 1))
    assert digits.fingerprint == again.fingerprint != other.fingerprint
    assert np.array_equal(digits.read(SOME)["image"], again.read(SOME)["image"])
    assert not np.array_equal(digits.read(SOME)["image"], other.read(SOME)["image"])


def test_a_run_that_goes_on_meets_the_images_that_it_would_have_met(digits):
    feed = Feed(digits, seed=3, mesh=data_mesh(1))
    whole, rest = (
        [jax.device_get(p) for _, p in feed.payloads(start, 4, 1, batch_size=8, images=8 * start)] for start in (0, 2)
    )
    for mine, theirs in zip(whole[2:], rest, strict=True):
        assert mine["image"].shape == (1, 8, 32, 32, 3)
        assert all(np.array_equal(mine[name], theirs[name]) for name in ("image", "label"))


def test_mirroring_and_no_labels_are_as_for_other_sets(digits):
    mirrored = opened("stacked-digits", (32, 32, 3), mirror=True, labels="none")
    assert len(mirrored) == 2 * COUNT
    assert "leave out --labels none" in mirrored.source.why_unlabelled
    batch = mirrored.read(np.array([5, 5 + COUNT]))
    assert set(batch) == {"image"}
    assert np.array_equal(batch["image"][1], batch["image"][0, :, ::-1])
    assert np.array_equal(mirrored.stack.modes, digits.stack.modes)


def test_what_is_found_is_known_before_anything_is_decoded(digits):
    assert inspect(DataConfig(data="stacked-digits")) == digits.found
    assert str(digits.found) == "32 x 32 RGB, 1,000 classes"
    assert digits.found.image_size == 32
    assert inspect(DataConfig(data="stacked-digits", labels="none")).label_size == 0


@pytest.mark.parametrize("write", [write_folder, write_zip])
def test_any_labelled_grey_set_can_be_stacked(tmp_path, write):
    path = write(tmp_path / "set.zip", greys(classes=3))
    stacked, grey = opened(f"stacked:{path}", (10, 10, 3)), opened(path, (10, 10, 1))
    assert stacked.label_size == len(stacked.present_classes) == 27
    assert stacked.class_names[5] == "012"
    known = {image.tobytes(): label.argmax() for image, label in zip(*grey.in_memory.values(), strict=True)}
    batch = stacked.read(SOME)
    places = np.array([[known[image[..., c].tobytes()] for c in range(3)] for image in batch["image"]])
    assert batch["label"].argmax(1).tolist() == (places @ [9, 3, 1]).tolist()
    streamed = opened(f"stacked:{path}", (10, 10, 3), memory_budget_mib=0)
    assert np.array_equal(streamed.read(SOME)["image"], batch["image"])


def test_names_of_classes_are_told_apart(tmp_path):
    files = {name.replace("/", "x/"): content for name, content in greys(classes=2).items()}
    assert opened(f"stacked:{write_folder(tmp_path / 'a', files)}").class_names[1] == "0x/0x/1x"


def test_broken_images_are_reported_or_are_in_no_stack(tmp_path):
    folder = write_folder(tmp_path / "set", greys() | {"2/broken.png": b"no image"})
    assert "1 of 7 images cannot be decoded" in refused(f"stacked:{folder}")
    skipped = opened(f"stacked:{folder}", on_bad_file="skip")
    assert len(skipped) == COUNT
    assert "images that cannot be decoded, and so are in no stack: 1" in skipped.describe()


REFUSED = {
    "colours": (
        {"a/0.png": encode(rainbow()), "b/1.png": encode(rainbow(seed=1))},
        "are made of grey images, and some of",
    ),
    "no labels": ({"0.png": encode(flat(0, "L"))}, "has no labels"),
    "vectors": ({"0.png": encode(flat(0, "L")), "dataset.json": table([["0.png", [1, 2]]])}, "has no classes"),
    "many": ({"0.png": encode(flat(0, "L")), "dataset.json": table([["0.png", 40]])}, "at most 40"),
    "one in colour": (
        greys(2, 40) | {"0/11x.png": encode(rainbow(channels=3))},  # the fifth, which is not among those looked at
        "1 of 81 images cannot be decoded; repair or remove them, or pass --on-bad-file skip: 0/11x.png (not grey",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_sets_are_refused_in_one_line(tmp_path, name):
    files, why = REFUSED[name]
    folder = write_folder(tmp_path / "set", files)
    assert why in refused(f"stacked:{folder}")


@pytest.mark.parametrize(
    ("data", "options", "why"),
    [
        ("stacked-digits", {"shape": (32, 32, 1)}, "3 channels, not 1; take a model with --channels 3"),
        ("stacked-digits,digits", {}, "neither joined with others nor stacked again"),
        ("stacked:stacked-digits", {}, "neither joined with others nor stacked again"),
        ("stacked:", {}, "which set? write stacked:NAME"),
        ("stacked:nowhere", {}, "no data set 'nowhere'"),
        ("digits", {"stack_seed": 1}, "stack_seed = 1: must be left out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(data, options, why):
    assert why in refused(data, **options)
