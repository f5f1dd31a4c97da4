"""Perceptual path length: the perceptual change of the image along a very short segment of a path between latents."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ganzoo.gan import GAN
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.features import PairSource, pair_distances
from ganzoo.ops.random import for_indices
from ganzoo.ops.resample import avg_pool
from ganzoo.typing import Images, Key, Labels, Latents, State

Space = Literal["z", "w"]
Sampling = Literal["full", "end"]
EPSILON = 1e-4
"""Length of the segment, as a fraction of the path."""
LARGEST = 256
"""Shorter side in pixels to which larger images are shrunk, by whole factors."""
LATENT, OTHER, PLACE = range(3)
"""Numbers that are folded into the key: both ends of a path, and the position on the path."""


def perceptual_path_length(
    pairs: PairSource, extractor: Extractor, count: int, *, batch_size: int, mesh: jax.sharding.Mesh
) -> float:
    r"""Return the mean of $\lVert f(a) - f(b) \rVert^2 / \epsilon^2$ over pairs of images.

    The lowest and the highest 1% are left out.

    Published path lengths use LPIPS (Zhang et al. 2018) as f; path lengths of other features are not comparable.

    Args:
      pairs: ``indices [n] -> (images, images)``, each [n, H, W, C], of points ``EPSILON`` apart.
      extractor: feature extractor f; images are not quantized.
      count: number of pairs.
      batch_size: pairs at once; a multiple of the number of devices.
      mesh: devices over which a batch is split.

    Karras et al. 2019, arXiv:1812.04948, section 4.1.
    """
    distances = pair_distances(pairs, extractor, count, batch_size=batch_size, mesh=mesh, shrink=shrunk)
    return filtered_mean(distances / EPSILON**2)


def path_ends(
    space: Space, sampling: Sampling
) -> Callable[[GAN, Key, State, Int[Array, " n"], Labels | None], tuple[Images, Images]]:
    """Return ``(gan, key, state, indices, labels) -> (images, images)``: both ends of short ways between latents.

    Images of a model with styles are not clipped. Paths in w need such a model.
    """

    def pairs(
        gan: GAN, key: Key, state: State, indices: Int[Array, " n"], labels: Labels | None
    ) -> tuple[Images, Images]:
        walk, styles = partial(endpoints, gan.latents, key, indices, space=space, sampling=sampling), gan.styles
        if styles is None:
            near, far = (gan.generate(state, latents, labels) for latents in walk())
            return near, far
        ends = walk(styles=lambda latents: jnp.asarray(styles.map(state, latents, labels)))
        near, far = (styles.synthesise(state, ws) for ws in ends)
        return near, far

    return pairs


def filtered_mean(distances: Float[np.ndarray, " n"]) -> float:
    """Return the mean of the distances [n] from the 1st percentile to the 99th."""
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return float(np.mean(distances[(low <= distances) & (distances <= high)]))


def endpoints(
    draw: Callable[[Key, Int[Array, " n"]], Latents],
    key: Key,
    indices: Int[Array, " n"],
    *,
    space: Space,
    sampling: Sampling,
    styles: Callable[[Latents], Array] = lambda latents: latents,
) -> tuple[Array, Array]:
    """Return two points at ``EPSILON`` from each other on the way between two latents.

    Args:
      draw: ``(key, indices) -> [n, z]``: latent i depends on the key and i alone.
      key: random key of all draws.
      indices: indices [n] of the paths.
      space: "z": paths on the sphere between latents. "w": straight lines between styles.
      sampling: "full": anywhere on the path. "end": at the beginning of the path.
      styles: ``[n, z] -> [n, ...]``, from latents to styles w; by default the identity.

    Returns:
      The styles of both points.
    """
    first, second = (draw(jax.random.fold_in(key, part), indices) for part in (LATENT, OTHER))
    place = for_indices(jax.random.uniform, jax.random.fold_in(key, PLACE), indices)
    t = place if sampling == "full" else jnp.zeros_like(place)
    if space == "z":
        ends = (slerp(first, second, t + shift) for shift in (0.0, EPSILON))
        near, far = (styles(latents) for latents in ends)
        return near, far
    a, b = styles(first), styles(second)
    t = jnp.expand_dims(t, tuple(range(1, a.ndim)))
    return a + (b - a) * t, a + (b - a) * (t + EPSILON)


def slerp(a: Latents, b: Latents, t: Float[Array, " n"]) -> Latents:
    """Turn from a to b [n, z] evenly while the length changes evenly, which matters where latents are not normalised.

    Traceable, and otherwise equal to ``latent.paths.slerp``, which is NumPy's in float64.
    """
    norms = (jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    start, stop = norms
    return unit_slerp(a, b, t) * (start + (stop - start) * jnp.expand_dims(t, 1))


def unit_slerp(a: Latents, b: Latents, t: Float[Array, " n"]) -> Latents:
    """Return the unit vectors [n, z] at t of the way from the direction of a to that of b. Shoemake 1985."""
    a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    angle = jnp.expand_dims(t, 1) * jnp.arccos(cosine)
    across = b - cosine * a
    across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
    point = a * jnp.cos(angle) + across * jnp.sin(angle)
    return point / jnp.linalg.norm(point, axis=-1, keepdims=True)


def shrunk(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Average squares of pixels where the shorter side is a multiple of ``LARGEST``. NVlabs/stylegan3."""
    height, width = images.shape[1:3]
    factor = min(height, width) // LARGEST
    if factor <= 1 or height % factor or width % factor:
        return images
    return avg_pool(images, factor)
