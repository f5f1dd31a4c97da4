"""The tools that make images of a trained generator: their options, and the calls that they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import jax
import numpy as np
import tyro

from ganzoo.cli.files import Convert, Export, Inspect
from ganzoo.cli.options import (
    ImageOptions,
    ModelOptions,
    Points,
    StylesFile,
    chosen_images,
    layers_of,
    make_folder,
    write_grid,
)
from ganzoo.cli.parsing import parse
from ganzoo.cli.process import prepare
from ganzoo.cli.seeds import numbers
from ganzoo.config import require
from ganzoo.data import read_images, read_named_images
from ganzoo.grids import enlarged, grid, save_film, save_picture
from ganzoo.interop import write_arrays
from ganzoo.latent import directions, mixing, paths, projection, saved
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.saved import SavedProjection, file_stems
from ganzoo.metrics import spectrum
from ganzoo.metrics.lpips import lpips
from ganzoo.ops.pixels import to_uint8


class Command(Protocol):
    """One use of a tool: its options are its fields."""

    def run(self) -> None:
        """Do it; raise ``UserError`` where that cannot be."""


def use(name: str, args: Sequence[str]) -> None:
    """Answer ``ganzoo NAME ...`` for a tool."""
    command: Command = parse(COMMANDS[name], args, f"ganzoo {name}")
    prepare()
    command.run()


@dataclass(frozen=True)
class Sample:
    """Write images of seeds, or of styles in a file, as one grid or as single files."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    seeds: str | None = None
    """Seeds, such as 0-63,100, or numbers of images in --styles; None: 0-63, or all. An image depends on its seed
    alone."""
    styles: StylesFile = None
    """Styles and noise maps to use instead of seeds: projection.npz of ganzoo project."""
    out: Path = Path("samples.png")
    """A .png or .webp file for a grid; a name without an ending is a folder of single files."""
    columns: int = 8
    """Grid columns."""

    def run(self) -> None:
        """Sample, and write the images."""
        chosen = chosen_images(self.seeds, "0-63", self.styles)
        if isinstance(chosen, SavedProjection):
            self.image.require_no_draws()
            sampler, names = self.source.sampler(), chosen.stems
            images = self.image.of_points(sampler, self.image.points(sampler, chosen))
        else:
            sampler, names = self.source.sampler(), [f"seed{seed:04d}" for seed in chosen]
            images = self.image.images(sampler, chosen)
        if self.out.suffix:
            write_grid(self.out, images, min(self.columns, len(images)))
            return
        make_folder(self.out)
        for name, image in zip(names, images, strict=True):
            save_picture(self.out / f"{name}.png", image)
        print(f"{len(images)} images -> {self.out}")


@dataclass(frozen=True)
class Mix:
    """Write a table of mixed styles: each image has the styles of its row and, at some layers, those of its column."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    rows: str | None = None
    """Seeds of the rows, or numbers of images in --styles; None: 0-3, or all."""
    styles: StylesFile = None
    """Styles and noise maps to use for the rows: projection.npz of ganzoo project."""
    columns: str = "10-17"
    """Seeds of the columns."""
    layers: str | None = None
    """Style inputs taken from the column, such as 4-7; None: the finer half."""
    out: Path = Path("mix.png")
    """The .png or .webp file to write."""

    def run(self) -> None:
        """Mix, and write the table."""
        chosen, columns = chosen_images(self.rows, "0-3", self.styles, "rows"), numbers(self.columns, "columns")
        sampler = self.source.sampler()
        sampler.require_styles("mix")
        rows = self.image.points(sampler, chosen)
        top, count = self.image.styles(sampler, columns), rows.ws.shape[1]
        layers = layers_of(self.layers, count) or list(range(count // 2, count))
        inside = mixing.mix(rows.ws, top, layers)
        mixed = Points(inside.reshape(-1, *top.shape[1:]), rows.at(np.repeat(range(len(rows.ws)), len(top))).noise)
        left, above, images = (self.image.of_points(sampler, each) for each in (rows, Points(top), mixed))
        table = mixing.mixing_table(left, above, images.reshape(len(left), len(top), *images.shape[1:]))
        write_grid(self.out, table, len(columns) + 1)


@dataclass(frozen=True)
class Interpolate:
    """Write a film that goes from image to image and back to the first."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    seeds: str | None = None
    """Seeds that the film goes through, or numbers of images in --styles, dealt out to the cells of the grid in turn;
    None: 0-5, or all."""
    styles: StylesFile = None
    """Styles and noise maps to use instead of seeds: projection.npz of ganzoo project."""
    frames: int = 30
    """Frames between two seeds."""
    space: Literal["w", "z"] = "w"
    """Space of the path: styles (w) or latents (z); a model without styles takes z."""
    way: paths.Way = "cubic"
    """Shape of the path: straight ("linear"), on the sphere ("slerp"), or a smooth curve ("cubic")."""
    rows: int = 1
    """Grid rows."""
    columns: int = 1
    """Grid columns."""
    fps: float = 30.0
    """Frames per second."""
    out: Path = Path("film.webp")
    """The file to write: .webp or .gif, or .mp4 with the extra "video"."""

    def run(self) -> None:
        """Interpolate, and write the film."""
        cells = self.rows * self.columns
        require(self.fps > 0, "fps", self.fps, "be positive")
        chosen = chosen_images(self.seeds, "0-5", self.styles)
        fits = cells >= 1 and len(chosen) % cells == 0 and len(chosen) // max(cells, 1) >= 2
        given = self.seeds or (f"all {len(chosen)} of {self.styles}" if self.styles else "0-5")
        require(fits, "seeds", given, f"be at least two for each of {cells} cells, as many for each")
        if isinstance(chosen, SavedProjection):
            self.image.require_no_draws()
            require(self.space == "w", "space", self.space, "be w with --styles")
        sampler = self.source.sampler()
        if isinstance(chosen, SavedProjection) or (sampler.has_styles and self.space == "w"):
            points = self.image.points(sampler, chosen)
            films = [self._through(sampler, points.at(slice(cell, None, cells))) for cell in range(cells)]
        else:
            films = [self._through_latents(sampler, chosen[cell::cells]) for cell in range(cells)]
        frames = [enlarged(grid(np.stack(frame), self.columns, gap=0), 256) for frame in zip(*films, strict=True)]
        save_film(self.out, frames, fps=self.fps)
        print(f"{len(frames)} frames -> {self.out}")

    def _through(self, sampler: Sampler, points: Points) -> np.ndarray:
        """Return the frames uint8 [frames, H, W, C] of one cell, through styles."""
        ws = paths.interpolate(points.ws, self.frames, self.way)
        noise = jax.tree.map(lambda maps: paths.interpolate_noise(maps, self.frames), points.noise)
        return self.image.of_points(sampler, Points(ws, noise))

    def _through_latents(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """Return the frames uint8 [frames, H, W, C] of one cell, through latents."""
        latents = paths.interpolate(np.asarray(sampler.latents(seeds, self.image.latents)), self.frames, self.way)
        labels = sampler.labels(len(seeds), self.image.label)
        labels = None if labels is None else paths.interpolate(np.asarray(labels), self.frames, "linear")
        options: dict[str, Any] = {name: getattr(self.image, name) for name in ("psi", "cutoff", "noise")}
        return to_uint8(np.asarray(sampler.images(latents, labels, **options)))


@dataclass(frozen=True)
class Project:
    """Find the styles of given images; write the images found beside them, and projection.npz for --styles."""

    source: ModelOptions
    images: str
    """An image file, or a folder or .zip of them; all are projected at once."""
    search: projection.ProjectionConfig = field(default_factory=projection.ProjectionConfig)
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """Class of all images, for a conditional model; None: class 0."""
    lpips: tuple[str, ...] = ()
    """Weights of LPIPS, which then replaces the distance of pixels: vgg16-397923af.pth of torchvision and
    weights/v0.1/vgg.pth of the package lpips, or one file with the arrays of both."""
    out: Path = Path("projection")
    """The folder to write to."""

    def run(self) -> None:
        """Project, and write what was found."""
        distance = lpips(self.lpips) if self.lpips else projection.pixel_distance
        sampler = self.source.sampler()
        sampler.require_styles("project")
        targets, names = read_named_images(Path(self.images), sampler.gan.image_shape)
        labels = sampler.labels(len(targets), self.label or 0) if sampler.gan.label_size else None

        def tell(step: int, distance: float) -> None:
            print(f"step {step:5} of {self.search.steps}   distance {distance:.4f}")

        images = targets / np.float32(127.5) - 1
        found = projection.project(sampler, images, self.search, labels=labels, distance=distance, log=tell)
        make_folder(self.out)
        made = to_uint8(found.images)
        pairs = np.stack([targets, made], axis=1).reshape(-1, *targets.shape[1:])
        save_picture(self.out / "projection.png", enlarged(grid(pairs, 2 * min(4, len(targets)))))
        saved.save_projection(self.out / "projection.npz", sampler, found, names)
        for stem, image in zip(file_stems(names), made, strict=True):
            save_picture(self.out / f"{stem}.png", image)
        print(f"{len(made)} projections -> {self.out}; to use them: --styles {self.out / 'projection.npz'}")


@dataclass(frozen=True)
class Edit:
    """Write images moved along a direction of the styles: a row for each image, a column for each strength."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    seeds: str | None = None
    """Seeds of the rows, or numbers of images in --styles; None: 0-3, or all."""
    styles: StylesFile = None
    """Styles and noise maps to use instead of seeds: projection.npz of ganzoo project."""
    method: Literal["principal", "closed-form"] = "principal"
    """Principal components of 10,000 styles (GANSpace), or a factorisation of the modulation weights (SeFa)."""
    direction: int = 0
    """Number of the direction; 0 is the strongest."""
    reach: float = 3.0
    """Strength of the last column; the first column has its negative. In standard deviations of the styles along the
    direction; for "closed-form", in units of w."""
    steps: int = 7
    """Grid columns."""
    layers: str | None = None
    """Style inputs that are moved, such as 0-3; None: all."""
    out: Path = Path("edit.png")
    """The .png or .webp file to write."""

    def run(self) -> None:
        """Move the styles, and write the grid."""
        chosen, sampler = chosen_images(self.seeds, "0-3", self.styles), self.source.sampler()
        require(self.direction >= 0, "direction", self.direction, "be 0 or more")
        require(self.steps >= 2, "steps", self.steps, "be at least 2")
        points = self.image.points(sampler, chosen)
        layers = layers_of(self.layers, points.ws.shape[1])
        along = self._direction(sampler, layers)
        strengths = np.linspace(-self.reach, self.reach, self.steps).tolist()
        moved = np.asarray(directions.edit(points.ws, along, strengths, layers)).reshape(-1, *points.ws.shape[1:])
        noise = points.at(np.repeat(range(len(points.ws)), self.steps)).noise
        write_grid(self.out, self.image.of_points(sampler, Points(moved, noise)), self.steps)

    def _direction(self, sampler: Sampler, layers: Sequence[int] | None) -> np.ndarray:
        """Return the direction [w], one standard deviation long where that is known."""
        if self.method == "closed-form":
            known = len(directions.modulation_kernels(sampler))
            inputs = None if layers is None else [layer for layer in layers if layer < known]
            return directions.factorise(sampler, self.direction + 1, inputs)[self.direction]
        many = Sampler(sampler.gan, sampler.state, ema=sampler.ema, batch=1000)
        latents = many.latents(range(10_000), self.image.latents)
        ws = np.asarray(many.styles(latents, many.labels(10_000, self.image.label)))[:, 0]
        axes, deviations = directions.principal_components(ws, self.direction + 1)
        return axes[self.direction] * deviations[self.direction]


@dataclass(frozen=True)
class Spectrum:
    """Write the average power spectrum of generated images, and that of real images beside it."""

    source: ModelOptions
    image: ImageOptions = field(default_factory=ImageOptions)
    count: int = 1000
    """Number of images."""
    real: str | None = None
    """A folder or .zip of real images to compare with; None: only generated images."""
    out: Path = Path("spectrum.png")
    """The .png or .webp file to write, from -60 dB (black) to 20 dB (white), frequency 0 in the middle; the numbers are
    written beside it as .npz."""

    def run(self) -> None:
        """Measure, and write the picture and the numbers."""
        require(self.count >= 1, "count", self.count, "be at least 1")
        sampler = self.source.sampler()
        parts = [range(first, min(first + 64, self.count)) for first in range(0, self.count, 64)]
        made = spectrum.power_spectrum(self.image.images(sampler, part) / 127.5 - 1 for part in parts)
        spectra = {"generated": made}
        if self.real:
            pictures = read_images(Path(self.real), sampler.gan.image_shape)
            spectra["real"] = spectrum.power_spectrum([pictures / 127.5 - 1])
        shades = [np.clip((spectrum.decibels(power) + 60) / 80 * 255, 0, 255) for power in spectra.values()]
        save_picture(self.out, enlarged(grid(np.stack(shades)[..., None].astype(np.uint8), len(shades))))
        arrays = {**spectra, **{f"radial_{name}": spectrum.radial(power) for name, power in spectra.items()}}
        write_arrays(self.out.with_suffix(".npz"), arrays)
        print(f"power spectrum of {self.count} images -> {self.out}, {self.out.with_suffix('.npz')}")


COMMANDS: Mapping[str, Callable[..., Command]] = {
    "inspect": Inspect,
    "convert": Convert,
    "sample": Sample,
    "mix": Mix,
    "interpolate": Interpolate,
    "project": Project,
    "edit": Edit,
    "spectrum": Spectrum,
    "export": Export,
}
"""The tools by name."""
