import threading

import pytest

from ganzoo.data import DataConfig, open_dataset
from ganzoo.data import loading as loading_module
from ganzoo.data.images import Target, decode
from ganzoo.errors import UserError

from .pictures import encode, opened, rainbow, write_folder

GOOD = encode(rainbow(20, 20))
BAD = {"half.png": GOOD[:400], "text.png": b"text", "empty.jpg": b""}


@pytest.fixture
def mixed(tmp_path):
    return write_folder(tmp_path / "mixed", BAD | {f"{i}.png": GOOD for i in range(5)})


@pytest.fixture
def decoded(monkeypatch):
    """Counts the pictures that are decoded."""
    calls = []

    def counting(data, target):
        calls.append(threading.current_thread().name)
        return decode(data, target)

    monkeypatch.setattr("ganzoo.data.files.decode", counting)
    return calls


@pytest.mark.parametrize("budget", [0, 100])
def test_all_broken_pictures_are_listed_with_the_remedy(mixed, budget):
    for _ in range(2):  # the second time from what was remembered
        with pytest.raises(UserError) as caught:
            opened(mixed, memory_budget_mib=budget)
        message = str(caught.value)
        assert "3 of 8 images" in message
        assert "--on-bad-file skip" in message
        assert all(name in message for name in BAD)
        assert "truncated" in message


@pytest.mark.parametrize("budget", [0, 100])
def test_broken_pictures_can_be_skipped(mixed, budget):
    dataset = opened(mixed, on_bad_file="skip", memory_budget_mib=budget)
    assert len(dataset) == 5
    assert [name for name, _ in dataset.skipped] == sorted(BAD)
    assert (dataset.read([0, 4])["image"] == decode(GOOD, Target(8, 8, 3))).all()
    assert "skipped  3" in dataset.describe()


def test_labels_stay_with_their_pictures_when_some_are_skipped(tmp_path):
    files = {"a/0.png": b"", "a/1.png": GOOD, "b/2.png": GOOD, "c/3.png": b""}
    dataset = opened(write_folder(tmp_path / "set", files), on_bad_file="skip")
    assert dataset.read([0, 1])["label"].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert dataset.class_names == ("a", "b", "c")


def test_a_long_list_is_cut(tmp_path):
    folder = write_folder(tmp_path / "set", {f"{i:03}.png": b"" for i in range(150)})
    with pytest.raises(UserError, match=r"150 of 150 .* 000\.png .*; and 144 more$"):
        opened(folder, on_bad_file="skip")


def test_every_picture_is_decoded_just_once(mixed, decoded):
    dataset = opened(mixed, on_bad_file="skip")
    dataset.read([0, 1, 2])
    assert len(decoded) == 8


def test_a_check_is_remembered_until_a_file_changes(mixed, decoded):
    options = {"on_bad_file": "skip", "memory_budget_mib": 0}
    opened(mixed, **options)
    assert len(decoded) == 8
    assert len(opened(mixed, (5, 9, 1), mirror=True, **options).skipped) == 3
    assert len(decoded) == 8 + 3  # only the broken ones are tried again
    (mixed / "half.png").write_bytes(GOOD)
    assert len(opened(mixed, **options).skipped) == 2
    assert len(decoded) == 8 + 3 + 8


def test_a_picture_that_was_only_out_of_reach_comes_back(tmp_path):
    folder = write_folder(tmp_path / "set", {"a.png": GOOD, "b.png": GOOD})
    (folder / "c.png").symlink_to(tmp_path / "share")
    options = {"on_bad_file": "skip", "memory_budget_mib": 0}
    unreachable = opened(folder, **options)
    assert unreachable.skipped == (("c.png", "No such file or directory"),)
    (tmp_path / "share").write_bytes(GOOD)
    assert len(opened(folder, **options)) == 3


@pytest.mark.parametrize("content", ["", "{", "3", '["x"]', "[99]", "[-1]"])
def test_a_spoilt_answer_is_found_again(mixed, cache, content):
    options = {"on_bad_file": "skip", "memory_budget_mib": 0}
    opened(mixed, **options)
    (answer,) = cache.rglob("*.json")
    answer.write_text(content)
    assert len(opened(mixed, **options).skipped) == 3


def test_a_cache_that_cannot_be_written_is_no_error(mixed, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("GANZOO_CACHE", str(blocked))
    assert len(opened(mixed, on_bad_file="skip", memory_budget_mib=0)) == 5


def test_progress_is_told_in_the_calling_thread():
    told = []
    here = threading.get_ident()

    def progress(done, total):
        told.append((done, total, threading.get_ident() == here))

    open_dataset(DataConfig(workers=3), (8, 8, 1), progress)
    assert told[-1] == (1797, 1797, True)
    assert told == sorted(told)
    assert all(in_caller for *_, in_caller in told)


def test_an_interrupted_check_leaves_no_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(loading_module, "_BLOCK", 1)
    before = threading.active_count()

    def interrupt(done, total):
        raise KeyboardInterrupt

    folder = write_folder(tmp_path / "set", {f"{i}.png": GOOD for i in range(50)})
    with pytest.raises(KeyboardInterrupt):
        open_dataset(DataConfig(data=str(folder), workers=4), (8, 8, 3), interrupt)
    assert threading.active_count() == before


def test_threads_change_nothing(folder):
    one, many = (opened(folder, workers=workers).in_memory for workers in (1, 8))
    assert all((one[key] == many[key]).all() for key in one)
