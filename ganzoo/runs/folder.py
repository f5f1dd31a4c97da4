"""The folder of a run: whether it can hold one, whether it can be resumed, and what it was made with."""

import contextlib
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import jax

from ganzoo import __version__
from ganzoo.config import differences
from ganzoo.disk import append_line, read_regular, require_appendable, write_whole
from ganzoo.disk.documents import MOST_BYTES, parse_json, require_fields
from ganzoo.errors import UserError, printable
from ganzoo.pretrained import RUN_FORMAT, read_record

FREE_ON_RESUME = (
    *(
        "name",
        "training.images",
        "training.log_every",
        "training.log_to",
        "training.sample_every",
        "training.checkpoint_every",
    ),
    *("training.keep_last", "training.keep_every", "training.devices", "training.shard_state", "gan.remat"),
    *("training.init_from",),  # which decides on the start only
    *("training.metrics", "training.metric_every", "training.keep_best"),
    *("data.data", "data.data_dir", "data.workers", "data.memory_budget_mib", "data.max_pixels", "data.on_bad_file"),
    *("data.cache",),
)
"""Fields, and groups of fields, that may differ when a run is resumed. Whether the images differ is decided by their
fingerprint (of names, sizes and labels)."""


LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
"""Whose versions are recorded."""
TOLD = {
    "data": ("labels", "split", "mirror", "crop", "resize_filter"),
    "training": ("images", "batch_size", "seed"),
}
"""Fields of the configs that are told to others; the rest may hold paths, or is of the machine."""
MOST_COMMANDS = 20
"""Largest number of command lines that are recorded: the first one and the last ones."""


class RunLog:
    """Lines that are shown, and kept in ``log.txt`` of the run folder from ``open`` on, those before it included."""

    def __init__(self, show: Callable[[str], None]) -> None:
        """
        Args:
          show: such as ``print``.
        """
        self.show = show
        self._waiting: list[str] = []
        self._file: Path | None = None

    def __call__(self, line: str) -> None:
        """Show a line, and keep it."""
        self.show(line)
        self.keep(line)

    def keep(self, line: str) -> None:
        """Keep a line that is shown otherwise."""
        if self._file is None:
            self._waiting.append(line)
        else:
            append_line(self._file, line)

    def open(self, out: Path) -> None:
        """Begin to write, in the first process only; ``UserError`` where that is not possible."""
        if jax.process_index() == 0:
            require_appendable(out / "log.txt")
            self._file = out / "log.txt"
            for line in self._waiting:
                append_line(self._file, line)
        self._waiting.clear()


def circumstances(old: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what config.json keeps besides the config: the versions of today, and the command lines so far.

    Args:
      old: the record of the run that is resumed; None for a new run.
    """
    versions = {"ganzoo": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:  # from a folder of sources
            versions[library] = "unknown"
    commands = [*(old or {}).get("commands", []), printable(shlex.join(sys.argv), 4000)]
    return {"versions": versions, "commands": commands[:1] + commands[1:][-MOST_COMMANDS:]}


def training_facts(folder: Path, images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a run folder tells of a checkpoint for those who get its weights, without paths of this machine.

    Args:
      folder: of the run.
      images: seen by the checkpoint.

    Returns:
      The settings of the training, and the results of its evaluations.
    """
    record = read_record(folder)
    experiment = record["experiment"]
    facts: dict[str, Any] = {"images_seen": images, "preset": experiment.get("name")}
    for section, names in TOLD.items():
        facts[section] = {name: value for name, value in experiment.get(section, {}).items() if name in names}
    parts = str(experiment.get("data", {}).get("data", "")).split(",")
    facts["data"]["data"] = ",".join(part if part.startswith("tfds:") else PurePath(part).name for part in parts)
    return facts | {"versions": record.get("versions", {})}, _results(folder / "evaluations.jsonl", images)


def _results(file: Path, images: int) -> list[dict[str, Any]]:
    """Return what a file of evaluations tells of a checkpoint: numbers by name, and how many images they are of."""
    results = []
    with contextlib.suppress(OSError, UserError):  # there is none, or something else
        for row in read_regular(file, MOST_BYTES).decode(errors="replace").splitlines():
            with contextlib.suppress(UserError):
                kinds = {"images": int, "values": dict, "fake": dict}
                found = require_fields(parse_json(row), kinds, ("images", "values"))
                values = {name: value for name, value in found["values"].items() if isinstance(value, int | float)}
                if found["images"] == images and values:
                    results.append({"images": images, "values": values, "samples": found.get("fake", {}).get("count")})
    return results


def check_folder(out: Path, record: Mapping[str, Any], recorded: Mapping[str, Any] | None, *, resume: bool) -> None:
    """Raise ``UserError`` unless ``out`` can hold this run.

    Args:
      out: the run folder.
      record: of the run, with its "experiment".
      recorded: the "experiment" of the run in the folder; None where there is none.
      resume: whether the run goes on there.
    """
    config = out / "config.json"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    if resume and recorded is None:
        raise UserError(f"{out} holds no run to resume; leave out --resume to start one")
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, so {out} cannot be made; give another folder by --out")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"{there} is not writable; give another folder by --out")
    if not resume and out.exists() and any(out.iterdir()):
        holds = "already holds a run; add --resume to go on with it" if config.exists() else "is not empty; empty it"
        raise UserError(f"{out} {holds}, or give another folder by --out")
    if resume and recorded is not None:
        found = differences(recorded, record["experiment"])
        changed = [str(each) for each in found if not _is_free(each.field)]
        if changed:
            raise UserError(
                f"{printable(out, 100)} was made with another config: {_listed(changed)}."
                " Resume with the old values, or start a new run with these weights by --init-from; free are --images,"
                " --devices, --shard-state, --remat, the place of the data, and what is logged, kept and measured"
            )


def _is_free(field: str) -> bool:
    return any(field == free or field.startswith(f"{free}.") for free in FREE_ON_RESUME)


def _listed(changes: Sequence[str], length: int = 170) -> str:
    """Return the first changes, as many as a message has room for, and the number of the others."""
    fitting = [i for i in range(1, len(changes)) if len("; ".join(changes[: i + 1])) <= length]
    count = max(fitting, default=0) + 1
    more = f"; and {len(changes) - count} more" if count < len(changes) else ""
    return printable("; ".join(changes[:count]), length) + more


def data_changes(
    out: Path, record: Mapping[str, Any], old: Mapping[str, Any] | None, *, allow_new: bool
) -> list[dict[str, Any]]:
    """Return the changes of the data of a run so far, for its record.

    The order of the images is a function of the seed, the size of the data set and the images seen. With another size,
    it is from there on that of a run which has had the new data from its start.

    Args:
      out: the run folder.
      record: of the run, with its "experiment" and "fingerprint".
      old: the record of the run that is resumed; None for a new run.
      allow_new: whether other images than those of the old record are asked for.

    Raises:
      UserError: the images are others, and that is not asked for.
    """
    if old is None:
        return []
    changes, place = list(old.get("data_changes", [])), record["experiment"]["data"]["data"]
    if old.get("fingerprint") == record["fingerprint"]:
        return changes
    if not allow_new:
        raise UserError(
            f"{out} was trained on other images than those now at {place}; give the old ones by --data, or go on with"
            " these by --allow-new-data"
        )
    seen = max(saved_images(out), default=0)
    before = {"fingerprint": old.get("fingerprint"), "data": old["experiment"].get("data", {}).get("data")}
    return [*changes, {"images": seen, "before": before, "fingerprint": record["fingerprint"], "data": place}]


def saved_images(out: Path) -> list[int]:
    """Return the images seen by the checkpoints of a run, by their names alone; they may be damaged."""
    return [int(file.name) for file in (out / "checkpoints").glob("*") if file.name.isdecimal()]


def begin_folder(out: Path, record: Mapping[str, Any]) -> None:
    """Make the folder and write its record into config.json, whole or not at all."""
    if jax.process_index():
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(out / "config.json", (json.dumps({"format": RUN_FORMAT, **record}, indent=2) + "\n").encode())
        except BaseException:  # also Ctrl-C
            with contextlib.suppress(OSError):
                out.rmdir()  # where there is nothing in it
            raise


@contextmanager
def writing(out: Path) -> Generator[None]:
    """Turn what the file system refuses within into a ``UserError``."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise UserError(f"cannot write {where}: {error.strerror or error}; mend that or give another --out") from error
