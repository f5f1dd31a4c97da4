"""Files of ``torch.save`` for rosinality/stylegan2-pytorch and for the DCGAN of pytorch/examples."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.disk import write_file
from ganzoo.errors import UserError
from ganzoo.interop.convert import FAMILIES, KIND_OF, Converted, mirror_generator, variables_of
from ganzoo.interop.families import rosinality
from ganzoo.interop.families.shapes import Weights
from ganzoo.interop.torch_writer import torch_file

TORCH_SUFFIXES = (".pt", ".pth")


def save_torch(path: Path, converted: Converted, names: str) -> tuple[str, ...]:
    """Write a model for one of the two programs; the file appears only when complete.

    Args:
      path: file name that ends in ``.pt`` or ``.pth``. A DCGAN's file is of one network: of the discriminator if the
        name begins with ``netD``, else of the generator.
      converted: the model, with all fields of its config.
      names: "rosinality" for a StyleGAN2, "original" for a DCGAN.

    Returns:
      Notes on what the file lacks, one line each.

    Raises:
      UserError: their networks cannot be those of this model, the suffix is another one, or the file cannot be written.
    """
    if path.suffix not in TORCH_SUFFIXES:
        raise UserError(f"{path}: the name must end in .pt or .pth for rosinality's code")
    model = "stylegan2" if names == "rosinality" else "dcgan"
    if converted.model != model:
        others = ", or of stylegan2 with --names rosinality" if model == "dcgan" else ""
        raise UserError(
            f"{path}: with --names {names}, {path.suffix} files are of {model}{others}, not {converted.model}"
        )
    content, notes = _rosinality(converted) if model == "stylegan2" else _dcgan(path, converted)
    write_file(path, torch_file(content))
    return notes


def _rosinality(converted: Converted) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    fields, weights = dict(converted.fields), mirror_generator(converted.weights)
    networks = {"g": "generator", "d": "discriminator", "g_ema": "ema"}
    content: dict[str, Any] = {}
    for theirs, network in networks.items():
        if own := variables_of(network, weights):
            content[theirs] = _theirs("rosinality", network, own, fields)
    averages = [content[name].pop("latent_avg", None) for name in ("g", "g_ema")]
    content["latent_avg"] = averages[-1]
    lacks = "the file has no optimizers: generate.py there reads it, train.py --ckpt wants g_optim and d_optim, too"
    return content, (*rosinality.widths_note(fields), lacks)


def _dcgan(path: Path, converted: Converted) -> tuple[Weights, tuple[str, ...]]:
    is_d = path.name.startswith("netD")
    network, other = ("discriminator", "netG") if is_d else ("ema", "netD")
    own = variables_of(network, mirror_generator(converted.weights))
    if not own:
        raise UserError(f"{path}: the model has no {network}, which files whose names begin with netD hold")
    arrays = _theirs("dcgan", network, own, dict(converted.fields))
    return arrays, (f"the file has the {network} alone; for the other network give a name that begins with {other}",)


def _theirs(family: str, network: str, weights: Weights, fields: dict[str, Any]) -> Weights:
    return FAMILIES[family].originals(KIND_OF[network], weights, fields)
