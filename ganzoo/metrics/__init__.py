"""Metrics of generated images: FID, KID, Inception score, precision and recall, density and coverage, path length.

A metric takes a function that returns images, never a model:

>>> extractor = random_conv()
>>> real = gather(lambda indices: photographs[indices], extractor, 1000, keep=True, batch_size=100, mesh=mesh)
>>> fake = gather(sampler, extractor, 1000, keep=True, batch_size=100, mesh=mesh)
>>> measure(["frechet", "kernel"], Evidence(extractor, real, fake, jax.random.key(0)))
"""

from ganzoo.metrics.extractors import Extractor, inception_extractor, pixels, random_conv
from ganzoo.metrics.frechet import frechet_distance
from ganzoo.metrics.kernel import kernel_distance
from ganzoo.metrics.neighbours import manifolds
from ganzoo.metrics.path_length import perceptual_path_length
from ganzoo.metrics.score import inception_score
from ganzoo.metrics.statistics import Gathered, Statistics
from ganzoo.metrics.suite import NAMES, Evidence, gather, measure

__all__ = [
    "NAMES",
    "Evidence",
    "Extractor",
    "Gathered",
    "Statistics",
    "frechet_distance",
    "gather",
    "inception_extractor",
    "inception_score",
    "kernel_distance",
    "manifolds",
    "measure",
    "perceptual_path_length",
    "pixels",
    "random_conv",
]
