"""Fidelity and diversity as separate numbers: precision and recall, density and coverage, from nearest neighbours.

The radius of an image's ball is the distance to its k-th nearest neighbour in its own set, itself excluded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ganzoo.errors import UserError

BLOCK = 1024
"""Rows of the distance matrix that are in memory at once, unless another number is given."""

Features = Float[np.ndarray, "_n d"]


@dataclass(frozen=True)
class Manifolds:
    """Overlap of the balls of real and of generated images."""

    precision: float
    """Fraction of fakes inside any real ball. Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2."""
    recall: float
    """Fraction of reals inside any fake ball. Same paper, eq. 2."""
    density: float
    """Mean number of real balls that contain a fake, divided by k. Naeem et al. 2020, arXiv:2002.09797, eq. 3."""
    coverage: float
    """Fraction of real balls that contain any fake. Naeem et al. 2020, arXiv:2002.09797, eq. 4."""


def manifolds(real: Features, fake: Features, ks: Sequence[int] = (3,), *, block: int = BLOCK) -> list[Manifolds]:
    """Compute the four numbers for every k, in one pass over all distances.

    Args:
      real: features [N, d]; the distances are computed in its precision.
      fake: features [M, d].
      ks: values of k, less than N and M; the paper of precision and recall uses 3, the paper of density and coverage 5.
      block: rows of the distance matrix that are in memory at once; does not change the result.

    Raises:
      UserError: a k is not less than N and M.
    """
    real, fake = _centred(real, fake)
    real_balls, fake_balls = (squared_radii(x, ks, block=block) for x in (real, fake))
    fakes, fake_radii = jnp.asarray(fake), jnp.asarray(fake_balls)
    inside_real = np.zeros((len(ks), len(fake)), np.int64)
    inside_fake, covered = (np.zeros((len(ks), len(real)), bool) for _ in range(2))
    for start, rows in _blocks(real, block):
        place = slice(start, start + len(rows))
        balls = real_balls[:, place]
        whole, whole_balls = _full(rows, block), _full(balls.T, block).T
        in_ours, in_theirs, any_fake = jax.device_get(_overlaps(whole, fakes, whole_balls, fake_radii))
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


def squared_radii(features: Features, ks: Sequence[int], *, block: int = BLOCK) -> Float[np.ndarray, "k n"]:
    """Return the squared distances [k, N] of every image to its k-th nearest neighbour, for features [N, d]."""
    if len(features) <= max(ks):
        raise UserError(f"{len(features)} images are too few for {max(ks)} nearest neighbours each; take more")
    others = jnp.asarray(features)
    blocks, count = _blocks(features, block), max(ks) + 1
    found = [np.asarray(_nearest(_full(rows, block), others, count))[: len(rows)] for _, rows in blocks]
    return np.concatenate(found)[:, list(ks)].T


def closest(
    queries: Features, others: Features, count: int, *, block: int = 4 * BLOCK
) -> tuple[Float[np.ndarray, "q c"], Int[np.ndarray, "q c"]]:
    """Return the distances [Q, C] of queries to their nearest others, in order, and the numbers [Q, C] of these.

    Args:
      queries: features [Q, d].
      others: features [N, d].
      count: C, at most N.
      block: others that are compared at once; does not change the result.
    """
    mean = others.mean(0, dtype=np.float64)
    rows = queries - mean
    norms = np.square(rows).sum(1, keepdims=True)
    squares, numbers = np.empty((len(rows), 0)), np.empty((len(rows), 0), np.int64)
    for start, part in _blocks(others, block):
        columns = part - mean
        found = norms + np.square(columns).sum(1) - 2 * rows @ columns.T
        squares = np.concatenate([squares, np.maximum(found, 0)], axis=1)
        numbers = np.concatenate([numbers, np.broadcast_to(np.arange(start, start + len(part)), found.shape)], axis=1)
        order = np.argsort(squares, axis=1, kind="stable")[:, :count]
        squares, numbers = (np.take_along_axis(each, order, axis=1) for each in (squares, numbers))
    return np.sqrt(squares), numbers


def _centred(real: Features, fake: Features) -> tuple[Features, Features]:
    """Subtract the mean of the reals from both sets: smaller norms leave more digits for the distances."""
    mean = np.mean(real, axis=0, dtype=np.float64).astype(real.dtype)
    return real - mean, (fake - mean).astype(real.dtype)


def _blocks(features: Features, block: int) -> list[tuple[int, Features]]:
    return [(start, features[start : start + block]) for start in range(0, len(features), block)]


def _full(rows: np.ndarray, block: int) -> np.ndarray:
    """Pad to ``block`` rows, so that one program serves all blocks; padded balls get radius -1 and contain nothing."""
    return np.concatenate([rows, np.full((block - len(rows), rows.shape[1]), -1, rows.dtype)])


def _squared_distances(rows: Float[Array, "b d"], columns: Float[Array, "n d"]) -> Float[Array, "b n"]:
    products = jnp.matmul(rows, columns.T, precision=jax.lax.Precision.HIGHEST)
    norms = jnp.expand_dims(jnp.square(rows).sum(1), 1) + jnp.expand_dims(jnp.square(columns).sum(1), 0)
    return jnp.maximum(norms - 2 * products, 0)


@partial(jax.jit, static_argnums=2)
def _nearest(rows: Float[Array, "b d"], columns: Float[Array, "n d"], count: int) -> Float[Array, "b c"]:
    """Return the ``count`` smallest squared distances of each row, beginning with the distance 0 to itself."""
    return -jax.lax.top_k(-_squared_distances(rows, columns), count)[0]


@jax.jit
def _overlaps(
    real: Float[Array, "b d"], fake: Float[Array, "m d"], real_balls: Float[Array, "k b"], fake_balls: Array
) -> tuple[Int[Array, "k m"], Bool[Array, "k b"], Bool[Array, "k b"]]:
    """Count the real balls around each fake; test for each real whether any fake ball has it, and its ball any fake."""
    distances = jnp.expand_dims(_squared_distances(real, fake), 0)
    in_real = distances <= jnp.expand_dims(real_balls, 2)
    in_fake = distances <= jnp.expand_dims(fake_balls, 1)
    return in_real.sum(1), in_fake.any(2), in_real.any(2)
