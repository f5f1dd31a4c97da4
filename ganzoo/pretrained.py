"""A trained model from wherever it is: a run folder, a converted file, or a pickle of the original code."""

import contextlib
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo import interop
from ganzoo.config import from_json, require, to_json
from ganzoo.disk import kind_of, read_regular
from ganzoo.disk.documents import MOST_BYTES, parse_json, require_fields
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN, Model, Network, TrainState, named_leaves
from ganzoo.interop import Contents, Converted, hub
from ganzoo.interop.reading.machine import named
from ganzoo.models import installed_model, installed_models
from ganzoo.typing import PyTree

T = TypeVar("T")

NETWORKS = ("generator", "discriminator", "ema")
"""Fields of a train state that hold networks."""
WEIGHTS = (
    "generator.params.", "generator.collections.", "discriminator.params.", "discriminator.collections.", "ema.",
)  # fmt: skip
"""How the names of weights in a train state begin; the rest are optimizers, counters and running means."""
PRESENT_CLASSES = "present_classes"
"""Where the record of a run, and the facts in a file, have the classes that had images, if not all had."""
RUN_FORMAT = 2
"""Format of run folders, in their config.json. Format 1 is of ganzoo 0.1."""


def load(
    source: str | Path,
    *,
    checkpoint: int | str | None = None,
    model: Model | None = None,
    log: Callable[[str], None] = print,
) -> tuple[GAN, TrainState]:
    """Load the model and the weights of a run folder, a ``.safetensors`` file of ganzoo, or an original file.

    Example::

        gan, state = ganzoo.load("ffhq.pkl")
        images = gan.sample(state, jax.random.key(0), 16)
        gan, state = ganzoo.load("runs/mine", checkpoint="best")

    Args:
      source: a path, or ``hf:owner/name`` for the Hugging Face Hub (extra ``hub``). A path in a run folder, such as
        ``runs/mine/best`` or ``runs/mine/checkpoints/200``, says which checkpoint.
      checkpoint: of a run folder: ``"best"``, ``"latest"`` or the number of images seen; the latest when absent.
      model: the ``ganzoo.Model`` of the file, where it is neither one of ganzoo nor of an installed package.
      log: receives a line about each part of the file that is not used.

    Returns:
      The GAN, and a state to sample from, with the step and the images seen where the source has them. Its optimizers
      are empty: to go on training, start a run with ``--init-from``. Where the file has only one generator, it is both
      the EMA and the last weights; where it has no discriminator, that network has no parameters.

    Raises:
      UserError: the source cannot be read, or is of an unknown model.
    """
    converted = read_model(locate(source), checkpoint)
    with naming(source):
        gan = build(converted, model=model)
        state = state_of(gan, converted.weights)
    for note in converted.notes:
        log(f"note: {note}")
    return gan, state


def save(gan: GAN, state: TrainState, path: str | Path) -> None:
    """Write a model into a file that ``load`` reads back bit for bit; the file appears only when complete.

    The optimizers are left out. In a run of several processes the first one writes.

    Example::

        ganzoo.save(gan, state, "mine.safetensors")
        gan, state = ganzoo.load("mine.safetensors")

    Args:
      gan: the model, whose name and config go into the header of the file.
      state: its train state, on any devices.
      path: file name that ends in ``.safetensors``.

    Raises:
      UserError: the name ends otherwise, the state is not the model's, or the file cannot be written.
    """
    path = Path(path)
    require(path.suffix == ".safetensors", "path", str(path), "end in .safetensors")
    fields = _fields(gan)
    weights = {name: _array(name, leaf) for name, leaf in _without_optimizers(dict(named_leaves(state))).items()}
    check_weights(gan.name, jax.eval_shape(gan.init, jax.random.key(0)), weights)
    if jax.process_index() == 0:
        facts = {PRESENT_CLASSES: list(gan.present_classes)} if gan.present_classes else {}
        interop.save(path, Converted(gan.name, fields, weights, facts))


def locate(source: str | Path) -> Path:
    """Return the file or folder of a path or an ``hf:`` name, fetched where that is needed; refuse other addresses."""
    interop.check_address(source)
    return hub.fetch(str(source)) if str(source).startswith(hub.PREFIX) else Path(source)


def build(converted: Converted, *, model: Model | None = None) -> GAN:
    """Return the GAN of a model that was read; a Python file named there is never run.

    Raises:
      UserError: the model is unknown, or its config does not fit.
    """
    found = model or installed_model(converted.model)
    if found is None:
        raise UserError(f"unknown model {converted.model!r};{nearest(converted.model, installed_models())}")
    gan = found.build(from_json(found.config, converted.fields))
    if PRESENT_CLASSES not in converted.facts:
        return gan
    numbers, size = converted.facts[PRESENT_CLASSES], gan.label_size
    is_valid = type(numbers) in (list, tuple) and all(type(each) is int and 0 <= each < size for each in numbers)
    require(is_valid, PRESENT_CLASSES, numbers, f"be a list of numbers below {size}, the size of the labels")
    return replace(gan, present_classes=tuple(numbers))


# Reading ------------------------------------------------------------------------------------------------------------


def read_model(path: Path, checkpoint: int | str | None = None) -> Converted:
    """Return the model of a run folder or file as plain data.

    Args:
      path: as ``load`` takes it, on disk.
      checkpoint: as ``load`` takes it.

    Raises:
      UserError: the source cannot be read, or holds no generator of a known model.
    """
    if is_file(path):
        require(checkpoint is None, "checkpoint", checkpoint, f"be left out: {path} is a file, not a run folder")
        return _checked(path, _converted(path, interop.read(path)))
    from ganzoo.training.selection import select  # Orbax takes long to import

    selected = select(path, checkpoint)
    record = read_record(selected.run)
    experiment, facts = record["experiment"], {name: record[name] for name in (PRESENT_CLASSES,) if name in record}
    weights, notes = _without_optimizers(selected.read()), tuple(selected.notes())
    found = Converted(str(experiment.get("model")), experiment.get("gan") or {}, weights, facts, notes)
    return _checked(selected.run / selected.name, found)


def is_file(path: Path) -> bool:
    """Return whether a path is a file; ``UserError`` for pipes and devices, which may have no end."""
    kind = kind_of(path)
    if kind == "other":
        raise UserError(f"{path} is no regular file, but a pipe or a device; give a file of weights or a run folder")
    return kind == "file"


@contextlib.contextmanager
def naming(source: str | Path) -> Generator[None]:
    """Put the name of a source before every ``UserError`` raised within."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _converted(path: Path, contents: Contents) -> Converted:
    with naming(path):
        for network in contents.networks.values():
            for name, array in network.arrays.items():
                if array.dtype.kind in "cOSUM":  # of which a conversion would take a part
                    raise UserError(f"{named(name)} holds {array.dtype}, which is no type of weights")
        return interop.from_exchange(contents) if interop.is_exchange(contents) else interop.convert(contents)


def _checked(path: Path, converted: Converted) -> Converted:
    """Return a model with a note on weights that are not finite; ``UserError`` where an array holds no real numbers."""
    broken = []
    for name, array in converted.weights.items():
        is_real = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
        if not is_real:
            raise UserError(f"{path}: {named(name)} holds {array.dtype}, which is no type of weights")
        if not np.isfinite(array).all():
            broken.append(name)
    if not broken:
        return converted
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    note = f"{named(broken[0])}{more} holds NaN or infinity, so images may be black; the file or its training is broken"
    return replace(converted, notes=(*converted.notes, note))


RECORD_KINDS = {
    "experiment": dict, "fingerprint": str, "start": list, "versions": dict, "commands": list, PRESENT_CLASSES: list,
}  # fmt: skip
EXPERIMENT_KINDS = {"name": str, "model": str, "gan": dict, "data": dict, "training": dict}
"""Types of what a run's config.json must hold where it is there."""


def read_record(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of a run folder; ``UserError`` where it cannot be read, or is a link."""
    config = folder / "config.json"
    try:
        if config.is_symlink():
            raise UserError("it is a link, which is not followed")
        record = require_fields(parse_json(read_regular(config, MOST_BYTES)), RECORD_KINDS, ("experiment",))
        require_fields(record["experiment"], EXPERIMENT_KINDS)
    except (OSError, UserError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{config} cannot be read ({reason}); it must be the file that the run wrote") from error
    found = record.get("format", 1)
    if found != RUN_FORMAT:
        wrote = "ganzoo 0.1" if found == 1 else "a newer ganzoo"
        raise UserError(
            f"{folder} is a run folder of format {found!r}, written by {wrote}; this version reads format {RUN_FORMAT}:"
            " train again, or use that version"
        )
    return record


@dataclass(frozen=True)
class Start:
    """What a run can start from."""

    weights: dict[str, np.ndarray]
    """Weights [...] by their names in a train state."""
    model: str = ""
    """The model's name; empty where the source does not tell."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the model's config that the source tells."""


def read_start(source: str, log: Callable[[str], None] = print) -> Start:
    """Read what a run can start from.

    Args:
      source: as ``load`` takes it; or a file of arrays that have their names in a train state, without a config.
      log: receives a line about the source, and one about each part of it that is not used.

    Raises:
      UserError: the source cannot be read, or holds no weights.
    """
    path = locate(source)
    if is_file(path):
        contents = interop.read(path)
        with naming(path):
            own = _named_arrays(contents)
        found, origin = _checked(path, own or _converted(path, contents)), source
    else:
        from ganzoo.training.selection import select  # Orbax takes long to import

        selected = select(path)
        experiment = read_record(selected.run)["experiment"] if (selected.run / "config.json").exists() else {}
        origin = selected.run / selected.name
        weights, notes = selected.read(), tuple(selected.notes())
        found = Converted(str(experiment.get("model", "")), experiment.get("gan") or {}, weights, notes=notes)
        found = _checked(origin, found)
    for line in (f"start: the weights of {origin}", *(f"note: {note}" for note in found.notes)):
        log(line)
    weights = {name: array for name, array in found.weights.items() if name.startswith(WEIGHTS)}
    return Start(interop.mirror_generator(weights), found.model, found.fields)


def _named_arrays(contents: Contents) -> Converted | None:
    """Return a file without a config whose arrays have their names in a train state; None for another file."""
    arrays = {f"{network}.{name}": a for network, part in contents.networks.items() for name, a in part.arrays.items()}
    has_names = any(name.startswith(WEIGHTS) for name in arrays)
    if texts := [named(name) for name in contents.metadata if name.startswith(WEIGHTS)]:
        raise UserError(f"{texts[0]} holds text, which is no type of weights")
    return Converted("", {}, arrays) if has_names and not interop.is_exchange(contents) else None


def _without_optimizers(arrays: Mapping[str, T]) -> dict[str, T]:
    """Return what is not the state of an optimizer of one of the networks."""
    networks = tuple(f"{network}." for network in NETWORKS)
    return {name: a for name, a in arrays.items() if name.startswith(WEIGHTS) or not name.startswith(networks)}


# States -------------------------------------------------------------------------------------------------------------


def state_of(gan: GAN, weights: Mapping[str, np.ndarray]) -> TrainState:
    """Return a state of these weights [...], by their names in a train state; its optimizers are empty.

    Raises:
      UserError: an array is missing, is not the model's, or has another shape.
    """
    weights, shapes = interop.mirror_generator(weights), jax.eval_shape(gan.init, jax.random.key(0))
    check_weights(gan.name, shapes, weights)

    def network(name: str) -> Network:
        if not any(found.startswith(f"{name}.") for found in weights):
            return Network({}, {}, opt_state=())
        found = getattr(shapes, name)
        params = _filled(found.params, weights, f"{name}.params.")
        return Network(params, _filled(found.collections, weights, f"{name}.collections."), opt_state=())

    return replace(
        shapes,
        generator=network("generator"),
        discriminator=network("discriminator"),
        ema=_filled(shapes.ema, weights, "ema."),
        **_filled(_others(shapes), weights),
    )


def check_weights(model: str, shapes: TrainState, weights: Mapping[str, np.ndarray]) -> None:
    """Raise ``UserError`` unless ``weights`` are whole networks of a model, of its shapes, and nothing else."""
    networks = {"ema": shapes.ema}
    for name in ("generator", "discriminator"):
        found = getattr(shapes, name)
        networks[name] = {"params": found.params, "collections": found.collections}
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(networks)}
    others = {name: tuple(leaf.shape) for name, leaf in named_leaves(_others(shapes))}
    there = tuple(f"{network}." for network in NETWORKS if any(name.startswith(f"{network}.") for name in weights))
    if "ema." not in there:
        raise UserError("the file holds no generator; a discriminator alone is for --init-from of a run")
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


def _others(shapes: TrainState) -> dict[str, PyTree]:
    """Return the fields of a state besides its networks, such as counters and running means."""
    return {each.name: getattr(shapes, each.name) for each in fields(shapes) if each.name not in NETWORKS}


def _filled(shapes: T, weights: Mapping[str, np.ndarray], prefix: str = "") -> T:
    """Return a tree of these shapes; what the file does not hold is 0, such as the level of detail."""
    leaves = [
        jnp.asarray(weights.get(f"{prefix}{name}", np.zeros(leaf.shape, leaf.dtype)), leaf.dtype)
        for name, leaf in named_leaves(shapes)
    ]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _array(name: str, leaf: Any) -> np.ndarray:
    """Return a leaf of a state, from all its devices."""
    try:
        array = np.asarray(jax.device_get(leaf))
        if array.dtype == object:
            raise TypeError(type(leaf).__name__)
        return array
    except (TypeError, ValueError, RuntimeError) as error:  # a key, a shape, an array of other processes
        raise UserError(
            f"{name} cannot be written ({named(error, 100)}); it must be an array of this process"
        ) from error


def _fields(gan: GAN) -> dict[str, Any]:
    """Return the fields of a model's config as JSON types; ``UserError`` where they would not come back."""
    try:
        written = json.loads(json.dumps(to_json(gan.config)))
        is_same = from_json(type(gan.config), written) == gan.config
    except (TypeError, ValueError) as error:
        raise UserError(f"the config of {gan.name} cannot be written as JSON ({named(error, 100)})") from error
    require(is_same, "config", gan.config, "be the same when written as JSON and read again")
    return written
