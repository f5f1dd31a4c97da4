"""Train the classifier by which modes of stacked digits are counted, and write it where the package reads it.

    python experiments/train_digit_classifier.py

Written are `ganzoo/metrics/digit_classifier.npz` and its model card `digit_classifier.md`. Price: half a minute on two
CPU cores. Expected: at least 98 % of the 359 digits that were held out; below that nothing is written.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ganzoo
from ganzoo.cli.process import guarded
from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import UserError
from ganzoo.metrics import classifier
from ganzoo.metrics.classifier import Classifier, fit

LEAST = 0.98
SIDE = 32
"""Pixels of a side of the digits as models see them, at which the classifier is trained."""
CARD = """# The classifier of digits in `digit_classifier.npz`

Modes of stacked digits (`ganzoo evaluate RUN --metrics modes`) are counted by this network: it says which digit, 0 to
9, is in each channel of an image.

- **Accuracy: {accuracy:.2%}** of the {held_out} digits that were held out ({right} of {held_out}); {train} were trained
  on. The writers of both are the same people, so digits of others may be read less well, MNIST's included.
- Network: images of any size are brought to {size} x {size} pixels; two convolutions of 3 x 3 ({widths} channels), each
  with a ReLU and 2 x 2 max pooling, {hidden} hidden units, 10 logits: {parameters:,} parameters in float32.
- Training: {steps:,} steps of Adam with {batch} digits, each shifted by up to {shift} pixels and with noise of
  {noise}, seed {seed}, by `experiments/train_digit_classifier.py` (ganzoo {version}).
- Data: the embedded digits (`ganzoo/data/digits_ATTRIBUTION.md`), of E. Alpaydin and C. Kaynak, *Optical Recognition of
  Handwritten Digits*, UCI Machine Learning Repository, 1998, CC BY 4.0.
- Limits: every channel gets a digit, also one that shows none, so a count of modes says nothing of the images' quality.
  For other sets (`stacked:NAME`) a network of the same kind is trained on their own labels.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(prog="train_digit_classifier.py", description=__doc__.splitlines()[0])
    home = Path(classifier.__file__).parent
    parser.add_argument("--out", type=Path, default=home, help="folder to write to (default: the package's own)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and held-out part (default: 0)")
    parser.add_argument("--steps", type=int, default=classifier.STEPS, help="of training (default: %(default)s)")
    options = parser.parse_args(args)
    digits = open_dataset(DataConfig(data="digits"), (SIDE, SIDE, 1))
    batch = digits.read(np.arange(len(digits)))
    start = time.process_time()
    found = fit("digits", batch["image"], batch["label"].argmax(-1), 10, seed=options.seed, steps=options.steps)
    print(f"{found.accuracy:.2%} of {found.held_out} held-out digits, {time.process_time() - start:.0f} CPU seconds")
    if found.accuracy < LEAST:
        raise UserError(f"{found.accuracy:.2%}: less than {LEAST:.0%}, so nothing is written; train longer (--steps)")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "digit_classifier.npz").write_bytes(found.to_bytes())
    (options.out / "digit_classifier.md").write_text(card(found, len(digits), options))


def card(found: Classifier, digits: int, options: argparse.Namespace) -> str:
    """Return the model card."""
    return CARD.format(
        accuracy=found.accuracy,
        held_out=found.held_out,
        right=round(found.accuracy * found.held_out),
        train=f"{digits - found.held_out:,}",
        size=classifier.SIZE,
        widths=" and ".join(map(str, classifier.WIDTHS)),
        hidden=classifier.HIDDEN,
        parameters=sum(np.size(value) for value in found.params.values()),
        steps=options.steps,
        batch=classifier.BATCH,
        shift=classifier.SHIFT,
        noise=classifier.NOISE,
        seed=options.seed,
        version=ganzoo.__version__,
    )


if __name__ == "__main__":
    sys.exit(guarded(main))
