"""Files of models: the library's exchange format, and files of original names.

The exchange format is a ``.safetensors`` file whose header holds the model's name and config as JSON.
Arrays have their names in a train state (``ema.params.mapping.dense0.kernel``). Reading a file executes nothing.
``originals`` converts the arrays to the original names, and ``save_originals`` writes them.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ganzoo.disk import write_file
from ganzoo.disk.documents import parse_json, require_fields
from ganzoo.errors import UserError
from ganzoo.interop import nvidia_pickle
from ganzoo.interop.convert import (
    FAMILIES,
    KIND_OF,
    NETWORK_OF,
    SETTINGS,
    Converted,
    mirror_generator,
    settings_of,
    variables_of,
)
from ganzoo.interop.reading.contents import Contents, plain
from ganzoo.interop.reading.machine import named

KEY, VERSION = "ganzoo", 2
"""Key of the JSON text in the header, and version of its format."""


def save(path: Path, converted: Converted) -> None:
    """Write a model; the file appears only when complete.

    Args:
      path: file name that ends in ``.safetensors``.
      converted: the model, with all fields of its config.

    Raises:
      UserError: the file cannot be written.
    """
    text = json.dumps({
        "version": VERSION, "model": converted.model, "config": converted.fields, "facts": converted.facts,
    })  # fmt: skip
    write_arrays(path, converted.weights, {KEY: text})


def is_exchange(contents: Contents) -> bool:
    """Return whether a file is in the library's exchange format."""
    return KEY in contents.metadata


def from_exchange(contents: Contents) -> Converted:
    """Convert the contents of a file in the exchange format to a model.

    Raises:
      UserError: the header is not in the format of ``save``, or is of another version of it.
    """
    try:
        kinds = {"model": str, "config": dict, "facts": dict}
        head = require_fields(parse_json(contents.metadata[KEY]), kinds, (*kinds, "version"))
    except UserError as error:
        raise UserError(f"damaged: the JSON in the header is not as ganzoo writes it ({error})") from error
    model, config, facts, version = (head[name] for name in ("model", "config", "facts", "version"))
    if version != VERSION:
        raise UserError(
            f"version {named(version)} of ganzoo's format, which this ganzoo does not read (it reads {VERSION});"
            " convert the original file or the run folder again"
        )
    weights = {}
    for network, found in contents.networks.items():
        prefix = f"{network}." if network in KIND_OF else ""  # what is of no network is a field of the state
        weights.update({f"{prefix}{name}": array for name, array in found.arrays.items()})
    return Converted(model, config, weights, plain(facts))


def originals(converted: Converted) -> dict[str, np.ndarray]:
    """Return the weights [...] under their original names, prefixed by ``G.``, ``D.`` or ``G_ema.``.

    Args:
      converted: the model; its fields become the constants, such as filters.

    Raises:
      UserError: the original code has no such network.
    """
    if converted.model not in FAMILIES:
        raise UserError(f"{converted.model} has no table of original names; known: {', '.join(FAMILIES)}")
    family, result = FAMILIES[converted.model], {}
    for theirs in ("G", "D", "G_ema"):
        network = NETWORK_OF[theirs]
        own = variables_of(network, converted.weights)
        if own:
            arrays = family.originals(KIND_OF[network], own, dict(converted.fields))
            arrays |= family.state(KIND_OF[network], dict(converted.weights)) if family.state else {}
            result |= {f"{theirs}.{name}": array for name, array in arrays.items()}
    return result


def save_originals(path: Path, converted: Converted) -> tuple[str, ...]:
    """Write a model under its original names; the file appears only when complete.

    A ``.safetensors`` or ``.npz`` file has the arrays of ``originals``, and beside them the config and the arguments of
    the constructors as a JSON text. A ``.pkl`` file, of a StyleGAN2 or StyleGAN3, is a dictionary of networks that the
    original repository opens; see ``nvidia_pickle``.

    Args:
      path: file name with one of the three suffixes.
      converted: the model, with all fields of its config.

    Returns:
      Notes on what the file lacks, one line each.

    Raises:
      UserError: the original code has no such network, the suffix is another one, or the file cannot be written.
    """
    if path.suffix == ".pkl" and converted.model not in nvidia_pickle.MODELS:
        raise UserError(f"{path}: pickles of original {converted.model} are not written; write .safetensors or .npz")
    if path.suffix == ".pkl":  # the loader there wants both generators
        converted = replace(converted, weights=mirror_generator(converted.weights))
    arrays = originals(converted)
    names = tuple(name for name in ("G", "D", "G_ema") if any(key.startswith(f"{name}.") for key in arrays))
    settings = settings_of(converted, names)
    if path.suffix not in (".pkl", ".safetensors", ".npz"):
        raise UserError(f"{path}: the name must end in .safetensors or .npz, or in .pkl for a StyleGAN2 or 3")
    if path.suffix != ".pkl":
        write_arrays(path, arrays, {SETTINGS: json.dumps(settings)})
        return ()
    write_file(path, nvidia_pickle.snapshot(arrays, settings))
    lacks = "the file has no discriminator: pickle.load opens it, but legacy.load_network_pkl wants one"
    return () if "D" in names else (lacks,)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays [...] as ``.safetensors`` or ``.npz``, depending on the suffix; the file appears only when complete.

    Args:
      path: file name.
      arrays: the arrays by name.
      metadata: texts by name, in the header of a ``.safetensors`` file, or as arrays of text in an ``.npz`` file.

    Raises:
      UserError: the suffix is another one, or the file cannot be written.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    metadata = dict(metadata or {})
    if path.suffix == ".safetensors":
        import safetensors.numpy

        content = safetensors.numpy.save(arrays, metadata=metadata)
    elif path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, **{name: np.asarray(text) for name, text in metadata.items()})  # ty: ignore[invalid-argument-type]
        content = buffer.getvalue()
    else:
        raise UserError(f"{path}: the name must end in .safetensors or .npz")
    write_file(path, content)
