"""Starting a run from the weights of another one: what has the same name and shape is copied, and a table says so.

Only weights are taken over. Optimizers, counters and running means of the training start afresh.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.errors import UserError
from ganzoo.gan import named_leaves
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.typing import State

Fate = Literal["copied", "resized", "fresh"]
WEIGHTS = ("generator.params.", "generator.variables.", "discriminator.params.", "discriminator.variables.", "ema.")
"""What is taken over, by the beginnings of its names in a train state."""
NETWORKS, COUNTERS = ("generator.", "discriminator.", "ema."), ("step", "images")


@dataclass(frozen=True)
class Row:
    """What became of one array of the new state."""

    name: str
    shape: tuple[int, ...]
    fate: Fate
    found: tuple[int, ...] | None
    """The shape of its source; None where there is none."""


def read_weights(source: Path, *, with_memory: bool = False) -> dict[str, np.ndarray]:
    """The weights of a run folder's newest checkpoint, or of an ``.npz`` file, by their names in a train state.

    Args:
      source: the folder or file.
      with_memory: also what the state remembers besides networks, optimizers and counters, such as running means.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    if source.is_dir():
        folder = source / "checkpoints"
        if not folder.is_dir():
            raise UserError(f"{source} is no run folder: it has no checkpoints; give a run folder or an .npz file")
        with Checkpoints(folder, read_only=True) as checkpoints:
            if checkpoints.latest is None:
                raise UserError(f"{source} holds no checkpoint yet; wait for one, or give another run folder")
            arrays = checkpoints.read()
    elif source.is_file():
        arrays = _read_npz(source)
    else:
        raise UserError(f"no weights at {source}: give a run folder, an .npz or .safetensors file, or a pickle")
    weights = {name: array for name, array in arrays.items() if name.startswith(WEIGHTS)}
    if not weights:
        raise UserError(f"{source} holds no weights: names must begin with {', '.join(WEIGHTS)}")
    memory = {name: array for name, array in arrays.items() if not name.startswith(NETWORKS) and name not in COUNTERS}
    return {**weights, **memory} if with_memory else weights


def _read_npz(source: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(source, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError("a single array")
        with file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise UserError(f"{source} is no .npz file of weights ({error}); give a run folder or an .npz file") from error


def matches(shapes: State, weights: Mapping[str, np.ndarray]) -> list[Row]:
    """What ``transfer`` will do with each weight of a state, or of the shapes of one.

    Raises:
      UserError: nothing at all fits, so that these are weights of another model.
    """
    rows = []
    for name, leaf in named_leaves(shapes):
        if name.startswith(WEIGHTS):
            found, shape = weights.get(name), tuple(leaf.shape)
            rows.append(Row(name, shape, _fate(name, shape, found), None if found is None else found.shape))
    if all(row.fate == "fresh" for row in rows):
        raise UserError("init_from: nothing fits; these are the weights of another model, or of another width")
    return rows


def transfer(state: State, weights: Mapping[str, np.ndarray]) -> State:
    """The state with every weight that has its like among ``weights``.

    An array of the same name and shape is copied. What is an image (noise buffers, the learned constant) and has the
    same channels is resized by linear interpolation. All else stays as it is; ``matches`` tells.
    """
    fates = {row.name: row.fate for row in matches(state, weights)}

    def chosen(name: str, leaf: jax.Array) -> jax.Array:
        fate = fates.get(name, "fresh")
        if fate == "fresh":
            return leaf
        array = jnp.asarray(weights[name], leaf.dtype)
        return array if fate == "copied" else jax.image.resize(array, leaf.shape, "linear")

    return jax.tree.unflatten(jax.tree.structure(state), [chosen(*named) for named in named_leaves(state)])


def _fate(name: str, shape: tuple[int, ...], found: np.ndarray | None) -> Fate:
    if found is None or found.ndim != len(shape):
        return "fresh"
    if found.shape == shape:
        return "copied"
    is_image = name.rsplit(".", 1)[-1] == "constant" and found.shape[2:] == shape[2:]
    return "resized" if is_image else "fresh"


def table(rows: Sequence[Row]) -> list[str]:
    """Lines that tell what was copied, resized and left fresh: one for each block, one for each array that is not."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_group(row.name), []).append(row)
    if not rows:
        return []
    width = max(map(len, groups))
    lines = [f"{'':{width}}  copied  resized  fresh"]
    for group, members in groups.items():
        counts = Counter(row.fate for row in members)
        numbers = "  ".join(f"{counts[fate] or '-':>{len(fate)}}" for fate in ("copied", "resized", "fresh"))
        lines.append(f"{group:{width}}  {numbers}")
        lines += [f"  {_told(row)}" for row in members if row.found and row.fate != "copied"]
    return lines


def _group(name: str) -> str:
    """The network and the block: ``generator synthesis.b64``."""
    parts = [part for part in name.split(".")[:-1] if part not in ("params", "variables", "noise", "statistics")]
    return " ".join([parts[0], ".".join(parts[1:3])])


def _told(row: Row) -> str:
    return f"{row.fate}: {row.name} {row.found} -> {row.shape}"
