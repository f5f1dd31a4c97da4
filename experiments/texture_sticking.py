"""Do details stick to the grid of pixels? One column of pixels through the frames of a walk, for several models.

    python experiments/texture_sticking.py runs/stylegan2-faces64 runs/stylegan3-faces64 --out sticking.png

Each model walks through the same seeds, by a smooth curve in W. A row of the picture is a model: at the left the first
image of its walk, whose middle column is marked by a line; at the right that column in every frame, from left to right
in time. Where a detail keeps its place while the face moves, the column draws horizontal streaks; where it moves along,
the lines bend (Karras et al. 2021, arXiv:2106.12423, figure 1). Price: seconds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ganzoo
from ganzoo.cli.process import cache_compilations, guarded
from ganzoo.errors import UserError
from ganzoo.grids import coloured, enlarged, save_picture
from ganzoo.latent import Sampler, interpolate
from ganzoo.ops.pixels import to_uint8


def main(args: Sequence[str] | None = None) -> None:
    """Walk and draw."""
    parser = argparse.ArgumentParser(prog="texture_sticking.py", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="run folder or file of a model with styles")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="ends of the walk (default: 0 1 2 3)"
    )
    parser.add_argument("--frames", type=int, default=60, help="from a seed to the next (default: 60)")
    parser.add_argument("--psi", type=float, default=0.7, help="truncation; 1 does not truncate (default: 0.7)")
    parser.add_argument("--out", type=Path, default=Path("sticking.png"), help="where to write (default: %(default)s)")
    options = parser.parse_args(args)
    cache_compilations()
    rows = [row(Sampler(*ganzoo.load(model)), options.seeds, options.frames, options.psi) for model in options.models]
    if len({row.shape for row in rows}) > 1:
        raise UserError("models: must all make images of the same height and width")
    save_picture(options.out, enlarged(np.concatenate(rows), 1024))
    print(f"{len(rows)} models -> {options.out}")


def row(sampler: Sampler, seeds: Sequence[int], frames: int, psi: float) -> np.ndarray:
    """Return the first image of a walk, and the middle column of every frame: uint8 [H + 4, W + 4 + frames, 3]."""
    labels = sampler.labels(len(seeds))
    ends = np.asarray(sampler.styles(sampler.latents(seeds), labels, psi=psi))
    ws = interpolate(ends, frames, "cubic", closed=False)
    images = coloured_all(to_uint8(np.asarray(sampler.synthesise(ws))))
    middle, first = images.shape[2] // 2, images[0].copy()
    first[::2, middle] = 255  # a dashed line
    gap = np.full((len(first), 4, 3), 255, np.uint8)
    through_time = images[:, :, middle].transpose(1, 0, 2)
    picture = np.concatenate([first, gap, through_time], axis=1)
    return np.concatenate([picture, np.full((4, *picture.shape[1:]), 255, np.uint8)])


def coloured_all(images: np.ndarray) -> np.ndarray:
    """Return images [N, H, W, C] as RGB."""
    return np.stack([coloured(image)[..., :3] for image in images])


if __name__ == "__main__":
    sys.exit(guarded(main))
