"""Fidelity and diversity apart: precision and recall, density and coverage, from distances to nearest neighbours.

The ball of an image reaches to its k-th nearest neighbour in its own set, itself not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

BLOCK = 1024
"""Rows of the matrix of distances that are in memory at once."""

Features = Float[np.ndarray, "_n d"]


@dataclass(frozen=True)
class Manifolds:
    """How the balls of two sets of images overlap."""

    precision: float
    """The share of fakes inside any real ball. Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2."""
    recall: float
    """The share of reals inside any fake ball."""
    density: float
    """Real balls around a fake, divided by k. Naeem et al. 2020, arXiv:2002.09797, eq. 3."""
    coverage: float
    """The share of real balls with any fake inside. Eq. 4."""


def manifolds(real: Features, fake: Features, ks: Sequence[int] = (3,)) -> list[Manifolds]:
    """The four numbers for every k, from one pass over all distances.

    Args:
      real: [N, d]; the distances are computed in its precision.
      fake: [M, d].
      ks: 3 in the paper of precision and recall, 5 in that of density and coverage; less than N and M.
    """
    real, fake = _centred(real, fake)
    real_balls, fake_balls = (squared_radii(x, ks) for x in (real, fake))
    fakes, fake_radii = jnp.asarray(fake), jnp.asarray(fake_balls)
    inside_real = np.zeros((len(ks), len(fake)), np.int64)
    inside_fake, covered = (np.zeros((len(ks), len(real)), bool) for _ in range(2))
    for start, rows in _blocks(real):
        place = slice(start, start + len(rows))
        balls = real_balls[:, place]
        in_ours, in_theirs, any_fake = jax.device_get(_overlaps(_full(rows), fakes, _full(balls.T).T, fake_radii))
        inside_real += in_ours
        inside_fake[:, place], covered[:, place] = in_theirs[:, : len(rows)], any_fake[:, : len(rows)]
    return [
        Manifolds(
            precision=float((inside_real[i] > 0).mean()),
            recall=float(inside_fake[i].mean()),
            density=float(inside_real[i].mean() / k),
            coverage=float(covered[i].mean()),
        )
        for i, k in enumerate(ks)
    ]


def squared_radii(features: Features, ks: Sequence[int]) -> Float[np.ndarray, "k n"]:
    """The squared distance of every image to its k-th nearest neighbour, for every k."""
    if len(features) <= max(ks):
        raise ValueError(f"{len(features)} images have no {max(ks)} nearest neighbours each")
    others = jnp.asarray(features)
    found = [np.asarray(_nearest(_full(rows), others, max(ks) + 1))[: len(rows)] for _, rows in _blocks(features)]
    return np.concatenate(found)[:, list(ks)].T


def _centred(real: Features, fake: Features) -> tuple[Features, Features]:
    """Moved by the mean of the reals: a smaller norm leaves more digits to the differences."""
    mean = np.mean(real, axis=0, dtype=np.float64).astype(real.dtype)
    return real - mean, (fake - mean).astype(real.dtype)


def _blocks(features: Features) -> list[tuple[int, Features]]:
    return [(start, features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)]


def _full(rows: np.ndarray) -> np.ndarray:
    """The last block as long as the others, so that one program serves all; what is added has balls of radius -1."""
    return np.concatenate([rows, np.full((BLOCK - len(rows), rows.shape[1]), -1, rows.dtype)])


def _squared_distances(rows: Float[Array, "b d"], columns: Float[Array, "n d"]) -> Float[Array, "b n"]:
    products = jnp.matmul(rows, columns.T, precision=jax.lax.Precision.HIGHEST)
    norms = jnp.expand_dims(jnp.square(rows).sum(1), 1) + jnp.expand_dims(jnp.square(columns).sum(1), 0)
    return jnp.maximum(norms - 2 * products, 0)


@partial(jax.jit, static_argnums=2)
def _nearest(rows: Float[Array, "b d"], columns: Float[Array, "n d"], count: int) -> Float[Array, "b c"]:
    """The squared distances to the nearest, beginning with each one's own of 0."""
    return -jax.lax.top_k(-_squared_distances(rows, columns), count)[0]


@jax.jit
def _overlaps(
    real: Float[Array, "b d"], fake: Float[Array, "m d"], real_balls: Float[Array, "k b"], fake_balls: Array
) -> tuple[Int[Array, "k m"], Bool[Array, "k b"], Bool[Array, "k b"]]:
    """In how many real balls each fake is; whether each real is in a fake ball; whether its own ball holds a fake."""
    distances = jnp.expand_dims(_squared_distances(real, fake), 0)
    in_real = distances <= jnp.expand_dims(real_balls, 2)
    in_fake = distances <= jnp.expand_dims(fake_balls, 1)
    return in_real.sum(1), in_fake.any(2), in_real.any(2)
