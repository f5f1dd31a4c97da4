"""Options that several tools share, and writing what they make."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from ganzoo import pretrained
from ganzoo.cli.seeds import numbers
from ganzoo.config import require
from ganzoo.errors import UserError, several
from ganzoo.gan import Model
from ganzoo.grids import enlarged, grid_of, save_picture
from ganzoo.latent.sampler import Draws, NoiseMode, Sampler
from ganzoo.latent.saved import SavedProjection, load_projection
from ganzoo.latent.transforms import transform
from ganzoo.models import find_model
from ganzoo.nn.styles import check_truncation, truncate
from ganzoo.ops.pixels import to_uint8
from ganzoo.typing import PyTree

StylesFile = Annotated[Path | None, tyro.conf.arg(metavar="{None}|FILE.npz")]
ModelArgument = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
ModelFile = Annotated[str | None, tyro.conf.arg(metavar="{None}|PATH.py:VARIABLE")]

Checkpoint = Annotated[str | None, tyro.conf.arg(metavar="{None}|best|latest|IMAGES")]


def own_model(model_file: str | None) -> Model | None:
    """Return the model that ``--model-file`` names; None where it is absent."""
    return None if model_file is None else find_model(model_file)


@dataclass(frozen=True)
class ModelOptions:
    """Which generator."""

    model: ModelArgument
    """A run folder or RUN/best, a .safetensors file, a pickle of the original code, or hf:owner/name."""
    checkpoint: Checkpoint = None
    """Which checkpoint of a run folder: best, latest, or a number of images; None: the latest."""
    ema: bool = True
    """Use the moving average (EMA) of the generator's weights; --no-ema takes the weights of the last step."""
    batch: int = 8
    """Images generated at once; does not change the images, but for rounding."""
    model_file: ModelFile = None
    """File and variable of your own ganzoo.Model, for a run folder of that model; None: an installed model."""

    def sampler(self) -> Sampler:
        """Return the generator, ready to sample; ``UserError`` where it cannot be read."""
        require(self.batch >= 1, "batch", self.batch, "be at least 1")
        gan, state = pretrained.load(self.model, checkpoint=self.checkpoint, model=own_model(self.model_file))
        return Sampler(gan, state, ema=self.ema, batch=self.batch)


@dataclass(frozen=True)
class Points:
    """Styles of images to be made, of seeds or of a file."""

    ws: np.ndarray
    """[N, L, w]."""
    noise: PyTree = None
    """Noise maps [N, h, w], a tree like ``StyleSpace.noise_maps``; None: what ``--noise`` says."""
    moves: np.ndarray | None = None
    """Transforms [N, 3, 3] of the images; None: what ``--translate``, ``--rotate`` and ``--scale`` say."""

    def at(self, indices: np.ndarray | slice) -> "Points":
        """Return some of them, in any order, or the same several times."""
        moves = None if self.moves is None else self.moves[indices]
        return Points(self.ws[indices], jax.tree.map(lambda maps: maps[indices], self.noise), moves)


@dataclass(frozen=True)
class ImageOptions:
    """How images are made from seeds."""

    psi: float = 1.0
    """Truncation towards the mean style, usually in [-1, 1]; 1 does not truncate."""
    cutoff: int | None = None
    """Truncate only the first CUTOFF style inputs; None: all."""
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """Class of all images of a conditional model; None: in turn the classes that had images in training."""
    noise: NoiseMode = "const"
    """Noise: the network's own noise maps, fresh ones for every seed, or none."""
    latents: Draws = "jax"
    """Source of the latents: "numpy" draws those of NVIDIA's tools, to compare with published images."""
    translate: tuple[float, float] = (0.0, 0.0)
    """Move of the image to the right and down, in shorter sides of it; needs a StyleGAN3."""
    rotate: float = 0.0
    """Turn of the image about its centre, in degrees counter-clockwise; needs a StyleGAN3."""
    scale: float = 1.0
    """Factor by which the image is enlarged about its centre; needs a StyleGAN3."""

    @property
    def transform(self) -> np.ndarray | None:
        """The map [3, 3] of translate, rotate and scale; None where they change nothing."""
        is_still = (self.translate, self.rotate, self.scale) == ((0, 0), 0, 1)
        return None if is_still else transform(self.translate, self.rotate, self.scale)

    def check(self) -> None:
        """Raise ``UserError`` for values that no model takes; print a note on an unusual psi."""
        check_truncation(self.psi, None, 0)
        require(self.cutoff is None or self.cutoff >= 0, "cutoff", self.cutoff, "be 0 or more")
        require(self.label is None or self.label >= 0, "class", self.label, "be 0 or more")
        _ = self.transform
        if abs(self.psi) > 1:
            print(
                f"note: psi = {self.psi:g} is outside [-1, 1]: the styles are farther from their mean than in training"
            )

    def require_fit(self, sampler: Sampler) -> None:
        """Raise ``UserError`` for values that the model does not take."""
        sampler.labels(1, self.label)
        if (self.psi, self.cutoff, self.noise) != (1, None, "const"):
            space = sampler.require_styles("truncation and noise")
            check_truncation(self.psi, self.cutoff, space.count)
        if self.transform is not None:
            require_movable(sampler, "translate, rotate and scale")

    def stream(self, sampler: Sampler, seeds: Sequence[int]) -> Iterator[np.ndarray]:
        """Yield the images uint8 [n, H, W, C] of seeds, batch by batch."""
        options: dict[str, Any] = {
            name: getattr(self, name) for name in ("label", "psi", "cutoff", "noise", "transform")
        }
        return (to_uint8(images) for images in sampler.stream(seeds, draws=self.latents, **options))

    def styles(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """Return the styles [N, L, w] of seeds."""
        latents, labels = sampler.latents(seeds, self.latents), sampler.labels(len(seeds), self.label)
        return np.asarray(sampler.styles(latents, labels, psi=self.psi, cutoff=self.cutoff))

    def points(self, sampler: Sampler, chosen: list[int] | SavedProjection) -> Points:
        """Return the styles of seeds, or those of a file, truncated; ``UserError`` where they are of another model."""
        if not isinstance(chosen, SavedProjection):
            return Points(self.styles(sampler, chosen))
        noise = chosen.noise_for(sampler)
        if chosen.about and not chosen.fits(sampler):
            print(f"note: {chosen.source} was made with other weights, so the images are others, too")
        average = sampler.require_styles("styles").mean(sampler.state, ema=sampler.ema)
        return Points(np.asarray(truncate(chosen.ws, average, self.psi, cutoff=self.cutoff)), noise)

    def stream_points(self, sampler: Sampler, points: Points, first: int = 0) -> Iterator[np.ndarray]:
        """Yield the images uint8 [n, H, W, C] of styles, batch by batch; random noise has the seeds from ``first``."""
        for places, count in sampler.batches(len(points.ws)):
            part = points.at(places)
            own = part.noise if self.noise == "const" and part.noise is not None else self.noise
            move = self.transform if part.moves is None else part.moves
            seeds = [first + int(place) for place in places]
            images = sampler.synthesise(part.ws, noise=own, seeds=seeds, transform=move)
            yield to_uint8(images[:count])

    def of_points(self, sampler: Sampler, points: Points) -> np.ndarray:
        """Return the images uint8 [N, H, W, C] of styles."""
        return np.concatenate(list(self.stream_points(sampler, points)))

    def require_no_draws(self) -> None:
        """Raise ``UserError`` where an option says how seeds become latents, and there are none."""
        for name, value, default in (("class", self.label, None), ("latents", self.latents, "jax")):
            require(value == default, name, value, "be left out with --styles: it is for seeds")


def require_movable(sampler: Sampler, what: str) -> None:
    """Raise ``UserError`` where ``what`` is asked of a generator that cannot move its images."""
    if not sampler.require_styles(what).takes_transform:
        raise UserError(f"{what}: the input of a {sampler.gan.name} cannot be moved; use a StyleGAN3")


def chosen_images(typed: str | None, seeds: str, file: Path | None, name: str = "seeds") -> list[int] | SavedProjection:
    """Return the seeds, or the styles in a file, that a tool is to use.

    Args:
      typed: a list of seeds, or of numbers of images in the file; None: ``seeds``, or the whole file.
      seeds: where none are typed and there is no file.
      file: as ``load_projection`` takes it; None: use seeds.
      name: of the option that was typed.

    Raises:
      UserError: the list or the file cannot be read, or the file has no such image.
    """
    if file is None:
        return numbers(typed or seeds, name)
    saved = load_projection(file)
    return saved if typed is None else saved.take(numbers(typed, name, len(saved) - 1))


def layers_of(text: str | None, count: int) -> list[int] | None:
    """Return the style inputs of a list such as ``0-3,6``, below ``count``; None, which means all, stays None."""
    return None if text is None else numbers(text, "layers", count - 1)


def write_grid(out: Path, images: Iterable[np.ndarray], count: int, columns: int) -> None:
    """Write ``count`` images uint8 [H, W, C] as a grid, small ones enlarged."""
    save_picture(out, enlarged(grid_of(images, count, columns)))
    print(f"{several(count, 'image')} -> {out}")


def make_folder(path: Path) -> None:
    """Make a folder to write to; ``UserError`` where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error
