"""What run folders tell, and which runs are repetitions of each other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.disk import kind_of
from ganzoo.errors import UserError, printable
from ganzoo.pretrained import read_record
from ganzoo.training.hooks import grid_files, read_rows

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACES = ("images", "step")
"""Names in a row that say where the run is."""
OWN = ("name", "training.seed")
"""Settings that may differ among repetitions."""
MOST_POINTS = 300
"""Largest number of points of a curve; longer ones are averaged."""


@dataclass(frozen=True)
class Record:
    """A run, as its folder tells of it."""

    folder: Path
    name: str
    """Shortest end of the path that no other run of the report has."""
    content: Mapping[str, Any]
    """Of ``config.json``."""
    rows: Sequence[Mapping[str, float]]
    """Of ``metrics.jsonl``, by images seen."""
    grids: Mapping[int, Path]
    """Files of sample grids by images seen, in order."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by their path, such as ``gan.image_size``, and the fingerprint of the images."""
        return flat(self.content["experiment"]) | {"data.fingerprint": self.content.get("fingerprint", "unknown")}

    @property
    def seed(self) -> Any:
        """Seed of the training."""
        return self.settings.get("training.seed", "unknown")

    @property
    def seen(self) -> int:
        """Images seen by the last row or sample grid."""
        return int(max([*(row["images"] for row in self.rows[-1:]), *self.grids, 0]))

    def last(self, name: str) -> float | None:
        """Return the last finite value of a scalar."""
        return next((row[name] for row in reversed(self.rows) if np.isfinite(row.get(name, np.nan))), None)


@dataclass(frozen=True)
class Curve:
    """A scalar of one group over images seen; each array [n]."""

    images: np.ndarray
    mean: np.ndarray
    """Over the runs of the group that have a row at these images."""
    low: np.ndarray
    high: np.ndarray
    """Of those runs."""
    count: np.ndarray
    """How many runs these are."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only."""

    letter: str
    name: str
    runs: Sequence[Record]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the runs have in common."""
        return {name: value for name, value in self.runs[0].settings.items() if name not in OWN}

    @property
    def title(self) -> str:
        """Name and number of seeds."""
        return self.name if len(self.runs) == 1 else f"{self.name} ({len(self.runs)} seeds)"

    def curve(self, name: str) -> Curve | None:
        """Return the curve of a scalar; None where no run has finite values of it."""
        found: dict[float, list[float]] = {}
        for run in self.runs:
            own = {row["images"]: row[name] for row in run.rows if np.isfinite(row.get(name, np.nan))}
            for images, value in own.items():
                found.setdefault(images, []).append(value)
        if not found:
            return None
        places = sorted(found)
        of = [np.array([function(found[place]) for place in places], float) for function in (np.mean, min, max, len)]
        whole = Curve(np.array(places, float), *of)
        return whole if len(places) <= MOST_POINTS else _averaged(whole)


def _averaged(curve: Curve) -> Curve:
    """Return a curve of ``MOST_POINTS`` points, each of which stands for several."""
    parts = np.array_split(np.arange(len(curve.images)), MOST_POINTS)
    names = ("images", "mean", "low", "high", "count")
    return Curve(*(np.array([getattr(curve, name)[part].mean() for part in parts]) for name in names))


def read_runs(folders: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """Read run folders.

    Args:
      folders: of runs; one that is given twice counts once.

    Returns:
      The runs that can be shown, and a line for each of the others, which are damaged or empty.
    """
    found: dict[Path, Record] = {}
    left_out: list[str] = []
    names = _names([folder.absolute() for folder in folders])
    for folder, name in zip(folders, names, strict=True):
        try:
            place = folder.resolve()
            if place not in found:
                found[place] = _read(folder, name)
        except (UserError, OSError) as error:
            text = error if isinstance(error, UserError) else f"{folder} cannot be read ({error.strerror or error})"
            left_out.append(printable(text, 300))
    return list(found.values()), left_out


def _read(folder: Path, name: str) -> Record:
    """Read one run folder; ``UserError`` where it is damaged or empty."""
    if kind_of(folder) != "folder" or kind_of(folder / "config.json") == "nothing":
        raise UserError(f"{folder} is no run folder: it has no config.json")
    content, rows, file = read_record(folder), [], folder / "metrics.jsonl"
    if kind_of(file) != "nothing":
        try:
            rows = read_rows(file)
        except UserError as error:
            raise UserError(f"{file} cannot be read ({error})") from error
    grids = {int(file.stem[:18]): file for file in grid_files(folder)}
    if not rows and not grids:
        raise UserError(f"{folder} has nothing to show yet: no row in metrics.jsonl and no sample grid")
    return Record(folder, name, content, sorted(rows, key=lambda row: row["images"]), dict(sorted(grids.items())))


def _names(folders: Sequence[Path]) -> list[str]:
    """Return for each folder the shortest end of its path that no other folder has."""
    names = []
    for folder in folders:
        ends = ["/".join(folder.parts[-length:]) for length in range(1, len(folder.parts) + 1)]
        others = [other for other in folders if other != folder]
        unique = (end for end in ends if not any(f"/{other}".endswith(f"/{end}") for other in others))
        names.append(printable(next(unique, str(folder)), 60))
    return names


def grouped(runs: Sequence[Record]) -> list[Group]:
    """Return the groups of runs that differ in their seed only, in the order of their first runs."""
    by_settings: dict[str, list[Record]] = {}
    for run in runs:
        key = json.dumps({k: v for k, v in run.settings.items() if k not in OWN}, sort_keys=True)
        by_settings.setdefault(key, []).append(run)
    groups = []
    for number, members in enumerate(by_settings.values()):
        letter = LETTERS[number] if number < len(LETTERS) else str(number + 1)
        groups.append(Group(letter, _common_name([run.name for run in members]), members))
    return groups


def _common_name(names: Sequence[str]) -> str:
    """Return what names begin with in common, without an end such as ``-seed``; the first name if that is nothing."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    if len(names) == 1:
        return names[0]
    return first[:same].rstrip("/_-. ").removesuffix("seed").rstrip("/_-. ") or names[0]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their path with dots."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def differing(groups: Sequence[Group]) -> dict[str, list[Any]]:
    """Return the settings in which groups differ, each with its values group by group; "-" where one has none."""
    every = [group.settings for group in groups]
    names = dict.fromkeys(name for settings in every for name in settings)
    rows = {name: [settings.get(name, "-") for settings in every] for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def scalar_names(groups: Sequence[Group]) -> list[str]:
    """Return the names of all scalars, sorted."""
    rows = (row for group in groups for run in group.runs for row in run.rows)
    return sorted({name for row in rows for name in row} - set(PLACES))
