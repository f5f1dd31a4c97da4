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

FREE_ON_RESUME = (
    *("training.images", "training.log_every", "training.sample_every", "training.checkpoint_every"),
    *("training.keep_last", "training.keep_every", "training.devices", "training.mode", "name"),
    *("training.init_from",),  # which decides on the start only
    *("training.metrics", "training.metric_every", "training.metric_samples", "training.metric_reals"),
    *("training.extractor", "training.inception", "training.inception_resize", "training.keep_best"),
    *("data.data", "data.data_dir", "data.workers", "data.memory_budget_mib", "data.on_bad_file"),
)
"""Fields that may differ when a run is resumed; that the images are others, their fingerprint (of names, sizes and
labels) tells."""


def check_folder(out: Path, record: Mapping[str, Any], *, resume: bool) -> None:
    """Raise ``UserError`` unless ``out`` can hold this run."""
    config = out / "config.json"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    if resume and not config.exists():
        raise UserError(f"{out} holds no run to resume; leave out --resume to start one")
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, so {out} cannot be made; give another folder by --out")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"{there} is not writable; give another folder by --out")
    if not resume and out.exists() and any(out.iterdir()):
        holds = "already holds a run; add --resume to go on with it" if config.exists() else "is not empty; empty it"
        raise UserError(f"{out} {holds}, or give another folder by --out")
    if resume:
        changed = [
            line
            for line in differences(read_record(config)["experiment"], record["experiment"])
            if line.split(":")[0] not in FREE_ON_RESUME
        ]
        if changed:
            raise UserError(f"{out} was made with another config: {'; '.join(changed)}. Resume with the old values")


def check_fingerprint(out: Path, record: Mapping[str, Any], *, resume: bool) -> None:
    """Raise ``UserError`` where a run would be resumed on other images."""
    if resume and read_record(out / "config.json").get("fingerprint") != record["fingerprint"]:
        raise UserError(f"{out} was trained on other images than those now at {record['experiment']['data']['data']}")


def begin_folder(out: Path, record: Mapping[str, Any]) -> None:
    """Make the folder and write its config, whole or not at all."""
    if jax.process_index():
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "config.json", (json.dumps(record, indent=2) + "\n").encode())


@contextmanager
def writing(out: Path) -> Generator[None]:
    """Within, what the file system refuses becomes a ``UserError``."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise UserError(f"cannot write {where}: {error.strerror or error}; mend that or give another --out") from error


def read_record(config: Path) -> dict[str, Any]:
    """What ``begin_folder`` wrote; ``UserError`` where it cannot be read."""
    try:
        record = json.loads(config.read_text())
        if not isinstance(record, dict) or not isinstance(record.get("experiment"), dict):
            raise ValueError('no "experiment" in it')
    except (OSError, ValueError) as error:
        raise UserError(f"{config} cannot be read ({error}); it must be the file that the run wrote") from error
    return record
