"""The ``ganzoo`` command. Every subcommand calls one public function."""

import contextlib
import difflib
import io
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

import jax
import tyro

from ganzoo import __version__
from ganzoo.cli.process import keep_freed_memory
from ganzoo.cli.tools import COMMANDS, option_names
from ganzoo.data import DataConfig
from ganzoo.disk import write_whole
from ganzoo.errors import UserError, nearest
from ganzoo.runs.config import Experiment, TrainingConfig, experiments
from ganzoo.runs.evaluate import MetricsConfig, evaluate_run
from ganzoo.runs.run import run

M = TypeVar("M")
USAGE, INTERRUPTED = 2, 130

PLAINLY = {
    r"Error parsing (gan|data|training): ": "",
    r"Error parsing (--\S+): invalid literal for int\(\) with base 10: (.*)": r"\1 \2: must be a whole number",
    r"Error parsing (--\S+): could not convert string to float: (.*)": r"\1 \2: must be a number",
}
"""What tyro says of bad values, by pattern, and what is said here."""

HELP = f"""ganzoo {__version__}: generative adversarial networks for JAX

  ganzoo train NAME [--out DIR] [--resume] [--data PATH] ...   train a model into a run folder
  ganzoo train --help                                          the names
  ganzoo train NAME --help                                     every field of its config
  ganzoo evaluate RUN [--metrics fid kid ...] ...              FID and other metrics of a run folder

  ganzoo inspect FILE                         what a file of networks holds, also the pickles of the originals
  ganzoo convert MODEL FILE.safetensors       write a model for others; --names original for the originals' tools
  ganzoo sample MODEL [--seeds 0-63,100]      images of seeds; --psi, --class, --noise, --latents numpy
  ganzoo mix MODEL [--layers 4-7]             a table of mixed styles
  ganzoo interpolate MODEL [--out FILM.webp]  a film from image to image
  ganzoo project MODEL --images PATH          the styles of given pictures
  ganzoo edit MODEL [--direction 0]           images moved along a direction of the styles
  ganzoo spectrum MODEL [--real PATH]         average power spectra
  ganzoo export MODEL [--out FILE]            the generator for any program with JAX

MODEL is a run folder, a .safetensors file, a pickle of the originals, or hf:owner/name.
ganzoo COMMAND --help explains every option.
"""


@dataclass(frozen=True)
class Train(Generic[M]):
    """Train a model into a run folder."""

    out: Path | None
    """The run folder, which must be new or empty; runs/NAME when not given."""
    resume: bool
    """Go on with the run in the folder from its newest checkpoint, as if it had never stopped."""
    distributed: bool
    """Join the other processes of a cluster (one process per host, the same command on each); outside SLURM, Open MPI
    and TPU pods, set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    gan: M
    data: DataConfig
    training: TrainingConfig


@dataclass(frozen=True)
class Evaluate:
    """Metrics of a checkpoint in a run folder; the result is printed and added to RUN/evaluations.jsonl."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    what: MetricsConfig = field(default_factory=MetricsConfig)
    checkpoint: Literal["newest", "best"] = "newest"
    """Which one: the newest, or the best that --keep-best kept."""
    data: str | None = None
    """Another data set to compare with, or where the one of the training lies now."""
    split: str | None = None
    """Another split of a TFDS data set, such as "test"."""
    devices: int = 0
    """Devices to work on; 0 for all there are."""
    json: Path | None = None
    """Write the result to this file, too."""


def main(args: Sequence[str] | None = None) -> int:
    """The console script; returns the exit code: 0, 2 for bad input, 130 for a run that was stopped."""
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
        return 0 if args else USAGE
    if args[0] == "--version":
        print(__version__)
        return 0
    return _guarded(lambda: _command(args[0])(args[1:]))


def run_script(experiment: Experiment[Any], args: Sequence[str] | None = None) -> int:
    """The command line of one experiment: the flags of ``ganzoo train NAME``; returns the exit code."""
    program, given = Path(sys.argv[0]).name, list(sys.argv[1:] if args is None else args)
    return _guarded(lambda: _train(experiment, _parse(_kind(experiment), given, program, _flags(experiment))))


def _command(name: str) -> Callable[[list[str]], None]:
    commands = {"train": _train_by_name, "evaluate": _evaluate, **{name: partial(_use, name) for name in COMMANDS}}
    if name not in commands:
        raise UserError(f"unknown command {name!r};{nearest(name, commands)}")
    return commands[name]


def _use(name: str, args: list[str]) -> None:
    """A subcommand that works on a trained model."""
    flags = [f"--{option.replace('_', '-')}" for option in option_names(COMMANDS[name])]
    command = _parse(COMMANDS[name], args, f"ganzoo {name}", [*flags, "--help"])
    cache_compilations()
    keep_freed_memory()
    command.run()


def _train_by_name(args: list[str]) -> None:
    known = experiments()
    if args and not args[0].startswith("-"):
        if args[0] not in known:
            raise UserError(f"unknown experiment {args[0]!r};{nearest(args[0], known)}")
        experiment = known[args[0]]
        _train(experiment, _parse(_kind(experiment), args[1:], f"ganzoo train {args[0]}", _flags(experiment)))
        return
    if not {"-h", "--help"} & set(args):
        raise UserError(f"which experiment? ganzoo train NAME ...; known: {', '.join(sorted(known))}")
    kinds = Union[tuple(_kind(experiment) for experiment in known.values())]  # noqa: UP007 - made at run time
    _parse(kinds, args, "ganzoo train", ["--help"])


def _train(experiment: Experiment[Any], chosen: Train[Any]) -> None:
    """Train what was parsed."""
    _prepare()
    if chosen.distributed:
        join_cluster(os.environ)
    experiment = replace(experiment, gan=chosen.gan, data=chosen.data, training=chosen.training)
    out = chosen.out or Path("runs") / experiment.name
    say = print if jax.process_index() == 0 else lambda line: None
    with reading_bar() as reading:
        run(experiment, out, resume=chosen.resume, log=log, reading=reading)
    log(f"{experiment.name} -> {out}")


def _evaluate(args: list[str]) -> None:
    flags = [f"--{each.name.replace('_', '-')}" for part in (Evaluate, MetricsConfig) for each in fields(part)]
    chosen: Evaluate = _parse(Evaluate, args, "ganzoo evaluate", [*flags, "--help"])
    if chosen.json and not chosen.json.absolute().parent.is_dir():
        raise UserError(f"--json {chosen.json}: there is no folder {chosen.json.parent}")
    _prepare()
    data = {name: value for name in ("data", "split") if (value := getattr(chosen, name)) is not None}
    with reading_bar() as reading:
        result = evaluate_run(
            chosen.run,
            chosen.what,
            checkpoint=chosen.checkpoint,
            data=data,
            devices=chosen.devices,
            reading=reading,
        )
    for name, number in result["values"].items():
        print(f"{name:<28} {number:.6g}")
    if chosen.json:
        write_whole(chosen.json, (json.dumps(result, indent=2) + "\n").encode())


def _prepare() -> None:
    """What every command that computes does first."""
    for orbax in ("absl", "asyncio"):  # through these it tells of what becomes a UserError, at length
        logging.getLogger(orbax).setLevel(logging.CRITICAL)
    cache_compilations()
    keep_freed_memory()


@contextlib.contextmanager
def reading_bar() -> Generator[Callable[[int, int], None]]:
    """A function that shows how many pictures of how many are read; on a terminal only, gone when all are."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, transient=True)
    task = bar.add_task("reading")

    def show(done: int, total: int) -> None:
        if not bar.console.is_terminal:
            return
        if done < total:
            bar.start()
            bar.update(task, completed=done, total=total)
        else:
            bar.stop()

    try:
        yield show
    finally:
        bar.stop()


def join_cluster(environment: Mapping[str, str]) -> None:
    """Start JAX's distributed service, from the three variables or from what the cluster says by itself."""
    try:
        count, index = (
            int(environment[name]) if name in environment else None for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        )
        jax.distributed.initialize(num_processes=count, process_id=index)
    except (ValueError, RuntimeError) as error:
        remedy = "set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or leave out --distributed"
        raise UserError(f"cannot join the other processes ({str(error).splitlines()[0]}); {remedy}") from error


def cache_compilations() -> None:
    """Keep compiled programs between runs, in ``GANZOO_CACHE`` (or ``~/.cache/ganzoo``) unless JAX has a place."""
    if jax.config.jax_compilation_cache_dir is None:  # ty: ignore[missing-attribute]
        cache = Path(os.environ.get("GANZOO_CACHE", "~/.cache/ganzoo")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


# Parsing ------------------------------------------------------------------------------------------------------------


def _kind(experiment: Experiment[Any]) -> Any:
    """The type that tyro parses for one experiment, with its config as the defaults."""
    default = Train(None, False, False, experiment.gan, experiment.data, experiment.training)
    kind = Train[type(experiment.gan)]  # ty: ignore[invalid-type-form]
    about = f"{experiment.model} on {experiment.data.data or '--data'}, {experiment.training.images:,} images"
    return Annotated[kind, tyro.conf.subcommand(experiment.name, default=default, description=about)]


def _flags(experiment: Experiment[Any]) -> list[str]:
    parts = (Train, experiment.gan, experiment.data, experiment.training)
    names = [each.name for part in parts for each in fields(part)]
    return [f"--{name.replace('_', '-')}" for name in names if name not in ("gan", "training")] + ["--help"]


def _parse(kind: Any, args: list[str], program: str, flags: list[str]) -> Any:
    """What tyro makes of the arguments; its help as it is, its complaints as one ``UserError``."""
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=args, prog=program, config=markers)
    except SystemExit as leaving:
        if not leaving.code:
            raise
    for arg in args:
        flag = arg.split("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in flags:
            raise UserError(f"unknown option {flag};{_nearest_flag(flag, flags)} (see {program} --help)")
    message = _first_sentence(complaint.getvalue())
    for pattern, plainly in PLAINLY.items():
        message = re.sub(pattern, plainly, message)
    raise UserError(f"{message} (see {program} --help)")


def _nearest_flag(flag: str, flags: Sequence[str]) -> str:
    close = difflib.get_close_matches(flag.lstrip("-"), [known.lstrip("-") for known in flags], n=1)
    return f" did you mean '--{close[0]}'?" if close else " no such option"


def _first_sentence(box: str) -> str:
    """The text of a framed message up to its first rule, as one line; where the terminal is ASCII, so is the frame."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯|+ ")
        is_rule = set(text) <= set("─-")
        if is_rule and words:
            break
        words += [] if is_rule else [text]
    return " ".join(words)


def _guarded(command: Callable[[], Any]) -> int:
    """Run it; print a ``UserError`` or an interruption as one line."""
    try:
        command()
    except UserError as error:
        print(f"ganzoo: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt as stop:
        print(f"ganzoo: {stop or 'stopped'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the output, such as ``head``, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
