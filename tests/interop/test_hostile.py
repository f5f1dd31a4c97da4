"""Files that are out for harm are refused in one line that names what was refused; nothing of them is executed."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import heavy
import hostile
import numpy as np
import pickles
import pytest

from ganzoo import interop
from ganzoo.errors import UserError
from ganzoo.interop.families import rosinality, stylegan2

FILES = {**hostile.files(), **heavy.files()}
FOREIGN = pickles.GOLDEN.parent / "foreign"
SECONDS, MEMORY = 1.0, 200 * 2**20


@pytest.mark.parametrize("name", FILES)
def test_refused_in_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, word = FILES[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(UserError) as refused:
        interop.read(path)
    assert time.process_time() - start < SECONDS
    line = str(refused.value)
    assert line.isprintable()
    assert line.startswith(f"{path}")
    assert word in line
    assert list(tmp_path.iterdir()) == [path]


def test_enough_of_them() -> None:
    assert len(FILES) >= 30


def test_none_takes_much_memory(tmp_path: Path) -> None:
    """In a process of its own, whose peak tells."""
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_bytes(content)
    code = f"""
import resource
from pathlib import Path
from ganzoo import UserError, interop
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for path in Path({str(tmp_path)!r}).iterdir():
    try:
        interop.read(path)
    except UserError:
        pass
print(peak() - before)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(ended.stdout) * 1024 < MEMORY
    assert not (tmp_path / hostile.CANARY).exists()


def test_the_files_would_do_harm_elsewhere(tmp_path: Path) -> None:
    """The canary is no empty threat: Python's own reader makes it."""
    code = f"import pickle; pickle.loads({FILES['os-system'][0]!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / hostile.CANARY).exists()


def test_source_in_a_pickle_that_is_read_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pkl"
    path.write_bytes(hostile.module("w", hostile.numpy_array("f4", hostile.shape(1), hostile.raw(bytes(4)))))
    assert interop.read(path).networks["G_ema"].arrays["w"].tolist() == [0]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_told_of_a_file_is_short_and_printable(tmp_path: Path) -> None:
    """Facts and settings come from the file: of any shape, endless, or with control characters in them."""
    array = hostile.numpy_array("f4", hostile.shape(1), hostile.raw(bytes(4)))
    endless = b"]\x94h\x00a"
    for settings in (
        b"]",
        endless,
        hostile.text("\x1b[2J\n" * 10_000),
        hostile.dictionary(**{"\n": hostile.number(1)}),
    ):
        state = hostile.dictionary(_parameters=hostile.dictionary(w=array), _init_kwargs=settings)
        snapshot = hostile.dictionary(G_ema=hostile.persistent(state), facts=hostile.text("\n\x07"))
        (tmp_path / "file.pkl").write_bytes(hostile.program(snapshot))
        lines = interop.describe(interop.read(tmp_path / "file.pkl"))
        assert all(line.isprintable() and len(line) < 400 for line in lines)


def test_arrays_without_elements_stay_small(tmp_path: Path) -> None:
    fact = hostile.numpy_array("f4", hostile.shape(2**30, 0), hostile.raw(b""))
    (tmp_path / "file.pkl").write_bytes(hostile.program(hostile.dictionary(w=heavy.ARRAY, f=b"]" + fact + b"a")))
    assert interop.read(tmp_path / "file.pkl").facts == {"f": ["<float32 (1073741824, 0)>"]}


@pytest.mark.parametrize("kind", ["<U4", "<c8", "?"])
def test_arrays_of_no_numbers_are_listed_and_are_no_weights(kind: str, tmp_path: Path) -> None:
    contents = interop.read(FOREIGN / "netG_epoch_1.pth")
    arrays = dict(contents.networks["G_ema"].arrays)
    arrays["main.0.weight"] = arrays["main.0.weight"].astype(kind)
    np.savez(tmp_path / "x.npz", **arrays)
    found = interop.read(tmp_path / "x.npz")
    assert any(f"main.0.weight  {np.dtype(kind)}" in line for line in interop.list_arrays(found))
    assert any("cannot be loaded" in line and "no type of weights" in line for line in interop.describe(found))


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    for path in (tmp_path / "pipe.pkl", Path("/dev/zero")):
        with pytest.raises(UserError, match="no regular file"):
            interop.read(path)


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (200, 200), (1, 2, 3)])
@pytest.mark.parametrize("family", [rosinality, stylegan2])
def test_filters_of_many_taps_are_refused(family: ModuleType, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Their outer product would have the square of that."""
    path, network, name = pickles.written("sg2_uncond", tmp_path), "G_ema", "synthesis.b8.conv0.resample_filter"
    if family is rosinality:
        path, network, name = FOREIGN / "rosinality.pt", "g", "convs.0.conv.blur.kernel"
    found = interop.read(path).networks[network]
    assert name in found.arrays
    arrays = {**found.arrays, name: np.ones(shape, np.float32)}
    with pytest.raises(UserError, match="must be a filter of at most"):
        family.generator(replace(found, arrays=arrays))
