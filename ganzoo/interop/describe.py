"""Descriptions of a file for people: its networks, their sizes and settings, and facts about their training."""

import json
from collections.abc import Mapping
from typing import Any

from ganzoo.errors import UserError
from ganzoo.interop import exchange
from ganzoo.interop.convert import KIND_OF, SETTINGS, convert, family_of
from ganzoo.interop.reading.constructors import is_real
from ganzoo.interop.reading.contents import Contents
from ganzoo.interop.reading.machine import named

WIDTH = 110


def describe(contents: Contents) -> list[str]:
    """Describe a file without loading it into a model.

    Returns:
      Lines: the format, a line for each network with its class and numbers of arrays and values, the model and config
      that the file would be converted to, and the facts.
    """
    lines = [contents.format]
    width = max((len(_shown(contents, name)) for name in contents.networks), default=0)
    for name, network in contents.networks.items():
        values = sum(int(array.size) for array in network.arrays.values())
        kind = f" {named(network.kind)}" if network.kind else ""
        model = family_of(network)
        known = f", {model}" if model else ""
        lines.append(
            f"  {_shown(contents, name):{width}} {kind} {len(network.arrays)} arrays, {values:,} values{known}"
        )
        lines += _lines(network.settings, "    ")
    facts = {name: fact for name, fact in contents.facts.items() if name != SETTINGS}
    return [*lines, *_model(contents), *_lines(facts, "  ")]


def list_arrays(contents: Contents) -> list[str]:
    """Return a line for every array: its name, type and shape."""
    return [
        f"{_shown(contents, name)}  {named(key, 200)}  {array.dtype}  {tuple(array.shape)}"
        for name, network in contents.networks.items()
        for key, array in network.arrays.items()
    ]


def _shown(contents: Contents, network: str) -> str:
    """Return the name of a network to print; in the library's own files, what is of no network is the state's."""
    return "state" if exchange.is_exchange(contents) and network not in KIND_OF else named(network)


def _model(contents: Contents) -> list[str]:
    """Return lines about the model that the file would be converted to, or the reason why it cannot be loaded."""
    try:
        converted = exchange.from_exchange(contents) if exchange.is_exchange(contents) else convert(contents)
    except UserError as error:
        return [f"  cannot be loaded: {named(str(error), 300)}"]
    for name, array in converted.weights.items():
        if not is_real(array):
            return [f"  cannot be loaded: {named(name)} holds {array.dtype}, which is no type of weights"]
    own = [f"  {named(name)}: {named(str(value))}" for name, value in converted.fields.items()]
    return [f"as {named(converted.model)} of ganzoo:", *own, *(f"  note: {note}" for note in converted.notes),
            *_lines(converted.facts if exchange.is_exchange(contents) else {}, "  ")]  # fmt: skip


def _lines(facts: Mapping[str, Any], indent: str) -> list[str]:
    """Return one line for each fact; the names of nested facts are joined by dots."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += _lines({f"{name}.{key}": item for key, item in value.items()}, indent)
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        lines.append(f"{indent}{named(name)}: {named(text, WIDTH)}")
    return lines
