"""How good a GAN is, on its data set: during a run as a hook, afterwards as ``ganzoo evaluate``.

Each result is one line of ``evaluations.jsonl`` in the run folder: the numbers, and all that it takes to repeat them.
"""

import contextlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo import __version__
from ganzoo.config import from_json
from ganzoo.data import DataConfig, Dataset, open_dataset
from ganzoo.data.order import positions
from ganzoo.data.source import digest
from ganzoo.disk import recall, remember
from ganzoo.errors import UserError
from ganzoo.gan import GAN
from ganzoo.metrics import suite
from ganzoo.metrics.config import MetricsConfig, load_extractor
from ganzoo.metrics.features import extract, index_batches
from ganzoo.metrics.lpips import lpips_extractor
from ganzoo.metrics.preprocessing import quantize
from ganzoo.metrics.statistics import FeatureSet, collect
from ganzoo.models import MODELS
from ganzoo.ops.collective import AXIS
from ganzoo.ops.random import for_indices
from ganzoo.runs.folder import read_record
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.hooks import Evaluate, Hook, Log
from ganzoo.training.loop import HookContext
from ganzoo.typing import Key, State

LogLine = Callable[[str], None]
RESULTS = "evaluations.jsonl"
BEST = "best"
"""The folder of the best checkpoints of a run."""
PURPOSE = 0x6D657472
"""Folded into the seed's key: metrics draw with keys that training never uses."""
LATENTS, LABELS, SUBSETS, PATHS = range(4)
"""Draws of an evaluation, each with a key of its own."""


# A GAN on a data set ------------------------------------------------------------------------------------------------


class Evaluator:
    """The metrics of one GAN's states. Real images are looked at once, when the first state is judged."""

    def __init__(self, gan: GAN, dataset: Dataset, config: MetricsConfig, mesh: Mesh, log: LogLine) -> None:
        """
        Args:
          gan: whose states are judged.
          dataset: the real images; labels of a conditional model are drawn from it.
          config: what is measured.
          mesh: where states are and where images are made.
          log: receives lines about what takes long.

        Raises:
          UserError: the metrics need what is not there.
        """
        if gan.label_size not in (0, dataset.label_size):
            raise UserError(
                f"{dataset.name} has labels of length {dataset.label_size}, the model wants {gan.label_size}"
            )
        self._gan, self._dataset, self._mesh, self._say = gan, dataset, mesh, say
        self.config = config
        suite.check_model(config.metrics, gan)
        self.extractor = load_extractor(config, log)
        self._pair_extractor = lpips_extractor(config.lpips) if config.lpips else self.extractor
        self._pair_programs: dict[str, Callable] = {}
        self._batch_size = -(-config.metric_batch_size // mesh.size) * mesh.size
        key = jax.random.fold_in(jax.random.key(config.metric_seed), PURPOSE)
        self._keys = [jax.random.fold_in(key, part) for part in (LATENTS, LABELS, SUBSETS, PATHS)]

    def __call__(self, state: State) -> dict[str, float]:
        """The numbers of a state, by name. The state is not changed or donated."""
        config, numbers = self.config, {}
        state = jax.device_put(state, NamedSharding(self._mesh, PartitionSpec()))
        compared = list(suite.feature_metrics(config.metrics))
        if compared:
            _, keep = suite.keeps_features(compared)
            sampler = partial(self._sample, state)
            fake = suite.extract_features(
                sampler, self.extractor, config.samples, keep=keep, batch_size=self._batch_size, mesh=self._mesh
            )
            evidence = suite.Evidence(self.extractor, self.reals, fake, self._keys[SUBSETS])
            numbers |= suite.measure(compared, evidence)
        for name, metric in suite.pair_metrics(config.metrics).items():
            numbers |= suite.measure_pairs(name, self._pairs(state, name, metric))
        return numbers

    @property
    def higher_is_better(self) -> bool:
        """Of the first number, by which checkpoints are compared."""
        return suite.higher_is_better(self.config.metrics[0])

    @cached_property
    def reals(self) -> FeatureSet:
        """What is known of the real images, from the cache if they were looked at before."""
        keep, _ = suite.keeps_features(self.config.metrics)
        key = digest(self._dataset.source.revision, sorted(self.about["real"].items()), self.extractor_about)
        file = f"metrics/{key}.npz"
        found = recall(file, partial(FeatureSet.from_bytes, features=keep))
        if not _everywhere(found is not None):
            self._say(f"features of {self.about['real']['count']:,} real images ({self.extractor.name}): once for all")
            found = collect(extract(self._read(), self.extractor, len(self._real_indices), self._mesh), keep=keep)
            if jax.process_index() == 0:
                remember(file, found.to_bytes())
        assert found is not None
        return found

    @property
    def extractor_about(self) -> dict[str, str]:
        """What decides on features."""
        return {"name": self.extractor.name, **self.extractor.about}

    @cached_property
    def about(self) -> dict[str, Any]:
        """All that it takes to repeat a result, as JSON types."""
        data, target = self._dataset, self._dataset.target
        real = {
            "data": data.name,
            "fingerprint": data.fingerprint,
            "count": len(self._real_indices),
            "of": len(data),
            "shape": list(data.image_shape),
            "crop": target.crop,
            "resize": target.resize_filter,
            "mirror": data.mirror,
            "dtype": "uint8",
        }
        fakes = {
            "count": self.config.samples,
            "seed": self.config.metric_seed,
            "weights": "averaged",
            "dtype": "uint8, but for path lengths",
            "labels": "drawn from the real ones" if self._gan.label_size else "none",
        }
        how = {"features": "float32", "statistics": "float64", "covariance": "unbiased"}
        device = self._mesh.devices.flat[0].device_kind
        return {
            "metrics": list(self.config.metrics),
            "extractor": self.extractor_about,
            "path_lengths": {"name": self._pair_extractor.name, **self._pair_extractor.about},
            "real": real,
            "fake": fakes,
            "precision": how,
            "ganzoo": __version__,
            "jax": jax.__version__,
            "device": device,
        }

    @cached_property
    def _real_indices(self) -> np.ndarray:
        """In their own order, so that files are read one after the other."""
        size = len(self._dataset)
        return np.sort(positions(0, size, 0, min(self.config.reals or size, size)))

    def _read(self) -> Any:
        """The real images in batches."""
        batches = (self._real_indices[places] for places in index_batches(len(self._real_indices), self._batch_size))
        return (batch["image"] for batch in self._dataset.prefetch(batches))

    def _labels(self, indices: np.ndarray) -> np.ndarray | None:
        """For each generated image that of a real one, drawn at random."""
        if not self._gan.label_size or self._dataset.labels is None:
            return None
        kept = len(self._dataset.kept)
        chosen = (np.asarray(_uniform(self._keys[LABELS], indices), np.float64) * kept).astype(int)
        return self._dataset.labels.rows(np.minimum(chosen, kept - 1))

    @cached_property
    def _program(self) -> Callable[..., jax.Array]:
        """``(state, indices, labels) -> uint8 images``."""
        gan, key = self._gan, self._keys[LATENTS]

        def generate(state: State, indices: jax.Array, labels: Any) -> jax.Array:
            return quantize(gan.generate(state, gan.latents(key, indices), labels, ema=True))

        return self._jitted(generate)

    def _jitted(self, function: Callable) -> Callable:
        whole, split = (NamedSharding(self._mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS)))
        return jax.jit(function, in_shardings=(whole, split, split), out_shardings=split)

    def _sample(self, state: State, indices: np.ndarray) -> jax.Array:
        return self._program(state, indices, self._labels(indices))

    def _pairs(self, state: State, name: str, metric: suite.PairMetric) -> suite.PairEvidence:
        """Return what a metric of pairs is computed from."""
        if name not in self._pair_programs:
            self._pair_programs[name] = self._jitted(partial(metric.make, self._gan, self._keys[PATHS]))
        program = self._pair_programs[name]

        def pairs(indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
            return program(state, indices, self._labels(indices))

        return suite.PairEvidence(pairs, self._pair_extractor, self.config.samples, self._batch_size, self._mesh)


@jax.jit
def _uniform(key: Key, indices: jax.Array) -> jax.Array:
    return for_indices(jax.random.uniform, key, indices)


def _everywhere(holds: bool) -> bool:
    """Whether it holds in all processes: all look at the images, or none does."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())


# A run --------------------------------------------------------------------------------------------------------------


def row(images: int, numbers: Mapping[str, float], about: Mapping[str, Any]) -> str:
    """A line of ``evaluations.jsonl``."""
    return json.dumps({"images": images, "values": dict(numbers), **about})


def append(folder: Path, line: str) -> None:
    """Add a result to those of the run; by one process."""
    if jax.process_index() == 0:
        with (folder / RESULTS).open("a") as file:
            file.write(line + "\n")


@contextmanager
def evaluating(
    evaluator: Evaluator | None,
    out: Path,
    others: Sequence[Hook],
    log: LogLine,
    *,
    every: int,
    total: int,
    keep_best: int,
) -> Generator[list[Hook]]:
    """The hook of the metrics, where there are any; to be called after the others, when the checkpoint is safe.

    Args:
      evaluator: None where nothing is measured.
      out: the run folder.
      others: hooks of the run; a ``Log`` among them gets the numbers, too.
      log: receives a line of each evaluation.
      every: images between two of them.
      total: images of the run.
      keep_best: checkpoints that are kept for the first number.
    """
    if not evaluator:
        yield []
        return

    def measure(context: HookContext) -> dict[str, float]:
        numbers = evaluator(context.state)
        append(out, row(context.images, numbers, evaluator.about))
        return numbers

    with contextlib.ExitStack() as stack:
        best = stack.enter_context(Checkpoints(out / BEST, keep_best=keep_best)) if keep_best else None
        log = next((hook for hook in others if isinstance(hook, Log)), None)
        lower = not evaluator.higher_is_better
        yield [Evaluate(every, measure, log, total, rows=out / RESULTS, log=log, best=best, lower_is_better=lower)]


def evaluate_run(
    folder: Path,
    config: MetricsConfig,
    *,
    checkpoint: Literal["newest", "best"] = "newest",
    data: Mapping[str, str] | None = None,
    devices: int = 0,
    log: LogLine = print,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a checkpoint of a run folder, and add the result to its ``evaluations.jsonl``.

    Args:
      folder: of a run.
      config: what is measured.
      checkpoint: the newest one, or the best of those kept by a metric.
      data: fields of the data config that differ from the run's, such as another place or split.
      devices: how many; 0 for all.
      log: receives lines about what takes long.
      reading: told (pictures read, pictures in all).

    Returns:
      the result: ``{"images": ..., "values": {name: number}, ...}``.

    Raises:
      UserError: there is no such run or checkpoint, or something that the metrics need is missing.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no run; give the folder that ganzoo train made")
    recorded = read_record(folder / "config.json")["experiment"]
    gan, data_config = _recorded_gan(folder, recorded), from_json(DataConfig, recorded.get("data", {}))
    mesh = parallel.data_mesh(devices)
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    place = folder / (BEST if checkpoint == "best" else "checkpoints")
    if not place.is_dir():
        remedy = "train with --metrics and --keep-best" if checkpoint == "best" else "wait for its first checkpoint"
        raise UserError(f"{folder} holds no {checkpoint} checkpoint; {remedy}")
    dataset = open_dataset(replace(data_config, **(data or {})), gan.image_shape, reading)
    evaluator = Evaluator(gan, dataset, config, mesh, log)
    with Checkpoints(place, read_only=True) as checkpoints:
        images = checkpoints.best if checkpoint == "best" else checkpoints.latest
        if images is None:
            raise UserError(f"{folder} holds no {checkpoint} checkpoint yet; wait for one")
        state = checkpoints.restore(shapes, mesh, images=images)
    line = row(images, evaluator(state), evaluator.about | {"checkpoint": f"{place.name}/{images}"})
    append(folder, line)
    return json.loads(line)


def _recorded_gan(folder: Path, recorded: Mapping[str, Any]) -> GAN:
    model = MODELS.get(str(recorded.get("model")))
    if model is None:
        raise UserError(f"{folder} is of the model {recorded.get('model')!r}, which this version does not know")
    return model.build(from_json(model.config, recorded.get("gan", {})))
