"""Extraction of features over all devices, in fixed-size batches, with a few batches in flight."""

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
"""``pairs(indices int32 [n]) -> (images, images)``, each [n, H, W, C] in [-1, 1]: pair i depends on i alone."""
IN_FLIGHT = 2
"""Batches under way on the devices while the host reads a result."""


def index_batches(count: int, batch_size: int) -> Generator[np.ndarray]:
    """Yield the indices 0 .. count - 1 in batches int32 [batch_size]; the last batch repeats the last index."""
    for start in range(0, count, batch_size):
        yield np.minimum(np.arange(start, start + batch_size, dtype=np.int32), count - 1)


def sampled(sampler: Sampler, count: int, batch_size: int) -> Generator[Images | ImagesUint8]:
    """Yield images 0 .. count - 1 of ``sampler``, in fixed-size batches [batch_size, H, W, C]."""
    return (sampler(indices) for indices in index_batches(count, batch_size))


def extracted(
    batches: Iterable[Images | ImagesUint8], extractor: Extractor, count: int, mesh: Mesh
) -> Generator[Float[np.ndarray, "n d"]]:
    """Yield the features of the first ``count`` images, float32 [n, d], in batches.

    Args:
      batches: images [N, H, W, C] in batches of one size, a multiple of the number of devices; every process passes
        whole batches.
      extractor: extractor of the features; images are quantized to 8 bits first.
      count: number of images; later ones are left out.
      mesh: devices over which a batch is split.
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
    """Return the squared distances [count], float32, between the features of the images of each pair.

    Args:
      pairs: sampler of pairs of images.
      extractor: extractor of the features; images are not quantized.
      count: number of pairs.
      batch_size: pairs at once; a multiple of the number of devices.
      mesh: devices over which a batch is split.
      shrink: function applied to images [N, H, W, C] in 0..255 before the extractor.
    """
    program, weights = _distances_program(extractor.function, shrink, mesh), _everywhere(extractor.weights, mesh)
    made = (map(partial(spread, mesh=mesh), pairs(indices)) for indices in index_batches(count, batch_size))
    return np.concatenate([np.asarray(part) for part in _ahead(program(weights, *two) for two in made)])[:count]


@lru_cache(maxsize=8)
def _features_program(function: Callable, mesh: Mesh) -> Callable[[Any, Any], Array]:
    """Return the compiled extractor; cached, so that a run compiles it once for all evaluations."""

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
    """Split a batch [N, H, W, C] of the host or of a device over the devices of the mesh."""
    split = NamedSharding(mesh, PartitionSpec(AXIS))
    if isinstance(images, jax.Array):
        return images if images.sharding == split else jax.device_put(images, split)
    return jax.make_array_from_callback(images.shape, split, lambda index: images[index])


def _ahead(results: Iterable[jax.Array]) -> Generator[jax.Array]:
    """Yield the results in order, with ``IN_FLIGHT`` results under way on the devices."""
    waiting: deque[jax.Array] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting
