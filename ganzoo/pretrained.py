"""A trained model from wherever it is: a run folder, a converted file, or a pickle of the originals."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo import interop
from ganzoo.config import from_json, to_json
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN, Network, TrainState, named_leaves
from ganzoo.interop import Converted, hub
from ganzoo.interop.machine import named
from ganzoo.models import MODELS
from ganzoo.runs.folder import read_record

PLAYERS = ("generator", "discriminator", "average")


def load(source: str | Path) -> tuple[GAN, TrainState]:
    """The model and the weights of a run folder, a ``.safetensors`` file of ours, or a file of the originals.

    Example::

        gan, state = ganzoo.load("ffhq.pkl")
        images = gan.sample(state, jax.random.key(0), 16)

    Args:
      source: a path, or ``hf:owner/name`` for the Hugging Face Hub (extra ``hub``).

    Returns:
      The GAN, and a state to sample from. Its optimizers are empty: to go on training, start a run with
      ``--init-from``. Where the file has only one generator, it is both the newest and the averaged one; where it has
      no discriminator, that has no parameters.

    Raises:
      UserError: it cannot be read, or is of no model that is known here.
    """
    converted = read_model(located(source))
    gan = build(converted)
    return gan, state_of(gan, converted.weights)


def located(source: str | Path) -> Path:
    """The file or folder that a path or an ``hf:`` name stands for."""
    if str(source).startswith("hf:"):
        return hub.fetch(str(source))
    return Path(source)


def read_model(path: Path) -> Converted:
    """The model of a run folder or file as plain data, its config complete.

    Raises:
      UserError: as ``load``.
    """
    if path.is_dir():
        from ganzoo.runs.transfer import read_weights  # Orbax takes long to import

        experiment = read_record(path / "config.json")["experiment"]
        converted = Converted(
            str(experiment.get("model")), experiment.get("gan") or {}, read_weights(path, with_memory=True)
        )
    else:
        contents = interop.read(path)
        try:
            converted = interop.loaded(contents) if interop.is_ours(contents) else interop.convert(contents)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return Converted(
        converted.model, to_json(build(converted).config), converted.weights, converted.facts, converted.notes
    )


def read_start(source: str) -> dict[str, np.ndarray]:
    """The weights that a run can start from, by their names in a train state.

    Of a run folder or an ``.npz`` file they are taken as they are; of anything else, as ``load`` reads it.
    """
    from ganzoo.runs.transfer import read_weights

    path = located(source)
    if path.is_dir() or not path.exists() or path.suffix == ".npz":
        return read_weights(path)
    return interop.completed(read_model(path).weights)


def build(converted: Converted) -> GAN:
    """The record of functions of a model that was read."""
    if converted.model not in MODELS:
        raise UserError(f"unknown model {converted.model!r};{nearest(converted.model, MODELS)}")
    model = MODELS[converted.model]
    return model.build(from_json(model.config, converted.fields))


def state_of(gan: GAN, weights: Mapping[str, np.ndarray]) -> TrainState:
    """A state of these weights, by their names in a train state; its optimizers are empty.

    Raises:
      UserError: an array is missing, is not the model's, or has another shape.
    """
    weights, shapes = interop.completed(weights), jax.eval_shape(gan.init, jax.random.key(0))
    check_weights(gan.name, shapes, weights)
    trees: dict[str, Any] = {}
    for name, array in weights.items():
        *parents, leaf = name.split(".")
        at = trees
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = jnp.asarray(array, jnp.float32)

    def network(player: str) -> dict[str, Any]:
        found = trees.get(player, {})
        return {"params": found.get("params", {}), "variables": found.get("variables", {})}

    return type(shapes)(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=Network(**network("generator"), opt_state=()),
        discriminator=Network(**network("discriminator"), opt_state=()),
        average=network("average"),
        **_remembered(shapes, weights),
    )


def _remembered(shapes: TrainState, weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a state remembers besides its networks; what the file does not hold is 0, such as the level of detail."""
    memory = _memory(shapes)
    leaves = [jnp.asarray(weights.get(name, np.zeros(leaf.shape, leaf.dtype))) for name, leaf in named_leaves(memory)]
    return jax.tree.unflatten(jax.tree.structure(memory), leaves)


def _memory(shapes: TrainState) -> dict[str, Any]:
    others = ("step", "images", *PLAYERS)
    return {field.name: getattr(shapes, field.name) for field in fields(shapes) if field.name not in others}


def pictures(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [N, H, W, C] of a picture, or of those in a folder or .zip, cut and resized to that shape.

    Raises:
      UserError: there are none, or one cannot be read.
    """
    from ganzoo.data import DataConfig, open_dataset
    from ganzoo.data.images import Target, decode, reason

    if path.is_file() and path.suffix.lower() != ".zip":
        try:
            return decode(path.read_bytes(), Target(*image_shape))[None]
        except Exception as error:  # whatever Pillow raises for a broken file
            raise UserError(f"{path} cannot be read: {reason(error)}") from error
    dataset = open_dataset(DataConfig(data=str(path)), image_shape)
    return np.asarray(dataset.read(np.arange(len(dataset)))["image"])


def check_weights(model: str, shapes: TrainState, weights: Mapping[str, np.ndarray]) -> None:
    """Raise ``UserError`` unless the players that are there are whole, as in the model's state, and nothing else is."""
    expected = {
        name: tuple(leaf.shape)
        for name, leaf in named_leaves({
            **{player: getattr(shapes, player).weights for player in PLAYERS[:2]},
            "average": shapes.ema,
        })
    }  # fmt: skip
    memory = {name: tuple(leaf.shape) for name, leaf in named_leaves(_memory(shapes))}
    there = [player for player in PLAYERS if any(name.startswith(f"{player}.") for name in weights)]
    if "average" not in there:
        raise UserError("the file holds no generator")
    for name in weights:
        if name in memory and weights[name].shape != memory[name]:
            raise UserError(f"{name} is {weights[name].shape}, where the model has {memory[name]}")
        if name not in expected and name not in memory:
            raise UserError(f"{named(name)} is no weight of this {model}")
    for name, shape in expected.items():
        if name.startswith(tuple(f"{player}." for player in there)):
            if name not in weights:
                raise UserError(f"{name} is missing; this is another {model}, or a part of one")
            if weights[name].shape != shape:
                raise UserError(f"{name} is {weights[name].shape}, where the config says {shape}")
