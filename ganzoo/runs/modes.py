"""Counting of modes of stacked images: by which classifier, among which samples, of what data."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float

from ganzoo.data import Dataset
from ganzoo.data.digits import open_digits
from ganzoo.data.order import positions
from ganzoo.data.source import digest
from ganzoo.disk import recall, remember
from ganzoo.errors import UserError, printable
from ganzoo.metrics.classifier import RECIPE, STEPS, Classifier, digit_classifier, fit
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.mode_count import SAMPLES, count_modes, mode_numbers

MODES = "modes"
NEEDED = f"{MODES} needs stacked images, three grey pictures in 3 channels"
ACCURATE = 0.98
"""Share of right answers below which a classifier is reported as poor."""
MOST_TRAINED = 60_000
"""Largest number of images on which a classifier is trained."""


class ModeCounter:
    """Counts the modes of samples, as the classes of a stacked data set name them."""

    def __init__(
        self, dataset: Dataset, samples: int, log: Callable[[str], None], classifier: Classifier | None = None
    ) -> None:
        """
        Args:
          dataset: the real images, whose labels say which modes there are.
          samples: number of generated images, of which at most ``SAMPLES`` are taken.
          log: receives lines about what takes long, or says little.
          classifier: of the grey images that are stacked; None for ``classifier_of`` them.

        Raises:
          UserError: the data set is not stacked.
        """
        if dataset.stack is None:
            raise UserError(
                f"{NEEDED}, and {printable(dataset.name)} is not stacked; give --data stacked-digits or stacked:NAME"
            )
        self.count = min(samples, SAMPLES)
        if self.count < SAMPLES:
            log(f"note: {MODES} of {self.count:,} samples; papers take {SAMPLES:,} or so, fewer find fewer modes")
        self._held = np.unique(dataset.stack.modes)
        self._given, self._parts, self._log = classifier, dataset.stack.parts, log

    @cached_property
    def _classifier(self) -> Classifier:
        return self._given or classifier_of(self._parts, self._log)

    @cached_property
    def extractor(self) -> Extractor:
        """Extractor of the class of each channel; made, where it has to be, when it is first asked for."""
        return self._classifier.extractor

    def __call__(self, classes: Float[np.ndarray, "n 3"] | None) -> dict[str, float]:
        """Return the numbers of samples, by name, from the classes [N, 3] of their channels."""
        if classes is None:
            raise ValueError("the features were not kept")
        size = self._classifier.classes
        found = count_modes(mode_numbers(classes, size), self._held)
        numbers = {MODES: float(found.found), f"{MODES}_kl": found.kl}
        return numbers if found.held == size**3 else numbers | {f"{MODES}_outside": found.outside}

    @property
    def about(self) -> dict[str, Any]:
        """All that decides on the numbers besides the images, as JSON types."""
        return {"count": self.count, "of": len(self._held), "classifier": self.extractor.facts}


def classifier_of(parts: Dataset, log: Callable[[str], None], *, steps: int = STEPS) -> Classifier:
    """Return a classifier of the grey images of a stacked set: that of the digits, or one trained on the set's labels.

    Args:
      parts: the grey images.
      log: says which classifier is used.
      steps: of training.
    """
    if parts.source.content == open_digits("auto").content:
        return digit_classifier()
    name, file = printable(parts.name), f"metrics/classifier-{digest(parts.fingerprint, RECIPE, steps)}.npz"
    found = recall(file, lambda content: Classifier.from_bytes(content, name))
    if found is None:
        log(f"{MODES}: a classifier of {name} is trained on its labels once, then cached")
        found = _trained(name, parts, steps)
        if jax.process_index() == 0:
            remember(file, found.to_bytes())
    if jax.process_count() > 1:  # nothing says that two processes come to the same last bit
        params = multihost_utils.broadcast_one_to_all(dict(found.params))
        found = Classifier(name, jax.device_get(params), found.accuracy, found.held_out)
    right = f"right for {found.accuracy:.1%} of {found.held_out:,} held-out images"
    poor = f", less than {ACCURATE:.0%}, so numbers of modes are rough" if found.accuracy < ACCURATE else ""
    log(f"{'warning' if poor else 'note'}: {MODES} are counted by a classifier of {name}, {right}{poor}")
    return found


def _trained(name: str, parts: Dataset, steps: int) -> Classifier:
    assert parts.labels is not None
    chosen = np.sort(positions(0, len(parts), 0, min(len(parts), MOST_TRAINED)))
    images = np.concatenate([parts.read(some)["image"] for some in np.array_split(chosen, -(-len(chosen) // 1024))])
    return fit(name, images, parts.labels.values[chosen], parts.labels.size, steps=steps)
