"""The subcommands that work on trained models: their options, and the calls that they are."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import tyro

from ganzoo import interop, pretrained
from ganzoo.cli.seeds import numbers
from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.grids import enlarged, grid, save_film, save_picture
from ganzoo.interop import hub, write_arrays
from ganzoo.latent import directions, exporting, mixing, paths, projection, spectrum
from ganzoo.latent.sampler import Draws, NoiseMode, Sampler
from ganzoo.metrics.lpips import lpips
from ganzoo.ops.pixels import to_uint8

Positional = tyro.conf.Positional


class Command(Protocol):
    """One use of a subcommand: its options are its fields."""

    def run(self) -> None:
        """Do it; raise ``UserError`` where that cannot be."""


@dataclass(frozen=True)
class Inspect:
    """Print what a file of networks holds, without loading it into a model or running anything in it."""

    file: Positional[Path]
    """A pickle of the originals, a file of torch.save, or a .safetensors or .npz file."""
    arrays: bool = False
    """List every array, too."""

    def run(self) -> None:
        contents = interop.read(self.file)
        for line in [*interop.describe(contents), *(interop.list_arrays(contents) if self.arrays else [])]:
            print(line)


@dataclass(frozen=True)
class Convert:
    """Write a model as a .safetensors file, or as a state dict of the originals."""

    model: Positional[str]
    """A run folder, a file that `ganzoo inspect` can read, or hf:owner/name."""
    out: Positional[str]
    """The file to write: .safetensors, or .npz for the originals' names; or hf:owner/name to upload it."""
    names: Literal["ganzoo", "original"] = "ganzoo"
    """Ours, with the config at the head of the file; or the originals' (G.mapping.fc0.weight), for their tools."""
    generator_only: bool = False
    """Leave out the discriminator and the newest generator: the averaged one is what makes images."""

    def run(self) -> None:
        converted = pretrained.read_model(pretrained.located(self.model))
        gan = pretrained.build(converted)
        pretrained.state_of(gan, converted.weights)  # complains of what is not whole
        if self.generator_only:
            whole = interop.completed(converted.weights)
            average = {name: array for name, array in whole.items() if name.startswith("ema.")}
            converted = replace(converted, weights=average)
        if self.out.startswith(hub.PREFIX):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / hub.split(self.out)[1].rpartition("/")[2]
                self._write(file, converted)
                hub.push(file, self.out)
        else:
            self._write(Path(self.out), converted)
        for note in converted.notes:
            print(f"note: {note}")
        print(f"{gan} -> {self.out}")

    def _write(self, path: Path, converted: interop.Converted) -> None:
        if self.names == "original":
            interop.write_arrays(path, interop.originals(converted, converted.fields.get("resample_filter", ())))
            return
        require(path.suffix == ".safetensors", "out", str(path), "end in .safetensors")
        interop.save(path, converted, converted.fields)


# Options of many ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Using:
    """Which generator."""

    model: Positional[str]
    """A run folder, a .safetensors file, a pickle of the originals, or hf:owner/name."""
    newest: bool = False
    """Use the newest weights instead of the averaged ones."""
    batch: int = 8
    """Images that are made at once."""

    def trained(self) -> Sampler:
        """The generator."""
        require(self.batch >= 1, "batch", self.batch, "be at least 1")
        return Sampler(*pretrained.load(self.model), ema=not self.newest, batch=self.batch)


@dataclass(frozen=True)
class Styling:
    """How images are made of seeds."""

    psi: float = 1.0
    """Truncation towards the average style, in [-1, 1]; 1 does not truncate."""
    cutoff: int | None = None
    """Truncate the first so many style inputs only."""
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """The class of all images of a conditional model; otherwise the classes in turn."""
    noise: NoiseMode = "const"
    """The network's own noise maps, fresh ones for every seed, or none."""
    latents: Draws = "jax"
    """Where latents come from: "numpy" draws those of the originals' tools, for comparing with published pictures."""

    def images(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """uint8 [N, H, W, C], one for each seed."""
        latents, labels = sampler.latents(seeds, self.latents), sampler.labels(len(seeds), self.label)
        images = sampler.images(latents, labels, psi=self.psi, cutoff=self.cutoff, noise=self.noise, seeds=seeds)
        return to_uint8(images)

    def styles(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """[N, L, w], one for each seed."""
        latents, labels = sampler.latents(seeds, self.latents), sampler.labels(len(seeds), self.label)
        return np.asarray(sampler.styles(latents, labels, psi=self.psi, cutoff=self.cutoff))

    def of_styles(self, sampler: Sampler, ws: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, C] of styles."""
        return to_uint8(np.asarray(sampler.synthesised(ws, noise=self.noise)))


def write_grid(out: Path, images: np.ndarray, columns: int) -> None:
    """Images uint8 in rows, small ones enlarged."""
    save_picture(out, enlarged(grid(images, columns)))
    print(f"{len(images)} images -> {out}")


def layers_of(text: str | None, count: int) -> list[int] | None:
    """Style inputs from ``0-3,6``; None stays, and means all."""
    return None if text is None else numbers(text, "layers", count - 1)


# Commands -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Write images of seeds, as one grid or each by itself."""

    using: Using
    styling: Styling = field(default_factory=Styling)
    seeds: str = "0-63"
    """Which, such as 0-63,100; an image depends on its seed alone."""
    out: Path = Path("samples.png")
    """A .png or .webp file for a grid; without an ending a folder, for single files."""
    columns: int = 8
    """Images in a row."""

    def run(self) -> None:
        seeds, sampler = numbers(self.seeds), self.using.trained()
        images = self.styling.images(sampler, seeds)
        if self.out.suffix:
            write_grid(self.out, images, min(self.columns, len(images)))
            return
        make_folder(self.out)
        for seed, image in zip(seeds, images, strict=True):
            save_picture(self.out / f"seed{seed:04d}.png", image)
        print(f"{len(images)} images -> {self.out}")


@dataclass(frozen=True)
class Mix:
    """Write a table of images that have the coarse styles of a row and, at some layers, the styles of a column."""

    using: Using
    styling: Styling = field(default_factory=Styling)
    rows: str = "0-3"
    """Seeds of the rows."""
    columns: str = "10-17"
    """Seeds of the columns."""
    layers: str | None = None
    """Style inputs that come from the column, such as 4-7; the finer half when absent."""
    out: Path = Path("mix.png")
    """A .png or .webp file."""

    def run(self) -> None:
        rows, columns, sampler = numbers(self.rows, "rows"), numbers(self.columns, "columns"), self.using.trained()
        sampler.require_styles("mix")
        ws = self.styling.styles(sampler, [*rows, *columns])
        chosen = layers_of(self.layers, ws.shape[1]) or list(range(ws.shape[1] // 2, ws.shape[1]))
        top, inside = ws[len(rows) :], mixing.mixed(ws[: len(rows)], ws[len(rows) :], chosen)
        images = self.styling.of_styles(sampler, np.concatenate([ws, inside.reshape(-1, *ws.shape[1:])]))
        shape = (len(rows), len(top), *images.shape[1:])
        left, above, mixed = np.split(images, [len(rows), len(ws)])
        write_grid(self.out, mixing.mixing_table(left, above, mixed.reshape(shape)), len(columns) + 1)


@dataclass(frozen=True)
class Interpolate:
    """Write a film that goes from image to image and back to the first."""

    using: Using
    styling: Styling = field(default_factory=Styling)
    seeds: str = "0-5"
    """Those it goes through; in a grid, each cell takes its share of them, in turn."""
    frames: int = 30
    """From one to the next."""
    space: Literal["w", "z"] = "w"
    """Of styles, or of latents, as always where the model has no styles."""
    way: paths.Way = "cubic"
    """Straight ("linear"), on the sphere ("slerp"), or by a smooth curve ("cubic")."""
    rows: int = 1
    """Cells of the picture above one another,"""
    columns: int = 1
    """and side by side."""
    fps: float = 30.0
    """Frames a second."""
    out: Path = Path("film.webp")
    """A .webp or .gif file, or .mp4 with the extra "video"."""

    def run(self) -> None:
        seeds, sampler, cells = numbers(self.seeds), self.using.trained(), self.rows * self.columns
        require(self.fps > 0, "fps", self.fps, "be positive")
        fits = cells >= 1 and len(seeds) % cells == 0 and len(seeds) // max(cells, 1) >= 2
        require(fits, "seeds", self.seeds, f"be at least two for each of {cells} cells, as many for each")
        films = [self._film(sampler, seeds[cell::cells]) for cell in range(cells)]
        frames = [enlarged(grid(np.stack(frame), self.columns, gap=0), 256) for frame in zip(*films, strict=True)]
        save_film(self.out, frames, fps=self.fps)
        print(f"{len(frames)} frames -> {self.out}")

    def _film(self, sampler: Sampler, seeds: Sequence[int]) -> np.ndarray:
        """uint8 [frames, H, W, C] of one cell."""
        if sampler.has_styles and self.space == "w":
            ws = paths.path(self.styling.styles(sampler, seeds), self.frames, self.way)
            return self.styling.of_styles(sampler, ws)
        latents = paths.path(np.asarray(sampler.latents(seeds, self.styling.latents)), self.frames, self.way)
        labels = sampler.labels(len(seeds), self.styling.label)
        labels = None if labels is None else paths.path(np.asarray(labels), self.frames, "linear")
        options: dict[str, Any] = {name: getattr(self.styling, name) for name in ("psi", "cutoff", "noise")}
        return to_uint8(np.asarray(sampler.images(latents, labels, **options)))


@dataclass(frozen=True)
class Project:
    """Find the styles of given pictures; write what was found beside them, and the styles as .npz."""

    using: Using
    images: str
    """A picture, or a folder or .zip of them; all are sought at once."""
    search: projection.ProjectionConfig = field(default_factory=projection.ProjectionConfig)
    label: Annotated[int | None, tyro.conf.arg(name="class")] = None
    """The class of all pictures, for a conditional model; class 0 when absent."""
    lpips: tuple[str, ...] = ()
    """Files of weights, by which pictures are compared with LPIPS and not by their pixels: vgg16-397923af.pth of
    torchvision and weights/v0.1/vgg.pth of the package lpips, or one file with the arrays of both."""
    out: Path = Path("projection")
    """The folder to write."""

    def run(self) -> None:
        distance = lpips(self.lpips) if self.lpips else projection.pixel_distance
        sampler = self.using.trained()
        sampler.require_styles("project")
        targets = pretrained.pictures(Path(self.images), sampler.gan.image_shape)
        labels = sampler.labels(len(targets), self.label or 0) if sampler.gan.label_size else None

        def tell(step: int, distance: float) -> None:
            print(f"step {step:5} of {self.search.steps}   distance {distance:.4f}")

        images = targets / np.float32(127.5) - 1
        found = projection.project(sampler, images, self.search, labels=labels, distance=distance, told=tell)
        make_folder(self.out)
        made = to_uint8(found.images)
        pairs = np.stack([targets, made], axis=1).reshape(-1, *targets.shape[1:])
        save_picture(self.out / "projection.png", enlarged(grid(pairs, 2 * min(4, len(targets)))))
        write_arrays(self.out / "projection.npz", {"ws": found.ws, "distances": found.distances})
        for number, image in enumerate(made):
            save_picture(self.out / f"{number:04d}.png", image)
        print(f"{len(made)} projections -> {self.out}")


@dataclass(frozen=True)
class Edit:
    """Write images that are moved along a direction of the styles: a row for each seed, a column for each strength."""

    using: Using
    styling: Styling = field(default_factory=Styling)
    seeds: str = "0-3"
    """Of the rows."""
    method: Literal["principal", "closed-form"] = "principal"
    """Principal components of 10,000 styles (GANSpace), or a factorisation of the modulation weights (SeFa)."""
    direction: int = 0
    """Which one, the strongest first."""
    reach: float = 3.0
    """AugmentState of the last column; of the first, its negative. In standard deviations of the styles along it, or for
    the closed form in units of w."""
    steps: int = 7
    """Columns."""
    layers: str | None = None
    """Style inputs that are moved, such as 0-3; all when absent."""
    out: Path = Path("edit.png")
    """A .png or .webp file."""

    def run(self) -> None:
        seeds, sampler = numbers(self.seeds), self.using.trained()
        require(self.direction >= 0, "direction", self.direction, "be 0 or more")
        require(self.steps >= 2, "steps", self.steps, "be at least 2")
        ws = self.styling.styles(sampler, seeds)
        chosen = layers_of(self.layers, ws.shape[1])
        along = self._direction(sampler, chosen)
        strengths = np.linspace(-self.reach, self.reach, self.steps).tolist()
        moved = np.asarray(directions.edited(ws, along, strengths, chosen))
        write_grid(self.out, self.styling.of_styles(sampler, moved.reshape(-1, *ws.shape[1:])), self.steps)

    def _direction(self, sampler: Sampler, layers: Sequence[int] | None) -> np.ndarray:
        """[w], of length one standard deviation where that is known."""
        if self.method == "closed-form":
            known = len(directions.modulation_kernels(sampler))
            inputs = None if layers is None else [layer for layer in layers if layer < known]
            return directions.factorised(sampler, self.direction + 1, inputs)[self.direction]
        many = Sampler(sampler.gan, sampler.state, sampler.averaged, batch=1000)
        latents = many.latents(range(10_000), self.styling.latents)
        ws = np.asarray(many.styles(latents, many.labels(10_000, self.styling.label)))[:, 0]
        axes, deviations = directions.principal_components(ws, self.direction + 1)
        return axes[self.direction] * deviations[self.direction]


@dataclass(frozen=True)
class Spectrum:
    """Write the average power spectrum of generated images, and of real ones beside it."""

    using: Using
    styling: Styling = field(default_factory=Styling)
    count: int = 1000
    """Images."""
    real: str | None = None
    """A folder or .zip of real pictures to compare with."""
    out: Path = Path("spectrum.png")
    """A picture from -60 dB (black) to 20 dB (white), frequency 0 in the middle; the numbers are beside it as .npz."""

    def run(self) -> None:
        require(self.count >= 1, "count", self.count, "be at least 1")
        sampler = self.using.trained()
        parts = [range(first, min(first + 64, self.count)) for first in range(0, self.count, 64)]
        made = spectrum.power_spectrum(self.styling.images(sampler, part) / 127.5 - 1 for part in parts)
        spectra = {"generated": made}
        if self.real:
            pictures = pretrained.pictures(Path(self.real), sampler.gan.image_shape)
            spectra["real"] = spectrum.power_spectrum([pictures / 127.5 - 1])
        shades = [np.clip((spectrum.decibels(power) + 60) / 80 * 255, 0, 255) for power in spectra.values()]
        save_picture(self.out, enlarged(grid(np.stack(shades)[..., None].astype(np.uint8), len(shades))))
        arrays = {**spectra, **{f"radial_{name}": spectrum.radial(power) for name, power in spectra.items()}}
        write_arrays(self.out.with_suffix(".npz"), arrays)
        print(f"power spectrum of {self.count} images -> {self.out}, {self.out.with_suffix('.npz')}")


@dataclass(frozen=True)
class Export:
    """Write the generator as a jax.export artefact, which any program with JAX can run on CPU, GPU and TPU."""

    using: Using
    psi: float = 1.0
    """Truncation, which becomes part of it."""
    cutoff: int | None = None
    """Truncate the first so many style inputs only."""
    out: Path = Path("generator.jax")
    """The file to write."""

    def run(self) -> None:
        sampler = self.using.trained()
        content = exporting.exported(sampler, psi=self.psi, cutoff=self.cutoff)
        write_file(self.out, content)
        label = f", labels [n, {sampler.gan.label_size}]" if sampler.gan.label_size else ""
        shape = ", ".join(map(str, sampler.gan.image_shape))
        print(f"latents [n, z]{label} -> images [n, {shape}] in [-1, 1]: {len(content):,} bytes -> {self.out}")


def make_folder(path: Path) -> None:
    """Make a folder to write to; ``UserError`` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; ``UserError`` where that cannot be."""
    from ganzoo.disk import write_whole

    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


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
"""The subcommands besides ``train``, by name."""


def option_names(command: Any) -> list[str]:
    """The names of a subcommand's fields, also of those that are made of fields."""
    import dataclasses
    import typing

    hints, names = typing.get_type_hints(command), []
    for each in dataclasses.fields(command):
        nested = dataclasses.is_dataclass(hints[each.name])
        names += option_names(hints[each.name]) if nested else ["class" if each.name == "label" else each.name]
    return names
