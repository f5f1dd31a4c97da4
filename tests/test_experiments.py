"""The scripts of ``experiments/``, run as a user would."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import ganzoo

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "experiments"


def script(name: str, *args: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    cache = str(jax.config.jax_compilation_cache_dir)
    env = {"PATH": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": cache}
    command = [sys.executable, str(SCRIPTS / name), *map(str, args)]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_cifar10_trains_on_a_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{i}.png")
    small = ["--image-size", "16", "--generator-features", "4", "--discriminator-features", "4", "--label-size", "2"]
    short = ["--images", "96", "--batch-size", "16", "--log-every", "32", "--steps-per-dispatch", "2"]
    ended = script("dcgan_cifar10.py", "--data", tmp_path / "images", "--out", tmp_path / "run", *small, *short)
    assert ended.returncode == 0, ended.stderr
    assert "cat" in ended.stdout
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [32, 64, 96]
    with Image.open(tmp_path / "run" / "samples.png") as picture:
        assert picture.mode == "RGB"
    assert (tmp_path / "run" / "checkpoints" / "96").is_dir()
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["experiment"]["gan"]["label_size"] == 2


def test_help_names_every_field_and_a_typo_the_nearest() -> None:
    told = script("dcgan_cifar10.py", "--help")
    assert told.returncode == 0
    assert "--learning-rate FLOAT" in told.stdout
    assert "Images between two checkpoints" in told.stdout
    wrong = script("dcgan_cifar10.py", "--lerning-rate", "1")
    assert wrong.returncode == 2
    assert "did you mean '--learning-rate'?" in wrong.stderr


def test_benchmark_names_what_it_measures() -> None:
    listed = script("benchmark.py", "--list")
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()][:3] == ["dcgan64", "dcgan32-scan", "stylegan2-64"]
    wrong = script("benchmark.py", "dcgan46")
    assert wrong.returncode == 2
    assert "did you mean 'dcgan64'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_modes_are_counted_and_drawn_in_parts(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    short = ["--images", "128", "--samples", "100", "--out", tmp_path]
    for name in ("dcgan-hinge", "dcgan-wgan-gp"):
        ended = script("count_modes.py", *short, "--runs", name)
        assert ended.returncode == 0, ended.stderr
    again = script("count_modes.py", *short, "--runs", "dcgan-hinge")
    assert "dcgan-hinge: has 128 images already" in again.stdout
    curves = json.loads((tmp_path / "count_modes.json").read_text())
    assert list(curves) == ["dcgan-hinge", "dcgan-wgan-gp"]
    assert all(curve["images"][-1] == 128 and 1 <= curve["modes"][-1] <= 100 for curve in curves.values())
    with Image.open(tmp_path / "count_modes.png") as picture:
        assert picture.width > 500


@pytest.mark.slow
def test_how_well_networks_follow_a_move(tmp_path: Path) -> None:
    """The constant of an untrained StyleGAN2, and the pixels of a column through the walks of two models."""
    measured = script("stylegan2_equivariance.py", "tiny", "--images", "8")
    assert measured.returncode == 0, measured.stderr
    assert 0 < float(measured.stdout.split()[-2]) < 40
    models = []
    for name in ("stylegan2", "stylegan3"):
        models.append(tmp_path / f"{name}.safetensors")
        gan = ganzoo.create(name, "tiny")
        ganzoo.save(gan, jax.jit(gan.init)(jax.random.key(0)), models[-1])
    assert script("stylegan2_equivariance.py", models[1]).returncode == 2
    drawn = script("texture_sticking.py", *models, "--frames", "4", "--out", tmp_path / "sticking.png")
    assert drawn.returncode == 0, drawn.stderr
    with Image.open(tmp_path / "sticking.png") as picture:
        assert picture.width > picture.height > 0
