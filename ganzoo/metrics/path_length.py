"""Perceptual path length: the perceptual change of the image along a very short segment of a path between latents."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.features import Pairs, pair_distances
from ganzoo.ops.random import for_indices
from ganzoo.ops.resample import averaged
from ganzoo.typing import Key, Latents

Space = Literal["z", "w"]
Sampling = Literal["full", "end"]
EPSILON = 1e-4
"""Length of the segment, as a fraction of the path."""
LARGEST = 256
"""Shorter side in pixels to which larger images are shrunk, by whole factors."""
LATENT, OTHER, PLACE = range(3)
"""Numbers that are folded into the key: both ends of a path, and the position on the path."""


def perceptual_path_length(
    pairs: Pairs, extractor: Extractor, count: int, *, batch_size: int, mesh: jax.sharding.Mesh
) -> float:
    """Average ``|f(a) - f(b)|^2 / epsilon^2`` over pairs of images, without the lowest and the highest percent.

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


def filtered_mean(distances: Float[np.ndarray, " n"]) -> float:
    """Average the distances [N] between the 1st and the 99th percentile."""
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
    """Draw two points ``EPSILON`` apart on each path between two random latents.

    Args:
      draw: ``(key, indices) -> [n, z]``: latent i depends on the key and i alone.
      key: random key of all draws.
      indices: indices [n] of the paths.
      space: "z": paths on the sphere between latents. "w": straight lines between styles.
      sampling: "full": anywhere on the path. "end": at the beginning of the path.
      styles: ``[n, z] -> [n, ...]``, from latents to styles w; by default the identity.

    Returns:
      The styles [n, ...] of both points.
    """
    first, second = (draw(jax.random.fold_in(key, part), indices) for part in (LATENT, OTHER))
    place = for_indices(jax.random.uniform, jax.random.fold_in(key, PLACE), indices)
    t = place if sampling == "full" else jnp.zeros_like(place)
    if space == "z":
        ends = (on_sphere(first, second, t + shift) for shift in (0.0, EPSILON))
        near, far = (styles(latents) for latents in ends)
        return near, far
    a, b = styles(first), styles(second)
    t = jnp.expand_dims(t, tuple(range(1, a.ndim)))
    return a + (b - a) * t, a + (b - a) * (t + EPSILON)


def on_sphere(a: Latents, b: Latents, t: Float[Array, " n"]) -> Latents:
    """Interpolate latents [N, z] by ``slerp`` and their norms linearly, for networks that do not normalise latents."""
    norms = (jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    start, stop = norms
    return slerp(a, b, t) * (start + (stop - start) * jnp.expand_dims(t, 1))


def slerp(a: Latents, b: Latents, t: Float[Array, " n"]) -> Latents:
    """Return the unit vectors [N, z] at fraction t [N] of the arc between the directions of a and b. Shoemake 1985."""
    a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    cosine = jnp.sum(a * b, axis=-1, keepdims=True)
    angle = jnp.expand_dims(t, 1) * jnp.arccos(cosine)
    across = b - cosine * a
    across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
    point = a * jnp.cos(angle) + across * jnp.sin(angle)
    return point / jnp.linalg.norm(point, axis=-1, keepdims=True)


def shrunk(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Average-pool images [N, H, W, C] by min(H, W) // ``LARGEST`` if both sides are divisible. NVlabs/stylegan3."""
    height, width = images.shape[1:3]
    factor = min(height, width) // LARGEST
    if factor <= 1 or height % factor or width % factor:
        return images
    return averaged(images, factor)
