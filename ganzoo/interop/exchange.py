"""Our own exchange format: a ``.safetensors`` file whose head holds the model's name and config as JSON.

Names of arrays are those of a train state (``average.params.mapping.dense0.kernel``); nothing in it is executed when
it is read. The same arrays go back to the originals' names by ``originals``.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.interop.contents import Contents, plain
from ganzoo.interop.convert import FAMILIES, PLAYERS, Converted
from ganzoo.interop.machine import named

KEY, VERSION = "ganzoo", 1
"""Of the text in the head, and of its form."""


def save(path: Path, converted: Converted, config: Mapping[str, Any]) -> None:
    """Write a model; the file appears when it is complete.

    Args:
      path: ends in ``.safetensors``.
      converted: the model's name, weights and facts.
      config: all fields of its config, as JSON.

    Raises:
      UserError: it cannot be written.
    """
    text = json.dumps({
        "version": VERSION, "model": converted.model, "config": config, "facts": converted.facts,
    })  # fmt: skip
    write_arrays(path, converted.weights, {KEY: text})


def is_ours(contents: Contents) -> bool:
    """Whether a file is of this format."""
    return KEY in contents.metadata


def loaded(contents: Contents) -> Converted:
    """The model of a file of this format.

    Raises:
      UserError: its head is not as ``save`` writes it.
    """
    try:
        head = json.loads(contents.metadata[KEY])
        model, config, facts, version = (head[name] for name in ("model", "config", "facts", "version"))
        if version != VERSION or not isinstance(model, str) or not {type(config), type(facts)} <= {dict}:
            raise ValueError(f"version {version!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"damaged: the text at its head is not as ganzoo writes it ({named(error)})") from error
    weights = {
        f"{player}.{name}": array
        for player, network in contents.networks.items()
        for name, array in network.arrays.items()
    }
    return Converted(model, config, weights, plain(facts))


def originals(converted: Converted, taps: tuple[float, ...]) -> dict[str, np.ndarray]:
    """The weights under the originals' names, ``G.``, ``D.`` and ``G_ema.`` before them.

    Raises:
      UserError: the originals have no such network.
    """
    if converted.model not in FAMILIES:
        raise UserError(f"{converted.model} has no table of the originals' names; known: {', '.join(FAMILIES)}")
    result = {}
    for theirs in ("G", "D", "G_ema"):
        start, player = f"{PLAYERS[theirs]}.", "discriminator" if theirs == "D" else "generator"
        own = {name.removeprefix(start): array for name, array in converted.weights.items() if name.startswith(start)}
        if own:
            arrays = FAMILIES[converted.model].originals(player, own, taps)
            result |= {f"{theirs}.{name}": array for name, array in arrays.items()}
    return result


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays as ``.safetensors`` or ``.npz``, by the end of the name; the file appears when it is complete.

    Raises:
      UserError: another ending, or it cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if path.suffix == ".safetensors":
        import safetensors.numpy

        content = safetensors.numpy.save(arrays, metadata=dict(metadata or {}))
    elif path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # ty: ignore[invalid-argument-type]
        content = buffer.getvalue()
    else:
        raise UserError(f"{path}: the name must end in .safetensors or .npz")
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
