"""The library's exchange format: a ``.safetensors`` file whose header holds the model's name and config as JSON.

Arrays have their names in a train state (``average.params.mapping.dense0.kernel``). Reading a file executes nothing.
``originals`` converts the arrays to the original names.
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
"""Key of the JSON text in the header, and version of its format."""


def save(path: Path, converted: Converted, config: Mapping[str, Any]) -> None:
    """Write a model; the file appears only when complete.

    Args:
      path: file name that ends in ``.safetensors``.
      converted: name, weights and facts of the model.
      config: all fields of the model's config, as JSON.

    Raises:
      UserError: the file cannot be written.
    """
    text = json.dumps({
        "version": VERSION, "model": converted.model, "config": config, "facts": converted.facts,
    })  # fmt: skip
    write_arrays(path, converted.weights, {KEY: text})


def is_ours(contents: Contents) -> bool:
    """Return whether a file is in the library's exchange format."""
    return KEY in contents.metadata


def loaded(contents: Contents) -> Converted:
    """Convert the contents of a file in the exchange format to a model.

    Raises:
      UserError: the header is not in the format of ``save``.
    """
    try:
        head = json.loads(contents.metadata[KEY])
        model, config, facts, version = (head[name] for name in ("model", "config", "facts", "version"))
        if version != VERSION or not isinstance(model, str) or not {type(config), type(facts)} <= {dict}:
            raise ValueError(f"version {version!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"damaged: the JSON in the header is not as ganzoo writes it ({named(error)})") from error
    weights = {
        f"{player}.{name}": array
        for player, network in contents.networks.items()
        for name, array in network.arrays.items()
    }
    return Converted(model, config, weights, plain(facts))


def originals(converted: Converted, taps: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Return the weights [...] under their original names, prefixed by ``G.``, ``D.`` or ``G_ema.``.

    Args:
      converted: model with its weights.
      taps: taps of the resampling filter.

    Raises:
      UserError: the original code has no such network.
    """
    if converted.model not in FAMILIES:
        raise UserError(f"{converted.model} has no table of original names; known: {', '.join(FAMILIES)}")
    result = {}
    for theirs in ("G", "D", "G_ema"):
        start, player = f"{PLAYERS[theirs]}.", "discriminator" if theirs == "D" else "generator"
        own = {name.removeprefix(start): array for name, array in converted.weights.items() if name.startswith(start)}
        if own:
            arrays = FAMILIES[converted.model].originals(player, own, taps)
            result |= {f"{theirs}.{name}": array for name, array in arrays.items()}
    return result


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays [...] as ``.safetensors`` or ``.npz``, depending on the suffix; the file appears only when complete.

    Raises:
      UserError: the suffix is another one, or the file cannot be written.
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
