"""The subcommand evaluate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ganzoo.cli.options import Checkpoint, ModelFile, own_model
from ganzoo.cli.parsing import parse
from ganzoo.cli.process import prepare
from ganzoo.cli.progress import reading_bar
from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.metrics import MetricsConfig
from ganzoo.runs.evaluate import evaluate_run


@dataclass(frozen=True)
class Evaluate:
    """Measure a checkpoint of a run folder, print the result, and add it to RUN/evaluations.jsonl."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder; or a place in it, such as RUN/best or RUN/checkpoints/200000."""
    metric: MetricsConfig = field(default_factory=MetricsConfig)
    checkpoint: Checkpoint = None
    """Which checkpoint: best (see --keep-best), latest, or a number of images; None: the latest."""
    data: str | None = None
    """Another data set to compare with, or the new place of the training data; None: the data set of the training."""
    split: str | None = None
    """Another split of a TFDS data set, such as "test"; None: the split of the training."""
    devices: int = 0
    """Number of devices to use; 0 uses all."""
    model_file: ModelFile = None
    """File and variable of your own ganzoo.Model, for a run folder of that model; None: an installed model."""
    json: Path | None = None
    """Write the result to this file, too; None: only to evaluations.jsonl."""


def evaluate(args: Sequence[str]) -> None:
    """Answer ``ganzoo evaluate RUN ...``."""
    chosen = parse(Evaluate, args, "ganzoo evaluate")
    if chosen.json and not chosen.json.absolute().parent.is_dir():
        raise UserError(f"--json {chosen.json}: there is no folder {chosen.json.parent}")
    prepare()
    data = {name: value for name in ("data", "split") if (value := getattr(chosen, name)) is not None}
    with reading_bar() as reading:
        result = evaluate_run(
            chosen.run,
            chosen.metric,
            checkpoint=chosen.checkpoint,
            data=data,
            devices=chosen.devices,
            model=own_model(chosen.model_file),
            reading=reading,
        )
    for name, number in result["values"].items():
        print(f"{name:<28} {number:.6g}")
    if chosen.json:
        write_whole(chosen.json, (json.dumps(result, indent=2) + "\n").encode())
