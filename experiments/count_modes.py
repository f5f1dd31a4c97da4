"""How many of a thousand modes each method finds: stacked digits, small networks, one seed and one budget for all.

    uv run --extra notebooks python experiments/count_modes.py --out runs/modes
    uv run --extra notebooks python experiments/count_modes.py --out runs/modes --runs dcgan-minimax dcgan-hinge

Each run sees the same 20,000 images of `stacked-digits` at 16x16 pixels, in batches of 32, and its modes are counted
five times in 25,000 samples. Written are a run folder for each, `count_modes.json` (modes and KL over images seen) and
`count_modes.png` (these curves, and samples). Runs that are finished are not repeated, and those that were interrupted
go on, so the sweep can be done in parts; a model that this ganzoo does not have is named and left out.

Price: matplotlib, which comes with the extra "notebooks", and at most four minutes a run on two CPU cores. The result
is whatever it is: one seed of small networks is no ranking of methods. On Stacked MNIST, R3GAN's paper
(arXiv:2501.05441, table 9) finds all 1,000 modes with a KL of 0.029 for the whole method, after 10 million images.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import ganzoo
from ganzoo.cli.process import cache_compilations, guarded, keep_freed_memory
from ganzoo.disk import write_file
from ganzoo.errors import UserError
from ganzoo.runs.config import experiments
from ganzoo.runs.evaluate import RESULTS

MODES = 1000
POINTS = 5
"""Counts of modes in a run."""
PAPER = "R3GAN's paper, Stacked MNIST, 10 million images: 1,000 modes, KL 0.029"


class Method(NamedTuple):
    """A preset, and what differs from it."""

    preset: str
    fields: Mapping[str, Any]


COMMON: Mapping[str, Any] = {"image_size": 16, "channels": 3, "label_size": 0, "batch_size": 32, "latent_size": 64}
_DCGAN: Mapping[str, Any] = {"generator_features": 32, "discriminator_features": 32, "ema_half_life": 5_000}
_STYLEGAN2: Mapping[str, Any] = {
    "channel_base": 512,
    "channel_max": 64,
    "style_size": 64,
    "mapping_layers": 2,
    "r1_gamma": 0.01,
    "ema_half_life": 5_000,
    "ema_ramp": None,
}
# fmt: off
METHODS: Mapping[str, Method] = {
    "dcgan-minimax":           Method("dcgan-cifar10", {**_DCGAN, "loss": "minimax"}),
    "dcgan-non-saturating":    Method("dcgan-cifar10", {**_DCGAN, "loss": "non-saturating"}),
    "dcgan-hinge":             Method("dcgan-cifar10", {**_DCGAN, "loss": "hinge"}),
    "dcgan-wgan-gp":           Method("dcgan-cifar10", {**_DCGAN, "loss": "wasserstein", "gradient_penalty": 10.0}),
    "stylegan2":               Method("stylegan2-faces64", _STYLEGAN2),
    "r3gan":                   Method("r3gan-digits", {}),
    "r3gan-without-penalties": Method("r3gan-digits", {"r1_gamma": 0.0, "r2_gamma": 0.0}),
}
# fmt: on


def main(args: Sequence[str] | None = None) -> None:
    """Train, count and draw."""
    parser = argparse.ArgumentParser(prog="count_modes.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/modes"), help="where to write (default: %(default)s)")
    parser.add_argument("--runs", nargs="+", choices=[*METHODS], default=[*METHODS], help="which runs (default: all)")
    parser.add_argument("--images", type=int, default=20_000, help="images that each run sees (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=25_000, help="samples for each count (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all runs (default: %(default)s)")
    options = parser.parse_args(args)
    if find_spec("matplotlib") is None:
        raise UserError("the picture needs matplotlib; uv run --extra notebooks python ...")
    cache_compilations()
    keep_freed_memory()
    failed = []
    for name in options.runs:
        if METHODS[name].preset not in experiments():
            print(f"{name}: this ganzoo has no {METHODS[name].preset}, so this run is left out", flush=True)
            continue
        try:
            train(name, options)
        except UserError as error:  # a method that diverges says something, too
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    found = {name: curve for name in METHODS if (curve := read(options.out / name))}
    if not found:
        raise UserError(f"{options.out}: no run has counted any modes")
    write_file(options.out / "count_modes.json", (json.dumps(found, indent=2) + "\n").encode())
    draw(found, options.out)
    for name, curve in found.items():
        print(f"{name:24} {curve['images'][-1]:>8} images  modes {curve['modes'][-1]:5.0f}  KL {curve['kl'][-1]:.3f}")
    if failed:
        raise UserError(f"{', '.join(failed)}: did not finish")


def train(name: str, options: argparse.Namespace) -> None:
    """Do one run, or what is left of it."""
    method, folder = METHODS[name], options.out / name
    if is_finished(folder, options):
        print(f"{name}: has {options.images} images already", flush=True)
        return
    ganzoo.train(
        method.preset,
        "stacked-digits",
        folder,
        resume=(folder / "config.json").is_file(),
        log=lambda line: print(f"{name}: {line}", flush=True) if "modes" in line or "error" in line else None,
        **{**COMMON, **method.fields},
        labels="none",
        images=options.images,
        seed=options.seed,
        devices=1,
        steps_per_dispatch=1,
        log_every=max(1, options.images // 20),
        sample_every=0,
        checkpoint_every=max(1, options.images // 4),
        metrics=("modes",),
        samples=options.samples,
        metric_batch_size=500,
        metric_every=max(1, options.images // POINTS),
    )


def is_finished(folder: Path, options: argparse.Namespace) -> bool:
    """Return whether a run folder holds all that the options ask for."""
    curve = read(folder)
    wanted = (options.images, options.samples, options.seed)
    return curve is not None and (curve["images"][-1], curve["samples"], curve["seed"]) == wanted


def read(folder: Path) -> dict[str, Any] | None:
    """Return the curves of a run folder, with its settings; None where nothing was counted."""
    if not (folder / RESULTS).is_file():
        return None
    results = [json.loads(line) for line in (folder / RESULTS).read_text().splitlines()]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    settings = json.loads((folder / "config.json").read_text())["experiment"]
    if not results:
        return None
    return {
        "images": [result["images"] for result in results],
        "modes": [result["values"]["modes"] for result in results],
        "kl": [result["values"]["modes_kl"] for result in results],
        "samples": results[-1]["modes"]["count"],
        "seed": settings["training"]["seed"],
        "elapsed_s": max((row["elapsed_s"] for row in rows if "elapsed_s" in row), default=0.0),
        "gan": settings["gan"],
    }


def draw(found: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Draw modes and KL over images seen, and below them the last samples of each run."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from PIL import Image

    figure: Any = pyplot.figure(figsize=(11, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    modes, divergence = above.subplots(1, 2)
    for name, curve in found.items():
        thousands = np.divide(curve["images"], 1000)
        modes.plot(thousands, curve["modes"], marker=".", label=name)
        divergence.plot(thousands, curve["kl"], marker=".", label=name)
    samples = max(curve["samples"] for curve in found.values())
    modes.axhline(MODES, color="grey", linewidth=0.8, linestyle="--")
    modes.set(title=f"modes in {samples:,} samples", xlabel="thousand images", ylim=(-30, 1.05 * MODES))
    divergence.axhline((MODES - 1) / (2 * samples), color="grey", linewidth=0.8, linestyle="--")
    divergence.set(title="KL to uniform, nats (dashed: chance)", xlabel="thousand images", yscale="log")
    divergence.legend(frameon=False, fontsize="small")
    above.supxlabel(PAPER, fontsize="small")
    for axes, name in zip(below.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        axes.set_title(name, fontsize="x-small")
        axes.axis("off")
        if (out / name / "samples.png").is_file():
            axes.imshow(np.asarray(Image.open(out / name / "samples.png")), interpolation="nearest")
    figure.savefig(out / "count_modes.png", dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(guarded(main))
