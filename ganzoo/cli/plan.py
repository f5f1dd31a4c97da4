"""The subcommand plan."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from ganzoo.cli.options import make_folder
from ganzoo.cli.parsing import Option, parse
from ganzoo.cli.process import prepare
from ganzoo.cli.train import configured, groups_of
from ganzoo.config import require
from ganzoo.disk import user_path
from ganzoo.errors import UserError, nearest
from ganzoo.forecast.forecast import forecast
from ganzoo.forecast.report import lines, to_dict
from ganzoo.forecast.topologies import KNOWN, parse_topology
from ganzoo.runs.config import Experiment, find_experiment

SWITCH = {**dict.fromkeys(("true", "on", "yes", "1"), True), **dict.fromkeys(("false", "off", "no", "0"), False)}


@dataclass(frozen=True)
class Plan:
    """Compile a run's programs for machines that are not there, and show what they take: memory, FLOPs and time."""

    topology: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KIND:SIZE")] = ()
    """Machine: v5e:2x4, v5p:2x2x1, v6e:2x4, h100:8, h100:1x1x8, a100:8, cpu or cpu:8; may be given several times."""
    batch_size: int | None = None
    """Images of one step, over all devices; None: as in the preset."""
    images: int | None = None
    """Length of the run in real images; None: as in the preset."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FIELD=VALUE")] = ()
    """Any other option of ganzoo train NAME, such as image_size=128 or micro_batch=32; may be given several times."""
    stage: str | None = None
    """Only this stage of a GAN that has several, such as 64x64 or sharp; None: all of them."""
    programs: Path | None = None
    """Folder to which the text of every compiled program is written; None: nowhere."""
    json: bool = False
    """Print JSON instead of a table."""


def plan(args: Sequence[str]) -> None:
    """Answer ``ganzoo plan NAME ...``."""
    wants_help = bool({"-h", "--help"} & set(args))
    if not wants_help and (not args or args[0].startswith("-")):
        raise UserError("which model or preset? ganzoo plan NAME --topology v5e:2x4; ganzoo list shows the names")
    name = "NAME" if args[0].startswith("-") else args[0]
    chosen = parse(Plan, args[args[0] == name :], f"ganzoo plan {name}")
    require(bool(chosen.topology), "topology", "", f"be given, as in {KNOWN}")
    machines = [parse_topology(topology) for topology in chosen.topology]
    experiment = _experiment(name, chosen)
    folder = chosen.programs and user_path(chosen.programs)
    if folder:
        make_folder(folder)
    prepare(cached=False)  # programs from the cache may have lost their text
    jax.config.update("jax_platforms", "cpu")  # leave the devices of this machine, if any, to others
    with contextlib.suppress(RuntimeError):  # JAX has made its devices already
        wanted = max(machine.size if machine.device.platform == "cpu" else 1 for machine in machines)
        if wanted > jax.config.jax_num_cpu_devices:  # ty: ignore[missing-attribute]
            jax.config.update("jax_num_cpu_devices", wanted)
    found = []
    for machine in machines:
        log = (lambda line: None) if chosen.json else print
        each = forecast(experiment, machine, stage=chosen.stage, programs=folder, log=log)
        found.append(to_dict(each))
        if not chosen.json:
            print("\n".join(["", *lines(each), ""]))
    if chosen.json:
        print(json.dumps(found, indent=2))


def _experiment(name: str, chosen: Plan) -> Experiment[Any]:
    """Return the experiment of a name with what the options change in it."""
    experiment = find_experiment(name)
    own = {"batch_size": chosen.batch_size, "images": chosen.images}
    assigned = [*chosen.set, *(f"{field}={value}" for field, value in own.items() if value is not None)]
    return configured(experiment, train_options(assigned, experiment), f"ganzoo train {name}")[0]


def train_options(assigned: Sequence[str], experiment: Experiment[Any]) -> list[str]:
    """Return assignments ``field=value`` as ``ganzoo train`` takes them; ``UserError`` where there is no such field."""
    found = [option for group in groups_of(experiment) for option in group.options]
    options = {option.flag: option for option in found if option.path.partition(".")[0] in ("gan", "training")}
    return [word for each in assigned for word in _typed(each, options)]


def _typed(assignment: str, options: Mapping[str, Option]) -> list[str]:
    field, equals, value = assignment.partition("=")
    flag = field.strip().replace("-", "_")
    require(bool(equals), "set", assignment, "be FIELD=VALUE, such as image_size=128")
    if flag not in options:
        raise UserError(f"set {field}: there is no such field;{nearest(flag, options)}")
    option, shown = options[flag], flag.replace("_", "-")
    if not isinstance(option.default, bool):
        return [f"--{shown}", *value.strip().split(",")]
    require(value.lower() in SWITCH, flag, value, "be true or false")
    return [] if SWITCH[value.lower()] == option.default else [f"--{'no-' * option.default}{shown}"]
