"""Run folders made by hand: settings, rows and sample grids, without training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.config import to_json
from ganzoo.data import DataConfig, open_dataset
from ganzoo.grids import grid, save_png
from ganzoo.pretrained import RUN_FORMAT
from ganzoo.runs.config import TrainingConfig

SHAPE = (16, 16, 1)


def digits() -> np.ndarray:
    """64 of the embedded digits, uint8 [64, 16, 16, 1]."""
    return open_dataset(DataConfig(data="digits"), SHAPE).read(np.arange(64))["image"]


def noise(seed: int = 0) -> np.ndarray:
    """64 images of noise."""
    return np.random.default_rng(seed).integers(0, 256, (64, *SHAPE), np.uint8)


def make_run(
    folder: Path,
    *,
    seed: int = 0,
    rate: float = 2e-4,
    data: str = "digits",
    rows: Sequence[dict[str, Any]] | None = None,
    samples: np.ndarray | None = None,
    every: int = 1000,
) -> Path:
    """Write what a run of 4,000 images leaves; return its folder."""
    folder.mkdir(parents=True)
    model = {"image_size": 16, "channels": 1, "label_size": 0, "learning_rate": rate}
    settings = to_json(TrainingConfig(images=4000, batch_size=16, seed=seed))
    experiment = {"name": "dcgan-tiny", "model": "dcgan", "gan": model, "data": to_json(DataConfig(data=data))}
    record = {"format": RUN_FORMAT, "experiment": {**experiment, "training": settings}}
    (folder / "config.json").write_text(json.dumps(record))
    found = [row(images, seed, rate) for images in range(every, 4001, every)] if rows is None else rows
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in found))
    (folder / "samples").mkdir()
    pictures = noise(seed) if samples is None else samples
    for images in (0, 2000, 4000):
        save_png(folder / "samples" / f"{images:09d}.png", grid(pictures, 8))
    return folder


def row(images: int, seed: int, rate: float) -> dict[str, float]:
    """A row of scalars that look like those of a run."""
    rng = np.random.default_rng([images, seed])
    falling = 1 / (1 + images / 1000) + 0.1 * rng.random() + 200 * rate
    return {
        "images": images,
        "step": images // 16,
        "images_per_s": 100 + 10 * rng.random(),
        "elapsed_s": images / 100,
        "generator/loss": 2 - falling,
        "discriminator/loss": falling,
        "generator/gradient_norm": 10 ** (3 * falling),
        "discriminator/real": falling,
        "augment/p": images / 8000,
        "metric/random-conv/frechet": 10 * falling,
    }
