"""Options that several tools share, and writing what they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from ganzoo import pretrained
from ganzoo.cli.seeds import numbers
from ganzoo.config import require
from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.gan import Model
from ganzoo.grids import enlarged, grid, save_picture
from ganzoo.latent.sampler import Draws, NoiseMode, Sampler
from ganzoo.models import find_model
from ganzoo.ops.pixels import to_uint8

ModelArgument = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
ModelFile = Annotated[str | None, tyro.conf.arg(metavar="{None}|PATH.py:VARIABLE")]


def own_model(model_file: str | None) -> Model | None:
    """Return the model that ``--model-file`` names; None where it is absent."""
    return None if model_file is None else find_model(model_file)


@dataclass(frozen=True)
class ModelOptions:
    """Which generator."""

    model: ModelArgument
    """A run folder, a .safetensors file, a pickle of the original code, or hf:owner/name."""
    ema: bool = True
    """Use the moving average (EMA) of the generator's weights, not the weights of the last step."""
    batch: int = 8
    """Images generated at once; does not change the images, but for rounding."""
    model_file: ModelFile = None
    """File and variable of your own ganzoo.Model, for a run folder of that model; None: an installed model."""

    def sampler(self) -> Sampler:
        """Return the generator, ready to sample; ``UserError`` where it cannot be read."""
        require(self.batch >= 1, "batch", self.batch, "be at least 1")
        gan, state = pretrained.load(self.model, model=own_model(self.model_file))
        return Sampler(gan, state, ema=self.ema, batch=self.batch)


@dataclass(frozen=True)
class ImageOptions:
    """How images are made from seeds."""

    psi: float = 1.0
    """Truncation towards the mean style, in [-1, 1]; 1 does not truncate."""
    cutoff: int | None = None
    """Truncate only the first CUTOFF style inputs; None: all."""
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """Class of all images of a conditional model; None: the classes in turn."""
    noise: NoiseMode = "const"
    """Noise: the network's own noise maps, fresh ones for every seed, or none."""
    latents: Draws = "jax"
    """Source of the latents: "numpy" draws those of NVIDIA's tools, to compare with published images."""

    def images(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of seeds."""
        latents, labels = sampler.latents(seeds, self.latents), sampler.labels(len(seeds), self.label)
        images = sampler.images(latents, labels, psi=self.psi, cutoff=self.cutoff, noise=self.noise, seeds=seeds)
        return to_uint8(images)

    def styles(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """Return the styles [N, L, w] of seeds."""
        latents, labels = sampler.latents(seeds, self.latents), sampler.labels(len(seeds), self.label)
        return np.asarray(sampler.styles(latents, labels, psi=self.psi, cutoff=self.cutoff))

    def of_styles(self, sampler: Sampler, ws: np.ndarray) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of styles [N, L, w]."""
        return to_uint8(np.asarray(sampler.synthesise(ws, noise=self.noise)))


def layers_of(text: str | None, count: int) -> list[int] | None:
    """Return the style inputs of a list such as ``0-3,6``, below ``count``; None, which means all, stays None."""
    return None if text is None else numbers(text, "layers", count - 1)


def write_grid(out: Path, images: np.ndarray, columns: int) -> None:
    """Write images uint8 [N, H, W, C] as a grid, small ones enlarged."""
    save_picture(out, enlarged(grid(images, columns)))
    print(f"{len(images)} images -> {out}")


def make_folder(path: Path) -> None:
    """Make a folder to write to; ``UserError`` where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; ``UserError`` where that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
