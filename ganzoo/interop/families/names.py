"""Tables of names: the name and layout of each array in the original code and in this library.

A rule has two names with the same placeholders, such as ``mapping.fc{i}.weight`` and
``params.mapping.dense{i}.kernel``, and a layout that converts in both directions. Our names are the names of arrays in
a train state, without the prefix of the network.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import named

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Pair of functions that convert an array to our layout and back to the original layout."""

    ours: Change
    theirs: Change


def _axes(*axes: int) -> Change:
    return lambda array: array.transpose(axes)


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _flat_to_ours(height: int, width: int) -> Change:
    """Return a function that reorders a flattened input: [O, (C h w)] -> [(h w C), O]."""
    return lambda array: array.reshape(len(array), -1, height, width).transpose(2, 3, 1, 0).reshape(-1, len(array))


def _flat_to_theirs(height: int, width: int) -> Change:
    """Return a function that reorders a flattened input: [(h w C), O] -> [O, (C h w)]."""

    def change(array: np.ndarray) -> np.ndarray:
        outputs = array.shape[1]
        return array.reshape(height, width, -1, outputs).transpose(3, 2, 0, 1).reshape(outputs, -1)

    return change


SAME = Layout(_same, _same)

# PyTorch
DENSE = Layout(_axes(1, 0), _axes(1, 0))
"""[O, I] <-> [I, O]."""
CONV = Layout(_axes(2, 3, 1, 0), _axes(3, 2, 0, 1))
"""[O, I, h, w] <-> [h, w, I, O]."""
UP = Layout(_axes(2, 3, 0, 1), _axes(2, 3, 0, 1))
"""[O, I, h, w] <-> [h, w, O, I], our layout of kernels that upsample."""
CONSTANT = Layout(_axes(1, 2, 0), _axes(2, 0, 1))
"""[C, h, w] <-> [h, w, C]."""


def flat(height: int, width: int) -> Layout:
    """Return the layout [O, (C h w)] <-> [(h w C), O] of a dense layer over a flattened feature map."""
    return Layout(_flat_to_ours(height, width), _flat_to_theirs(height, width))


FLAT = flat(4, 4)

# TensorFlow, whose dense and convolution weights have our layout
TF_UP = Layout(lambda a: a[::-1, ::-1].transpose(0, 1, 3, 2), lambda a: a.transpose(0, 1, 3, 2)[::-1, ::-1])
"""[h, w, I, O] of a transposed convolution, whose kernel is mirrored, <-> [h, w, O, I]."""
TF_CONSTANT = Layout(lambda a: a[0].transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1)[None])
"""[1, C, h, w] <-> [h, w, C]."""
TF_NOISE = Layout(lambda a: a[0, 0], lambda a: a[None, None])
"""[1, 1, h, w] <-> [h, w]."""
TF_STYLE = Layout(lambda a: a + 1, lambda a: a - 1)
"""Bias of a style; the original code adds 1 when it uses the bias."""


def tf_flat(height: int, width: int) -> Layout:
    """Return the layout [(C h w), O] <-> [(h w C), O] of a dense layer over a flattened feature map."""
    layout = flat(height, width)
    return Layout(lambda array: layout.ours(array.T), lambda array: layout.theirs(array).T)


TF_FLAT = tf_flat(4, 4)


@dataclass(frozen=True)
class Rule:
    """One line of a table: their name, our name, and the layout."""

    theirs: str
    ours: str
    layout: Layout = SAME

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        return _pattern(self.theirs), _pattern(self.ours)

    def name_here(self, name: str) -> str | None:
        """Return our name of an array with their ``name``; None if the rule does not match."""
        match = self._patterns[0].fullmatch(name)
        return self.ours.format(**match.groupdict()) if match else None

    def name_there(self, name: str) -> str | None:
        """Return their name of an array with our ``name``; None if the rule does not match."""
        match = self._patterns[1].fullmatch(name)
        return self.theirs.format(**match.groupdict()) if match else None


def _pattern(template: str) -> re.Pattern[str]:
    """Compile a template; each placeholder matches a number, and equal placeholders match equal numbers."""
    parts, seen = re.split(r"\{(\w)\}", template), set()
    for i in range(1, len(parts), 2):
        place, is_new = parts[i], parts[i] not in seen
        seen.add(place)
        parts[i] = f"(?P<{place}>[0-9]+)" if is_new else f"(?P={place})"
    return re.compile("".join(part if i % 2 else re.escape(part) for i, part in enumerate(parts)))


@dataclass(frozen=True)
class Table:
    """Names of all arrays of one network of one family in one framework."""

    family: str
    """Name of the family and network, for messages."""
    rules: tuple[Rule, ...]
    constants: tuple[str, ...] = ()
    """Last components of the names of arrays that are no weights but follow from the settings."""

    def to_ours(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert arrays [...] to our names and layouts.

        Raises:
          UserError: an array has an unknown name, or a shape that is impossible for its layer.
        """
        result = {}
        for name, array in arrays.items():
            if self._is_constant(name):
                continue
            rule = self._rule(name)
            if rule is None:
                raise UserError(f"{named(name)} is not a weight of a {self.family}")
            here = rule.name_here(name)
            assert here is not None
            result[here] = _changed(rule.layout.ours, name, array)
        return result

    def to_theirs(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Convert weights [...] to their names and layouts.

        For PyTorch, ``to_theirs(to_ours(arrays))`` equals ``arrays`` without constants, bit for bit.

        Raises:
          UserError: a weight has no name in the table, or a shape that is impossible for its layer.
        """
        result = {}
        for name, array in weights.items():
            found = ((rule, there) for rule in self.rules if (there := rule.name_there(name)) is not None)
            rule, there = next(found, (None, None))
            if rule is None or there is None:
                raise UserError(f"{name} has no original name in a {self.family}")
            result[there] = np.asarray(_changed(rule.layout.theirs, name, array), order="C")
        return result

    def _rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name_here(name) is not None), None)

    def _is_constant(self, name: str) -> bool:
        return name.rpartition(".")[2] in self.constants


def _changed(change: Change, name: str, array: np.ndarray) -> np.ndarray:
    try:
        return change(np.asarray(array))
    except (ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{named(name)} has shape {np.shape(array)}, which is impossible for its layer") from error
