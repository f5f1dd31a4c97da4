"""The metrics by name, computed together in one pass over the real and one pass over the generated images.

>>> real = gather(sampler_of_reals, extractor, 1000, keep=True, batch_size=50, mesh=mesh)
>>> fake = gather(sampler_of_fakes, extractor, 1000, keep=True, batch_size=50, mesh=mesh)
>>> measure(["frechet", "precision_recall"], Evidence(extractor, real, fake, jax.random.key(0)))
{'random-conv/frechet': 1.93, 'random-conv/precision': 0.71, 'random-conv/recall': 0.24}
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from jax.sharding import Mesh

from ganzoo.errors import UserError, nearest
from ganzoo.metrics.extractors import INCEPTION, Extractor
from ganzoo.metrics.features import Sampler, extracted, sampled
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.kernel import kernel_distance
from ganzoo.metrics.lpips import LPIPS
from ganzoo.metrics.neighbours import Manifolds, manifolds
from ganzoo.metrics.path_length import Sampling, Space
from ganzoo.metrics.score import inception_score
from ganzoo.metrics.statistics import Gathered, gathered
from ganzoo.typing import Key

PRECISION_K, DENSITY_K = 3, 5
"""Nearest neighbours in the papers of precision and recall, and of density and coverage."""


@dataclass(frozen=True)
class Evidence:
    """Features of real and generated images, from which metrics are computed."""

    extractor: Extractor
    real: Gathered
    fake: Gathered
    key: Key
    """Random key of the subsets of the kernel distance."""

    @cached_property
    def manifolds(self) -> Mapping[int, Manifolds]:
        """Overlaps of the balls by k, from one pass over all distances."""
        if self.real.features is None or self.fake.features is None:
            raise ValueError("the features were not kept")
        ks = (PRECISION_K, DENSITY_K)
        return dict(zip(ks, manifolds(self.real.features, self.fake.features, ks), strict=True))


@dataclass(frozen=True)
class Metric:
    """Metric of two sets of features."""

    measure: Callable[[Evidence], dict[str, float]]
    """Function that returns the metric's numbers by name; the first is the main number."""
    of_reals: bool
    """Whether the metric needs the features of each real image, not only their statistics."""
    of_fakes: bool
    """Whether the metric needs the features of each generated image, not only their statistics."""
    higher_is_better: bool = False


def _frechet(evidence: Evidence) -> dict[str, float]:
    return {"frechet": frechet_distance(evidence.real.statistics, evidence.fake.statistics)}


def _kernel(evidence: Evidence) -> dict[str, float]:
    real, fake = evidence.real.features, evidence.fake.features
    if real is None or fake is None:
        raise ValueError("the features were not kept")
    mean, deviation = kernel_distance(real, fake, evidence.key)
    return {"kernel": mean, "kernel_std": deviation}


def _inception_score(evidence: Evidence) -> dict[str, float]:
    features, classifier = evidence.fake.features, evidence.extractor.classifier
    if features is None or classifier is None:
        raise ValueError("an Inception score needs kept features and classes")
    mean, deviation = inception_score(features @ classifier)
    return {"inception_score": mean, "inception_score_std": deviation}


def _precision_recall(evidence: Evidence) -> dict[str, float]:
    found = evidence.manifolds[PRECISION_K]
    return {"precision": found.precision, "recall": found.recall}


def _density_coverage(evidence: Evidence) -> dict[str, float]:
    found = evidence.manifolds[DENSITY_K]
    return {"density": found.density, "coverage": found.coverage}


METRICS: Mapping[str, Metric] = {
    "frechet": Metric(_frechet, of_reals=False, of_fakes=False),
    "kernel": Metric(_kernel, of_reals=True, of_fakes=True),
    "inception_score": Metric(_inception_score, of_reals=False, of_fakes=True, higher_is_better=True),
    "precision_recall": Metric(_precision_recall, of_reals=True, of_fakes=True, higher_is_better=True),
    "density_coverage": Metric(_density_coverage, of_reals=True, of_fakes=True, higher_is_better=True),
}
"""Metrics that compare two sets of features."""
OF_INCEPTION = {"frechet": "fid", "kernel": "kid", "kernel_std": "kid_std"}
"""Names in the literature of numbers that are computed from Inception features."""
ALIASES = {"fid": "frechet", "kid": "kernel"}
NEED_INCEPTION = (*ALIASES, "inception_score")
PATH_LENGTHS: Mapping[str, tuple[Space, Sampling]] = {
    "ppl_z_full": ("z", "full"),
    "ppl_z_end": ("z", "end"),
    "ppl_w_full": ("w", "full"),
    "ppl_w_end": ("w", "end"),
}
"""Space and sampling of the metrics of paths between latents: see ``path_length``."""
NAMES = (*ALIASES, *METRICS, *PATH_LENGTHS)


def check_names(names: Sequence[str]) -> None:
    """Raise ``UserError`` unless all names are names of metrics."""
    for name in names:
        if name not in NAMES:
            raise UserError(f"unknown metric {name!r};{nearest(name, NAMES)}")


def measure(names: Sequence[str], evidence: Evidence) -> dict[str, float]:
    """Compute the metrics of ``METRICS`` or ``ALIASES`` with the given names.

    Returns:
      Numbers by name: for Inception features by the names of the literature (``fid``, ``kid``, ``precision``...), for
      other features ``<extractor>/frechet`` and so on.

    Raises:
      UserError: a name is unknown, or requires Inception features.
    """
    check_names(names)
    numbers = {}
    for name in names:
        if name in NEED_INCEPTION and evidence.extractor.name != INCEPTION:
            remedy = f"give --inception, or ask for {ALIASES.get(name, 'frechet')}"
            raise UserError(f"{name} needs Inception features, not {evidence.extractor.name!r}; {remedy}")
        numbers |= METRICS[ALIASES.get(name, name)].measure(evidence)
    return {title(name, evidence.extractor): value for name, value in numbers.items()}


def title(name: str, extractor: Extractor) -> str:
    """Return the name of a number in results; only LPIPS path lengths have the names of the literature."""
    if name in PATH_LENGTHS:
        return name if extractor.name == LPIPS else f"{extractor.name}/{name}"
    return OF_INCEPTION.get(name, name) if extractor.name == INCEPTION else f"{extractor.name}/{name}"


def higher_is_better(name: str) -> bool:
    """Return whether a higher value of the metric's main number is better."""
    found = METRICS.get(ALIASES.get(name, name))
    return found is not None and found.higher_is_better


def keeps_features(names: Sequence[str]) -> tuple[bool, bool]:
    """Return whether the metrics need the features of each (real image, generated image), not only statistics."""
    wanted = [METRICS[ALIASES.get(name, name)] for name in names if name not in PATH_LENGTHS]
    return any(metric.of_reals for metric in wanted), any(metric.of_fakes for metric in wanted)


def gather(sampler: Sampler, extractor: Extractor, count: int, *, keep: bool, batch_size: int, mesh: Mesh) -> Gathered:
    """Extract features of images 0 .. count - 1 of ``sampler``; keep them, or only their statistics.

    Args:
      sampler: ``indices [n] -> images [n, H, W, C]``, uint8 or float in [-1, 1].
      extractor: extractor of the features.
      count: number of images.
      keep: whether to keep the features, not only their statistics.
      batch_size: images at once over all devices, a multiple of the number of devices; does not change the result.
      mesh: devices over which a batch is split.
    """
    return gathered(extracted(sampled(sampler, count, batch_size), extractor, count, mesh), keep=keep)
