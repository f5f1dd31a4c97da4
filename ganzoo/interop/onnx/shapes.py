"""ONNX operators for the primitives of JAX that move, sum or multiply along axes."""

from collections.abc import Mapping, Sequence
from functools import partial
from string import ascii_lowercase
from typing import TypeAlias

import numpy as np

from ganzoo.interop.onnx.elementwise import Call, Rule, cast
from ganzoo.interop.onnx.graph import Graph, Shape, Tensor, Value

# Shapes -------------------------------------------------------------------------------------------------------------


def _reshape(graph: Graph, call: Call) -> Value:
    return graph.reshape(call.values[0], call.shapes[0], call.shape)


def _broadcast(graph: Graph, call: Call) -> Value:
    between = [1] * len(call.shape)
    for axis, size in zip(call.params["broadcast_dimensions"], call.shapes[0], strict=True):
        between[axis] = size
    return graph.reshape(call.values[0], call.shapes[0], tuple(between))


def _transpose(graph: Graph, call: Call) -> Value:
    del graph
    return _transposed(call.values[0], call.params["permutation"])


def _transposed(value: Value, permutation: Sequence[int]) -> Value:
    """Name the axes in another order; nothing is moved."""
    if not value.shape:
        return value
    if not isinstance(value, Tensor):
        return np.transpose(value, permutation)
    shape = tuple(value.shape[axis] for axis in permutation)
    return Tensor(value.name, shape, tuple(list(permutation).index(axis) for axis in value.order))


Cut: TypeAlias = tuple[int, int, int, int]
"""Axis, start, end and step of a slice; ends count as in ONNX."""


def cut(graph: Graph, value: Value, shape: Shape, cuts: Sequence[Cut]) -> Value:
    """Slice axes of a tensor, to those of a full ``shape``; axes along which nothing changes stay as they are."""
    cuts = [c for c in cuts if value.shape and value.shape[c[0]] != 1]
    if not cuts:
        return value
    if not isinstance(value, Tensor):
        kept = {axis: slice(*numbers) for axis, *numbers in cuts}
        return value[tuple(kept.get(axis, slice(None)) for axis in range(value.ndim))]
    places = [value.order.index(axis) for axis, *_ in cuts]
    starts, ends, steps = ([c[k] for c in cuts] for k in (1, 2, 3))
    name = graph.node("Slice", [value.name, *map(graph.integers, (starts, ends, places, steps))])
    cut_axes = {c[0] for c in cuts}
    sizes = tuple(shape[i] if i in cut_axes else size for i, size in enumerate(value.shape))
    return Tensor(name, sizes, value.order)


def _slice(graph: Graph, call: Call) -> Value:
    starts, ends = call.params["start_indices"], call.params["limit_indices"]
    steps = call.params["strides"] or (1,) * len(starts)
    whole = call.shapes[0]
    cuts = [
        (axis, start, end, step)
        for axis, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True))
        if not (isinstance(start, int) and start == 0 and end == whole[axis] and step == 1)
    ]
    if not all(isinstance(number, int) for c in cuts for number in c):
        raise call.refuse("along the batch")
    return cut(graph, call.values[0], call.shape, cuts)


def _reverse(graph: Graph, call: Call) -> Value:
    cuts = [(axis, -1, -(2**31), -1) for axis in call.params["dimensions"]]
    return cut(graph, call.values[0], call.shape, cuts)


def pad(graph: Graph, value: Value, shape: Shape, widths: Sequence[tuple[int, int]], fill: Value) -> Tensor:
    """Pad a value of a full ``shape`` by (before, after) along its axes; negative numbers crop."""
    tensor = graph.tensor(value, shape)
    cropped = [size + min(low, 0) + min(high, 0) for size, (low, high) in zip(shape, widths, strict=True)]
    cuts = [
        (axis, max(-low, 0), high if high < 0 else 2**31, 1)
        for axis, (low, high) in enumerate(widths)
        if low < 0 or high < 0
    ]
    tensor = graph.tensor(cut(graph, tensor, tuple(cropped), cuts), tuple(cropped))
    axes = [axis for axis in tensor.order if max(widths[axis]) > 0]
    if not axes:
        return tensor
    pads = [max(widths[axis][side], 0) for side in (0, 1) for axis in axes]
    places = [tensor.order.index(axis) for axis in axes]
    inputs = [tensor.name, graph.integers(pads), graph.ordered(fill, ()), graph.integers(places)]
    sizes = tuple(size + max(low, 0) + max(high, 0) for size, (low, high) in zip(tensor.shape, widths, strict=True))
    return Tensor(graph.node("Pad", inputs, {"mode": "constant"}), sizes, tensor.order)


def _pad(graph: Graph, call: Call) -> Value:
    config = call.params["padding_config"]
    if any(inner for *_, inner in config):
        raise call.refuse("between elements")
    return pad(graph, call.values[0], call.shapes[0], [(low, high) for low, high, _ in config], call.values[1])


def _concatenate(graph: Graph, call: Call) -> Value:
    parts = [graph.full(value, shape) for value, shape in zip(call.values, call.shapes, strict=True)]
    return _joined(graph, parts, call.shape, call.params["dimension"])


def _stack(graph: Graph, call: Call) -> Value:
    axis, parts = call.params["axis"], []
    for value, shape in zip(call.values, call.shapes, strict=True):
        parts.append(graph.reshape(graph.full(value, shape), shape, (*shape[:axis], 1, *shape[axis:])))
    return _joined(graph, parts, call.shape, axis)


def _joined(graph: Graph, parts: Sequence[Value], shape: Shape, axis: int) -> Tensor:
    """Concatenate values of full size in the order of the first tensor."""
    order = next((part.order for part in parts if isinstance(part, Tensor)), tuple(range(len(shape))))
    names = [graph.ordered(part, order) for part in parts]
    return Tensor(graph.node("Concat", names, {"axis": order.index(axis)}), shape, order)


def _split(graph: Graph, call: Call) -> list[Value]:
    axis, value, start, parts = call.params["axis"], call.values[0], 0, []
    for size in call.params["sizes"]:
        shape = (*call.shapes[0][:axis], size, *call.shapes[0][axis + 1 :])
        parts.append(cut(graph, value, shape, [(axis, start, start + size, 1)]))
        start += size
    return parts


def _gather(graph: Graph, call: Call) -> Value:
    """Cut and take elements at constant places, one axis after the other; this is how JAX slices a symbolic shape."""
    value, places = call.values[0], graph.full(call.values[1], call.shapes[1])
    numbers, sizes, shape = call.params["dimension_numbers"], call.params["slice_sizes"], list(call.shapes[0])
    if isinstance(places, Tensor) or numbers.operand_batching_dims:
        raise call.refuse("at places that are computed")
    taken = {}  # axis of the value by axis of the places
    for k, axis in enumerate(numbers.start_index_map):
        if not isinstance(shape[axis], int):
            raise call.refuse("along the batch")
        starts = np.clip(places[..., k], 0, shape[axis] - sizes[axis])
        along = [i for i in range(starts.ndim) if np.any(starts != starts.take([0], i))]
        if len(along) > 1 or (along and (sizes[axis] > 1 or along[0] in taken)):
            raise call.refuse("along several axes at once")
        if along:
            taken[along[0]] = axis
            line = np.moveaxis(starts, along[0], 0).reshape(starts.shape[along[0]], -1)[:, 0].tolist()
        else:
            line = range(starts.flat[0], starts.flat[0] + sizes[axis])
        shape[axis] = len(line)
        value = _take(graph, value, tuple(shape), axis, line)
    if any(size > 1 and i not in taken for i, size in enumerate(places.shape[:-1])):
        raise call.refuse("that repeats elements")
    beside = [axis for axis in range(len(call.shape)) if axis not in numbers.offset_dims]
    window = [axis for axis in range(len(shape)) if axis not in numbers.collapsed_slice_dims]
    goals = {**dict(zip(window, numbers.offset_dims, strict=True)), **{axis: beside[i] for i, axis in taken.items()}}
    kept = sorted(goals)
    value = graph.reshape(value, tuple(shape), tuple(shape[axis] for axis in kept))
    value = _transposed(value, sorted(range(len(kept)), key=lambda i: goals[kept[i]]))
    return graph.reshape(value, tuple(shape[axis] for axis in sorted(kept, key=lambda axis: goals[axis])), call.shape)


def _take(graph: Graph, value: Value, shape: Shape, axis: int, places: Sequence[int]) -> Value:
    """Take elements along one axis, in even steps by a slice."""
    steps = set(np.diff(places).tolist()) or {1}
    if len(steps) == 1 and (step := steps.pop()) != 0:
        end = places[-1] + (1 if step > 0 else -1)
        return cut(graph, value, shape, [(axis, places[0], end if end >= 0 else -(2**31), step)])
    if not value.shape or value.shape[axis] == 1:
        return value
    if not isinstance(value, Tensor):
        return value.take(places, axis)
    name = graph.node("Gather", [value.name, graph.integers(places)], {"axis": value.order.index(axis)})
    return Tensor(name, (*value.shape[:axis], len(places), *value.shape[axis + 1 :]), value.order)


# Sums and products --------------------------------------------------------------------------------------------------


def _reduce(operator: str, graph: Graph, call: Call) -> Value:
    axes = call.params["axes"]
    tensor = graph.tensor(call.values[0], call.shapes[0])
    places = [tensor.order.index(axis) for axis in axes]
    name = graph.node(operator, [tensor.name, graph.integers(places)], {"keepdims": 0})
    kept = [axis for axis in range(len(tensor.order)) if axis not in axes]
    return Tensor(name, call.shape, tuple(kept.index(axis) for axis in tensor.order if axis in kept))


def _reduce_truth(operator: str, graph: Graph, call: Call) -> Value:
    number = cast(graph, call.values[0], np.dtype(np.int32))
    counted = Call(call.name, call.params, [number], call.shapes, [np.dtype(np.int32)], call.shape, np.dtype(np.int32))
    return cast(graph, _reduce(operator, graph, counted), np.dtype(np.bool_))


def _dot(graph: Graph, call: Call) -> Value:
    """Multiply matrices, or sum over products of any axes as an Einstein sum."""
    (a_sum, b_sum), (a_batch, b_batch) = call.params["dimension_numbers"]
    a, b = (graph.full(value, shape) for value, shape in zip(call.values, call.shapes, strict=True))
    rank = len(a.shape)
    order = tuple(range(len(call.shape)))
    if not a_batch and len(b.shape) == 2 and tuple(a_sum) == (rank - 1,) and rank > 1:
        matrix = graph.ordered(b, (b_sum[0], 1 - b_sum[0]))
        return Tensor(graph.node("MatMul", [graph.ordered(a, range(rank)), matrix]), call.shape, order)
    letters = list(ascii_lowercase)
    a_letters = [letters.pop(0) for _ in a.shape]
    b_letters = [letters.pop(0) for _ in b.shape]
    for i, j in [*zip(a_sum, b_sum, strict=True), *zip(a_batch, b_batch, strict=True)]:
        b_letters[j] = a_letters[i]
    free = [a_letters[i] for i in range(rank) if i not in (*a_sum, *a_batch)]
    free += [b_letters[j] for j in range(len(b.shape)) if j not in (*b_sum, *b_batch)]
    inputs = ["".join(a_letters[i] for i in _stored(a)), "".join(b_letters[j] for j in _stored(b))]
    equation = f"{','.join(inputs)}->{''.join([a_letters[i] for i in a_batch] + free)}"
    names = [graph.ordered(value, _stored(value)) for value in (a, b)]
    return Tensor(graph.node("Einsum", names, {"equation": equation}), call.shape, order)


def _stored(value: Value) -> tuple[int, ...]:
    return value.order if isinstance(value, Tensor) else tuple(range(value.ndim))


SHAPES: Mapping[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "rev": _reverse,
    "pad": _pad,
    "gather": _gather,
    "concatenate": _concatenate,
    "stack": _stack,
    "split": _split,
    "reduce_sum": partial(_reduce, "ReduceSum"),
    "reduce_max": partial(_reduce, "ReduceMax"),
    "reduce_min": partial(_reduce, "ReduceMin"),
    "reduce_prod": partial(_reduce, "ReduceProd"),
    "reduce_and": partial(_reduce_truth, "ReduceMin"),
    "reduce_or": partial(_reduce_truth, "ReduceMax"),
    "dot_general": _dot,
}
"""Rules by the name of the primitive."""
