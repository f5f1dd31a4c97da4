"""Stopped runs go on bit for bit: stopped politely, killed at any moment, and on other devices."""

import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ganzoo.models import MODELS
from ganzoo.runs.config import Experiment, experiments
from ganzoo.runs.run import prepare, run
from ganzoo.testing import assert_near
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints

QUICK = {"channels": 1, "label_size": 10}


def tiny(**training) -> Experiment:
    """Digits on the tiny DCGAN, on one device."""
    base = experiments()["dcgan-tiny"]
    training = dataclasses.replace(
        base.training, **{"devices": 1, "steps_per_dispatch": 4, "log_every": 128, "checkpoint_every": 128} | training
    )
    return dataclasses.replace(base, gan=dataclasses.replace(base.gan, **QUICK), training=training)


def train(out: Path, *, resume: bool = False, **training) -> None:
    run(tiny(**training), out, resume=resume, log=lambda line: None)


def final_state(out: Path) -> dict[str, np.ndarray]:
    """Every leaf of the newest checkpoint, by name."""
    gan = MODELS["dcgan"].build(tiny().gan)
    with Checkpoints(out / "checkpoints") as checkpoints:
        state = checkpoints.restore(jax.eval_shape(gan.init, jax.random.key(0)), parallel.data_mesh(1))
    return by_name(state)


def by_name(state: Any) -> dict[str, np.ndarray]:
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(state)}


def rows(out: Path) -> list[dict]:
    """The logged scalars, without times."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("images_per_s", "elapsed_s")} for line in lines
    ]


def assert_same_run(ours: Path, theirs: Path) -> None:
    a, b = final_state(ours), final_state(theirs)
    assert a.keys() == b.keys()
    assert [name for name in a if not np.array_equal(a[name], b[name])] == []
    assert rows(ours) == rows(theirs)
    assert sorted(path.name for path in (ours / "samples").iterdir()) == sorted(
        path.name for path in (theirs / "samples").iterdir()
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "undisturbed"
    train(out, images=512)
    return out


def test_resumed_run_is_the_undisturbed_one(undisturbed: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", images=256)
    (tmp_path / "run" / "samples" / "000000256.png").unlink()  # the last grid of the short run
    train(tmp_path / "run", images=512, resume=True)
    assert_same_run(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_streamed_data_train_the_same_run(undisturbed: Path, tmp_path: Path) -> None:
    experiment = tiny(images=512)
    experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, memory_budget_mib=0))
    run(experiment, tmp_path / "run", log=lambda line: None)
    ours, theirs = final_state(tmp_path / "run"), final_state(undisturbed)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_resume_on_eight_devices(undisturbed: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", images=256)
    train(tmp_path / "run", images=512, resume=True, devices=8)
    ours, theirs = final_state(tmp_path / "run"), final_state(undisturbed)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_a_divided_run_is_resumed_divided_and_whole(tmp_path: Path) -> None:
    def wide(out: Path, images: int, *, resume: bool = False, **training) -> dict[str, np.ndarray]:
        experiment = tiny(images=images, **training)
        gan = dataclasses.replace(experiment.gan, generator_features=16)
        lines: list[str] = []
        run(dataclasses.replace(experiment, gan=gan), out, resume=resume, log=lines.append)
        assert any("MB of the state's" in line for line in lines) == training.get("shard_state", False)
        with Checkpoints(out / "checkpoints") as checkpoints:
            return checkpoints.read()

    divided = {"shard_state": True, "devices": 8}
    expected = wide(tmp_path / "undisturbed", 512, **divided)
    wide(tmp_path / "run", 256, **divided)
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    assert_near(wide(tmp_path / "run", 512, resume=True, **divided), expected, 0.0)
    assert_near(wide(tmp_path / "whole", 512, resume=True, devices=2), expected, absolute=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [parallel.pmap_step, parallel.shard_map_step])
def test_other_ways_to_compile_train_the_same_run(undisturbed: Path, tmp_path: Path, mode: Callable) -> None:
    prepared = prepare(tiny(images=512, devices=2), tmp_path / "run", log=lambda line: None)
    (segment,), feed = prepared.segments, prepared.feed
    step = mode(feed.steps(segment.stage.step), prepared.mesh, batch=feed.spec)
    state, size = prepared.start(), segment.batch_size
    for _, payload in feed.payloads(0, segment.last_step, prepared.steps_per_dispatch, batch_size=size, images=0):
        state, _ = step(state, payload, prepared.key(1))
    assert_near(by_name(state), final_state(undisturbed), absolute=2e-4)


def test_checkpoints_kept(tmp_path: Path) -> None:
    train(tmp_path / "run", images=768, keep_last=1, keep_every=256)
    kept = {int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.isdigit()}
    assert kept == {128, 384, 640, 768}  # the first, each 256 images further, and the newest


# As a user would: separate processes --------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "ganzoo.cli", "train", "dcgan-tiny", "--channels", "1", "--label-size", "10"]
FLAGS = ["--steps-per-dispatch", "4", "--log-every", "192", "--checkpoint-every", "128", "--sample-every", "8192"]


class Started:
    """A training process that writes what it says into files."""

    def __init__(self, out: Path, images: int, *more: str, **environment: str) -> None:
        env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1", **environment}
        env.setdefault("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
        command = [*COMMAND, *FLAGS, "--images", str(images), "--out", str(out), *more]
        log = Path(tempfile.mkdtemp(dir=out.parent))
        self._out, self._err = log / "out", log / "err"
        with self._out.open("w") as stdout, self._err.open("w") as stderr:
            self.process = subprocess.Popen(command, env=env, stdout=stdout, stderr=stderr)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until_training(self) -> "Started":
        """Wait for the first line of progress."""
        while "images/s" not in self.out:
            assert self.process.poll() is None, f"ended before training: {self.err}"
            time.sleep(0.02)
        return self

    def finish(self, code: int = 0) -> "Started":
        assert self.process.wait(timeout=300) == code, self.err
        return self


@pytest.mark.slow
def test_interrupt_saves_and_resumes(tmp_path: Path) -> None:
    stopped = Started(tmp_path / "run", 1_000_000).until_training()
    stopped.process.send_signal(signal.SIGINT)
    stopped.finish(code=130)
    assert "--resume" in stopped.err
    assert "Traceback" not in stopped.err
    reached = int(final_state(tmp_path / "run")[".images"])
    assert reached > 0
    resumed = Started(tmp_path / "run", reached + 256, "--resume").finish()
    assert f"resumed at {reached} images" in resumed.out
    Started(tmp_path / "other", reached + 256).finish()
    ours, theirs = final_state(tmp_path / "run"), final_state(tmp_path / "other")
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    images, kills = 24_576, 20
    undisturbed = Started(tmp_path / "undisturbed", images).until_training()
    began = time.perf_counter()
    undisturbed.finish()
    longest = (time.perf_counter() - began) / kills  # so that all kills come before the end, on any machine
    moments = random.Random(0)
    inside_a_save = 0
    for kill in range(kills):
        resume = ["--resume"] if (tmp_path / "run" / "config.json").exists() else []
        run = Started(tmp_path / "run", images, *resume)
        if kill % 5 != 4:  # every fifth is killed while it starts
            run.until_training()
        time.sleep(moments.uniform(0.0, longest))
        assert run.process.poll() is None, f"ended before kill {kill}: {run.err}"
        run.process.kill()
        run.process.wait()
        folder = tmp_path / "run" / "checkpoints"
        inside_a_save += folder.exists() and any(not path.name.isdigit() for path in folder.iterdir())
    assert inside_a_save > 0 or kills < 20
    Started(tmp_path / "run", images, "--resume").finish()
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    Started(tmp_path / "one", 256).finish()
    address = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    pair = [Started(tmp_path / "two", 256, "--distributed", **address, JAX_PROCESS_ID=str(i)) for i in range(2)]
    first, second = [started.finish() for started in pair]
    assert "images/s" in first.out
    assert "images" not in second.out  # process 0 alone speaks and writes
    ours, theirs = final_state(tmp_path / "two"), final_state(tmp_path / "one")
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)
    assert len(rows(tmp_path / "two")) == len(rows(tmp_path / "one"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
