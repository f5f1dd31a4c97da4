"""ONNX operators for the primitives of JAX that work element by element."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.onnx.graph import Graph, Shape, Tensor, Value, unwritable

TYPES: Mapping[str, int] = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "uint32": 12}
"""ONNX's numbers of types (onnx.proto, TensorProto.DataType)."""


@dataclass(frozen=True)
class Call:
    """One use of a primitive."""

    name: str
    params: Mapping[str, Any]
    values: Sequence[Value]
    shapes: Sequence[Shape]
    """Full shapes of the values."""
    dtypes: Sequence[np.dtype]
    shape: Shape
    """Of the result."""
    dtype: np.dtype
    """Of the result."""

    def refuse(self, what: str = "") -> UserError:
        """Return the error for a use that no rule covers."""
        return unwritable(f"the operation {self.name} {what}".rstrip())


Rule: TypeAlias = Callable[[Graph, Call], Value | list[Value]]


# Elementwise --------------------------------------------------------------------------------------------------------


def joint_shape(values: Sequence[Value]) -> Shape:
    """Return the shape to which values broadcast, with 1 where none of them changes along an axis."""
    rank = max(len(value.shape) for value in values)
    shapes = [value.shape for value in values if value.shape]
    return tuple(next((s[i] for s in shapes if s[i] != 1), 1) for i in range(rank))


def apply(graph: Graph, operator: str, values: Sequence[Value], attributes: Mapping[str, Any] | None = None) -> Tensor:
    """Add an operator that broadcasts; the result is stored in the order of the largest tensor among the values."""
    shape = joint_shape(values)
    tensors = [value for value in values if isinstance(value, Tensor) and value.order]
    largest = max(tensors, key=lambda tensor: sum(size != 1 for size in tensor.shape), default=None)
    order = tuple(range(len(shape))) if largest is None else largest.order
    return Tensor(graph.node(operator, [graph.ordered(value, order) for value in values], attributes), shape, order)


def _number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def _is(value: Value, number: float) -> bool:
    return not isinstance(value, Tensor) and bool(np.all(value == number))


def _simple(operator: str, graph: Graph, call: Call) -> Value:
    return apply(graph, operator, call.values)


def _add(graph: Graph, call: Call) -> Value:
    a, b = call.values
    if _is(b, 0):
        return a
    if _is(a, 0):
        return b
    return apply(graph, "Add", [a, b])


def _multiply(graph: Graph, call: Call) -> Value:
    """Multiply; a factor that is 0 everywhere leaves nothing to compute."""
    a, b = call.values
    if _is(a, 0) or _is(b, 0):
        return np.zeros((), call.dtype)
    if _is(b, 1):
        return a
    if _is(a, 1):
        return b
    return apply(graph, "Mul", [a, b])


def _chain(operators: Sequence[str], graph: Graph, call: Call) -> Value:
    value = apply(graph, operators[0], call.values)
    for operator in operators[1:]:
        value = apply(graph, operator, [value])
    return value


def _square(graph: Graph, call: Call) -> Value:
    return apply(graph, "Mul", [call.values[0], call.values[0]])


def _power(graph: Graph, call: Call) -> Value:
    if call.params["y"] == 2:
        return _square(graph, call)
    return apply(graph, "Pow", [call.values[0], _number(call.params["y"])])


def _log1p(graph: Graph, call: Call) -> Value:
    return apply(graph, "Log", [apply(graph, "Add", [call.values[0], _number(1)])])


def _expm1(graph: Graph, call: Call) -> Value:
    return apply(graph, "Sub", [apply(graph, "Exp", call.values), _number(1)])


def _exp2(graph: Graph, call: Call) -> Value:
    return apply(graph, "Pow", [_number(2), call.values[0]])


def _erfc(graph: Graph, call: Call) -> Value:
    return apply(graph, "Sub", [_number(1), apply(graph, "Erf", call.values)])


def _clamp(graph: Graph, call: Call) -> Value:
    low, x, high = call.values
    return apply(graph, "Min", [apply(graph, "Max", [x, low]), high])


def _is_finite(graph: Graph, call: Call) -> Value:
    infinite, nan = apply(graph, "IsInf", call.values), apply(graph, "IsNaN", call.values)
    return apply(graph, "Not", [apply(graph, "Or", [infinite, nan])])


def cast(graph: Graph, value: Value, dtype: np.dtype) -> Value:
    name = "float32" if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype).name
    if name not in TYPES:
        raise unwritable(f"a number of type {name}")
    return apply(graph, "Cast", [value], {"to": TYPES[name]})


def _convert(graph: Graph, call: Call) -> Value:
    """Change the type; all types of floats are float32."""
    is_float = [jnp.issubdtype(dtype, jnp.floating) for dtype in (call.dtypes[0], call.dtype)]
    if not all(is_float):
        return cast(graph, call.values[0], call.dtype)
    if call.dtype.itemsize < 4:
        graph.widened.add(call.dtype.name)
    return call.values[0]


def _select(graph: Graph, call: Call) -> Value:
    """Choose by a condition; equal choices need none."""
    which, *cases = call.values
    if len(cases) == 1 or (len(cases) == 2 and _equal(*cases)):
        return cases[0]
    if len(cases) > 2:
        raise call.refuse(f"among {len(cases)} values")
    if (slope := _slope(graph, which, cases)) is not None:
        return apply(graph, "LeakyRelu", [cases[1]], {"alpha": slope})
    if call.dtypes[0] != np.bool_:
        which = cast(graph, which, np.dtype(np.bool_))
    return apply(graph, "Where", [which, cases[1], cases[0]])


def _slope(graph: Graph, which: Value, cases: Sequence[Value]) -> float | None:
    """Return a where a choice is x for x > 0 and a x otherwise, which runtimes have as one fast operator; else None."""
    scaled, x = cases
    if not (isinstance(which, Tensor) and isinstance(scaled, Tensor) and isinstance(x, Tensor)):
        return None
    condition, product = graph.made(which.name), graph.made(scaled.name)
    if condition is None or product is None or product.operator != "Mul" or x.name not in product.inputs:
        return None
    zero = graph.initializers.get(condition.inputs[-1])
    factor = graph.initializers.get(product.inputs[1 - product.inputs.index(x.name)])
    is_sign = condition.operator in ("Greater", "GreaterOrEqual") and condition.inputs[0] == x.name
    is_number = zero is not None and factor is not None and zero.size == factor.size == 1
    return float(factor.item()) if is_sign and is_number and zero.item() == 0 else None


def _equal(a: Value, b: Value) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and a == b
    return a.shape == b.shape and bool(np.all(a == b))


def _same(graph: Graph, call: Call) -> Value:
    del graph
    return call.values[0]


ELEMENTWISE: Mapping[str, Rule] = {
    # arithmetic
    "add": _add,
    "add_any": _add,
    "sub": partial(_simple, "Sub"),
    "mul": _multiply,
    "div": partial(_simple, "Div"),
    "rem": lambda graph, call: apply(graph, "Mod", call.values, {"fmod": 1}),
    "neg": partial(_simple, "Neg"),
    "sign": partial(_simple, "Sign"),
    "abs": partial(_simple, "Abs"),
    "max": partial(_simple, "Max"),
    "min": partial(_simple, "Min"),
    "clamp": _clamp,
    "floor": partial(_simple, "Floor"),
    "ceil": partial(_simple, "Ceil"),
    # powers and roots
    "square": _square,
    "integer_pow": _power,
    "pow": partial(_simple, "Pow"),
    "sqrt": partial(_simple, "Sqrt"),
    "rsqrt": partial(_chain, ("Sqrt", "Reciprocal")),
    # exponential and its kin
    "exp": partial(_simple, "Exp"),
    "exp2": _exp2,
    "expm1": _expm1,
    "log": partial(_simple, "Log"),
    "log1p": _log1p,
    "logistic": partial(_simple, "Sigmoid"),
    "tanh": partial(_simple, "Tanh"),
    "sin": partial(_simple, "Sin"),
    "cos": partial(_simple, "Cos"),
    "erf": partial(_simple, "Erf"),
    "erfc": _erfc,
    # truth
    "eq": partial(_simple, "Equal"),
    "ne": partial(_chain, ("Equal", "Not")),
    "gt": partial(_simple, "Greater"),
    "ge": partial(_simple, "GreaterOrEqual"),
    "lt": partial(_simple, "Less"),
    "le": partial(_simple, "LessOrEqual"),
    "and": partial(_simple, "And"),
    "or": partial(_simple, "Or"),
    "not": partial(_simple, "Not"),
    "is_finite": _is_finite,
    "select_n": _select,
    # types, and what has no effect here
    "convert_element_type": _convert,
    "copy": _same,
    "reduce_precision": _same,
    "stop_gradient": _same,
}
"""Rules by the name of the primitive. All of them broadcast."""
