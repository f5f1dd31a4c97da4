"""Metrics of generated images: distances, scores, precision and recall, density and coverage, path length, modes.

Of two arrays of images:

>>> fid = ganzoo.metrics.fid(real, fake, weights="pt_inception-2015-12-05-6726825d.pth")

Several at once, of functions that give images in batches:

>>> extractor = random_conv()
>>> real = extract_features(lambda indices: photographs[indices], extractor, 1000, keep=True, batch_size=100, mesh=mesh)
>>> fake = extract_features(sample, extractor, 1000, keep=True, batch_size=100, mesh=mesh)
>>> numbers = measure(["frechet", "kernel"], Evidence(extractor, real, fake, jax.random.key(0)))

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganzoo.metrics.arrays import fid, frechet, inception_score, kid, modes, precision_recall
    from ganzoo.metrics.classifier import Classifier, digit_classifier
    from ganzoo.metrics.config import MetricsConfig, load_extractor
    from ganzoo.metrics.extractors import Extractor, inception_extractor, pixels, random_conv
    from ganzoo.metrics.lpips import lpips_extractor
    from ganzoo.metrics.mode_count import ModeCount, count_modes
    from ganzoo.metrics.statistics import FeatureSet, Statistics
    from ganzoo.metrics.suite import METRICS, Evidence, extract_features, measure

_HOMES = {
    **dict.fromkeys(("fid", "frechet", "inception_score", "kid", "modes", "precision_recall"), "arrays"),
    **dict.fromkeys(("Classifier", "digit_classifier"), "classifier"),
    **dict.fromkeys(("MetricsConfig", "load_extractor"), "config"),
    **dict.fromkeys(("Extractor", "inception_extractor", "pixels", "random_conv"), "extractors"),
    "lpips_extractor": "lpips",
    **dict.fromkeys(("ModeCount", "count_modes"), "mode_count"),
    **dict.fromkeys(("FeatureSet", "Statistics"), "statistics"),
    **dict.fromkeys(("METRICS", "Evidence", "extract_features", "measure"), "suite"),
}
"""The module of each public name."""

__all__ = [
    "METRICS", "Classifier", "Evidence", "Extractor", "FeatureSet", "MetricsConfig", "ModeCount", "Statistics",
    "count_modes", "digit_classifier", "extract_features", "fid", "frechet", "inception_extractor", "inception_score",
    "kid", "load_extractor", "lpips_extractor", "measure", "modes", "pixels", "precision_recall", "random_conv",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ganzoo.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ganzoo.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
