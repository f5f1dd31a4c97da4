"""Samples beside the training images that are nearest in a space of features: does the generator copy?"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.sharding import Mesh

from ganzoo.config import from_json
from ganzoo.data import DataConfig, Dataset, open_dataset
from ganzoo.data.digits import open_digits
from ganzoo.errors import UserError, printable
from ganzoo.metrics import weights
from ganzoo.metrics.classifier import digit_classifier
from ganzoo.metrics.config import MetricsConfig, load_extractor
from ganzoo.metrics.extractors import OFFLINE, Extractor
from ganzoo.metrics.features import extract, image_batches
from ganzoo.metrics.neighbours import closest
from ganzoo.report.pictures import image_shape, last_images
from ganzoo.report.records import Record
from ganzoo.runs.features import DatasetFeatures
from ganzoo.training import parallel

SHOWN, EACH = 6, 3
"""Samples that are shown, and training images beside each."""
REFERENCE = 256
"""Training images whose distances to their own neighbours are compared with."""
CLOSE = 0.01
"""Share of training images that have a neighbour as close as what is called a close sample."""
SUSPICIOUS = 0.1
"""Share of close samples from which on the page warns."""
BATCH = 64
EQUAL = 1e-3
"""Part of the median distance within which images count as equal, whatever rounding does."""


@dataclass(frozen=True)
class Neighbours:
    """Samples of a run and the training images nearest to them."""

    samples: np.ndarray
    """uint8 [S, H, W, C]: those nearest to any training image, the nearest first."""
    nearest: np.ndarray
    """uint8 [S, EACH, H, W, C]."""
    distances: np.ndarray
    """[S, EACH], as a share of the median distance of a training image to its own neighbour."""
    median: float
    """The same of all samples: the median distance to the nearest training image."""
    close: float
    """Share of the samples that are closer to a training image than all but ``CLOSE`` of these are to each other."""
    count: int
    """Of samples."""
    of: int
    """Number of training images."""
    features: str
    """Name of the extractor."""
    notes: tuple[str, ...]

    @property
    def is_suspicious(self) -> bool:
        """Whether samples look like copies."""
        return self.close >= SUSPICIOUS


class Search:
    """Looks for neighbours; the features of each data set are extracted once."""

    def __init__(
        self,
        config: MetricsConfig,
        *,
        digits: bool = False,
        log: Callable[[str], None] = print,
        reading: Callable[[int, int], None] | None = None,
    ) -> None:
        """
        Args:
          config: its extractor and number of reals count; "auto" is Inception where its weights are found, else the
            classifier of digits for the embedded ones, else random-conv.
          digits: use the classifier of digits for all data.
          log: receives lines about what takes long.
          reading: called with (images read, images in all).

        Raises:
          UserError: the weights of the extractor are missing or wrong.
        """
        self._config, self._digits, self._log, self._reading = config, digits, log, reading
        self._mesh: Mesh = parallel.data_mesh(0)
        self._sets: dict[str, tuple[Dataset, DatasetFeatures, np.ndarray]] = {}
        is_open = config.extractor == "auto" and weights.find(config.inception) is None
        self._extractor = None if digits or is_open else load_extractor(config, log)
        self._random = OFFLINE["random-conv"]()

    def __call__(self, run: Record) -> Neighbours:
        """Return the neighbours of the last sample grid of a run.

        Raises:
          UserError: its data set or its samples cannot be read.
        """
        samples = last_images(run)
        data, real, features = self._opened(run)
        batch = -(-BATCH // self._mesh.size) * self._mesh.size
        batches = image_batches(lambda indices: samples[indices], len(samples), batch)
        fake = np.concatenate(list(extract(batches, real.extractor, len(samples), self._mesh)))
        distances, places = closest(fake, features, EACH)
        among = _reference(features, real.indices, data)
        unit = float(np.median(among)) or 1.0
        order = np.argsort(distances[:, 0])[:SHOWN]
        found = data.read(real.indices[places[order].ravel()])["image"]
        limit = np.quantile(among, CLOSE)
        return Neighbours(
            samples=samples[order],
            nearest=found.reshape(len(order), EACH, *found.shape[1:]),
            distances=distances[order] / unit,
            median=float(np.median(distances[:, 0])) / unit,
            close=float((distances[:, 0] < max(limit, EQUAL * unit)).mean()),
            count=len(samples),
            of=len(features),
            features=real.extractor.name,
            notes=self._notes(run, data),
        )

    def _opened(self, run: Record) -> tuple[Dataset, DatasetFeatures, np.ndarray]:
        """Return the data set of a run, its features' extractor and the features [N, d]."""
        recorded: Mapping[str, Any] = run.content["experiment"]
        config, shape = from_json(DataConfig, recorded.get("data", {})), image_shape(recorded["gan"])
        key = json.dumps([recorded.get("data", {}), shape], sort_keys=True)
        if key not in self._sets:
            data = open_dataset(config, shape, self._reading)
            real = DatasetFeatures(
                data,
                self._extractor_for(data),
                self._mesh,
                BATCH * self._mesh.size,
                most=self._config.reals,
                log=self._log,
            )
            if real.count <= EACH:
                raise UserError(f"{real.name} has {real.count} images, too few for {EACH} neighbours each")
            features = real.load().features
            assert features is not None
            self._sets[key] = data, real, features
        return self._sets[key]

    def _extractor_for(self, data: Dataset) -> Extractor:
        grey = data.stack.parts if data.stack else data
        is_digits = grey.source.content == open_digits("auto").content
        if self._digits or (self._extractor is None and is_digits):
            return digit_classifier().hidden_extractor
        return self._extractor or self._random

    def _notes(self, run: Record, data: Dataset) -> tuple[str, ...]:
        changed = run.content.get("fingerprint") not in (None, data.fingerprint)
        return (f"{printable(data.name)} has other images now than the run was trained on",) if changed else ()


def _reference(features: np.ndarray, indices: np.ndarray, data: Dataset) -> np.ndarray:
    """Return the distances [R] of some training images to their nearest neighbours, themselves and mirrored excluded.

    Args:
      features: [N, d] of training images.
      indices: [N] of these images in the data set.
      data: the data set.
    """
    chosen = np.random.RandomState(0).permutation(len(features))[:REFERENCE]
    distances, places = closest(features[chosen], features, min(EACH, len(features)))
    plain = len(data.kept)
    is_other = indices[places] % plain != (indices[chosen] % plain)[:, None]
    return np.where(is_other, distances, np.inf).min(1)
