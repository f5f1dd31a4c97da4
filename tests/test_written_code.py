"""Code in the README, in the pages of the documentation and in docstrings: commands parse, and Python runs."""

import argparse
import contextlib
import importlib
import io
import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from example_names import run
from written_code import ROOT, TEXTS, Block, Command, commands, docstring_blocks, markdown_blocks

from ganzoo.cli import evaluate, pack, usage
from ganzoo.cli.parsing import parse
from ganzoo.cli.plan import Plan, train_options
from ganzoo.cli.tools import COMMANDS
from ganzoo.cli.train import ListModels, configured
from ganzoo.errors import UserError
from ganzoo.forecast.topologies import parse_topology
from ganzoo.runs.config import find_experiment

OWN_MODEL = "from ganzoo.models.dcgan import MODEL\n"
VARIABLES = {"$RESUME": "--resume"}
"""Words that stand for an option in scripts; others stand for a value."""
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


class Parsed(Exception):
    """A script has understood its arguments, and is to do nothing."""


def check_ganzoo(args: Sequence[str]) -> None:
    """Parse what follows ``ganzoo``; raises as its commands do."""
    name, *rest = (VARIABLES.get(arg, arg) for arg in args)
    if not rest and f"ganzoo {name} " in usage():  # only named
        return
    if name in COMMANDS:
        parse(COMMANDS[name], rest, f"ganzoo {name}")
    elif name in ("train", "plan"):
        preset, *options = rest
        experiment = find_experiment("stylegan2-auto" if preset in ("NAME", "...") else preset)
        if name == "plan":
            chosen = parse(Plan, options, "ganzoo plan")
            for topology in chosen.topology:
                parse_topology(topology)
            options = train_options(chosen.set, experiment)
        configured(experiment, options, f"ganzoo train {preset}")
    elif name == "evaluate":
        evaluate.parsed(rest)
    elif name == "pack":
        pack.parsed(rest)
    elif name == "list":
        parse(ListModels, rest, "ganzoo list")
    elif find_spec(f"ganzoo.cli.{name}"):  # a command with a module and a dataclass of its name
        kind = getattr(importlib.import_module(f"ganzoo.cli.{name}"), name.capitalize())
        parse(kind, rest, f"ganzoo {name}")
    elif name not in ("--version", "--help"):
        raise UserError(f"unknown command {name}")


def check_script(name: str, args: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse what follows the path of a script."""
    source = (ROOT / name).read_text()
    if preset := re.search(r'find_experiment\("([\w-]+)"\)', source):
        configured(find_experiment(preset[1]), args, name)
        return
    parse_args = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, args: Sequence[str] | None = None, namespace: object = None) -> None:
        parse_args(self, args, namespace)
        raise Parsed

    run = importlib.import_module(Path(name).stem).main
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parsed)
        patch.setattr(sys, "argv", [name, *args])
        with pytest.raises(Parsed):
            run()


def check(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = set(command.extras) - EXTRAS
    if unknown:
        raise UserError(f"unknown extras {unknown}")
    first, *args = command.words
    if first == "ganzoo":
        check_ganzoo(args)
    else:
        check_script(first, args, monkeypatch)


def faults(found: Sequence[Command], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a line for each command that would be refused."""
    lines = []
    for command in found:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                check(command, monkeypatch)
        except SystemExit as leaving:  # --help, or what argparse refuses
            if leaving.code:
                lines.append(f"{command.place}: {' '.join(command.words)}")
        except (UserError, OSError, ValueError) as error:
            lines.append(f"{command.place}: {' '.join(command.words)}: {error}")
    return lines


def test_every_command_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "path" / "to").mkdir(parents=True)
    for name in ("my_gan.py", "file.py"):
        (tmp_path / "path" / "to" / name).write_text(OWN_MODEL)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    found = list(dict.fromkeys(commands()))
    assert len(found) > 100
    assert faults(found, monkeypatch) == []


@pytest.mark.parametrize(
    "words",
    [
        "ganzoo sample ffhq.pkl --sees 0-3",
        "ganzoo train stylegan2-auto --data few.zip --augmnt bgc",
        "ganzoo train stylegan2-autos",
        "ganzoo plan dcgan-torch --topology v5e:2x4 --set micro_bach=32",
        "ganzoo evaluate runs/mine --metrics fidd",
        "ganzoo paint runs/mine",
        "experiments/benchmark.py --clock sun",
    ],
)
def test_a_wrong_command_is_seen(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    assert len(faults([Command("here", tuple(words.split()), ())], monkeypatch)) == 1


PYTHON = [block for block in (*markdown_blocks(), *docstring_blocks()) if block.language in ("python", "pycon")]
NOT_SHIPPED = "pt_inception-2015-12-05-6726825d.pth"
"""A file that nobody may put into a test: an example that names it ends by saying that it is not there."""
SLOW = {
    "README.md-1",
    "README.md-2",
    "README.md-3",
    "README.md-4",
    "README.md-5",
    "README.md-6",
    "README.md-9",
    "README.md-10",
    "ganzoo/latent/__init__.py-1",
    "ganzoo/testing/__init__.py-1",
    "ganzoo/latent/tuning.py:pivotal_tuning-1",
    "ganzoo/models/__init__.py:create-1",
    "ganzoo/metrics/__init__.py-2",
    "ganzoo/report/page.py:write_report-1",
    "ganzoo/metrics/arrays.py:modes-1",
    "ganzoo/latent/saved.py:load_projection-1",
    "ganzoo/augment/ada.py-1",
    "ganzoo/training/parallel.py-1",
    "ganzoo/latent/dragging.py:drag-1",
    "ganzoo/metrics/suite.py-1",
    "ganzoo/metrics/lpips.py:Lpips-1",
    "ganzoo/latent/projection.py:project-1",
    "ganzoo/interop/export.py:export-1",
    "ganzoo/interop/export.py:export_onnx-1",
    "ganzoo/augment/diffaugment.py-1",
    "ganzoo/pretrained.py:load-1",
    "ganzoo/runs/api.py:train-1",
    "ganzoo/latent/sampler.py:stream-1",
}
"""Examples that take more than a second."""


def labelled() -> dict[str, Block]:
    """Return the examples by their place, and the number at that place from 1."""
    found: dict[str, Block] = {}
    for block in PYTHON:
        number = sum(other.place == block.place for other in found.values()) + 1
        found[f"{block.place}-{number}"] = block
    return found


EXAMPLES = labelled()
MISSING_FILE = {name for name, block in EXAMPLES.items() if NOT_SHIPPED in block.code}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that examples name."""
    return tmp_path_factory.mktemp("made")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EXAMPLES]
)
def test_python_runs(name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name in MISSING_FILE:
        with pytest.raises(UserError, match=re.escape(NOT_SHIPPED)):
            run(EXAMPLES[name], made)
    else:
        run(EXAMPLES[name], made)


def test_no_python_is_left_out() -> None:
    """All examples have a test, and all but those that need a file from elsewhere run to their end."""
    fenced = sum(len(re.findall(r"^ *```py", path.read_text(), flags=re.M)) for path in TEXTS)
    sources = [path.read_text() for path in (ROOT / "ganzoo").rglob("*.py")]
    prompted = sum(len(re.findall(r"\n\n *>>> ", text)) for text in sources)
    literal = sum(len(re.findall(r"::\n\n +\S", text)) for text in sources)
    drawings = 2  # the formulas of losses.py and the files of a run
    assert len(EXAMPLES) == fenced + prompted + literal - drawings
    assert {"ganzoo/metrics/__init__.py-1", "ganzoo/metrics/arrays.py:fid-1"} == MISSING_FILE
    assert set(EXAMPLES) >= SLOW


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", 'ganzoo.lod("mine.safetensors")'),
        ("python", "import jax\ngan.sample(state, jax.random.key(0), 1)"),
        ("pycon", ">>> 1 + 1\n3\n"),
    ],
)
def test_wrong_python_is_seen(language: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AttributeError, NameError, AssertionError)):
        run(Block("here", language, code), tmp_path / "made")
