"""The folder of a run: whether it can hold one, whether it can be resumed, and what it was made with."""

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from ganzoo.config import differences
from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.pretrained import RUN_FORMAT

FREE_ON_RESUME = (
    *("name", "training.images", "training.log_every", "training.sample_every", "training.checkpoint_every"),
    *("training.keep_last", "training.keep_every", "training.devices"),
    *("training.init_from",),  # which decides on the start only
    *("training.metrics", "training.metric_every", "training.keep_best"),
    *("data.data", "data.data_dir", "data.workers", "data.memory_budget_mib", "data.max_pixels", "data.on_bad_file"),
)
"""Fields, and groups of fields, that may differ when a run is resumed. Whether the images differ is decided by their
fingerprint (of names, sizes and labels)."""


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
            raise UserError(f"{out} was made with another config: {'; '.join(changed)}. Resume with the old values")


def _is_free(field: str) -> bool:
    return any(field == free or field.startswith(f"{free}.") for free in FREE_ON_RESUME)


def check_fingerprint(out: Path, record: Mapping[str, Any], old: Mapping[str, Any] | None) -> None:
    """Raise ``UserError`` where a run would be resumed, from its ``old`` record, on other images."""
    if old is not None and old.get("fingerprint") != record["fingerprint"]:
        raise UserError(f"{out} was trained on other images than those now at {record['experiment']['data']['data']}")


def begin_folder(out: Path, record: Mapping[str, Any]) -> None:
    """Make the folder and write its record into config.json, whole or not at all."""
    if jax.process_index():
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "config.json", (json.dumps({"format": RUN_FORMAT, **record}, indent=2) + "\n").encode())


@contextmanager
def writing(out: Path) -> Generator[None]:
    """Turn what the file system refuses within into a ``UserError``."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise UserError(f"cannot write {where}: {error.strerror or error}; mend that or give another --out") from error
