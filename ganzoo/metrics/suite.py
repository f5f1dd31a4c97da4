"""The metrics by name, computed together: one pass over the real images, one over the generated ones.

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
    """What metrics are computed from."""

    extractor: Extractor
    real: Gathered
    fake: Gathered
    key: Key
    """Of the subsets that are drawn."""

    @cached_property
    def manifolds(self) -> Mapping[int, Manifolds]:
        """By k, from one pass over all distances."""
        if self.real.features is None or self.fake.features is None:
            raise ValueError("the features were not kept")
        ks = (PRECISION_K, DENSITY_K)
        return dict(zip(ks, manifolds(self.real.features, self.fake.features, ks), strict=True))


@dataclass(frozen=True)
class Metric:
    """One line of the table."""

    measure: Callable[[Evidence], dict[str, float]]
    """Its numbers by name; the first is the one that counts."""
    of_reals: bool
    """Whether it needs the features of each real image, not only their statistics."""
    of_fakes: bool
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
"""Those that compare two sets of features."""
OF_INCEPTION = {"frechet": "fid", "kernel": "kid", "kernel_std": "kid_std"}
"""What the literature calls them when the features are those of the Inception network."""
ALIASES = {"fid": "frechet", "kid": "kernel"}
NEED_INCEPTION = (*ALIASES, "inception_score")
PATH_LENGTHS: Mapping[str, tuple[Space, Sampling]] = {
    "ppl_z_full": ("z", "full"),
    "ppl_z_end": ("z", "end"),
    "ppl_w_full": ("w", "full"),
    "ppl_w_end": ("w", "end"),
}
"""Those of ways between latents: see ``path_length``."""
NAMES = (*ALIASES, *METRICS, *PATH_LENGTHS)


def check_names(names: Sequence[str]) -> None:
    """Raise ``UserError`` for a name that is no metric's."""
    for name in names:
        if name not in NAMES:
            raise UserError(f"unknown metric {name!r};{nearest(name, NAMES)}")


def measure(names: Sequence[str], evidence: Evidence) -> dict[str, float]:
    """The numbers of the metrics in ``METRICS`` (or ``ALIASES``) with these names.

    Returns:
      of Inception features the names of the literature (``fid``, ``kid``, ``precision``...); of others
      ``<extractor>/frechet`` and so on.

    Raises:
      UserError: an unknown name, or one that only Inception features deserve.
    """
    check_names(names)
    numbers = {}
    for name in names:
        if name in NEED_INCEPTION and evidence.extractor.name != INCEPTION:
            remedy = f"give --inception, or ask for {ALIASES.get(name, 'frechet')}"
            raise UserError(f"{name} is of Inception features, not of {evidence.extractor.name!r}; {remedy}")
        numbers |= METRICS[ALIASES.get(name, name)].measure(evidence)
    return {title(name, evidence.extractor): value for name, value in numbers.items()}


def title(name: str, extractor: Extractor) -> str:
    """How a number is called in a result; the path lengths of the literature are of LPIPS alone."""
    if name in PATH_LENGTHS:
        return name if extractor.name == LPIPS else f"{extractor.name}/{name}"
    return OF_INCEPTION.get(name, name) if extractor.name == INCEPTION else f"{extractor.name}/{name}"


def higher_is_better(name: str) -> bool:
    """Of the first number of a metric."""
    found = METRICS.get(ALIASES.get(name, name))
    return found is not None and found.higher_is_better


def keeps_features(names: Sequence[str]) -> tuple[bool, bool]:
    """Whether metrics need the features of each (real image, fake), not only their statistics."""
    wanted = [METRICS[ALIASES.get(name, name)] for name in names if name not in PATH_LENGTHS]
    return any(metric.of_reals for metric in wanted), any(metric.of_fakes for metric in wanted)


def gather(sampler: Sampler, extractor: Extractor, count: int, *, keep: bool, batch_size: int, mesh: Mesh) -> Gathered:
    """The features of the images below ``count`` of a sampler, or only their statistics.

    Args:
      sampler: ``indices [n] -> images``, uint8 or float in [-1, 1].
      extractor: of the features.
      count: of images.
      keep: whether the features themselves are kept.
      batch_size: images at once over all devices, of which it is a multiple; does not change the result.
      mesh: the devices.
    """
    return gathered(extracted(sampled(sampler, count, batch_size), extractor, count, mesh), keep=keep)
