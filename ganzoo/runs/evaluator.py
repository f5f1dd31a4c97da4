"""Metrics of a GAN's states on a data set: whatever keeps features, labels and latents the same from state to state."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo import __version__
from ganzoo.config import require
from ganzoo.data import Dataset
from ganzoo.errors import UserError, printable
from ganzoo.gan import GAN
from ganzoo.metrics import suite
from ganzoo.metrics.config import MetricsConfig, load_extractor
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.lpips import lpips_extractor
from ganzoo.metrics.preprocessing import quantize
from ganzoo.metrics.statistics import FeatureSet
from ganzoo.ops.collective import AXIS
from ganzoo.ops.random import for_indices
from ganzoo.runs.features import DatasetFeatures
from ganzoo.runs.modes import ModeCounter
from ganzoo.typing import Key, State

PURPOSE = 0x6D657472
"""Folded into the seed's key: metrics draw with keys that training never uses."""
LATENTS, LABELS, SUBSETS, PATHS = range(4)
"""Draws of an evaluation, each with a key of its own."""


class Evaluator:
    """Metrics of one GAN's states. Features of the real images are extracted once, for the first state."""

    def __init__(
        self, gan: GAN, dataset: Dataset, config: MetricsConfig, mesh: Mesh, log: Callable[[str], None]
    ) -> None:
        """
        Args:
          gan: whose states are measured.
          dataset: the real images; labels of a conditional model are drawn from it.
          config: what is measured, at least one metric.
          mesh: where states are and where images are made.
          log: receives lines about what takes long.

        Raises:
          UserError: the metrics need what is not there.
        """
        require(bool(config.metrics), "metrics", config.metrics, f"be some of {', '.join(suite.NAMES)}")
        if gan.label_size not in (0, dataset.label_size):
            raise UserError(
                f"{printable(dataset.name)} has labels of length {dataset.label_size}, the model wants"
                f" {gan.label_size}; give a data set with such labels"
            )
        self._gan, self._dataset, self._mesh = gan, dataset, mesh
        self.config = config
        suite.check_model(config.metrics, gan)
        self._modes = ModeCounter(dataset, config.samples, log) if suite.counts_modes(config.metrics) else None
        self.extractor = load_extractor(config, log)
        self._pair_extractor = lpips_extractor(config.lpips) if config.lpips else self.extractor
        self._pair_programs: dict[str, Callable] = {}
        self._batch_size = device_batch(config, mesh)
        keep, _ = suite.keeps_features(config.metrics)
        self._real = DatasetFeatures(
            dataset, self.extractor, mesh, self._batch_size, most=config.reals, keep=keep, log=log
        )
        self._check(log)
        self._keys = [metric_key(config, draw) for draw in (LATENTS, LABELS, SUBSETS, PATHS)]

    def _check(self, log: Callable[[str], None]) -> None:
        """Raise ``UserError`` for what would fail after some work; warn of what would say little."""
        names, shape, real, fake = self.config.metrics, self._gan.image_shape, self._real, self.config.samples
        suite.check_counts(names, real=real.count, fake=fake, of_real=real.name)
        if suite.pair_metrics(names):
            self._pair_extractor.length(shape)
        if warning := suite.rank_warning(names, self.extractor, shape, real=real.count, fake=fake):
            log(f"warning: {warning}")

    def __call__(self, state: State) -> dict[str, float]:
        """Return the numbers of a state, by name. The state is not changed or donated."""
        config, numbers = self.config, {}
        state = jax.device_put(_without_optimizers(state), NamedSharding(self._mesh, PartitionSpec()))
        compared = list(suite.feature_metrics(config.metrics))
        if compared:
            _, keep = suite.keeps_features(compared)
            fake = self._fakes(state, self.extractor, config.samples, keep=keep)
            evidence = suite.Evidence(self.extractor, self.reals, fake, self._keys[SUBSETS])
            numbers |= suite.measure(compared, evidence)
        if self._modes:
            numbers |= self._modes(self._fakes(state, self._modes.extractor, self._modes.count, keep=True).features)
        for name, metric in suite.pair_metrics(config.metrics).items():
            numbers |= suite.measure_pairs(name, self._pairs(state, name, metric))
        return numbers

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher first number, by which checkpoints are compared, is better."""
        return suite.higher_is_better(self.config.metrics[0])

    @cached_property
    def reals(self) -> FeatureSet:
        """Features of the real images, from the cache if they were extracted before."""
        return self._real.load()

    @cached_property
    def about(self) -> dict[str, Any]:
        """All that it takes to repeat a result, as JSON types."""
        fakes = {
            "count": self.config.samples,
            "seed": self.config.metric_seed,
            "weights": "ema",
            "dtype": "uint8, but for path lengths",
            "labels": "drawn from the real ones" if self._gan.label_size else "none",
        }
        return {
            "metrics": list(self.config.metrics),
            **self._features_about,
            **({"modes": self._modes.about} if self._modes else {}),
            "real": self._real.about,
            "fake": fakes,
            **circumstances(self._mesh),
        }

    @property
    def _features_about(self) -> dict[str, Any]:
        """Facts of the extractors, where some metric uses them."""
        if not suite.uses_extractor(self.config.metrics):
            return {}
        return {"extractor": self.extractor.facts, "path_lengths": self._pair_extractor.facts}

    def _labels(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the labels [n, k] of real images drawn at random, one for each generated image."""
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

    def _fakes(self, state: State, extractor: Extractor, count: int, *, keep: bool) -> FeatureSet:
        """Return the features of the first ``count`` generated images."""
        sampler = partial(self._sample, state)
        return suite.extract_features(
            sampler, extractor, count, keep=keep, batch_size=self._batch_size, mesh=self._mesh
        )

    def _pairs(self, state: State, name: str, metric: suite.PairMetric) -> suite.PairEvidence:
        """Return what a metric of pairs is computed from."""
        if name not in self._pair_programs:
            self._pair_programs[name] = self._jitted(partial(metric.make, self._gan, self._keys[PATHS]))
        program = self._pair_programs[name]

        def pairs(indices: np.ndarray) -> tuple[jax.Array, jax.Array]:
            return program(state, indices, self._labels(indices))

        return suite.PairEvidence(pairs, self._pair_extractor, self.config.samples, self._batch_size, self._mesh)


def _without_optimizers(state: State) -> State:
    """Return a state without what images do not depend on, so that a divided one is whole on a device in less room."""
    networks = {name: replace(getattr(state, name), opt_state=()) for name in ("generator", "discriminator")}
    return replace(state, **networks)


@jax.jit
def _uniform(key: Key, indices: jax.Array) -> jax.Array:
    return for_indices(jax.random.uniform, key, indices)


def metric_key(config: MetricsConfig, draw: int) -> Key:
    """Return the key of one kind of draws of an evaluation, such as ``SUBSETS``."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(config.metric_seed), PURPOSE), draw)


def device_batch(config: MetricsConfig, mesh: Mesh) -> int:
    """Return the images at once over all devices of a mesh, a multiple of their number."""
    return -(-config.metric_batch_size // mesh.size) * mesh.size


def circumstances(mesh: Mesh) -> dict[str, Any]:
    """Return how and by what numbers are computed, for results, as JSON types."""
    return {
        "precision": {"features": "float32", "statistics": "float64", "covariance": "unbiased"},
        "ganzoo": __version__,
        "jax": jax.__version__,
        "device": mesh.devices.flat[0].device_kind,
    }
