"""Large files are whole or absent, whoever is stopped, and are written by one process at a time."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ganzoo.disk import large
from ganzoo.disk.large import replacing, require_room
from ganzoo.errors import UserError


def ignored(written: int) -> None:
    raise AssertionError("nobody else writes")


def test_the_file_takes_its_place_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path, ignored) as file:
        file.write(2, b"cd")
        file.write(0, b"ab")
        assert path.read_text() == "old"
        file.finish()
    assert path.read_text() == "abcd"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_where_it_is_stopped(error: type[BaseException], tmp_path: Path) -> None:
    def stopped() -> None:
        with replacing(tmp_path / "a", ignored) as file:
            file.write(0, b"half")
            raise error

    with pytest.raises(error):
        stopped()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_begun_anew(tmp_path: Path) -> None:
    program = """if True:
        import sys, pathlib
        from ganzoo.disk.large import replacing
        with replacing(pathlib.Path(sys.argv[1]), print) as file:
            file.write(0, b"half and more")
            print("written", flush=True)
            sys.stdin.read()
    """
    path = tmp_path / "a"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, str(path)], **pipes) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    assert [file.name for file in tmp_path.iterdir()] == ["a.part"]
    with replacing(path, ignored) as file:
        file.write(0, b"new")
        file.finish()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a": b"new"}


@pytest.mark.parametrize("finishes", [True, False])
def test_a_second_writer_waits_for_the_first(finishes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "_PAUSE", 0.01)
    path, seen, found = tmp_path / "a", [], []
    has_waited = threading.Event()

    def waiting(written: int) -> None:
        seen.append(written)
        has_waited.set()

    def second() -> None:
        with replacing(path, waiting) as file:
            found.append(path.exists())
            file.write(0, b"second")
            file.finish()

    with replacing(path, ignored) as file:
        file.write(0, b"first")
        other = threading.Thread(target=second)
        other.start()
        assert has_waited.wait(60)
        if finishes:
            file.finish()
    other.join()
    assert set(seen) == {5}
    assert found == [finishes]
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.part").symlink_to("profile")
    with pytest.raises(UserError, match=r"a cannot be written: it is a link"), replacing(tmp_path / "a", ignored):
        pass
    with pytest.raises(UserError, match="there is no folder"), replacing(tmp_path / "no" / "a", ignored):
        pass
    with pytest.raises(UserError, match=r"GiB are needed, .* GiB are free"):
        require_room(tmp_path, 2**70)
    assert not (tmp_path / "profile").exists()
