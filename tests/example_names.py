"""What examples in texts name without making it: files and objects, each made when an example names it."""

import ast
import doctest
import lzma
import pathlib
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from metrics.test_lpips import ARRAYS
from PIL import Image
from written_code import ROOT, Block

import ganzoo
from ganzoo import interop, latent, losses, metrics, objectives, phases
from ganzoo.augment import ada, diffaugment
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.interop.torch_writer import torch_file
from ganzoo.metrics.lpips import lpips
from ganzoo.models import dcgan
from ganzoo.report import write_report
from ganzoo.training import parallel

DIGITS = ROOT / "notebooks" / "digits16.safetensors"


def noise(count: int, side: int) -> np.ndarray:
    """Return ``count`` square images of noise in colour."""
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


@cache
def model(name: str = "dcgan", **fields: Any) -> tuple[ganzoo.GAN, Any]:
    """Return a model of the preset tiny, and a state of it."""
    gan = ganzoo.create(name, "tiny", **fields)
    return gan, jax.jit(gan.init)(jax.random.key(0))


@cache
def faces() -> latent.Sampler:
    """Return the sampler of a small StyleGAN2 in colour."""
    make_faces(Path("faces.pkl"))
    return latent.Sampler(*ganzoo.load("faces.pkl"))


def make_faces(path: Path) -> None:
    """Write its pickle."""
    path.write_bytes(lzma.decompress((ROOT / "tests" / "golden" / "pkl" / "sg2_uncond.pkl.xz").read_bytes()))


def make_run(folder: Path) -> None:
    """Train next to nothing, and keep the best checkpoint."""
    measured = {"metrics": ("frechet",), "samples": 64, "extractor": "pixels", "metric_every": 32, "keep_best": 1}
    ganzoo.train("dcgan-tiny", out=str(folder), images=64, devices=1, log=lambda line: None, **measured)


def make_photos(folder: Path) -> None:
    """Write eight pictures."""
    folder.mkdir()
    for i, image in enumerate(noise(8, 32)):
        Image.fromarray(image).save(folder / f"{i}.png")


def make_projection(path: Path) -> None:
    """Project two images in two steps."""
    found = latent.project(faces(), targets(), latent.ProjectionConfig(steps=2))
    latent.save_projection(path, faces(), found, ["0.png", "1.png"])


def targets() -> np.ndarray:
    """Return two images that the sampler can make."""
    return np.asarray(faces().images(faces().latents(range(2))))


def arrays_of(start: str) -> bytes:
    """Return the arrays of a small network for LPIPS, as PyTorch keeps them."""
    return torch_file({name: array for name, array in ARRAYS.items() if name.startswith(start)})


FILES: Mapping[str, Callable[[Path], object]] = {
    "ffhq.pkl": make_faces,
    "mine.safetensors": lambda path: shutil.copy(DIGITS, path),
    "notebooks/digits16.safetensors": lambda path: shutil.copy(DIGITS, path),
    **dict.fromkeys(("runs/mine", "runs/hinge-0", "runs/hinge-1", "runs/r3gan"), make_run),
    "photos": make_photos,
    "projection/projection.npz": make_projection,
    "vgg16-397923af.pth": lambda path: path.write_bytes(arrays_of("features")),
    "vgg.pth": lambda path: path.write_bytes(arrays_of("lin")),
    "generator.jax": lambda path: path.write_bytes(interop.export(*model(latent_size=512))),
    "generator.onnx": lambda path: path.write_bytes(interop.export_onnx(*model("stylegan2", latent_size=512))[0]),
}
"""How to make the files that examples name."""

NAMES: Mapping[str, Callable[[], Any]] = {
    **{module.__name__.split(".")[-1]: lambda module=module: module for module in (
        ganzoo, jax, optax, pytest, ada, diffaugment, losses, objectives, phases, dcgan,
    )},
    **{one.__name__: lambda one=one: one for one in (
        DataConfig, open_dataset, positions, write_report, lpips, latent.Sampler, latent.project,
        phases.train_step, phases.minimize, phases.every, phases.update_ema,
        parallel.jit_step, parallel.jit_init, parallel.divided_layout,
        metrics.extract_features, metrics.measure, metrics.Evidence, metrics.random_conv, metrics.Extractor,
    )},
    "jnp": lambda: jnp,
    "numpy": lambda: np,
    "pathlib": lambda: pathlib,
    "onnxruntime": lambda: pytest.importorskip("onnxruntime"),
    "adam": lambda: optax.adam(1e-4),
    "gan": lambda: model()[0],
    "state": lambda: model()[1],
    "networks": lambda: dcgan.networks(model()[0].config, model()[0].generator, model()[0].discriminator),
    "MODEL": lambda: dcgan.MODEL,
    "batch": lambda: {"image": np.zeros((8, *model()[0].image_shape), np.uint8)},
    "sampler": faces,
    "targets": targets,
    "key": lambda: jax.random.key(0),
    "images": lambda: jnp.zeros((8, 32, 32, 1)),
    "real": lambda: noise(16, 32),
    "fake": lambda: noise(16, 32),
    "photographs": lambda: noise(1000, 32),
    "sample": lambda: noise(1000, 32).__getitem__,
    "real_images": lambda: noise(1000, 32).__getitem__,
    "fake_images": lambda: noise(1000, 32).__getitem__,
    "extractor": metrics.random_conv,
    "mesh": lambda: jax.make_mesh((1,), ("data",)),
}  # fmt: skip
"""What examples mean by names that they do not define."""

ELSEWHERE: Mapping[str, Mapping[str, Callable[[], Any]]] = {
    "README.md": {"gan": lambda: faces().gan, "state": lambda: faces().state},
    "ganzoo/metrics/arrays.py:modes": {
        name: lambda i=i: model(image_size=32, channels=3)[i] for i, name in enumerate(("gan", "state"))
    },
    "ganzoo/metrics/lpips.py:Lpips": dict.fromkeys(("images", "targets"), lambda: np.zeros((2, 64, 64, 3), np.float32)),
}
"""The same for single places where a name means something else."""


def run(block: Block, made: Path) -> None:
    """Run an example in the current folder, with files that are made in ``made`` once.

    Raises what it raises, and AssertionError where it has another output.

    An example that imports stands alone: it gets files, and no name.
    """
    test = doctest.DocTestParser().get_doctest(block.code, {}, block.place, None, 0)
    source = "".join(example.source for example in test.examples) if block.language == "pycon" else block.code
    nodes = list(ast.walk(ast.parse(source)))
    for text in {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in FILES}:
        for path in (made / text, Path(text)):
            path.parent.mkdir(parents=True, exist_ok=True)
        if not (made / text).exists():
            FILES[text](made / text)
        (shutil.copytree if (made / text).is_dir() else shutil.copy)(made / text, text)
    known: dict[str, Any] = {"__name__": "example"}
    if not any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes):
        meant = {**NAMES, **ELSEWHERE.get(block.place, {})}
        known |= {node.id: meant[node.id]() for node in nodes if isinstance(node, ast.Name) and node.id in meant}
    if block.language == "python":
        exec(compile(source, block.place, "exec"), known)
        for name, function in known.items():  # a test among the examples has run when it was called
            if name.startswith("test_") and not hasattr(function, "pytestmark"):
                function()
        return
    test.globs = known
    try:
        doctest.DebugRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
    except doctest.UnexpectedException as failed:
        raise failed.exc_info[1] from None
    except doctest.DocTestFailure as failed:
        raise AssertionError(f"{block.place}: {failed.example.source}printed {failed.got}") from None
