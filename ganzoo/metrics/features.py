"""Images in, features out: over all devices, in batches of one size, with the host a batch ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.pictures import quantized
from ganzoo.ops.collective import AXIS
from ganzoo.typing import Images, ImagesUint8

Sampler: TypeAlias = Callable[[np.ndarray], Images | ImagesUint8]
"""``sampler(indices int32 [n]) -> images [n, H, W, C]``, uint8 or float in [-1, 1]: image i depends on i alone."""
Pairs: TypeAlias = Callable[[np.ndarray], tuple[Images, Images]]
"""The same for two images at once, in [-1, 1]."""
IN_FLIGHT = 2


def index_batches(count: int, batch_size: int) -> Generator[np.ndarray]:
    """The numbers below ``count`` in batches of one size; the last one is filled up with the last number."""
    for start in range(0, count, batch_size):
        yield np.minimum(np.arange(start, start + batch_size, dtype=np.int32), count - 1)


def sampled(sampler: Sampler, count: int, batch_size: int) -> Generator[Images | ImagesUint8]:
    """The images below ``count`` of a sampler, in such batches."""
    return (sampler(indices) for indices in index_batches(count, batch_size))


def extracted(
    batches: Iterable[Images | ImagesUint8], extractor: Extractor, count: int, mesh: Mesh
) -> Generator[Float[np.ndarray, "n d"]]:
    """The features of the first ``count`` images, float32, in batches.

    Args:
      batches: images, all batches of one size, which is a multiple of the devices; each process has all of each batch.
      extractor: sees them as 8 bits.
      count: what comes after is left out.
      mesh: the devices, among which a batch is split.
    """
    program, weights, done = _features_program(extractor.function, mesh), _everywhere(extractor.weights, mesh), 0
    for features in _ahead(program(weights, spread(images, mesh)) for images in batches):
        part = np.asarray(features, np.float32)[: count - done]
        if len(part):
            yield part
        done += len(part)


def pair_distances(
    pairs: Pairs,
    extractor: Extractor,
    count: int,
    *,
    batch_size: int,
    mesh: Mesh,
    shrink: Callable[[Array], Array],
) -> Float[np.ndarray, " n"]:
    """The squared distances between the features of each pair, float32; images go through ``shrink``, unrounded."""
    program, weights = _distances_program(extractor.function, shrink, mesh), _everywhere(extractor.weights, mesh)
    made = (map(partial(spread, mesh=mesh), pairs(indices)) for indices in index_batches(count, batch_size))
    return np.concatenate([np.asarray(part) for part in _ahead(program(weights, *two) for two in made)])[:count]


@lru_cache(maxsize=8)
def _features_program(function: Callable, mesh: Mesh) -> Callable[[Any, Any], Array]:
    """Compiled once, however often a run is evaluated."""

    def features(weights: Any, images: Images | ImagesUint8) -> Array:
        return function(weights, quantized(images).astype(jnp.float32))

    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS)))
    return jax.jit(features, in_shardings=(whole, split), out_shardings=whole)


@lru_cache(maxsize=8)
def _distances_program(function: Callable, shrink: Callable, mesh: Mesh) -> Callable[[Any, Any, Any], Array]:
    def distances(weights: Any, first: Images, second: Images) -> Array:
        a, b = (function(weights, shrink((images + 1) * 127.5)) for images in (first, second))
        return jnp.square(a - b).sum(1)

    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS)))
    return jax.jit(distances, in_shardings=(whole, split, split), out_shardings=whole)


def _everywhere(tree: Any, mesh: Mesh) -> Any:
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def spread(images: Any, mesh: Mesh) -> jax.Array:
    """A batch split over the devices, from wherever it is."""
    split = NamedSharding(mesh, PartitionSpec(AXIS))
    if isinstance(images, jax.Array):
        return images if images.sharding == split else jax.device_put(images, split)
    return jax.make_array_from_callback(images.shape, split, lambda index: images[index])


def _ahead(results: Iterable[jax.Array]) -> Generator[jax.Array]:
    """The same results, of which a few are under way on the device while one is looked at."""
    waiting: deque[jax.Array] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting
