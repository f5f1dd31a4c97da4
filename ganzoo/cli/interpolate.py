"""``ganzoo interpolate``: films between images, or of images that move as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from ganzoo.cli.options import ImageOptions, ModelOptions, Points, StylesFile, chosen_images, require_movable
from ganzoo.cli.places import require_grid
from ganzoo.cli.progress import bar, counted
from ganzoo.config import require
from ganzoo.disk import user_path
from ganzoo.errors import several
from ganzoo.grids import enlarged, grid
from ganzoo.grids.films import MOST_FRAMES, require_film, save_film
from ganzoo.latent import paths, transforms
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.saved import SavedProjection
from ganzoo.ops.pixels import to_uint8


@dataclass(frozen=True)
class Interpolate:
    """Write a film that goes from image to image and back to the first."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    seeds: str | None = None
    """Seeds that the film goes through, or numbers of images in --styles, dealt out to the cells of the grid in turn;
    None: 0-5, or all."""
    styles: StylesFile = None
    """Styles and noise maps to use instead of seeds: projection.npz of ganzoo project."""
    frames: int = 30
    """Frames between two seeds."""
    space: Literal["w", "z"] = "w"
    """Space of the path: styles (w) or latents (z); a model without styles takes z."""
    way: paths.Way = "cubic"
    """Shape of the path: straight ("linear"), on the sphere ("slerp"), or a smooth curve ("cubic")."""
    path: transforms.Motion | None = None
    """Motion of whole images of a StyleGAN3 instead: the film has one seed for each cell, and --frames in all."""
    rows: int = 1
    """Grid rows."""
    columns: int = 1
    """Grid columns."""
    fps: float = 30.0
    """Frames per second."""
    out: Path = Path("film.webp")
    """The file to write: .webp or .gif, or .mp4 with the extra "video"."""

    def run(self) -> None:
        """Interpolate, and write the film."""
        out, cells = user_path(self.out), self.rows * self.columns
        require_film(out, self.fps)
        for name in ("frames", "rows", "columns"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "be at least 1")
        self.image.check()
        chosen = chosen_images(self.seeds, "0-5" if self.path is None else f"0-{cells - 1}", self.styles)
        count = self._count(chosen, cells)
        if isinstance(chosen, SavedProjection):
            self.image.require_no_draws()
            require(self.space == "w", "space", self.space, "be w with --styles")
        sampler = self.source.sampler()
        self.image.require_fit(sampler)
        require_grid(out, cells, self.columns, sampler.gan.image_shape, "take fewer --rows or --columns")
        if self.path is not None:
            require_movable(sampler, "path")
            batches = self._moving(sampler, chosen, self.path)
        elif isinstance(chosen, SavedProjection) or (sampler.has_styles and self.space == "w"):
            batches = self._through(sampler, chosen)
        else:
            batches = self._through_latents(sampler, chosen)
        with bar("filming") as show:
            images = counted(batches, count * cells, show)
            frames = (np.stack(frame) for frame in zip(*[images] * cells, strict=True))
            save_film(out, (enlarged(grid(frame, self.columns, gap=0), 256) for frame in frames), count, fps=self.fps)
        print(f"{several(count, 'frame')} -> {out}")

    def _count(self, chosen: list[int] | SavedProjection, cells: int) -> int:
        """Return the number of frames; ``UserError`` where the seeds are too few or too many."""
        given = self.seeds or (f"all {len(chosen)} of {self.styles}" if self.styles else "0-5")
        if self.path is None:
            fits = len(chosen) % cells == 0 and len(chosen) // cells >= 2
            require(fits, "seeds", given, f"be at least two for each of {cells} cells, as many for each")
            count = len(chosen) // cells * self.frames
        else:
            require(len(chosen) == cells, "seeds", given, f"be one for each of {cells} cells, with --path")
            for name, value, default in (("space", self.space, "w"), ("way", self.way, "cubic")):
                require(value == default, name, value, "be left out with --path: no seed becomes another")
            count = self.frames
        must = f"be fewer: the film would have {count:,} of {MOST_FRAMES:,}"
        require(count <= MOST_FRAMES, "frames", self.frames, must)
        return count

    def _moving(
        self, sampler: Sampler, chosen: list[int] | SavedProjection, path: transforms.Motion
    ) -> Iterator[np.ndarray]:
        """Return the images uint8 [n, H, W, C] of a motion, frame by frame and in each cell by cell."""
        moves, own = transforms.motion(path, self.frames), self.image.transform
        moves = moves if own is None else own @ moves
        still = self.image.points(sampler, chosen).at(np.tile(np.arange(len(chosen)), self.frames))
        return self.image.stream_points(sampler, replace(still, moves=moves.repeat(len(chosen), axis=0)))

    def _through(self, sampler: Sampler, chosen: list[int] | SavedProjection) -> Iterator[np.ndarray]:
        """Yield the images uint8 [n, H, W, C] of a path through styles, frame by frame and in each cell by cell."""
        points, cells = self.image.points(sampler, chosen), self.rows * self.columns
        each = [points.at(slice(cell, None, cells)) for cell in range(cells)]
        ways = [paths.segments(cell.ws, self.frames, self.way) for cell in each]
        maps, tree = jax.tree.flatten(points.noise)
        noise = [[paths.noise_segments(leaf[cell::cells], self.frames) for leaf in maps] for cell in range(cells)]
        for number, segment in enumerate(zip(*ways, strict=True)):
            leaves = [_in_turn([next(part[i]) for part in noise]) for i in range(len(maps))]
            turn = Points(_in_turn(segment), jax.tree.unflatten(tree, leaves))
            yield from self.image.stream_points(sampler, turn, number * self.frames * cells)

    def _through_latents(self, sampler: Sampler, seeds: list[int]) -> Iterator[np.ndarray]:
        """Yield the images uint8 [n, H, W, C] of a path through latents, as ``_through``."""
        cells = self.rows * self.columns
        options = {name: getattr(self.image, name) for name in ("psi", "cutoff", "noise", "transform")}
        latents = sampler.latents(seeds, self.image.latents)
        labels = sampler.labels(len(seeds) // cells, self.image.label)
        ways = [paths.segments(np.asarray(latents[cell::cells]), self.frames, self.way) for cell in range(cells)]
        classes = None if labels is None else paths.segments(np.asarray(labels), self.frames, "linear")
        for number, segment in enumerate(zip(*ways, strict=True)):
            z, c = _in_turn(segment), None if classes is None else next(classes).repeat(cells, axis=0)
            for places, count in sampler.batches(len(z)):
                noise_seeds = [number * len(z) + int(place) for place in places]
                part = None if c is None else c[places]
                yield to_uint8(sampler.images(z[places], part, seeds=noise_seeds, **options)[:count])


def _in_turn(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows [N cells, ...] of arrays [N, ...]: the first of each, then the second of each, and so on."""
    return np.stack(cells, axis=1).reshape(-1, *cells[0].shape[1:])
