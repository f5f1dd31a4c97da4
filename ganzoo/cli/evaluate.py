"""The subcommand evaluate."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from ganzoo.cli.options import Checkpoint, ModelFile, own_model
from ganzoo.cli.parsing import Group, Option, class_options, options_of, parse_groups
from ganzoo.cli.process import prepare
from ganzoo.cli.progress import bar
from ganzoo.config import replaced, require
from ganzoo.data import DataConfig
from ganzoo.disk import kind_of, require_appendable, require_writable, user_path, write_file
from ganzoo.errors import UserError, printable
from ganzoo.interop import hub
from ganzoo.metrics import MetricsConfig
from ganzoo.runs.compare import compare
from ganzoo.runs.evaluate import RESULTS, add_result, evaluate_model, evaluate_run
from ganzoo.training.selection import split

FORMS = "ganzoo evaluate RUN, ganzoo evaluate MODEL --data SET, or ganzoo evaluate --real SET --fake SET"
DESCRIPTION = """Measure FID and other metrics.

ganzoo evaluate RUN: a checkpoint of a run, also added to RUN/evaluations.jsonl

ganzoo evaluate MODEL --data SET: another trained model against real images

ganzoo evaluate --real SET --fake SET: two sets of images

A data option that is None is as in the run, or else as in ganzoo train."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a model against real images, or two sets of images; print the result."""

    model: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[MODEL]")] = None
    """A run folder or a place in it such as RUN/best, a .safetensors file, a pickle, or hf:owner/name."""
    real: str | None = None
    """Real images, as for --data, to compare --fake with; None: those of --data or of the run."""
    fake: str | None = None
    """Generated images, of which --samples are taken; None: those that MODEL makes."""
    checkpoint: Checkpoint = None
    """Which checkpoint of a run: best (see --keep-best), latest, or a number of images; None: the latest."""
    json: Path | None = None
    """Write the result, with all that it takes to repeat it, to this file, too; None: to no file of its own."""
    devices: int = 0
    """Number of devices to use; 0 uses all."""
    model_file: ModelFile = None
    """File and variable of your own ganzoo.Model, for a run or file of that model; None: an installed model."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``DataConfig`` that were given."""
    metric: MetricsConfig = field(default_factory=MetricsConfig)


def evaluate(args: Sequence[str]) -> None:
    """Answer ``ganzoo evaluate ...``."""
    chosen = parsed(args)
    run = checked(chosen)
    prepare()
    with bar("reading") as reading:
        result = _measured(chosen, reading)
    try:
        for name, number in result["values"].items():
            print(f"{name:<28} {number:.6g}", flush=True)
    finally:  # also where nobody reads any more what is printed
        places = written(result, chosen.json, run)
    print("\n".join(places) or "not kept: --json FILE writes the numbers, and all that it takes to repeat them")


def parsed(args: Sequence[str]) -> Evaluate:
    """Return what was typed; ``UserError`` for an unknown option or a bad value."""
    options = [option for option in class_options(Evaluate) if "." not in option.path and option.path != "data"]
    data = [_open(option) for option in options_of(DataConfig(), "data.")]
    metric = options_of(MetricsConfig(), "metric.")
    groups = [Group("", options), Group("metric", metric), Group("data", data)]
    values = parse_groups(groups, args, "ganzoo evaluate", DESCRIPTION)
    changes: dict[str, dict[str, Any]] = {"data": {}, "metric": {}}
    for path, value in values.items():
        home, dot, name = path.partition(".")
        if dot and value is not None:
            changes[home][name] = value
    metrics = replaced(MetricsConfig(), changes["metric"])
    first = {option.path: values[option.path] for option in options}
    return Evaluate(**first, data=changes["data"], metric=metrics)


def _open(option: Option) -> Option:
    """Return an option of the data that is left as it is, by the run or by default, unless it is given."""
    return Option(option.path, option.flag, option.kind | None, None, option.help)


# What is measured ---------------------------------------------------------------------------------------------------


def checked(chosen: Evaluate) -> Path | None:
    """Return the run folder to which the result is added; None where it is of no run, or cannot be added.

    Raises:
      UserError: something is wrong that can be known before anything is read.
    """
    if chosen.json:
        require_writable(chosen.json)
    if chosen.model is None:
        _check_sets(chosen)
        return None
    for name, value in (("real", chosen.real), ("fake", chosen.fake)):
        require(value is None, name, value, f"be left out beside the model {chosen.model}; --real needs --fake instead")
    if not _is_of_run(chosen.model):
        if "data" not in chosen.data:
            raise UserError(f"--data SET is missing: only a run folder says what {chosen.model} was trained on")
        require(chosen.checkpoint is None, "checkpoint", chosen.checkpoint, "be left out: only runs have checkpoints")
        return None
    run, _, _ = split(user_path(chosen.model))
    try:
        require_appendable(run / RESULTS)
    except UserError as error:
        if not chosen.json:
            raise UserError(f"{error}; or give --json FILE to have the result there only") from error
        print(f"note: the result is not added to the run: {error}")
        return None
    return run


def _check_sets(chosen: Evaluate) -> None:
    """Raise ``UserError`` unless two sets of images are given, without what only models have."""
    if chosen.real is None and chosen.fake is None:
        raise UserError(f"what is to be measured? {FORMS} (see ganzoo evaluate --help)")
    for missing, value, other in (("real", chosen.real, "fake"), ("fake", chosen.fake, "real")):
        if value is None:
            raise UserError(f"--{missing} SET is missing beside --{other}; or give a MODEL with --data SET")
    for name in ("checkpoint", "model_file"):
        value = getattr(chosen, name)
        require(value is None, name, value, "be left out beside --real and --fake, which need no model")
    for name in ("data", "labels", "mirror"):
        value = chosen.data.get(name)
        require(value is None, name, value, "be left out beside --real and --fake")


def _is_of_run(model: str) -> bool:
    """Return whether a MODEL is a run folder, or a place in one, rather than a file."""
    return not model.startswith(hub.PREFIX) and kind_of(user_path(model)) != "file"


def _measured(chosen: Evaluate, reading: Callable[[int, int], None]) -> dict[str, Any]:
    """Return the result of what was chosen."""
    if chosen.model is None:
        real, fake = (replaced(DataConfig(), {**chosen.data, "data": each}) for each in (chosen.real, chosen.fake))
        return compare(real, fake, chosen.metric, devices=chosen.devices, reading=reading)
    model = own_model(chosen.model_file)
    if _is_of_run(chosen.model):
        return evaluate_run(
            user_path(chosen.model),
            chosen.metric,
            checkpoint=chosen.checkpoint,
            data=chosen.data,
            devices=chosen.devices,
            model=model,
            reading=reading,
        )
    data = replaced(DataConfig(), chosen.data)
    return evaluate_model(chosen.model, chosen.metric, data, devices=chosen.devices, model=model, reading=reading)


def written(result: Mapping[str, Any], json_file: Path | None, run: Path | None) -> list[str]:
    """Write a result to every place, whatever becomes of the others; return a line for each.

    Raises:
      UserError: it cannot be written to some place.
    """
    places: list[tuple[Path, Callable[[], None]]] = []
    if json_file:
        content = (json.dumps(result, indent=2) + "\n").encode()
        places.append((json_file, lambda: write_file(json_file, content)))
    if run:
        places.append((run / RESULTS, lambda: add_result(run, result)))
    failures = []
    for _, write in places:
        try:
            write()
        except UserError as error:
            failures.append(str(error))
    if failures:
        raise UserError("; ".join(failures))
    return [f"-> {printable(path, 200)}" for path, _ in places]
