"""The README says what is so: its example runs, its files are there, its commands are those of CI."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import tyro

from ganzoo.cli.tools import COMMANDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_library_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    example = next(text for text in examples if "ganzoo.create" in text)
    cache = str(jax.config.jax_compilation_cache_dir)
    env = {"PATH": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache}
    ended = subprocess.run([sys.executable, "-c", example], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) > 0


def test_its_commands_for_trained_models_can_be_typed() -> None:
    typed = [line.split()[3:] for line in re.findall(r"^uv run ganzoo .*$", TEXT, flags=re.M)]
    chosen = [args for args in typed if args[0] in COMMANDS]
    assert {args[0] for args in chosen} == set(COMMANDS)
    for name, *args in chosen:
        tyro.cli(COMMANDS[name], args=args, config=(tyro.conf.OmitArgPrefixes,))


def test_files_that_it_names_are_there() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(
        r"`((?:notebooks|experiments|tests|ganzoo)/[\w./]+)`", TEXT
    )
    assert len(linked) > 5
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_nothing_is_left_to_fill_in() -> None:
    for file in (ROOT / "README.md", *(ROOT / "experiments").glob("*.py")):
        assert not re.findall(r"^[A-Z]{4,}$|PRICE|TODO|FIXME", file.read_text(), flags=re.MULTILINE), file.name


def test_its_two_commands_are_those_that_ci_runs() -> None:
    assert "pip install uv && uv run ganzoo train dcgan-digits\n" in TEXT
    assert "pip install uv && uv run pytest\n" in TEXT
    assert "uv run pytest\n" in (ROOT / ".ci" / "run").read_text()
