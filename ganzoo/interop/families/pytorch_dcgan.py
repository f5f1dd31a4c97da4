"""State dicts of the DCGAN of pytorch/examples, dcgan/main.py: ``netG_epoch_24.pth`` and ``netD_epoch_24.pth``.

Both networks there are one sequence ``main``. Of the generator its numbers are 0 project, 1 norm0, then 3 i for up{i}
and 3 i + 1 for norm{i}; of the discriminator 0 down0, then 3 i - 1 for down{i} and 3 i for norm{i}, and the head last.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families.names import SAME, Layout, Rule, Table
from ganzoo.interop.families.shapes import Fields, Found, Weights, count, needed
from ganzoo.interop.reading.contents import Network

SHARED = ("image_size", "channels")
LEVELS, MAX_LEVELS = 4, 6
"""Stride-2 convolutions in the original code, whose images are 64 x 64; and the most in this library."""
MUST: Mapping[str, Any] = {
    "image_size": 64, "label_size": 0, "latent_distribution": "normal", "kernel_size": 4, "first_norm": "channel",
    "norm_epsilon": 1e-5, "norm_momentum": 0.1, "sample_statistics": "running", "dtype": "float32",
}  # fmt: skip
"""Fields of the config whose values are fixed in the original code."""

PROJECT = Layout(
    lambda a: a.transpose(0, 2, 3, 1).reshape(len(a), -1),
    lambda a: a.reshape(len(a), 4, 4, -1).transpose(0, 3, 1, 2),
)
"""[z, C, 4, 4] <-> [z, (4 4 C)]."""
HEAD = Layout(lambda a: a.reshape(a.shape[1:]).transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1)[None])
"""[1, C, 4, 4] <-> [4, 4, C]."""
KERNEL = Layout(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
"""[I, O, h, w] of a transposed convolution <-> [h, w, O, I]; [O, I, h, w] of a convolution <-> [h, w, I, O]."""


def _norm(index: int, level: int) -> tuple[Rule, ...]:
    """Return the rules of a batch normalisation."""
    return (
        Rule(f"main.{index}.weight", f"params.norm{level}.scale", SAME),
        Rule(f"main.{index}.bias", f"params.norm{level}.bias", SAME),
        Rule(f"main.{index}.running_mean", f"batch_stats.norm{level}.mean", SAME),
        Rule(f"main.{index}.running_var", f"batch_stats.norm{level}.var", SAME),
    )


def table(network: Literal["generator", "discriminator"], levels: int = LEVELS) -> Table:
    """Return the names of a network with this number of stride-2 convolutions."""
    if network == "generator":
        rules = [Rule("main.0.weight", "params.project", PROJECT), *_norm(1, 0)]
        for i in range(1, levels + 1):
            rules += [Rule(f"main.{3 * i}.weight", f"params.up{i}.kernel", KERNEL)]
            rules += _norm(3 * i + 1, i) if i < levels else ()
    else:
        rules = [Rule("main.0.weight", "params.down0.kernel", KERNEL)]
        for i in range(1, levels):
            rules += [Rule(f"main.{3 * i - 1}.weight", f"params.down{i}.kernel", KERNEL), *_norm(3 * i, i)]
        rules += [Rule(f"main.{3 * levels - 1}.weight", "params.head", HEAD)]
    return Table(f"DCGAN {network}", tuple(rules), constants=("num_batches_tracked",))


def recognise(network: Network) -> str | None:
    """Return "generator" or "discriminator"; None for a network of another model."""
    names = network.arrays
    if not names or not all(re.fullmatch(r"main\.\d+\.\w+", name) for name in names) or "main.0.weight" not in names:
        return None
    return "generator" if "main.1.running_mean" in names else "discriminator"


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    if recognise(network) != "generator":
        raise UserError("not a DCGAN generator")
    levels = _levels(network)
    weights = table("generator", levels).to_ours(network.arrays)
    last = needed(weights, f"params.up{levels}.kernel")
    fields = {"latent_size": len(needed(weights, "params.project")), "generator_features": last.shape[3]}
    return Found({**_images(levels, last.shape[2]), **fields, "kernel_size": last.shape[0]}, weights)


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields."""
    del generator
    if recognise(network) != "discriminator":
        raise UserError("not a DCGAN discriminator")
    levels = _levels(network)
    weights = table("discriminator", levels).to_ours(network.arrays)
    first = needed(weights, "params.down0.kernel")
    fields = {"discriminator_features": first.shape[3], "kernel_size": first.shape[0]}
    return Found({**_images(levels, first.shape[2]), **fields}, weights)


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as the state dict of the original code.

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: fields of the config.

    Raises:
      UserError: a field has a value that the original code does not have.
    """
    for name, value in MUST.items():
        if fields[name] != value:
            raise UserError(f"{name} = {fields[name]}: must be {value} in the DCGAN of pytorch/examples")
    arrays = table("generator" if kind == "generator" else "discriminator").to_theirs(weights)
    norms = [name.rpartition(".")[0] for name in arrays if name.endswith(".running_mean")]
    return arrays | {f"{norm}.num_batches_tracked": np.zeros((), np.int64) for norm in norms}


def _levels(network: Network) -> int:
    """Return the number of stride-2 convolutions: all convolutions but the first or the last."""
    levels = count({name: a for name, a in network.arrays.items() if np.ndim(a) == 4}, r"main\.\d+\.weight") - 1
    if not 2 <= levels <= MAX_LEVELS:
        raise UserError(f"a DCGAN of {levels + 1} convolutions: must be 3 to {MAX_LEVELS + 1}")
    return levels


def _images(levels: int, channels: int) -> Fields:
    return {"image_size": 4 << levels, "channels": channels, "label_size": 0}
