"""How well does the image of a StyleGAN2 follow its constant? One number in dB, beside those of a StyleGAN3.

    python experiments/stylegan2_equivariance.py runs/stylegan2-faces64 [--images 64]
    python experiments/stylegan2_equivariance.py tiny

A StyleGAN2 has no input that moves. Its learned constant, though, is a small image: moved by one column, it should move
the image by as many pixels as one of its columns covers. This is EQ-T (Karras et al. 2021, arXiv:2106.12423, appendix
E) for that one move, over all pixels that stay in the image, without noise. The column that enters is that of the edge.
``tiny`` and other names of presets stand for untrained generators. Price: seconds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ganzoo
from ganzoo.cli.process import cache_compilations, guarded
from ganzoo.errors import UserError
from ganzoo.gan import GAN
from ganzoo.metrics.equivariance import psnr
from ganzoo.models import MODELS
from ganzoo.typing import PyTree, State


def main(args: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="stylegan2_equivariance.py", description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="run folder or file of a StyleGAN2, or the name of its preset")
    parser.add_argument("--images", type=int, default=64, help="number of images (default: 64)")
    options = parser.parse_args(args)
    cache_compilations()
    gan, state = opened(options.model)
    value = equivariance(gan, state, options.images)
    print(f"eqt of one column of the constant, {options.images} images: {value:.2f} dB")


def opened(model: str) -> tuple[GAN, State]:
    """Return a GAN with its state: of a file or folder, or untrained, of a preset."""
    if model in MODELS["stylegan2"].presets and not Path(model).exists():
        gan = ganzoo.create("stylegan2", model)
        return gan, gan.init(jax.random.key(0))
    gan, state = ganzoo.load(model)
    if gan.name != "stylegan2":
        raise UserError(f"{model}: is a {gan.name}; ganzoo evaluate --metrics eqt measures what has a moving input")
    return gan, state


def equivariance(gan: GAN, state: State, count: int, batch_size: int = 16) -> float:
    """Return the PSNR in dB between the images of a moved constant and the moved images."""
    errors, known, moved = 0.0, 0, replace(state, ema=with_moved_constant(state.ema))
    stride = gan.image_shape[1] // _constant(state.ema).shape[1]
    for start in range(0, count, batch_size):
        latents = gan.latents(jax.random.key(1), jnp.arange(start, min(count, start + batch_size)))
        still, shifted = (np.asarray(gan.generate(each, latents, noise="none"), np.float64) for each in (state, moved))
        difference = shifted[:, :, stride:] - still[:, :, :-stride]
        errors, known = errors + float(np.square(difference).sum()), known + difference.size
    return psnr(errors, known)


def with_moved_constant(weights: PyTree) -> PyTree:
    """Return the weights of a generator with its constant [H, W, C] moved one column to the right."""

    def moved(path: tuple, leaf: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf[:, :1], leaf[:, :-1]], axis=1) if _is_constant(path) else leaf

    return jax.tree_util.tree_map_with_path(moved, weights)


def _constant(weights: PyTree) -> jax.Array:
    return next(leaf for path, leaf in jax.tree_util.tree_leaves_with_path(weights) if _is_constant(path))


def _is_constant(path: tuple) -> bool:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    return name.startswith("params.") and name.endswith(".constant")


if __name__ == "__main__":
    sys.exit(guarded(main))
