"""Hooks that send what a run writes to TensorBoard, Weights & Biases or Trackio."""

import importlib
import importlib.util
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganzoo.disk import make_own_folder, write_whole
from ganzoo.disk.documents import read_json, require_fields
from ganzoo.errors import UserError, install
from ganzoo.grids import coloured
from ganzoo.training.loop import Hook, HookContext

TrackerName = Literal["tensorboard", "wandb", "trackio"]
PROJECT = "ganzoo"
"""Project of the runs, where the environment names no other."""

RESERVED = {"step": "steps"}
"""Names of scalars that Trackio keeps for itself, and those in their place."""


class TensorBoard(Hook):
    """Event files in ``tensorboard/`` of the run folder."""

    _board: Any = None

    def on_begin(self, folder: Path, config: Mapping[str, Any], images: int) -> None:
        make_own_folder(folder / "tensorboard")
        writer = importlib.import_module("tensorboardX").SummaryWriter
        self._board = writer(str(folder / "tensorboard"), purge_step=images + 1)
        text = json.dumps(config, indent=2).replace("\n", "\n    ")
        self._board.add_text("config", f"    {text}", images)  # indented: code in Markdown

    def on_metrics(self, images: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._board.add_scalar(name, value, images)
        self._board.flush()  # a resumed run does not write these rows again

    def on_samples(self, images: int, picture: np.ndarray) -> None:
        self._board.add_image("samples", coloured(picture), images, dataformats="HWC")

    def end(self) -> None:
        if self._board:
            self._board.close()


class Wandb(Hook):
    """A run at Weights & Biases; a resumed run goes on there.

    The environment decides where it differs: WANDB_MODE=offline, WANDB_PROJECT, WANDB_NAME, WANDB_RUN_ID, WANDB_DIR.
    """

    _run: Any = None
    _is_whole = False

    def on_begin(self, folder: Path, config: Mapping[str, Any], images: int) -> None:
        self._wandb: Any = importlib.import_module("wandb")
        given = os.environ
        if "WANDB_DIR" not in given:
            make_own_folder(folder / "wandb")
        self._run = self._wandb.init(
            project=given.get("WANDB_PROJECT") or PROJECT,
            name=given.get("WANDB_NAME") or folder.absolute().name,
            id=given.get("WANDB_RUN_ID") or run_id(folder, "wandb"),
            dir=given.get("WANDB_DIR") or str(folder),
            config=dict(config),
            resume="allow",
        )
        self._run.define_metric("*", step_metric="images")

    def on_metrics(self, images: int, metrics: Mapping[str, float]) -> None:
        self._log(images, metrics)

    def on_samples(self, images: int, picture: np.ndarray) -> None:
        from PIL import Image

        self._log(images, {"samples": self._wandb.Image(Image.fromarray(coloured(picture)))})

    def _log(self, images: int, values: Mapping[str, Any]) -> None:
        if images >= self._run.step:  # what a resumed run repeats bit for bit is there already
            self._run.log({"images": images, **values}, step=images)

    def at(self, context: HookContext) -> None:
        self._is_whole = context.last

    def end(self) -> None:
        if self._run:
            self._run.finish(exit_code=0 if self._is_whole else 1)


class Trackio(Hook):
    """A run of Trackio, in a database on this computer; a resumed run goes on there.

    The environment decides where it differs: TRACKIO_DIR, TRACKIO_PROJECT, TRACKIO_SPACE_ID.
    """

    _run: Any = None

    def on_begin(self, folder: Path, config: Mapping[str, Any], images: int) -> None:
        self._trackio: Any = importlib.import_module("trackio")
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT") or PROJECT,
            name=f"{folder.absolute().name}-{run_id(folder, 'trackio')}",
            config=dict(config),
            resume="allow",
            embed=False,
        )

    def on_metrics(self, images: int, metrics: Mapping[str, float]) -> None:
        named = {RESERVED.get(name, name): value for name, value in metrics.items()}
        self._run.log({"images": images, **named}, step=images)

    def on_samples(self, images: int, picture: np.ndarray) -> None:
        image = self._trackio.Image(coloured(picture), caption=f"{images} images")
        self._run.log({"images": images, "samples": image}, step=images)

    def end(self) -> None:
        if self._run:
            self._trackio.finish()


TRACKERS: Mapping[TrackerName, tuple[type[Hook], str]] = {
    "tensorboard": (TensorBoard, "tensorboardX"),
    "wandb": (Wandb, "wandb"),
    "trackio": (Trackio, "trackio"),
}
"""By name: the hook, and the module that it needs."""


def trackers(names: Sequence[TrackerName], log: Callable[[str], None] = lambda line: None) -> list[Hook]:
    """Return the hooks of names; TensorBoard, which is the default, is left out with a note where it is not installed.

    Raises:
      UserError: a package is missing; one line names the extra.
    """
    hooks: list[Hook] = []
    for name in names:
        kind, module = TRACKERS[name]
        if importlib.util.find_spec(module):
            hooks.append(kind())
        elif name == "tensorboard":
            log("note: no TensorBoard events are written, because the package tensorboardX is missing")
        else:
            raise UserError(f"log_to = {name!r}: it needs the extra {name} ({install(name)}); or leave it out of --log")
    return hooks


def run_id(folder: Path, tracker: str) -> str:
    """Return the name by which a tracker knows a run, from ``TRACKER.json`` in its folder, which is made if absent.

    Raises:
      UserError: the file is not what was written.
    """
    file = folder / f"{tracker}.json"
    if file.exists():
        return require_fields(read_json(file), {"id": str}, ("id",))["id"]
    name = secrets.token_hex(4)
    write_whole(file, (json.dumps({"id": name}) + "\n").encode())
    return name
