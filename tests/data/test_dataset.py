from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ganzoo.errors import UserError

from .pictures import encode, opened, rainbow, table, write_folder


@pytest.fixture(params=[0, 100], ids=["streamed", "in memory"])
def dataset(request, folder):
    return opened(folder, memory_budget_mib=request.param)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_streamed_pictures_equal_those_in_memory(folder):
    indices = np.array([17, 3, 3, 0, 9, 8])
    streamed = opened(folder, memory_budget_mib=0, mirror=True)
    kept = opened(folder, mirror=True)
    assert streamed.in_memory is None
    assert equal(streamed.read(indices), kept.read(indices))
    assert streamed.fingerprint == kept.fingerprint


def test_batches_have_the_promised_types(dataset):
    batch = dataset.read([2, 0])
    assert batch["image"].shape == (2, 8, 8, 3)
    assert batch["image"].dtype == np.uint8
    assert batch["label"].shape == (2, 2)
    assert batch["label"].dtype == np.float32
    assert dataset.image_shape == (8, 8, 3)
    assert dataset.label_size == 2
    assert dataset.class_names == ("cat", "dog")


def test_an_empty_batch_keeps_its_shapes(dataset):
    batch = dataset.read([])
    assert batch["image"].shape == (0, 8, 8, 3)
    assert batch["label"].shape == (0, 2)


@pytest.mark.parametrize("indices", [[-1], [9], [0, 100]])
def test_indices_outside_are_refused(dataset, indices):
    with pytest.raises(IndexError, match="9 images"):
        dataset.read(indices)


def test_the_mirror_doubles_the_data_set(folder):
    plain, doubled = opened(folder), opened(folder, mirror=True)
    assert len(plain) == 9
    assert len(doubled) == 18
    first, second = doubled.read(np.arange(9)), doubled.read(np.arange(9, 18))
    assert equal(first, plain.read(np.arange(9)))
    assert np.array_equal(second["image"], first["image"][:, :, ::-1])
    assert np.array_equal(second["label"], first["label"])
    assert doubled.in_memory["image"].shape == (9, 8, 8, 3)
    assert equal(doubled.in_memory, plain.in_memory)


def test_a_mixed_batch_mirrors_only_what_it_should(folder):
    doubled = opened(folder, mirror=True)
    batch = doubled.read([12, 3, 3, 12])["image"]
    assert np.array_equal(batch[0], batch[1][:, ::-1])
    assert np.array_equal(batch[1], batch[2])
    assert not np.array_equal(batch[0], batch[1])


def test_batches_are_copies_and_the_memory_cannot_be_spoilt(folder):
    dataset = opened(folder)
    before = dataset.in_memory["image"].copy()
    dataset.read([0])["image"][:] = 0
    assert np.array_equal(dataset.in_memory["image"], before)
    with pytest.raises(ValueError, match="read-only"):
        dataset.in_memory["image"][0] = 0


def test_the_budget_counts_pixels_and_labels(tmp_path):
    names = [f"{i}.png" for i in range(4)]
    files = {name: encode(rainbow(16, 16)) for name in names}
    folder = write_folder(tmp_path / "set", files)
    exact = (256, 256, 4)  # 4 pictures of 0.25 MiB
    assert opened(folder, exact, memory_budget_mib=1).in_memory is not None
    (folder / "dataset.json").write_bytes(table([[name, 0] for name in names]))
    assert opened(folder, exact, memory_budget_mib=1).in_memory is None


def test_the_fingerprint_tells_data_sets_apart(tmp_path, folder, files):
    variants = [
        opened(folder),
        opened(folder, mirror=True),
        opened(folder, labels="none"),
        opened(folder, crop="none"),
        opened(folder, resize_filter="box"),
        opened(folder, (8, 9, 3)),
        opened("digits"),
    ]
    (folder / "dog" / "0.png").unlink()
    variants.append(opened(folder))
    assert len({dataset.fingerprint for dataset in variants}) == len(variants)
    elsewhere = write_folder(tmp_path / "elsewhere", files)
    assert opened(elsewhere).fingerprint == variants[0].fingerprint
    assert opened(elsewhere, memory_budget_mib=0, workers=3).fingerprint == variants[0].fingerprint


def test_a_description_says_what_matters(folder):
    text = opened(folder, (8, 16, 3), mirror=True, memory_budget_mib=0).describe()
    for words in (str(folder), "9 of 8 x 16 x 3", "18 images", "lanczos", "streamed", "2 classes", "cat", "4", "dog"):
        assert words in text
    assert "labels   none" in opened(folder, labels="none").describe()
    assert len(opened("digits").describe().splitlines()) < 20


def test_a_file_that_vanishes_is_named(folder):
    dataset = opened(folder, memory_budget_mib=0)
    (folder / "dog" / "4.JPG").unlink()
    with pytest.raises(UserError, match=r"dog/4\.JPG cannot be read any more"):
        dataset.read(np.arange(9))
    with pytest.raises(UserError, match=r"dog/4\.JPG cannot be read any more"):
        list(dataset.prefetch([np.arange(9)], 2))


@pytest.mark.parametrize("packing", ["folder", "archive"])
def test_many_threads_may_read(packing, request):
    path = request.getfixturevalue(packing)
    dataset = opened(path, memory_budget_mib=0, mirror=True)
    batches = [np.random.default_rng(i).integers(0, 18, 6) for i in range(60)]
    expected = [dataset.read(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        assert all(map(equal, pool.map(dataset.read, batches), expected))


@pytest.mark.parametrize("depth", [0, 1, 3, 50])
@pytest.mark.parametrize("workers", [1, 4])
def test_prefetched_batches_are_those_read_in_the_same_order(folder, depth, workers):
    for budget in (0, 100):
        dataset = opened(folder, memory_budget_mib=budget, workers=workers, mirror=True)
        batches = [np.random.default_rng(i).integers(0, 18, 1 + i % 7) for i in range(20)]
        assert all(map(equal, dataset.prefetch(batches, depth), map(dataset.read, batches)))
        assert list(dataset.prefetch([], depth)) == []
        (empty,) = dataset.prefetch([np.empty(0, np.int64)], depth)
        assert empty["image"].shape == (0, 8, 8, 3)
