"""Features of the images of a data set: extracted once, then remembered in the cache."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from ganzoo.data import Dataset
from ganzoo.data.order import positions
from ganzoo.data.source import digest
from ganzoo.disk import recall, remember
from ganzoo.errors import printable
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.features import extract, index_batches
from ganzoo.metrics.statistics import FeatureSet, collect


@dataclass(frozen=True)
class DatasetFeatures:
    """Features of a data set's images, or of some of them, which are drawn at random without repetition."""

    dataset: Dataset
    extractor: Extractor
    mesh: Mesh
    batch_size: int
    """Images at once over all devices, of which it is a multiple."""
    most: int = 0
    """Largest number of images; 0 for all."""
    keep: bool = True
    """Whether the features of each image are needed, not only their statistics."""
    side: str = "real"
    """What the images are, for messages."""
    log: Callable[[str], None] = print
    """Receives a line before features are extracted."""

    @property
    def count(self) -> int:
        """Number of images."""
        return min(self.most or len(self.dataset), len(self.dataset))

    @property
    def name(self) -> str:
        """Name of the data set, for messages."""
        return printable(self.dataset.name)

    @property
    def about(self) -> dict[str, Any]:
        """All that decides on the features besides the extractor, as JSON types."""
        data, target = self.dataset, self.dataset.target
        return {
            "data": data.name,
            "fingerprint": data.fingerprint,
            "count": self.count,
            "of": len(data),
            "shape": list(data.image_shape),
            "crop": target.crop,
            "resize": target.resize_filter,
            "mirror": data.mirror,
            "dtype": "uint8",
        }

    def load(self) -> FeatureSet:
        """Return the features, from the cache if they were extracted before."""
        key = digest(self.dataset.source.revision, sorted(self.about.items()), self.extractor.facts)
        file = f"metrics/{key}.npz"
        found = recall(file, partial(FeatureSet.from_bytes, features=self.keep))
        if not _everywhere(found is not None):
            what = f"features of {self.count:,} {self.side} images ({self.extractor.name})"
            self.log(f"{what}: computed once, then cached")
            found = collect(extract(self._images(), self.extractor, self.count, self.mesh), keep=self.keep)
            if jax.process_index() == 0:
                remember(file, found.to_bytes())
        assert found is not None
        return found

    @cached_property
    def indices(self) -> np.ndarray:
        """Indices of the images, sorted so that files are read one after the other."""
        return np.sort(positions(0, len(self.dataset), 0, self.count))

    def _images(self) -> Iterator[np.ndarray]:
        """Yield the images in batches."""
        batches = (self.indices[places] for places in index_batches(self.count, self.batch_size))
        return (batch["image"] for batch in self.dataset.prefetch(batches))


def notes_of(dataset: Dataset) -> list[str]:
    """Return what is to be said of the images of a data set, a line each: what was left out, and what is odd."""
    count = len(dataset.skipped)
    skipped = f"left out because they cannot be decoded: {count:,} of {count + len(dataset.kept):,} images"
    notes = [*dataset.source.notes, *dataset.found.notes, *([skipped] if count else [])]
    return [f"note: {printable(dataset.name)}: {printable(note, 300)}" for note in notes]


def _everywhere(holds: bool) -> bool:
    """Return whether a condition holds in all processes, so that all extract features or none does."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).all())
