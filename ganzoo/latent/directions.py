"""Directions in the space of styles along which images change in ways that have a name."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.latent.sampler import Draws, Sampler
from ganzoo.typing import Styles

STYLE_SAMPLES = 10_000
"""Random styles of which the principal components are taken."""


def principal_components(
    ws: Float[np.ndarray, "n w_dim"], count: int
) -> tuple[Float[np.ndarray, "k w_dim"], Float[np.ndarray, " k"]]:
    """Return the directions [K, w] in which styles [N, w] vary most, as unit vectors, and their deviations [K].

    Härkönen et al. 2020, "GANSpace", arXiv:2004.02546, section 2.1.
    """
    require(1 <= count <= min(ws.shape), "count", count, f"be 1 to {min(ws.shape)}")
    centred = np.asarray(ws, np.float64) - ws.mean(axis=0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    return _signed(directions[:count]).astype(np.float32), (sizes[:count] / len(ws) ** 0.5).astype(np.float32)


def sampled_components(
    sampler: Sampler, count: int, *, draws: Draws = "jax", chosen: int | None = None
) -> Float[np.ndarray, "k w_dim"]:
    """Return the principal components [K, w] of random styles of a generator, each one standard deviation long.

    Args:
      sampler: a generator with styles.
      count: K.
      draws: where the latents come from.
      chosen: class of all styles; the classes in turn when absent.
    """
    many = Sampler(sampler.gan, sampler.state, ema=sampler.ema, batch=1000)
    latents = many.latents(range(STYLE_SAMPLES), draws)
    ws = np.asarray(many.styles(latents, many.labels(STYLE_SAMPLES, chosen)))[:, 0]
    axes, deviations = principal_components(ws, count)
    return axes * deviations[:, None]


def factorise(sampler: Sampler, count: int, layers: Sequence[int] | None = None) -> Float[np.ndarray, "k w_dim"]:
    """Return the directions [K, w] that change the modulation most: eigenvectors of ``A A^T``, from weights alone.

    ``A`` are the kernels from w to the styles of the chosen layers, beside one another, each column of unit length.
    Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs", arXiv:2007.06600, section 3.
    """
    kernels = modulation_kernels(sampler)
    chosen = range(len(kernels)) if layers is None else layers
    for layer in chosen:
        require(0 <= layer < len(kernels), "layers", layer, f"be 0 to {len(kernels) - 1}")
    together = np.concatenate([np.asarray(kernels[layer], np.float64) for layer in chosen], axis=1)
    together /= np.maximum(np.linalg.norm(together, axis=0, keepdims=True), 1e-12)
    require(1 <= count <= len(together), "count", count, f"be 1 to {len(together)}")
    _, directions = np.linalg.eigh(together @ together.T)
    return _signed(directions.T[::-1][:count]).astype(np.float32)


def modulation_kernels(sampler: Sampler) -> list[Float[np.ndarray, "w_dim _c"]]:
    """Return the kernels [w, C] from w to the styles of every convolution, in the order of the style inputs."""
    space = sampler.require_styles("factorisation")
    found = [np.asarray(kernel) for kernel in space.modulations(sampler.state, ema=sampler.ema)]
    if not found:
        raise UserError(f"factorisation: {sampler.gan.name} modulates no weights; use principal components")
    return found


def edit(
    ws: Styles, direction: np.ndarray, strengths: Sequence[float], layers: Sequence[int] | None
) -> Float[np.ndarray, "n k l w_dim"]:
    """Return styles [N, K, L, w]: moved along a direction [w] by K strengths, at some style inputs (None: all)."""
    count = ws.shape[1]
    chosen = list(range(count)) if layers is None else list(layers)
    for layer in chosen:
        require(0 <= layer < count, "layers", layer, f"be 0 to {count - 1}")
    result = np.repeat(np.asarray(ws)[:, None], len(strengths), axis=1)
    steps = np.asarray(strengths, np.float32)[None, :, None, None] * np.asarray(direction, np.float32)
    result[:, :, chosen] += steps
    return result


def _signed(directions: np.ndarray) -> np.ndarray:
    """Return the directions with a positive largest entry, so that they do not depend on the solver."""
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1, keepdims=True), axis=1)
    return directions * np.where(largest < 0, -1, 1)
