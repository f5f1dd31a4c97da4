"""The ``ganzoo`` command: which module answers a subcommand.

Nothing heavy is imported here, so help, the version and a misspelt command are answered at once.
"""

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganzoo import __version__
from ganzoo.cli.hints import command_of
from ganzoo.cli.process import USAGE, guarded
from ganzoo.errors import UserError, nearest

RUNS = {
    "train NAME [--data PATH]": "Train a model into a run folder.",
    "plan NAME --topology v5e:2x4": "Show what a run takes on a TPU or GPU elsewhere.",
    "list [--model NAME]": "Show the models and presets that NAME can be.",
    "evaluate MODEL [--data SET]": "Measure FID and others of a model, or of images.",
    "report RUN [RUN ...]": "Write one HTML page that shows runs side by side.",
    "pack DATA OUT.pack": "Write the decoded images of a data set to one file.",
}
TOOLS = {
    "inspect FILE": "Show what a file of networks holds.",
    "convert MODEL FILE": "Write a model as .safetensors.",
    "sample MODEL [--seeds 0-63]": "Write images of seeds.",
    "mix MODEL [--layers 4-7]": "Write a table of mixed styles.",
    "interpolate MODEL [--out FILM.webp]": "Write a film from image to image.",
    "project MODEL --images PATH": "Find the styles of given images.",
    "edit MODEL [--direction 0]": "Write images moved along a direction of the styles.",
    "spectrum MODEL [--real PATH]": "Write average power spectra.",
    "export MODEL [--out FILE]": "Write the generator for JAX or ONNX.",
    "explore MODEL [--export DIR]": "Show the generator on a local web page.",
}
NOTES = (
    "NAME is a model, a model with its preset, or path/to/file.py:VARIABLE for a model of your own.",
    "MODEL is a run folder or RUN/best, a .safetensors file, a pickle of NVIDIA's, or hf:owner/name.",
    "ganzoo COMMAND --help explains every option.",
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0, 2 for bad input, 130 for a run that was stopped."""
    typed = list(sys.argv[1:] if args is None else args)
    code = guarded(lambda: _answer(typed), is_last=args is None)
    return code if typed else USAGE


def run_script(experiment: Any, args: Sequence[str] | None = None) -> int:
    """Run an ``Experiment`` from a script, with the options of ``ganzoo train NAME``; return the exit code."""
    given = list(sys.argv[1:] if args is None else args)

    def train() -> None:
        from ganzoo.cli.train import train_experiment

        train_experiment(experiment, given, Path(sys.argv[0]).name)

    return guarded(train, is_last=args is None)


def usage(columns: int = 100) -> str:
    """Return the help of the whole command, for a terminal of so many columns."""
    width = max(map(len, (*RUNS, *TOOLS)))
    longest = max(map(len, (*RUNS.values(), *TOOLS.values())))
    is_narrow = len("  ganzoo ") + width + 2 + longest > columns
    form = "  ganzoo {typed}\n      {help}" if is_narrow else f"  ganzoo {{typed:{width}}}  {{help}}"
    runs, tools = (
        "\n".join(form.format(typed=typed, help=help) for typed, help in commands.items()) for commands in (RUNS, TOOLS)
    )
    notes = "\n".join(textwrap.fill(note, min(columns, 100), subsequent_indent="  ") for note in NOTES)
    return f"""ganzoo {__version__}: generative adversarial networks for JAX

{runs}

{tools}

{notes}
"""


def _answer(args: Sequence[str]) -> None:
    """Do what was typed."""
    if not args or args[0] in ("-h", "--help"):
        print(usage(shutil.get_terminal_size((100, 24)).columns))
    elif args[0] == "--version":
        print(__version__)
    else:
        _find(args[0])(list(args[1:]))


def _find(name: str) -> Callable[[list[str]], None]:
    """Return what answers a subcommand."""
    runs, tools = ([typed.split()[0] for typed in commands] for commands in (RUNS, TOOLS))
    if name == "evaluate":
        from ganzoo.cli.evaluate import evaluate

        return evaluate
    if name == "plan":
        from ganzoo.cli.plan import plan

        return plan
    if name == "report":
        from ganzoo.cli.report import report

        return report
    if name == "pack":
        from ganzoo.cli.pack import pack_data

        return pack_data
    if name == "explore":
        from ganzoo.cli.explore import explore

        return explore
    if name in runs:
        from ganzoo.cli import train

        return train.COMMANDS[name]
    if name in tools:
        from ganzoo.cli import tools as using

        return lambda args: using.use(name, args)
    raise UserError(f"unknown command {name!r};{command_of(name) or nearest(name, [*runs, *tools])}")
