"""What a run folder tells of its training: grids of samples over time, and curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ganzoo.disk import read_regular
from ganzoo.errors import UserError
from ganzoo.training.hooks import grid_files, read_rows

MOST_BYTES, MOST_GRID = 2**26, 2**28
"""Largest size in bytes of the file of curves, and of a grid."""
MOST_POINTS = 400
"""Largest number of points of a curve."""
NO_CURVES = ("images", "step", "elapsed_s")


class History:
    """A run folder that is only read, and may grow meanwhile; links in it are not followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: tuple[tuple[int, int], dict[str, list[list[float]]]] | None = None

    def samples(self) -> list[int]:
        """Return the images seen at each grid of samples, in order."""
        return sorted(self._grids())

    def grid(self, images: int) -> bytes:
        """Return a grid as PNG; ``UserError`` where there is none of so many images."""
        file = self._grids().get(images)
        if file is None:
            raise UserError(f"the run has no samples at {images} images")
        try:
            return read_regular(file, MOST_GRID)
        except OSError as error:
            raise UserError(f"the samples at {images} images cannot be read ({error.strerror})") from error

    def curves(self) -> dict[str, list[list[float]]]:
        """Return the points [images, value] of every scalar by name, at most ``MOST_POINTS`` of each."""
        file = self._folder / "metrics.jsonl"
        try:
            if file.is_symlink():
                return {}
            status = file.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if self._kept is None or self._kept[0] != stamp:
                self._kept = (stamp, _curves(read_rows(file, MOST_BYTES)))
        except (OSError, UserError):
            return {}
        return self._kept[1]

    def _grids(self) -> dict[int, Path]:
        folder = self._folder / "samples"
        if folder.is_symlink() or not folder.is_dir():
            return {}
        own = grid_files(self._folder)
        return {int(file.stem): file for file in own if len(file.stem) <= 12 and not file.is_symlink()}


def _curves(rows: Sequence[Mapping[str, float]]) -> dict[str, list[list[float]]]:
    curves: dict[str, list[list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in NO_CURVES and abs(value) < 1e30:
                curves.setdefault(name, []).append([row["images"], value])
    return {name: _thinned(points) for name, points in curves.items()}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Return the points, or averages of neighbours where there are too many."""
    count = -(-len(points) // MOST_POINTS)
    parts = [points[first : first + count] for first in range(0, len(points), count)]
    return [[part[-1][0], sum(value for _, value in part) / len(part)] for part in parts]
