"""The subcommands train and list."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import jax

from ganzoo.augment import AugmentConfig
from ganzoo.cli.listing import json_rows, rows, table
from ganzoo.cli.parsing import Group, Option, options_of, parse, parse_groups
from ganzoo.cli.process import join_cluster, prepare
from ganzoo.cli.progress import bar
from ganzoo.config import replaced
from ganzoo.disk import user_path
from ganzoo.errors import UserError
from ganzoo.models.config import AdamConfig, ImageConfig, ObjectiveConfig
from ganzoo.runs.config import Experiment, find_experiment
from ganzoo.runs.run import run

FIRST = (
    "data.data", "run.out", "run.resume", "run.dry_run", "training.images", "training.batch_size", "gan.image_size",
)  # fmt: skip
"""Paths of the options that one sets most, which the help shows first."""
MODEL_PARTS = {
    "network": ImageConfig,
    "objective": ObjectiveConfig,
    "optimizer": AdamConfig,
    "augmentation": AugmentConfig,
}
"""Titles of the groups of fields that a model's config has from these bases."""
FLAGS = {
    "training.metrics.samples": "metric_samples",
    "training.metrics.reals": "metric_reals",
    "training.log_to": "log",
}


@dataclass(frozen=True)
class RunOptions:
    """Options of ``ganzoo train`` that are no part of an experiment."""

    out: Path | None = None
    """Run folder, which must be new or empty; None: runs/NAME."""
    resume: bool = False
    """Continue the run in the folder from its newest checkpoint, as if it had never stopped."""
    allow_new_data: bool = False
    """Resume also where the data set has other images than before, such as more of them, and go on with those."""
    dry_run: bool = False
    """Check the config, the data and the folder, say what would be done, and write nothing."""
    distributed: bool = False
    """Join the other processes of a cluster: one process per host (per GPU under SLURM and Open MPI), the same command
    on each. Elsewhere than there and on TPU pods, set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""


@dataclass(frozen=True)
class ListModels:
    """Show the models and presets that ganzoo train takes."""

    model: str | None = None
    """Only this model, by its name or as path/to/file.py:VARIABLE; None: all models."""
    json: bool = False
    """Print JSON instead of a table."""


# Commands -----------------------------------------------------------------------------------------------------------


def train(args: Sequence[str]) -> None:
    """Answer ``ganzoo train [NAME] ...``."""
    if args and not args[0].startswith("-"):
        train_experiment(find_experiment(args[0]), args[1:], f"ganzoo train {args[0]}")
        return
    wants_help = bool({"-h", "--help"} & set(args))
    if not args or wants_help:
        print("usage: ganzoo train NAME [OPTIONS]; ganzoo train NAME --help explains the options. NAME is one of:\n")
        print(table(rows(sizes=False)))
    if not wants_help:
        raise UserError("which model or preset? ganzoo train NAME ...; ganzoo list shows the names")


def train_experiment(experiment: Experiment[Any], args: Sequence[str], program: str) -> None:
    """Train an experiment whose fields the arguments may change."""
    experiment, options = configured(experiment, args, program)
    prepare()
    if options.distributed:
        join_cluster(os.environ)
    out = user_path(options.out or Path("runs") / experiment.name)
    log = print if jax.process_index() == 0 else lambda line: None
    with bar("reading") as reading:
        run(
            experiment,
            out,
            resume=options.resume,
            allow_new_data=options.allow_new_data,
            dry_run=options.dry_run,
            log=log,
            reading=reading,
        )
    if not options.dry_run:
        log(f"{experiment.name} -> {out}; its images: {out / 'samples.png'}")


def list_models(args: Sequence[str]) -> None:
    """Answer ``ganzoo list ...``."""
    chosen = parse(ListModels, args, "ganzoo list")
    found = rows(chosen.model)
    print(json.dumps(json_rows(found), indent=2) if chosen.json else table(found))


COMMANDS: Mapping[str, Callable[[list[str]], None]] = {"train": train, "list": list_models}


def configured(experiment: Experiment[Any], args: Sequence[str], program: str) -> tuple[Experiment[Any], RunOptions]:
    """Return an experiment with the fields that the arguments change, and the options that are no part of it."""
    description = f"{experiment.name}: train {experiment.model.name} into a run folder."
    chosen = parse_groups(groups_of(experiment), args, program, description)
    options = _rebuilt(RunOptions(), chosen, "run.")
    changed = {name: _rebuilt(getattr(experiment, name), chosen, f"{name}.") for name in ("gan", "data", "training")}
    typed = {arg.partition("=")[0].lstrip("-").replace("-", "_") for arg in args if arg.startswith("--")}
    return replace(experiment.given(typed), **changed), options


# Options of an experiment -------------------------------------------------------------------------------------------


def groups_of(experiment: Experiment[Any]) -> list[Group]:
    """Return the options of ``ganzoo train NAME`` in the order of its help.

    First those that one sets most, then the model's in the order of its config and its augmentation, then those of the
    data and of the training, and the metrics last.
    """
    configs = {"run": RunOptions(), "gan": experiment.gan, "data": experiment.data, "training": experiment.training}
    found = {o.path: o for name, config in configs.items() for o in options_of(config, f"{name}.", FLAGS)}
    first = [found.pop(path) for path in FIRST if path in found]
    titles = ("network", "objective", "optimizer", experiment.model.name, "augmentation", "data", "training", "metric")
    groups: dict[str, list[Option]] = {title: [] for title in titles}
    for option in found.values():
        groups[_title(option, experiment)].append(option)
    return [Group("", first), *(Group(title, options) for title, options in groups.items() if options)]


def _title(option: Option, experiment: Experiment[Any]) -> str:
    """Return the title of the group in which the help shows an option."""
    owner, _, name = option.path.partition(".")
    if owner == "gan":
        holders = (base for base in type(experiment.gan).__bases__ if name in getattr(base, "__dataclass_fields__", {}))
        parts = (title for base in holders for title, part in MODEL_PARTS.items() if issubclass(base, part))
        return next(parts, experiment.model.name)
    if "metric" in option.path or name == "keep_best":
        return "metric"
    return {"run": "training"}.get(owner, owner)


def _rebuilt(config: Any, values: Mapping[str, Any], prefix: str) -> Any:
    """Return a config with the parsed values of its fields, by path."""
    changes = {}
    for each in fields(config):
        value, path = getattr(config, each.name), f"{prefix}{each.name}"
        if is_dataclass(value):
            changes[each.name] = _rebuilt(value, values, f"{path}.")
        elif path in values:
            changes[each.name] = values[path]
    return replaced(config, changes)
