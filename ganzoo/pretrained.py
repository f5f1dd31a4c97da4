"""A trained model from wherever it is: a run folder, a converted file, or a pickle of the original code."""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo import interop
from ganzoo.config import from_json
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN, Model, Network, TrainState, named_leaves
from ganzoo.interop import Converted, hub
from ganzoo.interop.machine import named
from ganzoo.models import installed_model, installed_models
from ganzoo.typing import PyTree

NETWORKS = ("generator", "discriminator", "ema")
"""Fields of a train state that hold networks."""
WEIGHTS = (
    "generator.params.", "generator.collections.", "discriminator.params.", "discriminator.collections.", "ema.",
)  # fmt: skip
"""How the names of weights in a train state begin; the rest are optimizers, counters and running means."""
COUNTERS = ("step", "images")
RUN_FORMAT = 2
"""Format of run folders, in their config.json. Format 1 is of ganzoo 0.1."""


def load(source: str | Path, *, model: Model | None = None) -> tuple[GAN, TrainState]:
    """Load the model and the weights of a run folder, a ``.safetensors`` file of ganzoo, or an original file.

    Example::

        gan, state = ganzoo.load("ffhq.pkl")
        images = gan.sample(state, jax.random.key(0), 16)

    Args:
      source: a path, or ``hf:owner/name`` for the Hugging Face Hub (extra ``hub``).
      model: the ``ganzoo.Model`` of the file, where it is neither one of ganzoo nor of an installed package.

    Returns:
      The GAN, and a state to sample from. Its optimizers are empty: to go on training, start a run with
      ``--init-from``. Where the file has only one generator, it is both the EMA and the last weights; where it has no
      discriminator, that network has no parameters.

    Raises:
      UserError: the source cannot be read, or is of an unknown model.
    """
    converted = read_model(locate(source))
    gan = build(converted, model=model)
    return gan, state_of(gan, converted.weights)


def locate(source: str | Path) -> Path:
    """Return the file or folder of a path or an ``hf:`` name, fetched where that is needed."""
    return hub.fetch(str(source)) if str(source).startswith(hub.PREFIX) else Path(source)


def build(converted: Converted, *, model: Model | None = None) -> GAN:
    """Return the GAN of a model that was read; a Python file named there is never run.

    Raises:
      UserError: the model is unknown, or its config does not fit.
    """
    found = model or installed_model(converted.model)
    if found is None:
        raise UserError(f"unknown model {converted.model!r};{nearest(converted.model, installed_models())}")
    return found.build(from_json(found.config, converted.fields))


# Reading ------------------------------------------------------------------------------------------------------------


def read_model(path: Path) -> Converted:
    """Return the model of a run folder or file as plain data.

    Raises:
      UserError: the source cannot be read, or holds no generator of a known model.
    """
    if path.is_dir():
        experiment = read_record(path)["experiment"]
        weights = read_weights(path, with_statistics=True)
        return Converted(str(experiment.get("model")), experiment.get("gan") or {}, weights)
    contents = interop.read(path)
    try:
        return interop.from_exchange(contents) if interop.is_exchange(contents) else interop.convert(contents)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of a run folder; ``UserError`` where it cannot be read."""
    config = folder / "config.json"
    try:
        record = json.loads(config.read_text())
        if not isinstance(record, dict) or not isinstance(record.get("experiment"), dict):
            raise ValueError('no "experiment" in it')
    except (OSError, ValueError) as error:
        raise UserError(f"{config} cannot be read ({error}); it must be the file that the run wrote") from error
    found = record.get("format", 1)
    if found != RUN_FORMAT:
        wrote = "ganzoo 0.1" if found == 1 else "a newer ganzoo"
        raise UserError(
            f"{folder} is a run folder of format {found!r}, written by {wrote}; this version reads format {RUN_FORMAT}:"
            " train again, or use that version"
        )
    return record


def read_start(source: str) -> dict[str, np.ndarray]:
    """Return the weights [...] that a run can start from, by their names in a train state.

    Those of a run folder or an ``.npz`` file are taken as they are; anything else is read as by ``load``.
    """
    path = locate(source)
    if path.is_dir() or not path.exists() or path.suffix == ".npz":
        return read_weights(path)
    return interop.mirror_generator(read_model(path).weights)


def read_weights(source: Path, *, with_statistics: bool = False) -> dict[str, np.ndarray]:
    """Return the weights [...] of a run folder's newest checkpoint, or of an ``.npz`` file.

    Args:
      source: the folder or file.
      with_statistics: also what the state holds besides networks, optimizers and counters, such as running means.

    Returns:
      Arrays by their names in a train state.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    if source.is_dir():
        arrays = _read_checkpoint(source)
    elif source.is_file():
        arrays = _read_npz(source)
    else:
        raise UserError(f"no weights at {source}: give a run folder, an .npz or .safetensors file, or a pickle")
    weights = {name: array for name, array in arrays.items() if name.startswith(WEIGHTS)}
    if not weights:
        raise UserError(f"{source} holds no weights: names must begin with {', '.join(WEIGHTS)}")
    networks = tuple(f"{network}." for network in NETWORKS)
    others = {name: a for name, a in arrays.items() if not name.startswith(networks) and name not in COUNTERS}
    return {**weights, **others} if with_statistics else weights


def _read_checkpoint(source: Path) -> dict[str, np.ndarray]:
    from ganzoo.training.checkpoint import Checkpoints  # Orbax takes long to import

    folder = source / "checkpoints"
    if not folder.is_dir():
        raise UserError(f"{source} is no run folder: it has no checkpoints; give a run folder or an .npz file")
    with Checkpoints(folder, read_only=True) as checkpoints:
        if checkpoints.latest is None:
            raise UserError(f"{source} holds no checkpoint yet; wait for one, or give another run folder")
        return checkpoints.read()


def _read_npz(source: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(source, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("a single array")
        with file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise UserError(f"{source} is no .npz file of weights ({error}); give a run folder or an .npz file") from error


# States -------------------------------------------------------------------------------------------------------------


def state_of(gan: GAN, weights: Mapping[str, np.ndarray]) -> TrainState:
    """Return a state of these weights [...], by their names in a train state; its optimizers are empty.

    Raises:
      UserError: an array is missing, is not the model's, or has another shape.
    """
    weights, shapes = interop.mirror_generator(weights), jax.eval_shape(gan.init, jax.random.key(0))
    check_weights(gan.name, shapes, weights)
    trees: dict[str, Any] = {}
    for name, array in weights.items():
        *parents, leaf = name.split(".")
        at = trees
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = jnp.asarray(array, jnp.float32)

    def network(name: str) -> Network:
        found = trees.get(name, {})
        return Network(found.get("params", {}), found.get("collections", {}), opt_state=())

    return replace(
        shapes,
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=network("generator"),
        discriminator=network("discriminator"),
        ema=trees["ema"],
        **_filled(_statistics(shapes), weights),
    )


def check_weights(model: str, shapes: TrainState, weights: Mapping[str, np.ndarray]) -> None:
    """Raise ``UserError`` unless ``weights`` are whole networks of a model, of its shapes, and nothing else."""
    networks = {"ema": shapes.ema}
    for name in ("generator", "discriminator"):
        found = getattr(shapes, name)
        networks[name] = {"params": found.params, "collections": found.collections}
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(networks)}
    others = {name: tuple(leaf.shape) for name, leaf in named_leaves(_statistics(shapes))}
    there = tuple(f"{network}." for network in NETWORKS if any(name.startswith(f"{network}.") for name in weights))
    if "ema." not in there:
        raise UserError("the file holds no generator")
    for name, array in weights.items():
        if name not in expected and name not in others:
            raise UserError(f"{named(name)} is no weight of this {model}")
        if name in others and array.shape != others[name]:
            raise UserError(f"{name} is {array.shape}, where the model has {others[name]}")
    for name, shape in expected.items():
        if name.startswith(there) and name not in weights:
            raise UserError(f"missing weight {name}: incomplete file, or another {model} architecture")
        if name.startswith(there) and weights[name].shape != shape:
            raise UserError(f"{name} is {weights[name].shape}, where the config says {shape}")


def _statistics(shapes: TrainState) -> dict[str, PyTree]:
    """Return the fields of a state besides its networks and counters, such as running means."""
    others = (*COUNTERS, *NETWORKS)
    return {each.name: getattr(shapes, each.name) for each in fields(shapes) if each.name not in others}


def _filled(shapes: dict[str, PyTree], weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return a tree of these shapes; what the file does not hold is 0, such as the level of detail."""
    leaves = [jnp.asarray(weights.get(name, np.zeros(leaf.shape, leaf.dtype))) for name, leaf in named_leaves(shapes)]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
