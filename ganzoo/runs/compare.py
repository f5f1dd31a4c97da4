"""Metrics of two sets of images, such as those that somebody else's model has made, without a model."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo.config import require
from ganzoo.data import DataConfig, Dataset, inspect, open_dataset
from ganzoo.errors import UserError, printable
from ganzoo.metrics import suite
from ganzoo.metrics.config import MetricsConfig, load_extractor
from ganzoo.runs.evaluator import SUBSETS, circumstances, device_batch, metric_key
from ganzoo.runs.features import DatasetFeatures, notes_of
from ganzoo.runs.modes import ModeCounter
from ganzoo.training import parallel

SIDES = {"real": "real", "fake": "generated"}
"""How messages call the images of either set."""


def compare(
    real: DataConfig,
    fake: DataConfig,
    config: MetricsConfig,
    *,
    devices: int = 0,
    log: Callable[[str], None] = print,
    reading: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure a set of generated images against a set of real ones.

    The images of a set are read in the size of most of them; others of the same set are cropped and resized to it, and
    counted in a line. Both sets are then resized by the feature extractor, as in the common tools.

    Args:
      real: the real images.
      fake: the generated ones, of which at most ``config.samples`` are taken.
      config: what is measured; nothing that needs a generator.
      devices: number of devices; 0 for all.
      log: receives lines about what takes long, and about images that are not taken as they are.
      reading: called with (images read, images in all).

    Returns:
      The result: ``{"values": {name: number}, ...}``, with all that it takes to repeat it.

    Raises:
      UserError: a set cannot be read or is too small, or a metric needs a generator.
    """
    require(bool(config.metrics), "metrics", config.metrics, f"be some of {', '.join(suite.NAMES)}")
    for name in suite.pair_metrics(config.metrics):
        raise UserError(f"{name} needs a generator, which images are not; leave it out of --metrics, or give a MODEL")
    mesh = parallel.data_mesh(devices)
    data = {side: _opened(each, log, reading) for side, each in (("real", real), ("fake", fake))}
    modes = _mode_counter(config, data, log)
    extractor = load_extractor(config, log)
    keeps = dict(zip(SIDES, suite.keeps_features(config.metrics), strict=True))
    most = {"real": config.reals, "fake": config.samples}
    sets = {
        side: DatasetFeatures(
            data[side],
            extractor,
            mesh,
            device_batch(config, mesh),
            most=most[side],
            keep=keeps[side],
            side=SIDES[side],
            log=log,
        )
        for side in SIDES
    }
    _check(config, sets, log)
    numbers: dict[str, float] = {}
    if suite.feature_metrics(config.metrics):
        found = {side: each.load() for side, each in sets.items()}
        key = metric_key(config, SUBSETS)
        numbers = suite.measure(config.metrics, suite.Evidence(extractor, found["real"], found["fake"], key))
    if modes:
        of_modes = replace(sets["fake"], extractor=modes.extractor, most=modes.count, keep=True)
        numbers |= modes(of_modes.load().features)
    about = {side: each.about for side, each in sets.items()} | ({"modes": modes.about} if modes else {})
    how: dict[str, Any] = {"metrics": list(config.metrics), "seed": config.metric_seed}
    how |= {"extractor": extractor.facts} if suite.uses_extractor(config.metrics) else {}
    return {"values": numbers, **how, **about, **circumstances(mesh)}


def _mode_counter(config: MetricsConfig, data: Mapping[str, Dataset], log: Callable[[str], None]) -> ModeCounter | None:
    """Return what counts modes, where that is among the metrics."""
    if not suite.counts_modes(config.metrics):
        return None
    fake = data["fake"]
    suite.require_channels(fake.found.channels, fake.name, "give colour images, one channel for each grey picture")
    return ModeCounter(data["real"], min(config.samples, len(fake)), log)


def _opened(config: DataConfig, log: Callable[[str], None], reading: Callable[[int, int], None] | None) -> Dataset:
    """Open a data set in the size of most of its images, in colour and without labels."""
    path = Path(config.data)
    if path.name == "samples" and (path.parent / "config.json").is_file():
        log(
            f"warning: {printable(path)} holds grids, each of which counts as one image here; for single images:"
            f" ganzoo sample {printable(path.parent)} --seeds 0-9999 --out FOLDER"
        )
    config = replace(config, labels="none", mirror=False)
    looks = inspect(config).looks
    sizes = Counter((look.height, look.width) for look in looks)
    (height, width), _ = sizes.most_common(1)[0] if sizes else ((256, 256), 0)
    if len(sizes) > 1:
        log(
            f"note: {printable(config.data)} has images of different sizes; those that are not {height} x {width} are"
            f" cropped (--crop {config.crop}) and resized to that"
        )
    dataset = open_dataset(config, (height, width, 3), reading)
    for note in notes_of(dataset):
        log(note)
    return dataset


def _check(config: MetricsConfig, sets: Mapping[str, DatasetFeatures], log: Callable[[str], None]) -> None:
    """Raise ``UserError`` for what would fail after some work; warn of what would say little."""
    names, real, fake = config.metrics, sets["real"], sets["fake"]
    suite.check_counts(names, real=real.count, fake=fake.count, of_real=real.name, of_fake=fake.name)
    (height, width, _), (other_height, other_width, _) = real.dataset.image_shape, fake.dataset.image_shape
    if (height, width) != (other_height, other_width):
        sizes = f"real images of {height} x {width}, generated ones of {other_height} x {other_width}"
        log(f"note: {sizes}; each is resized by itself for the features")
    shape = real.dataset.image_shape
    if warning := suite.rank_warning(names, real.extractor, shape, real=real.count, fake=fake.count):
        log(f"warning: {warning}")
