"""Metrics of two arrays of images: one call, one number."""

import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, UInt8

from ganzoo.config import require
from ganzoo.errors import UserError, nearest
from ganzoo.metrics import inception, suite
from ganzoo.metrics.classifier import Classifier, digit_classifier
from ganzoo.metrics.extractors import INCEPTION, OFFLINE, Extractor, inception_extractor
from ganzoo.metrics.kernel import kernel_distance
from ganzoo.metrics.mode_count import ModeCount, count_modes, mode_numbers
from ganzoo.metrics.neighbours import manifolds
from ganzoo.metrics.resize import Resize
from ganzoo.metrics.score import score_from_logits
from ganzoo.metrics.statistics import FeatureSet, frechet_distance
from ganzoo.metrics.weights import find, remedy
from ganzoo.metrics.weights import load as load_weights
from ganzoo.ops.collective import AXIS
from ganzoo.typing import AnyArray

ImageArray: TypeAlias = Float[AnyArray, "_n _h _w _c"] | UInt8[AnyArray, "_n _h _w _c"]
"""Images [N, H, W, C], uint8 or float in [-1, 1]."""
Weights: TypeAlias = str | Path | Extractor | None
"""File of the Inception weights, or the ``inception_extractor`` that was made of them; None looks for the file in
``$GANZOO_CACHE`` or ``~/.cache/ganzoo``."""


def fid(
    real: ImageArray,
    fake: ImageArray,
    *,
    weights: Weights = None,
    resize: Resize = "tensorflow",
    batch_size: int = 64,
) -> float:
    """Return the Frechet Inception distance of two arrays of images.

    Example::

        ganzoo.metrics.fid(real, fake, weights="pt_inception-2015-12-05-6726825d.pth")

    Args:
      real: [N, H, W, C], uint8 or float in [-1, 1].
      fake: [M, H, W, C], likewise; papers take 50,000.
      weights: file of the Inception weights; when absent, it is looked for in the cache. Or an ``inception_extractor``.
      resize: how images are brought to 299x299: "tensorflow", "pytorch" or "clean"; an extractor has its own rule.
      batch_size: images at once; does not change the result.

    Raises:
      UserError: the weights are missing or wrong, or an array holds no images.

    Warns:
      UserWarning: there are fewer images than the 2048 features, so the result says little.

    Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """
    return _frechet(real, fake, inception_of(weights, resize), batch_size)


def frechet(
    real: ImageArray,
    fake: ImageArray,
    extractor: str | Extractor = "random-conv",
    *,
    batch_size: int = 64,
) -> float:
    """Return the Frechet distance of the features of two arrays of images [N, H, W, C] and [M, H, W, C].

    Args:
      real: uint8 or float in [-1, 1].
      fake: likewise.
      extractor: an ``Extractor``, or "random-conv" or "pixels", which need no file; no FID with any of them.
      batch_size: images at once; does not change the result.
    """
    return _frechet(real, fake, _extractor(extractor, None), batch_size)


def kid(
    real: ImageArray,
    fake: ImageArray,
    *,
    weights: Weights = None,
    resize: Resize = "tensorflow",
    seed: int = 0,
    batch_size: int = 64,
) -> float:
    """Return the kernel Inception distance of two arrays of images [N, H, W, C] and [M, H, W, C].

    It is the mean over 100 subsets of at most 1000 images, drawn with ``seed``; the rest is as in ``fid``.

    Binkowski et al. 2018, arXiv:1801.01401, section 4.
    """
    suite.check_counts(["kid"], real=len(real), fake=len(fake))
    ours, theirs = (_features(images, inception_of(weights, resize), batch_size) for images in (real, fake))
    return kernel_distance(ours, theirs, jax.random.key(seed))[0]


def inception_score(
    fake: ImageArray, *, weights: Weights = None, resize: Resize = "tensorflow", batch_size: int = 64
) -> float:
    """Return the Inception score of an array of images [N, H, W, C]: the mean over ten parts of it.

    The arguments are as in ``fid``. Salimans et al. 2016, arXiv:1606.03498, section 4.
    """
    suite.check_counts(["inception_score"], fake=len(fake))
    extractor = inception_of(weights, resize)
    return score_from_logits(_features(fake, extractor, batch_size) @ extractor.classifier)[0]


def precision_recall(
    real: ImageArray,
    fake: ImageArray,
    extractor: str | Extractor = INCEPTION,
    *,
    weights: Weights = None,
    batch_size: int = 64,
) -> tuple[float, float]:
    """Return precision and recall of two arrays of images [N, H, W, C] and [M, H, W, C], with k = 3.

    Args:
      real: uint8 or float in [-1, 1].
      fake: likewise.
      extractor: an ``Extractor``, or "inception", "random-conv" or "pixels".
      weights: file of the Inception weights; when absent, it is looked for in the cache.
      batch_size: images at once; does not change the result.

    Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2, where the features are those of VGG-16.
    """
    suite.check_counts(["precision_recall"], real=len(real), fake=len(fake))
    chosen = _extractor(extractor, weights)
    ours, theirs = (_features(images, chosen, batch_size) for images in (real, fake))
    (found,) = manifolds(ours, theirs, (suite.PRECISION_K,))
    return found.precision, found.recall


def modes(
    fake: ImageArray,
    real: ImageArray | None = None,
    *,
    classifier: Classifier | None = None,
    batch_size: int = 1024,
) -> ModeCount:
    """Return how many modes stacked images have, and how far they are from falling on all of them alike.

    Example::

        found, of, kl, outside = ganzoo.metrics.modes(gan.sample(state, key, 25_000))

    Args:
      fake: [N, H, W, 3], uint8 or float in [-1, 1], a grey picture in each channel; papers take about 25,000.
      real: [M, H, W, 3], likewise, which say what modes the data has; None for all combinations of classes.
      classifier: of one channel; None for that of the embedded digits.
      batch_size: images at once; does not change the result.

    Raises:
      UserError: images have other than 3 channels, or an array holds no images.

    Metz et al. 2016, arXiv:1611.02163, section 3.3.1.
    """
    chosen = classifier or digit_classifier()

    def numbers(images: ImageArray, side: str) -> np.ndarray:
        channels = images.shape[-1] if len(images.shape) == 4 else 0
        suite.require_channels(channels, f"the array {side}", "stack three grey images along the last axis")
        return mode_numbers(_features(images, chosen.extractor, batch_size), chosen.classes)

    held = np.arange(chosen.classes**suite.STACKED_CHANNELS) if real is None else numbers(real, "real")
    return count_modes(numbers(fake, "fake"), held)


# Features -----------------------------------------------------------------------------------------------------------


def _frechet(real: ImageArray, fake: ImageArray, extractor: Extractor, batch_size: int) -> float:
    sets = (_feature_set(images, extractor, batch_size, keep=False) for images in (real, fake))
    ours, theirs = (each.statistics for each in sets)
    shape = (real.shape[1], real.shape[2], real.shape[3])
    if warning := suite.rank_warning(["frechet"], extractor, shape, real=ours.count, fake=theirs.count):
        warnings.warn(warning, stacklevel=3)
    return frechet_distance(ours, theirs)


def _features(images: ImageArray, extractor: Extractor, batch_size: int) -> Float[np.ndarray, "n d"]:
    found = _feature_set(images, extractor, batch_size, keep=True).features
    assert found is not None
    return found


def _feature_set(images: ImageArray, extractor: Extractor, batch_size: int, *, keep: bool) -> FeatureSet:
    """Extract features over all devices of this process."""
    shape, dtype = tuple(images.shape), np.dtype(images.dtype)
    if len(shape) != 4 or shape[0] < 2 or not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
        raise UserError(f"images {dtype} {shape}: must be two or more [N, H, W, C], uint8 or float in [-1, 1]")
    if batch_size < 1:
        raise UserError(f"batch_size = {batch_size!r}: must be at least 1")
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    size = -(-batch_size // mesh.size) * mesh.size

    def source(indices: np.ndarray) -> ImageArray:
        return images[indices] if dtype == np.uint8 else np.asarray(images[indices], np.float32)

    return suite.extract_features(source, extractor, shape[0], keep=keep, batch_size=size, mesh=mesh)


def _extractor(extractor: str | Extractor, given: Weights) -> Extractor:
    if isinstance(extractor, Extractor):
        return extractor
    if extractor == INCEPTION:
        return inception_of(given, "tensorflow")
    if extractor not in OFFLINE:
        raise UserError(f"unknown extractor {extractor!r};{nearest(extractor, [INCEPTION, *OFFLINE])}")
    return _offline(extractor)


def inception_of(given: Weights, resize: Resize) -> Extractor:
    """Return the extractor of Inception features, from a file that is read once, or as it is given."""
    if isinstance(given, Extractor):
        require(given.name == INCEPTION, "weights", given.name, "be a file, or the extractor of Inception features")
        return given
    path = find(str(given or ""))
    if path is None:
        raise UserError(f"Inception features need weights; {remedy()}")
    return _loaded(path.absolute(), path.stat().st_mtime_ns, resize)


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: int, resize: Resize) -> Extractor:
    """Read the weights once for all calls, so that the network is compiled once, too."""
    del changed
    tensors, sha256 = load_weights(path)
    return inception_extractor(inception.parameters(tensors), resize, sha256)


@cache
def _offline(name: str) -> Extractor:
    return OFFLINE[name]()
