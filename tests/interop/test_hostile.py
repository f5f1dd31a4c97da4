"""Files that are out for harm are refused in one line that names what was refused; nothing of them is executed."""

import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import hostile
import pickles
import pytest

from ganzoo import interop
from ganzoo.errors import UserError

FILES = hostile.files()
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


@pytest.mark.parametrize("name", ["sg2_legacy_tf", "sg3_r", "torch"])
def test_mutated_files_are_read_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of a byte: an error of ours or a result, and in neither case anything beside the file."""
    monkeypatch.chdir(tmp_path)
    whole = hostile.archive(hostile.zip_storage(4, hostile.shape(2, 2), hostile.shape(2, 1)), _0=bytes(16))
    whole = whole if name == "torch" else pickles.content(name)
    draws, path, before = random.Random(name), tmp_path / "file.pkl", _peak()
    refused = 0
    for _ in range(300 if name == "torch" else 60):
        path.write_bytes(mutated(whole, draws))
        try:
            lines = interop.describe(interop.read(path))
        except UserError as error:
            refused, lines = refused + 1, [str(error)]
        assert all(line.isprintable() for line in lines)
    assert refused > 10
    assert list(tmp_path.iterdir()) == [path]
    assert _peak() - before < MEMORY


def mutated(content: bytes, draws: random.Random) -> bytes:
    """With one to four bytes changed, a stretch left out, or a stretch doubled; mostly near the start."""
    result = bytearray(content)
    reach = len(result) if draws.random() < 0.5 else min(4096, len(result))
    for _ in range(draws.randint(1, 4)):
        at, kind = draws.randrange(reach), draws.random()
        if kind < 0.7:
            result[at] = draws.randrange(256)
        elif kind < 0.85:
            del result[at : at + draws.randint(1, 64)]
        else:
            result[at:at] = result[at : at + draws.randint(1, 64)]
        reach = min(reach, len(result))
    return bytes(result)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
