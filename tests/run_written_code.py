"""Runs blocks of code in an empty folder: python tests/run_written_code.py blocks.json.

Files and names that texts speak of have stand-ins here, so that an example need not begin with twenty lines.
"""

import doctest
import json
import lzma
import shutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import ganzoo
from ganzoo import interop, latent, losses, metrics, objectives, penalties, phases
from ganzoo.augment import ada, diffaugment
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.errors import UserError
from ganzoo.interop.torch_writer import torch_file
from ganzoo.metrics.lpips import lpips
from ganzoo.models import dcgan
from ganzoo.training import parallel

ROOT = Path(__file__).parent.parent
NOT_SHIPPED = "pt_inception-2015-12-05-6726825d.pth"
"""A file that nobody may put into a test; code that names it has to end by saying that it is not there."""


def make_files() -> None:
    """Write what the texts call ``ffhq.pkl``, ``runs/mine`` and so on."""
    from metrics.test_lpips import ARRAYS

    records = ROOT / "tests" / "golden" / "pkl"
    Path("ffhq.pkl").write_bytes(lzma.decompress((records / "sg2_uncond.pkl.xz").read_bytes()))
    Path("notebooks").symlink_to(ROOT / "notebooks")
    shutil.copy(ROOT / "notebooks" / "digits16.safetensors", "mine.safetensors")
    for i in range(8):
        Path("photos").mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(f"photos/{i}.png")
    metric = {"metrics": ("frechet",), "samples": 64, "extractor": "pixels", "metric_every": 32, "keep_best": 1}
    ganzoo.train("dcgan-tiny", out="runs/mine", images=64, devices=1, log=lambda line: None, **metric)
    heads = {name: array for name, array in ARRAYS.items() if name.startswith("lin")}
    network = {name: array for name, array in ARRAYS.items() if name not in heads}
    Path("vgg16-397923af.pth").write_bytes(torch_file(network))
    Path("vgg.pth").write_bytes(torch_file(heads))
    sampler = latent.Sampler(*ganzoo.load("ffhq.pkl"))
    images = np.asarray(sampler.images(sampler.latents(range(2))))
    found = latent.project(sampler, images, latent.ProjectionConfig(steps=2))
    Path("projection").mkdir()
    latent.save_projection(Path("projection/projection.npz"), sampler, found, ["0.png", "1.png"])


def names() -> dict[str, Any]:
    """Return what the texts call ``gan``, ``state``, ``images`` and so on."""
    gan, state = ganzoo.load("mine.safetensors")
    sampler = latent.Sampler(*ganzoo.load("ffhq.pkl"))
    key, rng = jax.random.key(0), np.random.default_rng(0)
    return {
        "ganzoo": ganzoo, "jax": jax, "jnp": jnp, "np": np, "numpy": np, "optax": optax, "pytest": pytest,
        "ada": ada, "diffaugment": diffaugment, "losses": losses, "objectives": objectives, "penalties": penalties,
        "phases": phases, "dcgan": dcgan, "DataConfig": DataConfig, "open_dataset": open_dataset,
        "positions": positions, **vars(parallel), **{name: getattr(phases, name) for name in ("train_step", "every")},
        "minimize": phases.minimize, "update_ema": phases.update_ema, "adam": optax.adam(1e-4),
        **{name: getattr(metrics, name) for name in ("extract_features", "measure", "Evidence", "random_conv")},
        "Extractor": metrics.Extractor, "lpips": lpips, "Sampler": latent.Sampler, "project": latent.project,
        "gan": gan, "state": state, "sampler": sampler, "key": key,
        "images": jnp.zeros((8, 32, 32, 1)), "targets": np.asarray(sampler.images(sampler.latents(range(2)))),
        **{name: rng.integers(0, 256, (16, 32, 32, 3), np.uint8) for name in ("real", "fake")},
        "extractor": metrics.random_conv(), "mesh": jax.make_mesh((1,), ("data",)),
    }  # fmt: skip


def by_place() -> Mapping[str, dict[str, Any]]:
    """Return further names for the code of some places, where one word means something else than elsewhere."""
    tiny = ganzoo.create("dcgan", "tiny")
    state = tiny.init(jax.random.key(0))
    wide = ganzoo.create("dcgan", "tiny", latent_size=512)
    Path("generator.jax").write_bytes(interop.export(wide, wide.init(jax.random.key(0))))
    networks = dcgan.networks(tiny.config, tiny.generator, tiny.discriminator)
    colours = ganzoo.create("dcgan", "tiny", image_size=32, channels=3)
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 256, (1000, 32, 32, 3), np.uint8)
    training = {"gan": tiny, "state": state, "networks": networks, "batch": {"image": np.zeros((8, *tiny.image_shape))}}
    faces, weights = ganzoo.load("ffhq.pkl")
    return {
        "README.md": {"gan": faces, "state": weights},
        "ganzoo/phases.py": training,
        "ganzoo/objectives.py": training,
        "ganzoo/training/parallel.py": training,
        "ganzoo/metrics/arrays.py:modes": {"gan": colours, "state": colours.init(jax.random.key(0))},
        "ganzoo/metrics/__init__.py": {"photographs": photographs, "sample": lambda indices: photographs[indices]},
        "ganzoo/metrics/suite.py": {
            f"{kind}_images": lambda indices: photographs[indices] for kind in ("real", "fake")
        },
        "ganzoo/testing/__init__.py": {"MODEL": dcgan.MODEL, "contract": SimpleNamespace()},
        "ganzoo/metrics/lpips.py:Lpips": {name: np.zeros((2, 64, 64, 3), np.float32) for name in ("images", "targets")},
    }


def run(block: Mapping[str, str], known: dict[str, Any]) -> None:
    """Run a block; raises what it raises."""
    if block["language"] == "python":
        exec(compile(block["code"], block["place"], "exec"), known)
        return
    test = doctest.DocTestParser().get_doctest(block["code"], known, block["place"], None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE)
    said: list[str] = []
    runner.run(test, out=said.append)
    if runner.summarize(verbose=False).failed:
        raise AssertionError("".join(said))


def main() -> int:
    """Run all blocks; returns the exit code."""
    blocks = json.loads(Path(sys.argv[1]).read_text())
    make_files()
    known, further = names(), by_place()
    failed = 0
    for block in blocks:
        try:
            run(block, {**known, **further.get(block["place"], {})})
        except UserError as error:
            is_meant = NOT_SHIPPED in block["code"] and NOT_SHIPPED in str(error)
            failed += not is_meant
            if not is_meant:
                print(f"{block['place']}: {error}")
        except Exception:
            failed += 1
            print(f"{block['place']}:\n{block['code']}\n{traceback.format_exc()}")
    print(f"{len(blocks) - failed} blocks ran")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
