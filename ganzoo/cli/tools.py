"""The tools that make images of a trained generator: their options, and the calls that they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import tyro

from ganzoo import pretrained
from ganzoo.cli.files import Convert, Export, Inspect
from ganzoo.cli.interpolate import Interpolate
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
from ganzoo.cli.places import is_picture, require_folder, require_grid, require_picture
from ganzoo.cli.process import prepare
from ganzoo.cli.progress import bar, counted, shown
from ganzoo.cli.seeds import MAX_COUNT, numbers
from ganzoo.config import require
from ganzoo.data import DataConfig, open_dataset, read_images, read_named_images
from ganzoo.data.files import ARCHIVES
from ganzoo.disk import kind_of, require_writable, user_path
from ganzoo.errors import several
from ganzoo.grids import enlarged, grid, grid_of, save_picture
from ganzoo.interop import write_arrays
from ganzoo.latent import directions, mixing, projection, saved
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.saved import SavedProjection, file_stems
from ganzoo.latent.tuning import Tuned, TuningConfig, pivotal_tuning, psnr
from ganzoo.metrics import spectrum
from ganzoo.metrics.lpips import lpips
from ganzoo.ops.pixels import to_uint8
from ganzoo.typing import Labels

MOST_REACH = 1000
"""Largest strength of an edit; more would overflow."""


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
        out = user_path(self.out)
        is_grid = is_picture(out)
        (require_picture if is_grid else require_folder)(out)
        require(self.columns >= 1, "columns", self.columns, "be at least 1")
        self.image.check()
        chosen = chosen_images(self.seeds, "0-63", self.styles)
        columns = min(self.columns, len(chosen))
        if isinstance(chosen, SavedProjection):
            self.image.require_no_draws()
        sampler = self.source.sampler()
        self.image.require_fit(sampler)
        if is_grid:
            remedy = "give --out a folder, or fewer --seeds"
            require_grid(out, len(chosen), columns, sampler.gan.image_shape, remedy)
        with bar("sampling") as show:
            images = counted(self._stream(sampler, chosen), len(chosen), show)
            if is_grid:
                write_grid(out, images, len(chosen), columns)
            else:
                _write_folder(out, images, _names(chosen))

    def _stream(self, sampler: Sampler, chosen: list[int] | SavedProjection) -> Iterator[np.ndarray]:
        """Return the images, batch by batch."""
        if isinstance(chosen, SavedProjection):
            return self.image.stream_points(sampler, self.image.points(sampler, chosen))
        return self.image.stream(sampler, chosen)


def _names(chosen: list[int] | SavedProjection) -> Iterator[str]:
    """Return the names of single files, without their ending."""
    return iter(chosen.stems) if isinstance(chosen, SavedProjection) else (f"seed{seed:04d}" for seed in chosen)


def _write_folder(out: Path, images: Iterator[np.ndarray], names: Iterator[str]) -> None:
    """Write images uint8 [H, W, C] as single files, each as it comes."""
    make_folder(out)
    count, first = 0, None
    for image, name in zip(images, names, strict=True):
        file = out / f"{name}.png"
        save_picture(file, image)
        count, first = count + 1, first or file
    print(f"{several(count, 'image')} -> {out}, the first one {first}")


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
        out = user_path(self.out)
        require_picture(out)
        self.image.check()
        chosen, columns = chosen_images(self.rows, "0-3", self.styles, "rows"), numbers(self.columns, "columns")
        sampler = self.source.sampler()
        count = sampler.require_styles("mix").count
        self.image.require_fit(sampler)
        layers = layers_of(self.layers, count) or list(range(count // 2, count))
        cells = (len(chosen) + 1) * (len(columns) + 1)
        require_grid(out, cells, len(columns) + 1, sampler.gan.image_shape, "take fewer --rows or --columns")
        rows, top = self.image.points(sampler, chosen), self.image.styles(sampler, columns)
        inside = mixing.mix(rows.ws, top, layers)
        mixed = Points(inside.reshape(-1, *top.shape[1:]), rows.at(np.repeat(range(len(rows.ws)), len(top))).noise)
        left, above, images = (self.image.of_points(sampler, each) for each in (rows, Points(top), mixed))
        table = mixing.mixing_table(left, above, images.reshape(len(left), len(top), *images.shape[1:]))
        write_grid(out, table, len(table), len(columns) + 1)


@dataclass(frozen=True)
class Project:
    """Find the styles of given images; write the images found beside them, and projection.npz for --styles.

    With --tune STEPS, also move the generator's weights until these styles give the images; write tuned.safetensors.
    """

    source: ModelOptions
    images: str
    """An image file, or a folder or .zip of them; all are projected at once."""
    search: projection.ProjectionConfig = field(default_factory=projection.ProjectionConfig)
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """Class of all images, for a conditional model; None: the first one that had images in training."""
    lpips: tuple[str, ...] = ()
    """Weights of LPIPS, which then replaces the distance of pixels: vgg16-397923af.pth of torchvision and
    weights/v0.1/vgg.pth of the package lpips, or one file with the arrays of both."""
    tune: int = 0
    """Steps of pivotal tuning of the generator after the search, such as 350; 0: none."""
    tune_locality: float = 0.0
    """Weight of the loss by which tuning leaves images of other styles as they are, such as 0.1; 0: none."""
    out: Path = Path("projection")
    """The folder to write to."""

    def run(self) -> None:
        """Project, and write what was found."""
        out, tuning = user_path(self.out), self._tuning()
        require_folder(out)
        distance = lpips(self.lpips) if self.lpips else None
        sampler = self.source.sampler()
        sampler.require_styles("project")
        sampler.labels(1, self.label)
        targets, names = read_named_images(Path(self.images), sampler.gan.image_shape)
        label = next(iter(sampler.gan.shown_classes.tolist()), None) if self.label is None else self.label
        labels = sampler.labels(len(targets), label)
        beside = 3 if tuning else 2
        columns, remedy = beside * min(4, len(targets)), "project fewer images at once"
        require_grid(out / "projection.png", beside * len(targets), columns, sampler.gan.image_shape, remedy)
        images = targets / np.float32(127.5) - 1
        nearness, tell = distance or projection.pixel_distance, _teller(self.search.steps)
        found = projection.project(sampler, images, self.search, labels=labels, distance=nearness, log=tell)
        made, tuned = {"": to_uint8(found.images)}, None
        if tuning:
            tuned = self._tuned(sampler, images, found, tuning, labels, distance)
            made["-tuned"] = to_uint8(tuned.images)
        make_folder(out)
        rows = (image for row in zip(targets, *made.values(), strict=True) for image in row)
        save_picture(out / "projection.png", enlarged(grid_of(rows, beside * len(targets), columns)))
        if tuned:
            pretrained.save(sampler.gan, tuned.state, out / "tuned.safetensors")
        saved.save_projection(out / "projection.npz", sampler, found, names, tuned and tuned.state)
        for kind, pictures in made.items():
            for stem, image in zip(file_stems(names), pictures, strict=True):
                save_picture(out / f"{stem}{kind}.png", image)
        if tuned:
            print(f"the tuned generator: {out / 'tuned.safetensors'}, a MODEL for every tool")
        print(f"to use them again: --styles {out / 'projection.npz'}")
        print(f"{several(len(targets), 'projection')} beside the images -> {out / 'projection.png'}")

    def _tuning(self) -> TuningConfig | None:
        """Return how the generator is to be tuned; ``UserError`` where that cannot be."""
        require(self.tune >= 0, "tune", self.tune, "be 0 or more")
        is_weight = 0 <= self.tune_locality < float("inf")
        require(is_weight, "tune_locality", self.tune_locality, "be 0 or more, and finite")
        if self.tune:
            return TuningConfig(steps=self.tune, locality_weight=self.tune_locality, seed=self.search.seed)
        require(self.tune_locality == 0, "tune_locality", self.tune_locality, "be left out without --tune")
        return None

    def _tuned(
        self,
        sampler: Sampler,
        images: np.ndarray,
        found: projection.Projection,
        config: TuningConfig,
        labels: Labels | None,
        distance: projection.Prepared | None,
    ) -> Tuned:
        """Tune the generator for the projections, and print what that gained."""
        tell = _teller(config.steps, "tuning ")
        tuned = pivotal_tuning(
            sampler, images, found.ws, config, noise=found.noise, labels=labels, distance=distance, log=tell
        )
        before, after = (psnr(each, images).mean() for each in (tuned.before, tuned.images))
        print(
            f"PSNR {before:.1f} dB before tuning, {after:.1f} dB after {len(tuned.distances)} steps, mean of the images"
        )
        return tuned


def _teller(steps: int, what: str = "") -> Callable[[int, float], None]:
    """Return a function that prints each 50th of a number of steps, and the last one."""

    def tell(step: int, distance: float) -> None:
        if step % 50 == 0 or step == steps:
            print(f"{what}step {step:5} of {steps}   distance {distance:.4f}")

    return tell


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
        out = user_path(self.out)
        require_picture(out)
        require(self.direction >= 0, "direction", self.direction, "be 0 or more")
        require(abs(self.reach) <= MOST_REACH, "reach", self.reach, f"be from -{MOST_REACH} to {MOST_REACH}")
        require(self.steps >= 2, "steps", self.steps, "be at least 2")
        self.image.check()
        chosen = chosen_images(self.seeds, "0-3", self.styles)
        sampler = self.source.sampler()
        space = sampler.require_styles("edit")
        self.image.require_fit(sampler)
        layers, size = layers_of(self.layers, space.count), len(space.mean(sampler.state, ema=sampler.ema))
        require(self.direction < size, "direction", self.direction, f"be 0 to {size - 1}")
        remedy = "take fewer --seeds or --steps"
        require_grid(out, len(chosen) * self.steps, self.steps, sampler.gan.image_shape, remedy)
        along, points = self._direction(sampler, layers), self.image.points(sampler, chosen)
        strengths = np.linspace(-self.reach, self.reach, self.steps).tolist()
        moved = np.asarray(directions.edit(points.ws, along, strengths, layers)).reshape(-1, *points.ws.shape[1:])
        noise = points.at(np.repeat(range(len(points.ws)), self.steps)).noise
        images = (image for batch in self.image.stream_points(sampler, Points(moved, noise)) for image in batch)
        write_grid(out, images, len(moved), self.steps)

    def _direction(self, sampler: Sampler, layers: Sequence[int] | None) -> np.ndarray:
        """Return the direction [w], one standard deviation long where that is known."""
        if self.method == "closed-form":
            known = len(directions.modulation_kernels(sampler))
            inputs = None if layers is None else [layer for layer in layers if layer < known]
            require(
                inputs is None or bool(inputs), "layers", self.layers, f"have one of 0 to {known - 1}, the convolutions"
            )
            return directions.factorise(sampler, self.direction + 1, inputs)[self.direction]
        of = {"draws": self.image.latents, "chosen": self.image.label}
        return directions.sampled_components(sampler, self.direction + 1, **of)[self.direction]


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
        out = user_path(self.out)
        require_picture(out)
        require_writable(out.with_suffix(".npz"))
        require(1 <= self.count <= MAX_COUNT, "count", self.count, f"be 1 to {MAX_COUNT:,}")
        self.image.check()
        sampler = self.source.sampler()
        self.image.require_fit(sampler)
        spectra = {}
        if self.real:
            spectra["real"] = spectrum.power_spectrum(_real_batches(self.real, sampler.gan.image_shape))
        with bar("sampling") as show:
            batches = shown(self.image.stream(sampler, range(self.count)), self.count, show)
            spectra = {"generated": spectrum.power_spectrum(batch / 127.5 - 1 for batch in batches), **spectra}
        shades = [np.clip((spectrum.decibels(power) + 60) / 80 * 255, 0, 255) for power in spectra.values()]
        save_picture(out, enlarged(grid(np.stack(shades)[..., None].astype(np.uint8), len(shades))))
        arrays = {**spectra, **{f"radial_{name}": spectrum.radial(power) for name, power in spectra.items()}}
        write_arrays(out.with_suffix(".npz"), arrays)
        print(f"its numbers -> {out.with_suffix('.npz')}")
        print(f"power spectrum of {self.count} images -> {out}")


def _real_batches(place: str, image_shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """Yield the images of a file, folder or archive in [-1, 1], float64 [n, H, W, C], at most 64 at once."""
    path = user_path(place)
    if kind_of(path) == "file" and not path.name.lower().endswith(ARCHIVES):
        yield read_images(path, image_shape) / 127.5 - 1
        return
    dataset = open_dataset(DataConfig(data=place, memory_budget_mib=256), image_shape)
    for first in range(0, len(dataset), 64):
        yield dataset.read(np.arange(first, min(first + 64, len(dataset))))["image"] / 127.5 - 1


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
