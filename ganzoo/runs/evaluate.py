"""How good the GAN of a run is: during the run as a hook, afterwards as ``ganzoo evaluate``.

Each result is one line of ``evaluations.jsonl`` in the run folder: the numbers, and all that it takes to repeat them.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ganzoo.config import from_json, replaced
from ganzoo.data import DataConfig, Dataset, open_dataset
from ganzoo.disk import append_line
from ganzoo.errors import UserError
from ganzoo.gan import GAN, Model, generator_variables, named_leaves
from ganzoo.interop import Converted
from ganzoo.metrics.config import MetricsConfig
from ganzoo.pretrained import build, load, locate, naming, read_record
from ganzoo.runs.evaluator import Evaluator
from ganzoo.runs.features import notes_of
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.hooks import Evaluate, Hook, Log
from ganzoo.training.loop import HookContext
from ganzoo.training.selection import BEST, select

LogLine = Callable[[str], None]
Reading = Callable[[int, int], None]
RESULTS = "evaluations.jsonl"


def add_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Add a result to the run folder, by one process; ``UserError`` where it cannot be written."""
    if jax.process_index() == 0:
        append_line(folder / RESULTS, json.dumps(result))


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

    def record(context: HookContext, numbers: Mapping[str, float]) -> None:
        add_result(out, {"images": context.images, "values": dict(numbers), **evaluator.about})

    with contextlib.ExitStack() as stack:
        best = stack.enter_context(Checkpoints(out / BEST, keep_best=keep_best)) if keep_best else None
        yield Evaluate(
            every,
            lambda context: evaluator(context.state),
            log,
            total,
            record=record,
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
    data: Mapping[str, Any] | None = None,
    devices: int = 0,
    model: Model | None = None,
    log: LogLine = print,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Measure a checkpoint of a run folder, in which nothing is written: ``add_result`` does that.

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
      The result: ``{"images": ..., "values": {name: number}, ...}``, with all that it takes to repeat it.

    Raises:
      UserError: there is no such run or checkpoint, or something that the metrics need is missing.
    """
    selected = select(folder, checkpoint)
    recorded = read_record(selected.run)["experiment"]
    with naming(selected.run):
        gan = build(Converted(str(recorded.get("model")), recorded.get("gan", {}), {}), model=model)
    data_config = from_json(DataConfig, recorded.get("data", {}))
    mesh = parallel.data_mesh(devices)
    dataset = _opened(replaced(data_config, data or {}), gan, log, reading)
    evaluator = Evaluator(gan, dataset, config, mesh, log)
    state = selected.restore(jax.eval_shape(gan.init, jax.random.key(0)), mesh)
    for note in selected.notes():
        log(f"note: {note}")
    require_finite(state, f"{selected.run}/{selected.name}")
    numbers = evaluator(state)
    return {"images": selected.images, "values": numbers, **evaluator.about, "checkpoint": selected.name}


def evaluate_model(
    source: str,
    config: MetricsConfig,
    data: DataConfig,
    *,
    devices: int = 0,
    model: Model | None = None,
    log: LogLine = print,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Measure the generator of a file, such as a pickle of NVIDIA's, against a data set.

    Args:
      source: a ``.safetensors`` file, an original file or ``hf:owner/name``, as ``ganzoo.load`` takes it.
      config: what is measured.
      data: the real images.
      devices: number of devices; 0 for all.
      model: the ``ganzoo.Model`` of the file, where it is neither one of ganzoo nor of an installed package.
      log: receives lines about what takes long, and about parts of the file that are not used.
      reading: called with (images read, images in all).

    Returns:
      The result: ``{"values": {name: number}, ...}``, with all that it takes to repeat it.

    Raises:
      UserError: the file or the data set cannot be read, or something that the metrics need is missing.
    """
    path, mesh = locate(source), parallel.data_mesh(devices)
    gan, state = load(path, model=model, log=log)
    require_finite(state, source)
    evaluator = Evaluator(gan, _opened(data, gan, log, reading), config, mesh, log)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"values": evaluator(state), **evaluator.about, "model": {"source": source, "sha256": sha256}}


def require_finite(state: Any, where: str) -> None:
    """Raise ``UserError`` where the generator that is measured has values that are not finite."""
    for name, leaf in named_leaves(generator_variables(state)):
        if not bool(jnp.isfinite(leaf).all()):
            raise UserError(
                f"{where} has values that are not finite ({name}), so its images mean nothing; give another"
            )


def _opened(config: DataConfig, gan: GAN, log: LogLine, reading: Reading | None) -> Dataset:
    """Open a data set in the size of a model's images, and say what is to be said of it."""
    dataset = open_dataset(config, gan.image_shape, reading)
    for note in notes_of(dataset):
        log(note)
    return dataset
