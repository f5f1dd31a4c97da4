"""Modules with empty classes that stand in for those of other programs while something is pickled by their names."""

import contextlib
import sys
import types
from collections.abc import Generator, Mapping, Sequence
from typing import Any


@contextlib.contextmanager
def stand_ins(classes: Mapping[str, Sequence[str]]) -> Generator[dict[str, Any]]:
    """Modules by name with empty classes of these names; what was there before comes back."""
    before, made = dict(sys.modules), {}
    try:
        for name, own in classes.items():
            parts = name.split(".")
            for i in range(1, len(parts) + 1):
                made.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
            for each in own:
                setattr(made[name], each, type(each, (), {"__module__": name}))
        sys.modules.update(made)
        yield made
    finally:
        for name in made:
            sys.modules.pop(name)
        sys.modules.update({name: module for name, module in before.items() if name in made})
