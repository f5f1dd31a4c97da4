"""The tools that turn files of networks into other files: inspect, convert and export."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro

from ganzoo import interop, pretrained
from ganzoo.cli.options import Checkpoint, ModelArgument, ModelFile, ModelOptions, own_model
from ganzoo.config import require, to_json
from ganzoo.data import describe_pack
from ganzoo.data.packs import is_pack
from ganzoo.disk import write_file
from ganzoo.interop import hub


@dataclass(frozen=True)
class Inspect:
    """Show what a file of networks, or a pack of images, holds, without loading it or running anything in it."""

    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """A pickle of the original code, a file of torch.save, a .safetensors or .npz file, a pack of images, or
    hf:owner/name."""
    arrays: bool = False
    """List every array, too."""

    def run(self) -> None:
        """Print the contents."""
        path = pretrained.locate(self.file)
        if is_pack(path):
            require(not self.arrays, "arrays", True, "be left out: it is for files of networks")
            print(describe_pack(path))
            return
        contents = interop.read(path)
        for line in [*interop.describe(contents), *(interop.list_arrays(contents) if self.arrays else [])]:
            print(line)


@dataclass(frozen=True)
class Convert:
    """Write a model as a .safetensors file, or in a format of the original code."""

    model: ModelArgument
    """A run folder, a file that `ganzoo inspect` can read, or hf:owner/name."""
    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    """The file to write: .safetensors; hf:owner/name to upload it; with original names also .npz, or .pkl, which opens
    where the original repository is on Python's path: stylegan2-ada-pytorch for StyleGAN2, stylegan3 for StyleGAN3."""
    names: Literal["ganzoo", "original", "rosinality"] = "ganzoo"
    """Names of the arrays: this library's; those of the original code, such as G.mapping.fc0.weight (a DCGAN also as
    .pth of netG, or of netD by its name); or those of rosinality/stylegan2-pytorch, in a .pt."""
    checkpoint: Checkpoint = None
    """Which checkpoint of a run folder: best, latest, or a number of images; None: the latest."""
    generator_only: bool = False
    """Leave out the discriminator and the last weights; keep the EMA of the generator, which makes images."""
    model_file: ModelFile = None
    """File and variable of your own ganzoo.Model, for a run folder of that model; None: an installed model."""
    public: bool = False
    """Let everybody see what is uploaded; without this, a new repository is private and a public one is refused."""
    license: str = "other"
    """Licence of the uploaded weights, as the Hub abbreviates it, such as cc-by-4.0; for the model card."""

    def run(self) -> None:
        """Convert, and print what could not be carried over."""
        source = pretrained.locate(self.model)
        converted = pretrained.read_model(source, self.checkpoint)
        with pretrained.naming(self.model):
            gan = pretrained.build(converted, model=own_model(self.model_file))
            converted = replace(converted, fields=to_json(gan.config))
            pretrained.state_of(gan, converted.weights)  # complains where a part is missing
        if self.generator_only:
            whole = interop.mirror_generator(converted.weights)
            others = ("generator.", "discriminator.")  # fields of the state stay, such as the level of detail
            kept = {name: array for name, array in whole.items() if not name.startswith(others)}
            converted = replace(converted, weights=kept)
        if self.out.startswith(hub.PREFIX):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / hub.split(self.out)[1].rpartition("/")[2]
                notes = self._write(file, converted)
                notes += tuple(hub.push(file, self.out, self._card(source, converted), public=self.public))
        else:
            notes = self._write(Path(self.out), converted)
        for note in (*converted.notes, *notes):
            print(f"note: {note}")
        print(f"{gan} -> {self.out}")

    def _card(self, source: Path, converted: interop.Converted) -> str:
        """Return the text of the model card of an upload."""
        training, metrics = {}, []
        if not pretrained.is_file(source):
            from ganzoo.runs.folder import training_facts
            from ganzoo.training.selection import select  # Orbax takes long to import

            selected = select(source, self.checkpoint)
            training, metrics = training_facts(selected.run, selected.images)
        return interop.model_card(converted, self.out, training=training, metrics=metrics, licence=self.license)

    def _write(self, path: Path, converted: interop.Converted) -> tuple[str, ...]:
        """Write the model, and return notes on what the file lacks."""
        if self.names == "rosinality" or (self.names == "original" and path.suffix in interop.TORCH_SUFFIXES):
            return interop.save_torch(path, converted, self.names)
        if self.names == "original":
            return interop.save_originals(path, converted)
        must = "end in .safetensors; .npz and .pkl are for --names original, .pt for --names rosinality"
        require(path.suffix == ".safetensors", "out", str(path), must)
        interop.save(path, converted)
        return ()


Format = Literal["jax", "onnx"]


@dataclass(frozen=True)
class Export:
    """Write the generator as one file that runs without ganzoo: a jax.export artefact, or an ONNX file."""

    source: ModelOptions
    psi: float = 1.0
    """Truncation in the exported program, in [-1, 1]; 1 does not truncate. An ONNX file has it as an input instead."""
    cutoff: int | None = None
    """Truncate only the first CUTOFF style inputs; None: all."""
    format: Format | None = None
    """"jax" for programs with JAX and flatbuffers, "onnx" for ONNX runtimes; None: by the ending of --out."""
    out: Path | None = None
    """The file to write; None: generator.jax or generator.onnx, by the format."""

    def run(self) -> None:
        """Export, and print the shapes of the program."""
        form, out = self._target()
        if form == "onnx":
            interop.onnx.library()  # complains where it is missing, before the model is read
            require(self.psi == 1, "psi", self.psi, "be left out: it is an input of an ONNX file")
        sampler = self.source.sampler()
        gan, ema, notes = sampler.gan, self.source.ema, []
        if form == "onnx":
            content, notes = interop.export_onnx(gan, sampler.state, ema=ema, cutoff=self.cutoff)
        else:
            content = interop.export(gan, sampler.state, ema=ema, psi=self.psi, cutoff=self.cutoff)
        write_file(out, content)
        label = f", labels [n, {gan.label_size}]" if gan.label_size else ""
        psi = ", psi []" if form == "onnx" and gan.styles is not None else ""
        shape = ", ".join(map(str, gan.image_shape))
        for note in notes:
            print(f"note: {note}")
        print(f"latents [n, z]{label}{psi} -> images [n, {shape}] in [-1, 1]: {len(content):,} bytes -> {out}")

    def _target(self) -> tuple[Format, Path]:
        """Return the format and the file, each of which may decide on the other."""
        endings: dict[str, Format] = {".jax": "jax", ".onnx": "onnx"}
        if self.out is None:
            form = self.format or "jax"
            return form, Path(f"generator.{form}")
        ending = endings.get(self.out.suffix)
        if self.format is None:
            require(ending is not None, "out", str(self.out), "end in .jax or .onnx, unless --format names the format")
        fits = self.format is None or ending in (None, self.format)
        require(fits, "out", str(self.out), f"end in .{self.format}, the ending of --format {self.format}")
        return cast("Format", self.format or ending), self.out
