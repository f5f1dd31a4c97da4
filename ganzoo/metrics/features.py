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
from ganzoo.metrics.preprocessing import quantize
from ganzoo.ops.collective import AXIS
from ganzoo.typing import Images, ImagesUint8

ImageSource: TypeAlias = Callable[[np.ndarray], Images | ImagesUint8]
"""``source(indices int32 [n]) -> images [n, H, W, C]``, uint8 or float in [-1, 1]: image i depends on i alone."""
PairSource: TypeAlias = Callable[[np.ndarray], tuple[Images, Images]]
"""``source(indices int32 [n]) -> two times images [n, H, W, C]`` in [-1, 1]: pair i depends on i alone."""
IN_FLIGHT = 2
"""Batches under way on the devices while the host reads a result."""


def index_batches(count: int, batch_size: int) -> Generator[np.ndarray]:
    """Yield the numbers 0 .. count - 1 in batches of one size; the last batch repeats the last number."""
    for start in range(0, count, batch_size):
        yield np.minimum(np.arange(start, start + batch_size, dtype=np.int32), count - 1)


def image_batches(source: ImageSource, count: int, batch_size: int) -> Generator[Images | ImagesUint8]:
    """Yield images 0 .. count - 1 of a source, in batches of one size."""
    return (source(indices) for indices in index_batches(count, batch_size))


def extract(
    batches: Iterable[Images | ImagesUint8], extractor: Extractor, count: int, mesh: Mesh
) -> Generator[Float[np.ndarray, "n d"]]:
    """Yield the features of the first ``count`` images, float32, in batches.

    Args:
      batches: images, all batches of one size, which is a multiple of the devices; each process has all of each batch.
      extractor: sees them as 8 bits.
      count: of images; later ones are left out.
      mesh: the devices, among which a batch is split.
    """
    program, weights, done = _features_program(*_compilation(extractor, mesh)), _everywhere(extractor.weights, mesh), 0
    for features in _ahead(program(weights, spread(images, mesh)) for images in batches):
        part = np.asarray(features, np.float32)[: count - done]
        if len(part):
            yield part
        done += len(part)


def pair_distances(
    pairs: PairSource,
    extractor: Extractor,
    count: int,
    *,
    batch_size: int,
    mesh: Mesh,
    shrink: Callable[[Array], Array],
) -> Float[np.ndarray, " n"]:
    """Return the squared distances [n] between the features of each pair; images go through ``shrink``, unrounded."""
    program, weights = _distances_program(*_compilation(extractor, mesh), shrink), _everywhere(extractor.weights, mesh)
    made = (map(partial(spread, mesh=mesh), pairs(indices)) for indices in index_batches(count, batch_size))
    return np.concatenate([np.asarray(part) for part in _ahead(program(weights, *two) for two in made)])[:count]


def _compilation(extractor: Extractor, mesh: Mesh) -> tuple[Callable, tuple[tuple[str, Any], ...], Mesh]:
    """Return what a program of an extractor is compiled from, hashable."""
    return extractor.function, tuple(extractor.compiler_options.items()), mesh


@lru_cache(maxsize=8)
def _features_program(
    function: Callable, options: tuple[tuple[str, Any], ...], mesh: Mesh
) -> Callable[[Any, Any], Array]:
    """Return ``(weights, images) -> features``, compiled once, however often a run is evaluated."""

    def features(weights: Any, images: Images | ImagesUint8) -> Array:
        return function(weights, quantize(images).astype(jnp.float32))

    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS)))
    return jax.jit(features, in_shardings=(whole, split), out_shardings=whole, compiler_options=dict(options))


@lru_cache(maxsize=8)
def _distances_program(
    function: Callable, options: tuple[tuple[str, Any], ...], mesh: Mesh, shrink: Callable
) -> Callable[[Any, Any, Any], Array]:
    def distances(weights: Any, first: Images, second: Images) -> Array:
        a, b = (function(weights, shrink((images + 1) * 127.5)) for images in (first, second))
        return jnp.square(a - b).sum(1)

    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS)))
    return jax.jit(distances, in_shardings=(whole, split, split), out_shardings=whole, compiler_options=dict(options))


def _everywhere(tree: Any, mesh: Mesh) -> Any:
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def spread(images: Any, mesh: Mesh) -> jax.Array:
    """Return a batch split over the devices, from wherever it is."""
    split = NamedSharding(mesh, PartitionSpec(AXIS))
    if isinstance(images, jax.Array):
        return images if images.sharding == split else jax.device_put(images, split)
    return jax.make_array_from_callback(images.shape, split, lambda index: images[index])


def _ahead(results: Iterable[jax.Array]) -> Generator[jax.Array]:
    """Yield the same results, while a few more are under way on the device."""
    waiting: deque[jax.Array] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > IN_FLIGHT:
            yield waiting.popleft()
    yield from waiting
