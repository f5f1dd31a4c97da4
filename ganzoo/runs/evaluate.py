"""How good the GAN of a run is: during the run as a hook, afterwards as ``ganzoo evaluate``.

Each result is one line of ``evaluations.jsonl`` in the run folder: the numbers, and all that it takes to repeat them.
"""

import contextlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from ganzoo.config import from_json
from ganzoo.data import DataConfig, open_dataset
from ganzoo.disk import append_line
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN, Model
from ganzoo.metrics.config import MetricsConfig
from ganzoo.models import installed_model, installed_models
from ganzoo.pretrained import read_record
from ganzoo.runs.evaluator import Evaluator
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.hooks import Evaluate, Hook, Log
from ganzoo.training.loop import HookContext
from ganzoo.training.selection import BEST, select

LogLine = Callable[[str], None]
RESULTS = "evaluations.jsonl"


def row(images: int, numbers: Mapping[str, float], about: Mapping[str, Any]) -> str:
    """Return a line of ``evaluations.jsonl``."""
    return json.dumps({"images": images, "values": dict(numbers), **about})


def append(folder: Path, line: str) -> None:
    """Add a result to the run folder, by one process."""
    if jax.process_index() == 0:
        append_line(folder / RESULTS, line)


@contextmanager
def evaluating(
    evaluator: Evaluator,
    out: Path,
    log: LogLine,
    *,
    every: int,
    total: int,
    keep_best: int,
    scalars: Log | None = None,
) -> Generator[Hook]:
    """Yield the hook of the metrics, to be called after the others, when the checkpoint is safe.

    Args:
      evaluator: measures a state.
      out: the run folder.
      log: receives a line for each evaluation.
      every: images between two evaluations.
      total: images of the run.
      keep_best: number of checkpoints that are kept for the first number.
      scalars: also gets the numbers.
    """

    def measure(context: HookContext) -> dict[str, float]:
        numbers = evaluator(context.state)
        append(out, row(context.images, numbers, evaluator.about))
        return numbers

    with contextlib.ExitStack() as stack:
        best = stack.enter_context(Checkpoints(out / BEST, keep_best=keep_best)) if keep_best else None
        yield Evaluate(
            every,
            measure,
            log,
            total,
            rows=out / RESULTS,
            scalars=scalars,
            best=best,
            lower_is_better=not evaluator.higher_is_better,
        )


def evaluate_run(
    folder: Path,
    config: MetricsConfig,
    *,
    checkpoint: int | str | None = None,
    data: Mapping[str, str] | None = None,
    devices: int = 0,
    model: Model | None = None,
    log: LogLine = print,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint of a run folder, and add the result to its ``evaluations.jsonl``.

    Args:
      folder: of a run, or a place in it, such as ``runs/mine/best``, as ``ganzoo.load`` takes it.
      config: what is measured.
      checkpoint: ``"best"``, ``"latest"`` or the number of images seen; the latest when absent.
      data: fields of the data config that differ from the run's, such as another place or split.
      devices: number of devices; 0 for all.
      model: the ``ganzoo.Model`` of the run, where it is neither one of ganzoo nor of an installed package.
      log: receives lines about what takes long.
      reading: called with (images read, images in all).

    Returns:
      The result: ``{"images": ..., "values": {name: number}, ...}``.

    Raises:
      UserError: there is no such run or checkpoint, or something that the metrics need is missing.
    """
    selected = select(folder, checkpoint)
    recorded = read_record(selected.run)["experiment"]
    gan, data_config = _recorded_gan(selected.run, recorded, model), from_json(DataConfig, recorded.get("data", {}))
    mesh = parallel.data_mesh(devices)
    dataset = open_dataset(replace(data_config, **(data or {})), gan.image_shape, reading)
    evaluator = Evaluator(gan, dataset, config, mesh, log)
    state = selected.restore(jax.eval_shape(gan.init, jax.random.key(0)), mesh)
    line = row(selected.images, evaluator(state), evaluator.about | {"checkpoint": selected.name})
    append(selected.run, line)
    return json.loads(line)


def _recorded_gan(folder: Path, recorded: Mapping[str, Any], model: Model | None) -> GAN:
    name = str(recorded.get("model"))
    model = model or installed_model(name)
    if model is None:
        raise UserError(f"{folder} is of the unknown model {name!r};{nearest(name, installed_models())}")
    return model.build(from_json(model.config, recorded.get("gan", {})))
