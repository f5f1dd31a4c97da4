"""Trackers: what they are sent, that a resumed run goes on, and what is said where a package is missing."""

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.runs.config import TrainingConfig
from ganzoo.training.loop import HookContext
from ganzoo.training.trackers import TRACKERS, TensorBoard, run_id, trackers

CONFIG = {"experiment": {"training": {"seed": 3}}}
PICTURE = np.zeros((4, 6, 1), np.uint8)
RUN = """if True:
    import sys
    from pathlib import Path
    import numpy as np
    from ganzoo.training.loop import HookContext
    from ganzoo.training.trackers import trackers
    folder, first = Path(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(exist_ok=True)
    (hook,) = trackers([sys.argv[1]])
    hook.on_begin(folder, {"experiment": {"training": {"seed": 3}}}, first)
    for images in range(first, first + 64, 16):
        hook.on_metrics(images, {"step": images // 16, "generator/loss": 0.25})
        hook.on_metrics(images, {"metric/fid": 9.0})
    hook.on_samples(first + 48, np.zeros((4, 6, 1), np.uint8))
    hook.at(HookContext(first + 48, 4, None, 1.0, True, []))
    hook.end()
"""


def test_tensorboard_has_the_config_the_scalars_and_the_samples(tmp_path: Path) -> None:
    hook = TensorBoard()
    hook.on_begin(tmp_path, CONFIG, 0)
    hook.on_metrics(16, {"generator/loss": 0.5})
    hook.on_samples(16, PICTURE)
    hook.at(HookContext(16, 1, None, 1.0, True, []))
    hook.end()
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    for part in (b"config", b'"seed": 3', b"generator/loss", b"samples", b"\x89PNG"):
        assert part in content


def test_a_tracker_that_never_began_can_be_ended() -> None:
    for kind, _ in TRACKERS.values():
        kind().end()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_missing_package_is_named_before_the_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    assert main(["train", "dcgan-tiny", "--log", name, "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ganzoo: error: log_to = '{name}': it needs the extra {name} (in the folder of its source,")
    assert not list(tmp_path.iterdir())


def test_names_of_trackers() -> None:
    assert [type(hook) for hook in trackers(("tensorboard",))] == [TensorBoard]
    assert TrainingConfig(log_to=()).log_to == ()
    with pytest.raises(UserError, match=r"log_to = .*: must name each once"):
        TrainingConfig(log_to=("tensorboard", "tensorboard"))
    with pytest.raises(UserError, match="did you mean 'wandb'"):
        TrainingConfig(log_to=("wandbs",))  # ty: ignore[invalid-argument-type]


def test_a_run_keeps_its_name(tmp_path: Path) -> None:
    name = run_id(tmp_path, "wandb")
    assert run_id(tmp_path, "wandb") == name
    assert len(name) == 8
    (tmp_path / "trackio.json").write_text('{"id": 3}')
    with pytest.raises(UserError, match='"id" is 3, of the wrong type'):
        run_id(tmp_path, "trackio")


def tracked(name: str, folder: Path, first: int, **variables: str) -> str:
    """Track a few rows in a process of its own; return what it prints."""
    command = [sys.executable, "-c", RUN, name, str(folder), str(first)]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **variables}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.slow
def test_wandb_offline_goes_on_with_the_same_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    run = tmp_path / "run"
    for first in (0, 64):
        tracked("wandb", run, first, WANDB_MODE="offline", HOME=str(tmp_path))
    name = json.loads((run / "wandb.json").read_text())["id"]
    folders = sorted(run.glob("wandb/offline-run-*"))
    assert len(folders) == 2
    assert all(folder.name.endswith(f"-{name}") for folder in folders)
    for folder in folders:
        assert list(folder.glob("files/media/images/samples*.png"))
        content = next(folder.glob("*.wandb")).read_bytes()
        assert b"generator/loss" in content
        assert b"metric/fid" in content


@pytest.mark.slow
def test_trackio_goes_on_with_the_same_run(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    for first in (0, 64):
        tracked("trackio", tmp_path / "run", first, TRACKIO_DIR=str(tmp_path / "db"), HOME=str(tmp_path))
    name = f"run-{json.loads((tmp_path / 'run' / 'trackio.json').read_text())['id']}"
    with contextlib.closing(sqlite3.connect(tmp_path / "db" / "ganzoo.db")) as base:
        found = base.execute("select run_name, step, metrics from metrics order by id").fetchall()
    assert {run for run, _, _ in found} == {name}
    assert sorted({step for _, step, _ in found}) == list(range(0, 128, 16))
    rows = [json.loads(row) for _, _, row in found]
    assert {"images": 16, "steps": 1, "generator/loss": 0.25} in rows
    assert sum("samples" in row for row in rows) == 2
    assert len(list((tmp_path / "db").rglob("*.png"))) == 2
