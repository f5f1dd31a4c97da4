"""A short run of the fuzzer of ``experiments/fuzz.py``: whatever becomes of a file, it is read or refused by name."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

COUNT = 6
KINDS = ("pickle", "pickle-bytes", "torch", "legacy", "npz", "safetensors", "zip", "image", "labels", "config")


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return importlib.import_module("fuzz")


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused(
    kind: str, fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = [fuzz.examine(kind, 0, number) for number in range(COUNT)]
    assert any(message is not None for message in told)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pickle-bytes"])
def test_whole_files_are_read(kind: str, fuzz: ModuleType, tmp_path: Path) -> None:
    for number, files in enumerate(fuzz.seeds_of(kind)):
        folder = tmp_path / str(number)
        folder.mkdir()
        fuzz.written(files, folder)
        if (kind, number) != ("pickle", 2):  # a StyleGAN3, which is no model of the library
            fuzz.KINDS[kind].use(folder)


def test_an_input_is_the_same_whenever_it_is_drawn(fuzz: ModuleType) -> None:
    assert [fuzz.drawn(kind, 3, 7) for kind in KINDS] == [fuzz.drawn(kind, 3, 7) for kind in KINDS]
    assert fuzz.drawn("image", 3, 7) != fuzz.drawn("image", 3, 8)


def test_a_worker_examines_within_limits(fuzz: ModuleType) -> None:
    told = fuzz.examine("image", 0, 0)
    with fuzz.Worker() as worker:
        assert worker.examine("image", 0, 0) == {"message": told, "failure": ""}
