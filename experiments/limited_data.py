"""What adaptive augmentation (ADA) does where there are few images: a small StyleGAN2 with and without it, same seed.

    python experiments/limited_data.py --data olivetti-faces-64.zip --out runs/limited

`--data` is a folder or a zip of images, of which the first 200 are used, grey and at 16 x 16 pixels. The discriminator
comes to know so few by heart: r_t, the mean sign of what it says of them, goes up. With ADA, p goes up as long as r_t
is over its target. Written are `limited_data.png` (r_t and p over time, and samples of both runs side by side) and
`limited_data.json` (the curves).

Price: matplotlib, which comes with the extra "notebooks", and 10 minutes on two CPU cores that had other work besides,
of them 2 of compilation. Without augmentation r_t is 0.5 up to 20,000 images and 0.75 at 40,000; with ADA it stays at
its target, 0.6, to which a p of 0.02 is enough so far. Of the published runs (arXiv:2006.06676) this is a sketch: they
train for 25 million images, with p fifty times slower.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ganzoo
from ganzoo.augment.controller import TARGET
from ganzoo.cli.process import cache_compilations, guarded, keep_freed_memory
from ganzoo.data import DataConfig, Dataset, open_dataset, positions
from ganzoo.errors import UserError
from ganzoo.grids import grid
from ganzoo.ops.pixels import to_uint8
from ganzoo.training import parallel

SIZE, BATCH, SHOWN = 16, 16, 24
RUNS = {"without augmentation": "none", "ADA": "bgc"}
SETTINGS: dict[str, Any] = {
    "image_size": SIZE,
    "channel_base": 512,
    "channel_max": 64,
    "latent_size": 64,
    "style_size": 64,
    "mapping_layers": 2,
    "r1_gamma": 0.01,
    "generator_learning_rate": 2.5e-3,
    "discriminator_learning_rate": 2.5e-3,
    "ema_half_life": 2_000,
    "ema_ramp": None,
    "augment_images": 10_000,
}
"""Of both runs, beside those of the preset "faces64"."""


@dataclass
class Run:
    """What is kept of a run: a point of each curve for every window, and samples at the end."""

    images: list[int]
    r_t: list[float]
    p: list[float]
    samples: np.ndarray


def main(args: Sequence[str] | None = None) -> None:
    """Train twice, and draw."""
    parser = argparse.ArgumentParser(prog="limited_data.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder or .zip of images")
    parser.add_argument("--out", type=Path, default=Path("runs/limited"), help="where to write (default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="images to train on (default: 200)")
    parser.add_argument("--images", type=int, default=40_000, help="images shown to each D (default: 40000)")
    parser.add_argument("--seed", type=int, default=0, help="of both runs (default: 0)")
    options = parser.parse_args(args)
    dataset = open_dataset(DataConfig(data=options.data, labels="none"), (SIZE, SIZE, 1))
    if not BATCH <= options.count <= len(dataset):
        raise UserError(f"--count {options.count}: must be {BATCH} to {len(dataset)}, the images of the data set")
    cache_compilations()
    keep_freed_memory()
    runs = {name: train(augment, dataset, options) for name, augment in RUNS.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    curves = {name: {"images": run.images, "r_t": run.r_t, "p": run.p} for name, run in runs.items()}
    (options.out / "limited_data.json").write_text(json.dumps(curves) + "\n")
    draw(runs, dataset, options.count, options.out / "limited_data.png")


def train(augment: str, dataset: Dataset, options: argparse.Namespace) -> Run:
    """One run on the first images of the data set."""
    augmentation: dict[str, Any] = {"augment": augment}
    gan = ganzoo.create("stylegan2", "faces64", **SETTINGS, **augmentation)
    init_key, run_key, sample_key = jax.random.split(jax.random.key(options.seed), 3)
    mesh = parallel.data_mesh(1)
    state, step = parallel.jit_init(gan.init, mesh)(init_key), parallel.jit_step(gan.step, mesh)
    steps, window = options.images // BATCH, max(1, options.images // BATCH // 80)
    run, pending = Run([], [], [], np.empty(0)), []
    start = time.perf_counter()
    for i in range(steps):
        batch = dataset.read(positions(options.seed, options.count, i * BATCH, BATCH))
        state, metrics = step(state, batch, run_key)
        pending.append(metrics)
        if (i + 1) % window == 0:
            total = jax.tree.map(lambda *values: np.sum(values), *jax.device_get(pending))
            pending.clear()
            run.images.append((i + 1) * BATCH)
            run.r_t.append(total["discriminator/real_sign"].value)
            run.p.append(total["augment/p"].value if "augment/p" in total else 0.0)
            if len(run.images) % 10 == 0:
                speed = (i + 1) / (time.perf_counter() - start)
                print(f"{augment:5} {run.images[-1]:7} images   r_t {run.r_t[-1]:5.2f}   p {run.p[-1]:.2f}"
                      f"   {speed * BATCH:.0f} images/s", flush=True)  # fmt: skip
    run.samples = np.asarray(gan.sample(state, sample_key, SHOWN))
    return run


def draw(runs: dict[str, Run], dataset: Dataset, count: int, file: Path) -> None:
    """The curves above, and below them some of the images and the samples of each run."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure: Any = pyplot.figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2, 3))
    r_t, p = above.subplots(1, 2)
    for name, run in runs.items():
        r_t.plot(np.divide(run.images, 1000), run.r_t, label=name)
        p.plot(np.divide(run.images, 1000), run.p, label=name)
    r_t.axhline(TARGET, color="grey", linewidth=0.8, linestyle="--")
    r_t.set(title="$r_t$, the mean sign of D(real)", xlabel="thousand images", ylim=(-0.2, 1.05))
    p.set(title="p, the probability of each transform", xlabel="thousand images", ylim=(-0.02, 1.02))
    p.legend(loc="upper left", frameon=False)
    shown = dataset.read(np.arange(SHOWN) * count // SHOWN)["image"]
    pictures = {f"some of the {count} images": shown, **{name: to_uint8(run.samples) for name, run in runs.items()}}
    for axes, (title, images) in zip(below.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(grid(images, 4)[..., 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set(title=title, xticks=[], yticks=[])
        axes.axis("off")
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(guarded(main))
