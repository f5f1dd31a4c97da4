"""The command by itself: help, version and unknown commands, answered without importing anything heavy."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import pytest

import ganzoo
from ganzoo.cli import RUNS, TOOLS, main, process, train, usage
from ganzoo.cli.progress import bar
from ganzoo.cli.tools import COMMANDS

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize(("typed", "code"), [("--help", 0), ("-h", 0), ("", 2), ("--version", 0), ("trian", 2)])
def test_quick_answers(typed: str, code: int) -> None:
    """In a process of its own, with the time that it takes on a processor."""
    program = f"""if True:
        import sys, time
        from ganzoo.cli import main
        code = main({typed.split()!r})
        heavy = [name for name in ("jax", "tyro", "numpy", "flax", "rich") if name in sys.modules]
        print((code, heavy, time.process_time() < 0.5), file=sys.stderr)
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == f"({code}, [], True)"


def test_help_fits_100_columns(capsys: pytest.CaptureFixture) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"ganzoo {ganzoo.__version__}")
    assert max(map(len, lines)) <= 100


def test_help_names_every_command() -> None:
    assert {typed.split()[0] for typed in RUNS} == {"evaluate", "pack", "plan", "report", *train.COMMANDS}
    assert {typed.split()[0] for typed in TOOLS} == {"explore", *COMMANDS}


def test_exit_codes(capsys: pytest.CaptureFixture) -> None:
    def raising(error: BaseException) -> int:
        def command() -> None:
            raise error

        return process.guarded(command)

    assert process.guarded(lambda: None) == 0
    assert raising(ganzoo.UserError("seeds = 'a'")) == 2
    assert raising(KeyboardInterrupt()) == 130
    assert raising(SystemExit(3)) == 3
    assert raising(OSError(28, "No space left on device")) == 2
    assert raising(PermissionError(13, "Permission denied", "a\nb")) == 2
    assert capsys.readouterr().err.splitlines() == [
        "ganzoo: error: seeds = 'a'",
        "ganzoo: stopped",
        "ganzoo: error: No space left on device",
        "ganzoo: error: a\\nb: Permission denied",
    ]


def test_what_ctrl_c_becomes_is_an_interruption(capsys: pytest.CaptureFixture) -> None:
    """Also where other code makes another error of it; afterwards the process has no handler of ours."""

    def turned() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as stop:
            raise ImportError("partially initialised module") from stop

    for command in (lambda: signal.raise_signal(signal.SIGINT), turned):
        assert process.guarded(command) == 130
        assert capsys.readouterr().err == "ganzoo: stopped\n"
        assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_DFL
    assert process.guarded(lambda: None) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_ends_the_process_at_once() -> None:
    """Whatever other threads do, such as compiling, which crashes where Python is taken down meanwhile."""
    program = """if True:
        import signal, threading, time
        from ganzoo.cli.process import guarded
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("before")
        threading.Thread(target=time.sleep, args=(600,)).start()
        guarded(lambda: signal.raise_signal(signal.SIGINT), is_last=True)
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "before\n", "ganzoo: stopped\n")


def test_no_memory_and_no_reader_are_one_line_or_none(capsys: pytest.CaptureFixture) -> None:
    def raising(error: BaseException) -> int:
        def command() -> None:
            raise error

        return process.guarded(command)

    assert raising(MemoryError()) == 2
    assert raising(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nand more")) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("ganzoo: error: there is not enough memory; make fewer images at once (--batch")
    assert raising(SystemExit("a text")) == 1
    with pytest.raises(RuntimeError, match="a bug"):
        raising(RuntimeError("a bug"))


def test_off_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(process.guarded, lambda: None).result() == 0
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_help_fits_the_terminal(columns: int) -> None:
    assert max(map(len, usage(columns).splitlines())) <= columns


def test_a_real_terminal_of_60_columns(tmp_path: Path) -> None:
    """A bar that fits, and one line after Ctrl-C."""
    pty = pytest.importorskip("pty", reason="only on POSIX")
    import fcntl
    import struct
    import termios

    program = "import sys; from cli.test_main import on_terminal; sys.exit(on_terminal())"
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    places = {"COLUMNS": "60", "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | places
    ) as process:
        os.close(theirs)
        shown, is_asked = b"", False
        with contextlib.suppress(OSError):  # of the end
            while part := os.read(ours, 65536):
                shown += part
                if not is_asked and b"left" in shown:
                    is_asked = True
                    process.send_signal(signal.SIGINT)
        code = process.wait()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode().replace("\x1b[2K", "\n"))
    lines = [line for part in text.replace("^C", "").splitlines() for line in re.split(r"\r|(?=sampling)", part)]
    assert code == 130
    assert lines[-1] == "ganzoo: stopped"
    assert "Traceback" not in text
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("sampling") for line in lines)


def on_terminal() -> int:
    """Show a bar until Ctrl-C."""

    def command() -> None:
        with bar("sampling") as show:
            for done in range(100_000):
                show(done, 100_000)
                time.sleep(0.01)

    return process.guarded(command, is_last=True)


def test_without_a_home_nothing_is_kept(monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "~nobody-of-that-name")
    before = jax.config.jax_compilation_cache_dir
    process.cache_compilations()
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_is_full() -> None:
    with Path("/dev/full").open("w") as full:
        program = "import sys; from ganzoo.cli import main; sys.exit(main(['--version']))"
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "ganzoo: error: No space left on device\n"
    assert ended.returncode == 2
