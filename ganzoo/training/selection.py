"""Which checkpoint of a run is meant: the latest, the best, or that of a number of images.

A run folder holds whole train states in two folders, each named by the images seen: ``checkpoints``, the newest ones,
and ``best``, those with the best values of the first metric, where ``--keep-best`` asked for them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jax.sharding import Mesh

from ganzoo.disk import kind_of
from ganzoo.errors import UserError, guess
from ganzoo.training.checkpoint import Checkpoints, unchecked
from ganzoo.typing import State

LATEST, BEST = "latest", "best"
FOLDERS = ("checkpoints", BEST)
"""Folders of checkpoints in a run folder; a number is looked for in this order."""
MAX_DIGITS = 18
"""Largest number of digits of a number of images."""
MAX_LISTED = 12
"""Largest number of checkpoints that an error lists."""
Which: TypeAlias = Literal["best", "latest"] | int | str
"""``"best"``, ``"latest"`` or a number of images, which may be typed as text."""


@dataclass(frozen=True)
class Selected:
    """A checkpoint that is there."""

    run: Path
    """The run folder."""
    folder: str
    """One of ``FOLDERS``."""
    images: int
    """Images seen."""

    @property
    def name(self) -> str:
        """The place in the run folder, such as ``best/200``."""
        return f"{self.folder}/{self.images}"

    def read(self) -> dict[str, np.ndarray]:
        """Return the arrays by their names in a train state; ``UserError`` where they cannot be read."""
        with Checkpoints(self.run / self.folder, read_only=True) as checkpoints:
            return checkpoints.read(self.images)

    def notes(self) -> list[str]:
        """Return what is to be said of the checkpoint, a line each."""
        return unchecked(self.run / self.name)

    def restore(self, like: State, mesh: Mesh) -> State:
        """Return the train state, on every device of the mesh; arguments and errors as ``Checkpoints.restore``."""
        with Checkpoints(self.run / self.folder, read_only=True) as checkpoints:
            return checkpoints.restore(like, mesh, images=self.images)


def select(path: Path, checkpoint: Which | None = None) -> Selected:
    """Find a checkpoint of a run.

    Args:
      path: a run folder; or a place in it: ``RUN/best``, ``RUN/checkpoints`` or ``RUN/checkpoints/200``.
      checkpoint: which one; the latest when absent. Must be absent where the path says it.

    Raises:
      UserError: ``path`` is in no run folder, or the run has no such checkpoint; the message lists those that exist.
    """
    run, folder, images = split(path)
    if checkpoint is not None and folder:
        raise UserError(f"checkpoint = {checkpoint!r}: must be left out, because {path} says which one; or give {run}")
    if checkpoint is not None:
        folder, images = _parsed(checkpoint)
    there, best = _contents(run)
    if not any(there.values()):
        raise UserError(f"{run} holds no checkpoint yet; wait for one, or give another run folder")
    if images is not None:
        found = next((each for each in FOLDERS if folder in ("", each) and images in there[each]), None)
        if found is None:
            wanted = f"{folder}/{images}" if folder else f"checkpoint of {images} images"
            raise UserError(f"{run} holds no {wanted}; there are {_listed(there)}")
        return Selected(run, found, images)
    if folder == BEST:
        if best is None:
            remedy = "train with --metrics fid --keep-best 1 to keep one"
            raise UserError(f"{run} holds no best checkpoint; {remedy}; there are {_listed(there)}")
        return Selected(run, BEST, best)
    newest = max((images, each == FOLDERS[0], each) for each in FOLDERS for images in there[each])
    return Selected(run, newest[2], newest[0])


def split(path: Path) -> tuple[Path, str, int | None]:
    """Split a path into the run folder, the folder of checkpoints and the images that it names: "" and None if none.

    Raises:
      UserError: the path is in no run folder.
    """
    if is_run(path):
        return path, "", None
    if path.name in FOLDERS and is_run(path.parent):
        return path.parent, path.name, None
    is_number = path.name.isdecimal() and path.name.isascii() and len(path.name) <= MAX_DIGITS
    if is_number and path.parent.name in FOLDERS and is_run(path.parent.parent):
        return path.parent.parent, path.parent.name, int(path.name)
    if kind_of(path) != "nothing":
        raise UserError(f"{path} is no run folder: it has no checkpoints; give a run folder or a file of weights")
    raise UserError(f"there is no {path}; give a run folder, or a .safetensors, .npz or original file")


def is_run(path: Path) -> bool:
    """Return whether a path is a run folder; ``UserError`` where that cannot be found out."""
    is_folder = kind_of(path) == "folder"
    return is_folder and (kind_of(path / "config.json") != "nothing" or kind_of(path / FOLDERS[0]) == "folder")


def _parsed(checkpoint: Which) -> tuple[str, int | None]:
    """Return the folder and the images that are meant, as ``split``."""
    text = str(checkpoint)
    if text in (LATEST, BEST):
        return (BEST if text == BEST else FOLDERS[0]), None
    if not text.isdecimal() or not text.isascii() or len(text) > MAX_DIGITS:
        hint = guess(text, (LATEST, BEST))
        rule = f"must be best, latest or a number of images{';' if hint else ''}{hint}"
        raise UserError(f"checkpoint = {checkpoint!r}: {rule}")
    return "", int(text)


def _contents(run: Path) -> tuple[dict[str, list[int]], int | None]:
    """Return the images of the checkpoints in each folder, and those of the best one."""
    there, best = {}, None
    for folder in FOLDERS:
        there[folder] = []
        if (run / folder).is_symlink() or kind_of(run / folder) == "folder":
            with Checkpoints(run / folder, read_only=True) as checkpoints:
                there[folder], best = checkpoints.all, checkpoints.best if folder == BEST else None
    return there, best


def _listed(there: dict[str, list[int]]) -> str:
    """Return the names of checkpoints as one list."""
    names = [str(images) for images in there[FOLDERS[0]]] + [f"{BEST}/{images}" for images in there[BEST]]
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
