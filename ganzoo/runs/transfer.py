"""Starting a run from the weights of another one: what has the same name and shape is copied, and a table says so.

Only weights are taken over. Optimizers, counters and running means of the training start afresh. Weights that the new
model has no place for are listed, too.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ganzoo.config import differences, to_json
from ganzoo.errors import UserError
from ganzoo.gan import named_leaves
from ganzoo.models.config import ImageConfig
from ganzoo.pretrained import WEIGHTS
from ganzoo.typing import State

Fate = Literal["copied", "resized", "fresh"]
COLUMNS, MAX_LINES = 80, 10
"""Width of the lines about unused weights, and their largest number."""


@dataclass(frozen=True)
class Row:
    """One array of the new state, and its source."""

    name: str
    shape: tuple[int, ...]
    fate: Fate
    found: tuple[int, ...] | None
    """Shape of the source; None without a source."""


def matches(shapes: State, weights: Mapping[str, np.ndarray]) -> list[Row]:
    """Return what ``transfer`` will do with each weight of a state, or of its shapes.

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
    """Return the state with every weight that has its like among ``weights``.

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
    """Return lines about what was copied, resized and left fresh: one for each block, one for each odd array."""
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
        lines += [f"  {_detail(row)}" for row in members if row.found and row.fate != "copied"]
    return lines


def unused(shapes: State, weights: Mapping[str, np.ndarray]) -> list[str]:
    """Return lines about the weights that a state, or its shapes, has no place for; none where all have one.

    Networks that lose the same blocks share a line: ``unused: ema, generator: mapping.dense2 ... dense7 (24 arrays)``.
    """
    taken = {name for name, _ in named_leaves(shapes)}
    known = [name for name in weights if name.startswith(WEIGHTS)]
    blocks, lost = Counter(map(_group, known)), Counter(_group(name) for name in known if name not in taken)
    networks: dict[tuple[str, ...], list[str]] = {}
    for network in sorted({group.partition(" ")[0] for group in lost}):
        own = sorted((group for group in blocks if group.startswith(f"{network} ")), key=_natural)
        networks.setdefault(tuple(_spans(own, blocks, lost)), []).append(network)
    lines = []
    for spans, names in networks.items():
        count = sum(lost[group] for group in lost if group.partition(" ")[0] in names)
        text = f"unused: {', '.join(names)}: {', '.join(spans)} ({count} array{'s' * (count > 1)})"
        lines += textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    more = len(lines) - MAX_LINES
    return lines if more <= 0 else [*lines[:MAX_LINES], f"  ... and {more} more lines"]


def other_settings(config: Any, found: Mapping[str, Any]) -> list[str]:
    """Return lines about settings of the networks that the weights were trained with, and that are others now.

    Args:
      config: of the new model; its networks' settings are those of its base that is an ``ImageConfig``.
      found: fields of the source's config; what is missing or None there is not compared.
    """
    networks = next((base for base in type(config).__bases__ if issubclass(base, ImageConfig)), None)
    if networks is None:
        return []
    now = to_json(config)
    names = [each.name for each in fields(networks) if found.get(each.name) is not None and now[each.name] is not None]
    changed = differences({name: found[name] for name in names}, {name: now[name] for name in names})
    text = (
        f"other settings than the source's: {', '.join(f'{each.field} {each.old} -> {each.new}' for each in changed)}"
    )
    return textwrap.wrap(text, COLUMNS, subsequent_indent="  ", break_on_hyphens=False)[:MAX_LINES] if changed else []


def _spans(groups: Sequence[str], blocks: Counter[str], lost: Counter[str]) -> list[str]:
    """Return the blocks of a network that are lost: three or more of one kind in a row as ``first ... last``."""

    def kind(group: str) -> tuple[bool, bool, str]:
        return lost[group] > 0, lost[group] == blocks[group], group.rstrip("0123456789")

    spans = []
    for (is_lost, is_whole, _), members in groupby(groups, kind):
        names = [group.partition(" ")[2] or "others" for group in members]
        if is_lost and is_whole and len(names) > 2:
            spans.append(f"{names[0]} ... {names[-1].rsplit('.', 1)[-1]}")
        elif is_lost:
            spans += names if is_whole else [f"part of {name}" for name in names]
    return spans


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in texts by their values."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", text)]


def _group(name: str) -> str:
    """Return the network and the block, ``generator synthesis.b64``: up to its number, or two names deep."""
    parts = [part for part in name.split(".")[:-1] if part not in ("params", "collections", "noise", "statistics")]
    numbered = next((i for i, part in enumerate(parts[1:3]) if part[-1:].isdecimal()), 1)
    return " ".join([parts[0], ".".join(parts[1 : numbered + 2])])


def _detail(row: Row) -> str:
    return f"{row.fate}: {row.name} {row.found} -> {row.shape}"
