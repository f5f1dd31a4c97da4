"""The metrics by name, computed together in one pass over the real and one pass over the generated images.

>>> real = extract_features(real_images, extractor, 1000, keep=True, batch_size=50, mesh=mesh)
>>> fake = extract_features(fake_images, extractor, 1000, keep=True, batch_size=50, mesh=mesh)
>>> measure(["frechet", "precision_recall"], Evidence(extractor, real, fake, jax.random.key(0)))
{'random-conv/frechet': ..., 'random-conv/precision': ..., 'random-conv/recall': ...}
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from jax.sharding import Mesh

from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN
from ganzoo.metrics.equivariance import LEAST_TURNED, equivariance, errors_of
from ganzoo.metrics.extractors import INCEPTION, Extractor
from ganzoo.metrics.features import ImageSource, PairSource, extract, image_batches
from ganzoo.metrics.kernel import kernel_distance
from ganzoo.metrics.lpips import LPIPS
from ganzoo.metrics.neighbours import Manifolds, manifolds
from ganzoo.metrics.path_length import path_ends, perceptual_path_length
from ganzoo.metrics.score import SPLITS, score_from_logits
from ganzoo.metrics.statistics import FeatureSet, collect, frechet_distance
from ganzoo.typing import AnyArray, Key, Labels, State

STACKED_CHANNELS = 3
PRECISION_K, DENSITY_K = 3, 5
"""Nearest neighbours in the papers of precision and recall, and of density and coverage."""


# What metrics are computed from -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """Features of real and of generated images."""

    extractor: Extractor
    real: FeatureSet
    fake: FeatureSet
    key: Key
    """Random key of the subsets of the kernel distance."""

    @cached_property
    def manifolds(self) -> Mapping[int, Manifolds]:
        """Overlaps of the balls by k, from one pass over all distances; of every k for which the images suffice."""
        real, fake = self.real.features, self.fake.features
        if real is None or fake is None:
            raise ValueError("the features were not kept")
        ks = [k for k in (PRECISION_K, DENSITY_K) if k < min(len(real), len(fake))]
        return dict(zip(ks, manifolds(real, fake, ks), strict=True))


@dataclass(frozen=True)
class PairEvidence:
    """Pairs of images that a generator made for one metric."""

    pairs: PairSource
    extractor: Extractor
    """Of the features that are compared."""
    count: int
    """Of pairs."""
    batch_size: int
    """Pairs at once, a multiple of the devices."""
    mesh: Mesh


MakePairs: TypeAlias = Callable[[GAN, Key, State, Any, Labels | None], tuple[AnyArray, AnyArray]]
"""``make(gan, key, state, indices [n], labels) -> (images, images)``, traceable; pair i depends on its index alone."""


# The table ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeatureMetric:
    """A metric that compares the features of two sets of images."""

    compute: Callable[[Evidence], dict[str, float]]
    """Its numbers by name; the first is the one that counts."""
    keeps_real: bool = False
    """Whether it needs the features of each real image, not only their statistics."""
    keeps_fake: bool = False
    higher_is_better: bool = False
    least_real: int = 2
    """Smallest number of real images for which it is defined."""
    least_fake: int = 2


@dataclass(frozen=True)
class PairMetric:
    """A metric of pairs of images that a generator makes for it, without real images."""

    compute: Callable[[PairEvidence], float]
    make: MakePairs
    needs_styles: bool = False
    """Whether it is only of models with styles."""
    needs_transform: bool = False
    """Whether it is only of models whose generator takes a transform of its input."""
    has_features: bool = True
    """Whether it compares features; otherwise ``make`` returns the numbers of each image that are to be summed."""
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
    mean, deviation = score_from_logits(features @ classifier)
    return {"inception_score": mean, "inception_score_std": deviation}


def _precision_recall(evidence: Evidence) -> dict[str, float]:
    found = evidence.manifolds[PRECISION_K]
    return {"precision": found.precision, "recall": found.recall}


def _density_coverage(evidence: Evidence) -> dict[str, float]:
    found = evidence.manifolds[DENSITY_K]
    return {"density": found.density, "coverage": found.coverage}


def _path_length(evidence: PairEvidence) -> float:
    return perceptual_path_length(
        evidence.pairs, evidence.extractor, evidence.count, batch_size=evidence.batch_size, mesh=evidence.mesh
    )


@dataclass(frozen=True)
class ModeMetric:
    """A metric of the classes that a classifier of its own finds in the channels of stacked images."""

    higher_is_better: bool = True


def _equivariance(evidence: PairEvidence) -> float:
    return equivariance(evidence.pairs, evidence.count, batch_size=evidence.batch_size)


def _moves(name: str) -> PairMetric:
    make = errors_of(name)
    return PairMetric(_equivariance, make, needs_transform=True, has_features=False, higher_is_better=True)


# fmt: off
METRICS: Mapping[str, FeatureMetric | PairMetric | ModeMetric] = {
    "frechet":          FeatureMetric(_frechet),
    "kernel":           FeatureMetric(_kernel, keeps_real=True, keeps_fake=True),
    "inception_score":  FeatureMetric(_inception_score, keeps_fake=True, higher_is_better=True,
                                      least_real=0, least_fake=2 * SPLITS),
    "precision_recall": FeatureMetric(_precision_recall, keeps_real=True, keeps_fake=True, higher_is_better=True,
                                      least_real=PRECISION_K + 1, least_fake=PRECISION_K + 1),
    "density_coverage": FeatureMetric(_density_coverage, keeps_real=True, keeps_fake=True, higher_is_better=True,
                                      least_real=DENSITY_K + 1, least_fake=DENSITY_K + 1),
    "ppl_z_full":       PairMetric(_path_length, path_ends("z", "full")),
    "ppl_z_end":        PairMetric(_path_length, path_ends("z", "end")),
    "ppl_w_full":       PairMetric(_path_length, path_ends("w", "full"), needs_styles=True),
    "ppl_w_end":        PairMetric(_path_length, path_ends("w", "end"), needs_styles=True),
    "eqt":              _moves("eqt"),
    "eqt_frac":         _moves("eqt_frac"),
    "eqr":              _moves("eqr"),
    "modes":            ModeMetric(),
}
# fmt: on
"""Every metric, by the name that works with any features."""
ALIASES = {"fid": "frechet", "kid": "kernel"}
"""Names of the literature, which ask for Inception features."""
OF_INCEPTION = {"frechet": "fid", "kernel": "kid", "kernel_std": "kid_std"}
"""How the literature calls the numbers of Inception features."""
NEED_INCEPTION = (*ALIASES, "inception_score")
NAMES = (*ALIASES, *METRICS)
THEIRS = {
    "fid": ("fid50k", "fid50k_full"),
    "kid": ("kid50k", "kid50k_full"),
    "inception_score": ("is", "is50k", "isc"),
    "precision_recall": ("pr", "pr50k3", "pr50k3_full", "prc"),
    "density_coverage": ("dc", "prdc"),
    "ppl_z_full": ("ppl_zfull",),
    "ppl_z_end": ("ppl_zend",),
    "ppl_w_full": ("ppl", "ppl_wfull"),
    "ppl_w_end": ("ppl_wend", "ppl2_wend"),
    "modes": ("mode", "mode_count", "modes_kl", "stacked_mnist"),
    "eqt": ("eqt50k", "eqt50k_int", "eqt_int"),
    "eqt_frac": ("eqt50k_frac",),
    "eqr": ("eqr50k",),
}
"""What others call a metric: NVlabs/stylegan2-ada-pytorch, toshas/torch-fidelity, and short forms."""


def check_names(names: Sequence[str]) -> None:
    """Raise ``UserError`` unless all names are names of metrics; the nearest one is in the message."""
    for name in names:
        if name in NAMES:
            continue
        if "," in name:
            raise UserError(f"unknown metric {name!r}; separate names by spaces")
        typed = name.lower().replace("-", "_")
        ours = next((ours for ours, theirs in THEIRS.items() if typed == ours or typed in theirs), None)
        hint = f" did you mean {ours!r}? known: {', '.join(sorted(NAMES))}" if ours else nearest(typed, NAMES)
        raise UserError(f"unknown metric {name!r};{hint}")


def check_model(names: Sequence[str], gan: GAN) -> None:
    """Raise ``UserError`` for a metric that the model does not have."""
    for name, metric in pair_metrics(names).items():
        if metric.needs_styles and gan.styles is None:
            others = [o for o, each in pair_metrics(NAMES).items() if not each.needs_styles | each.needs_transform]
            (close,) = difflib.get_close_matches(name, others, n=1, cutoff=0)
            raise UserError(f"{name}: {gan.name} has no styles w; ask for {close}")
        if metric.needs_transform and not (gan.styles and gan.styles.takes_transform):
            raise UserError(f"{name}: the input of a {gan.name} cannot be moved; measure a stylegan3, or leave it out")
        height, width, _ = gan.image_shape
        if name == "eqr" and (height != width or height < LEAST_TURNED):
            must = f"must be square, of {LEAST_TURNED} pixels or more, to be turned; ask for eqt"
            raise UserError(f"eqr: images of {height} x {width} {must}")
    if counts_modes(names):
        require_channels(
            gan.image_shape[2], f"the model {gan.name}", "train it with --data stacked-digits --channels 3"
        )


def require_channels(channels: int, of: str, remedy: str) -> None:
    """Raise ``UserError`` unless images have the channels of stacked images."""
    if channels != STACKED_CHANNELS:
        needs = f"modes needs images of {STACKED_CHANNELS} channels, with a grey picture in each"
        raise UserError(f"{needs}; those of {of} have {channels}: {remedy}")


def check_counts(
    names: Sequence[str], *, real: int | None = None, fake: int | None = None, of_real: str = "", of_fake: str = ""
) -> None:
    """Raise ``UserError`` for a metric that needs more images than there are.

    Args:
      names: of metrics.
      real: real images; None where that is not known.
      fake: generated images; None where that is not known.
      of_real: where the real images are from, for the message.
      of_fake: where the generated images are from.
    """
    for name, metric in feature_metrics(names).items():
        sides = ("real", real, metric.least_real, of_real), ("generated", fake, metric.least_fake, of_fake)
        for side, count, least, where in sides:
            if count is not None and count < least:
                raise UserError(
                    f"{name} needs at least {least} {side} images, not {count}{f' of {where}' if where else ''};"
                    " take more, or leave it out"
                )


def rank_warning(
    names: Sequence[str], extractor: Extractor, image_shape: tuple[int, int, int], *, real: int, fake: int
) -> str | None:
    """Return a warning where a Frechet distance would be of covariances without full rank; None otherwise.

    The covariance of n features of length d has the rank n - 1 at most. Where that is less than d, the distance depends
    on n more than on the images.

    Args:
      names: of metrics.
      extractor: of the features.
      image_shape: [H, W, C], on which the length d of the features may depend.
      real: n of the real images.
      fake: n of the generated images.
    """
    if not any(ALIASES.get(name, name) == "frechet" for name in names):
        return None
    size = extractor.length(image_shape)
    few = [f"{count} {side}" for side, count in (("generated", fake), ("real", real)) if count <= size]
    if not few:
        return None
    return (
        f"{title('frechet', extractor)} of {' and '.join(few)} images is far too uncertain to compare:"
        f" features of {size} numbers need more than {size} images on each side (papers take 50,000)"
    )


def feature_metrics(names: Sequence[str]) -> dict[str, FeatureMetric]:
    """Return the metrics among these names that compare features, by the names that were given."""
    found = {name: METRICS[ALIASES.get(name, name)] for name in names}
    return {name: metric for name, metric in found.items() if isinstance(metric, FeatureMetric)}


def pair_metrics(names: Sequence[str]) -> dict[str, PairMetric]:
    """Return the metrics among these names for which a generator makes pairs of images."""
    found = {name: METRICS[ALIASES.get(name, name)] for name in names}
    return {name: metric for name, metric in found.items() if isinstance(metric, PairMetric)}


def counts_modes(names: Sequence[str]) -> bool:
    """Return whether modes of stacked images are to be counted."""
    return any(isinstance(METRICS[ALIASES.get(name, name)], ModeMetric) for name in names)


def uses_extractor(names: Sequence[str]) -> bool:
    """Return whether some of the metrics use features of the extractor that a user chooses."""
    return bool(feature_metrics(names)) or any(metric.has_features for metric in pair_metrics(names).values())


def keeps_features(names: Sequence[str]) -> tuple[bool, bool]:
    """Return whether metrics need the features of each (real image, fake), not only their statistics."""
    wanted = feature_metrics(names).values()
    return any(metric.keeps_real for metric in wanted), any(metric.keeps_fake for metric in wanted)


def higher_is_better(name: str) -> bool:
    """Return whether more is better, of the first number of a metric."""
    return METRICS[ALIASES.get(name, name)].higher_is_better


# Numbers ------------------------------------------------------------------------------------------------------------


def measure(names: Sequence[str], evidence: Evidence) -> dict[str, float]:
    """Return the numbers of those metrics that compare features.

    Returns:
      With Inception features the names of the literature (``fid``, ``kid``, ``precision``...); with others
      ``<extractor>/frechet`` and so on.

    Raises:
      UserError: a name is unknown, or requires Inception features.
    """
    check_names(names)
    numbers = {}
    for name, metric in feature_metrics(names).items():
        if name in NEED_INCEPTION and evidence.extractor.name != INCEPTION:
            remedy = f"give --inception, or ask for {ALIASES.get(name, 'frechet')}"
            raise UserError(f"{name} needs Inception features, not {evidence.extractor.name!r}; {remedy}")
        numbers |= metric.compute(evidence)
    return {title(name, evidence.extractor): value for name, value in numbers.items()}


def measure_pairs(name: str, evidence: PairEvidence) -> dict[str, float]:
    """Return the number of a metric of pairs, under its ``title``."""
    (metric,) = pair_metrics([name]).values()
    return {title(name, evidence.extractor): metric.compute(evidence)}


def title(name: str, extractor: Extractor) -> str:
    """Return how a number is called in a result; the path lengths of the literature are of LPIPS alone."""
    metric = METRICS.get(name)
    if isinstance(metric, PairMetric):
        return name if extractor.name == LPIPS or not metric.has_features else f"{extractor.name}/{name}"
    return OF_INCEPTION.get(name, name) if extractor.name == INCEPTION else f"{extractor.name}/{name}"


def extract_features(
    source: ImageSource, extractor: Extractor, count: int, *, keep: bool, batch_size: int, mesh: Mesh
) -> FeatureSet:
    """Extract the features of images 0 .. count - 1 of a source; keep them, or only their statistics.

    Args:
      source: ``indices [n] -> images [n, H, W, C]``, uint8 or float in [-1, 1].
      extractor: of the features.
      count: of images.
      keep: whether the features themselves are kept.
      batch_size: images at once over all devices, of which it is a multiple; does not change the result.
      mesh: the devices.
    """
    return collect(extract(image_batches(source, count, batch_size), extractor, count, mesh), keep=keep)
