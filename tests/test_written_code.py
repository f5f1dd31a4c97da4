"""Code in the README, in the pages of the documentation and in docstrings: commands parse, and Python compiles."""

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
from written_code import ROOT, Command, commands, docstring_blocks, markdown_blocks

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


def test_all_python_compiles() -> None:
    found = [block for block in (*markdown_blocks(), *docstring_blocks()) if block.language == "python"]
    assert len(found) > 25
    for block in found:
        compile(block.code, block.place, "exec")
