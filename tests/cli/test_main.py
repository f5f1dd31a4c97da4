"""The command by itself: help, version and unknown commands, answered without importing anything heavy."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

import ganzoo
from ganzoo.cli import RUNS, TOOLS, main, process, train
from ganzoo.cli.tools import COMMANDS


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
    assert {typed.split()[0] for typed in RUNS} == {"evaluate", *train.COMMANDS}
    assert {typed.split()[0] for typed in TOOLS} == set(COMMANDS)


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
