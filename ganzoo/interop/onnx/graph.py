"""An ONNX graph under construction: operators, weights, and tensors whose axes are stored in any order.

JAX names the axes of images N, H, W, C, and ONNX convolves N, C, H, W. A ``Tensor`` keeps the axes as JAX names them
and the order in which ONNX stores them, so images are transposed once, at the end, instead of around every convolution.
An axis along which nothing changes is kept with size 1 for as long as operators broadcast it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from ganzoo.errors import UserError

Dim: TypeAlias = Any
"""Size of an axis: a number, or JAX's symbolic size of the batch."""
Shape: TypeAlias = tuple[Dim, ...]


def unwritable(what: str) -> UserError:
    """Return the error for what has no counterpart in ONNX, or none yet."""
    return UserError(f"format = 'onnx': {what} cannot be written; --format jax can")


@dataclass(frozen=True)
class Tensor:
    """A tensor that the graph computes."""

    name: str
    shape: Shape
    """Sizes of the axes as JAX names them; 1 where the tensor is the same along an axis, whatever the size there."""
    order: tuple[int, ...]
    """The axis, as JAX names it, of every stored axis."""


Value: TypeAlias = Tensor | np.ndarray
"""A tensor, or a constant that is known while exporting. A value without axes stands for any shape."""


@dataclass(frozen=True)
class Node:
    """One operator of ONNX."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass
class Graph:
    """Nodes in their order, and constants (ONNX's "initializers") by name."""

    batch: Dim
    """The symbolic size of the batch."""
    batch_source: str
    """The input whose first axis has that size."""
    nodes: list[Node] = field(default_factory=list)
    initializers: dict[str, np.ndarray] = field(default_factory=dict)
    widened: set[str] = field(default_factory=set)
    """Types of floats that are computed in float32."""
    _known: dict[Any, str] = field(default_factory=dict)
    _makers: dict[str, Node] = field(default_factory=dict)

    def node(self, operator: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None) -> str:
        """Add an operator, unless the same is there already, and return the name of its output."""
        attributes = attributes or {}
        key = (operator, tuple(inputs), repr(sorted(attributes.items())))
        if key not in self._known:
            self._known[key] = name = f"{operator.lower()}_{len(self.nodes)}"
            self.nodes.append(Node(operator, tuple(inputs), name, attributes))
            self._makers[name] = self.nodes[-1]
        return self._known[key]

    def made(self, name: str) -> Node | None:
        """Return the operator whose output has a name; None for an input or a constant."""
        return self._makers.get(name)

    def initializer(self, array: np.ndarray) -> str:
        """Add a constant, unless the same is there already, and return its name; floats become float32."""
        narrow = array.astype(np.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array
        content = narrow.tobytes()
        key = (narrow.dtype.str, narrow.shape, hashlib.sha256(content).digest())
        if key not in self._known:
            self._known[key] = f"constant_{len(self.initializers)}"
            self.initializers[self._known[key]] = np.frombuffer(content, narrow.dtype).reshape(narrow.shape)
        return self._known[key]

    def integers(self, numbers: Sequence[int]) -> str:
        """Return the name of a constant list of int64, as which operators take axes, sizes and places."""
        return self.initializer(np.array(numbers, np.int64))

    # Layout -------------------------------------------------------------------------------------------------------

    def ordered(self, value: Value, order: Sequence[int]) -> str:
        """Return the name of a value whose axes are stored in an order."""
        if not isinstance(value, Tensor):
            return self.initializer(np.transpose(value, order) if value.ndim else value)
        if value.order == tuple(order) or not value.order:
            return value.name
        return self.node("Transpose", [value.name], {"perm": [value.order.index(axis) for axis in order]})

    def tensor(self, value: Value, shape: Shape) -> Tensor:
        """Return a tensor whose axes have their full size."""
        value = self.full(value, shape)
        if isinstance(value, Tensor):
            return value
        return Tensor(self.initializer(value), shape, tuple(range(len(shape))))

    def plain(self, value: Value, shape: Shape) -> Tensor:
        """Return a tensor whose axes have their full size and are stored as JAX names them."""
        order = tuple(range(len(shape)))
        return Tensor(self.ordered(self.full(value, shape), order), shape, order)

    def full(self, value: Value, shape: Shape) -> Value:
        """Return a value whose axes all have their full size."""
        if value.shape == shape:
            return value
        if not value.shape:
            ones = (1,) * len(shape)
            is_tensor = isinstance(value, Tensor)
            value = Tensor(value.name, ones, tuple(range(len(shape)))) if is_tensor else value.reshape(ones)
        if not isinstance(value, Tensor):
            if all(isinstance(size, int) for size in shape):
                return np.broadcast_to(value, shape)
            value = Tensor(self.initializer(value), value.shape, tuple(range(len(shape))))
        target = [1 if value.shape[axis] == shape[axis] else shape[axis] for axis in value.order]
        return Tensor(self.node("Expand", [value.name, self._sizes(target)]), shape, value.order)

    def _sizes(self, sizes: Sequence[Dim]) -> str:
        """Return the name of a list of sizes, of which some may be that of the batch."""
        if all(isinstance(size, int) for size in sizes):
            return self.integers(sizes)
        return self.node("Concat", [self._size(size) for size in sizes], {"axis": 0})

    def _size(self, size: Dim) -> str:
        if isinstance(size, int):
            return self.integers([size])
        if size != self.batch:
            raise unwritable(f"an axis of {size} elements")
        return self.node("Shape", [self.batch_source], {"start": 0, "end": 1})

    def reshape(self, value: Value, old: Shape, new: Shape) -> Value:
        """Split, merge, insert or drop axes; transpose only where axes that are merged are not stored side by side."""
        if not value.shape:
            return value
        groups = axis_groups(old, new)
        mixed = [before for before, after in groups if len(before) > 1 or len(after) > 1]
        same = [{value.shape[i] for i in before} == {1} for before in mixed]  # a group of axes without any change
        if any(
            value.shape[i] != old[i] for before, is_same in zip(mixed, same, strict=True) if not is_same for i in before
        ):
            value = self.full(value, old)
        sizes = _sizes_after(value.shape, groups, new)
        if not isinstance(value, Tensor):
            return value.reshape(sizes)
        if not all(_side_by_side(value.order, before) for before in mixed):
            order = tuple(range(len(old)))
            value = Tensor(self.ordered(value, order), value.shape, order)
        order = _order_after(value.order, groups)
        target = [sizes[axis] for axis in order]
        if target == [value.shape[axis] for axis in value.order]:
            return Tensor(value.name, sizes, order)
        unknown = [size for size in target if not isinstance(size, int)]
        if len(unknown) > 1:
            raise unwritable(f"a reshape to {tuple(new)}")
        numbers = [size if isinstance(size, int) else -1 for size in target]
        return Tensor(self.node("Reshape", [value.name, self.integers(numbers)]), sizes, order)


Groups: TypeAlias = list[tuple[range, range]]


def axis_groups(old: Shape, new: Shape) -> Groups:
    """Return which axes of an old shape become which axes of a new one, in the smallest groups of equal size."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            p, q = 1, 1
        elif j < len(new) and new[j] == 1:
            p, q = 0, 1
        elif i < len(old) and old[i] == 1:
            p, q = 1, 0
        else:
            sizes = sorted(
                ((p, q) for p in range(1, len(old) - i + 1) for q in range(1, len(new) - j + 1)), key=lambda pq: sum(pq)
            )
            p, q = next((p, q) for p, q in sizes if prod(old[i : i + p]) == prod(new[j : j + q]))
        groups.append((range(i, i + p), range(j, j + q)))
        i, j = i + p, j + q
    return groups


def _sizes_after(shape: Shape, groups: Groups, new: Shape) -> Shape:
    """Return the sizes after a reshape, where axes of size 1 may stand for larger ones."""
    sizes = []
    for before, after in groups:
        if all(shape[i] == 1 for i in before):
            sizes += [1 for _ in after]
        elif len(before) == len(after) == 1:
            sizes.append(shape[before[0]])
        else:
            sizes += [new[j] for j in after]
    return tuple(sizes)


def _order_after(order: Sequence[int], groups: Groups) -> tuple[int, ...]:
    """Return the order of the stored axes after a reshape; a new axis follows its left neighbour."""
    first = {before[0]: after for before, after in groups if before}
    places = [j for axis in order for j in first.get(axis, ())]
    for before, after in groups:
        if not before:
            places.insert(places.index(after[0] - 1) + 1 if after[0] else 0, after[0])
    return tuple(places)


def _side_by_side(order: Sequence[int], axes: range) -> bool:
    places = [order.index(axis) for axis in axes]
    return places == list(range(places[0], places[0] + len(axes)))
