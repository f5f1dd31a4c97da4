"""From a program of JAX to an ONNX graph: trace, compute what is constant, and write the rest by rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ganzoo.interop.onnx.convolution import convolution
from ganzoo.interop.onnx.elementwise import ELEMENTWISE, Call, Rule, joint_shape
from ganzoo.interop.onnx.graph import Graph, Node, Tensor
from ganzoo.interop.onnx.shapes import SHAPES

RULES: Mapping[str, Rule] = {**ELEMENTWISE, **SHAPES, "conv_general_dilated": convolution}
INLINED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Parameters with the program of a primitive that only calls it."""
CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "checkpoint",
    "remat",
    "remat2",
    "custom_jvp_call",
    "custom_vjp_call",
)
"""Primitives that only call a program."""


def trace(function: Callable[..., jax.Array], inputs: Mapping[str, jax.ShapeDtypeStruct], output: str) -> Graph:
    """Return the graph of a function of arrays.

    Args:
      function: takes the inputs in their order; its closures are constants.
      inputs: shape and type by name; the first axis of the first one is the batch and symbolic.
      output: name of the result, whose axes are stored as JAX names them.

    Raises:
      UserError: a primitive of the function has no rule.
    """
    source, first = next(iter(inputs.items()))
    graph = Graph(first.shape[0], source)
    program = jax.jit(function).trace(*inputs.values()).jaxpr
    given = [Tensor(name, spec.shape, tuple(range(len(spec.shape)))) for name, spec in inputs.items()]
    (result,) = _run(graph, program, given)
    shape = program.out_avals[0].shape
    return _finished(graph, graph.plain(result, shape).name, output)


def _run(graph: Graph, program: Any, values: Sequence[Any]) -> list[Any]:
    """Write a closed program; return its results."""
    known = dict(zip(program.jaxpr.invars, values, strict=True))
    known.update(zip(program.jaxpr.constvars, map(_constant, program.consts), strict=True))

    def read(variable: Any) -> Any:
        return _constant(variable.val) if isinstance(variable, core.Literal) else known[variable]

    for equation in program.jaxpr.eqns:
        results = _equation(graph, equation, [read(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in program.jaxpr.outvars]


def _equation(graph: Graph, equation: Any, values: Sequence[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    is_constant = not any(isinstance(value, Tensor) for value in values)
    is_static = all(isinstance(size, int) for out in equation.outvars for size in out.aval.shape)
    if is_constant and is_static and name != "broadcast_in_dim":
        return _fold(equation, values)
    if name in CALLS:
        return _run(graph, _program(equation), values)
    if name == "cond" and not isinstance(values[0], Tensor):
        branches = params["branches"]
        return _run(graph, branches[int(np.clip(values[0], 0, len(branches) - 1))], values[1:])
    out = equation.outvars[0].aval
    shapes = [variable.aval.shape for variable in equation.invars]
    dtypes = [variable.aval.dtype for variable in equation.invars]
    call = Call(name, params, values, shapes, dtypes, out.shape, out.dtype)
    if name not in RULES:
        raise call.refuse()
    results = RULES[name](graph, call)
    return results if isinstance(results, list) else [results]


def _program(equation: Any) -> Any:
    """Return the closed program that a call runs."""
    program = next(equation.params[name] for name in INLINED if name in equation.params)
    return program if isinstance(program, core.ClosedJaxpr) else core.ClosedJaxpr(program, ())


def _fold(equation: Any, values: Sequence[Any]) -> list[Any]:
    """Compute an equation of constants, at the size that they have before they are broadcast."""
    name = equation.primitive.name
    if name in ELEMENTWISE:
        shape = joint_shape(values)
        full = [np.broadcast_to(value, shape) for value in values]
    else:
        shapes = [variable.aval.shape for variable in equation.invars]
        full = [_expanded(value, shape) for value, shape in zip(values, shapes, strict=True)]
    if name in CALLS:
        return [_constant(result) for result in jax.jit(core.jaxpr_as_fun(_program(equation)))(*full)]
    results = equation.primitive.bind(*map(jnp.asarray, full), **equation.params)
    return [_constant(result) for result in (results if equation.primitive.multiple_results else [results])]


def _constant(array: Any) -> Any:
    """Return an array of NumPy; keys of random numbers stay as they are."""
    is_key = isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.extended)
    return array if is_key else np.asarray(array)


def _expanded(value: Any, shape: tuple[int, ...]) -> Any:
    return value if value.shape == shape else np.broadcast_to(value, shape)


def _finished(graph: Graph, result: str, output: str) -> Graph:
    """Return the graph with only what the result needs, which is renamed to ``output``."""
    needed, nodes = {result}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    if result not in {node.output for node in nodes}:  # a constant or an input
        nodes.insert(0, Node("Identity", (result,), output, {}))
    renamed = [
        Node(node.operator, node.inputs, output if node.output == result else node.output, node.attributes)
        for node in reversed(nodes)
    ]
    kept = {name: array for name, array in graph.initializers.items() if name in needed}
    return replace(graph, nodes=renamed, initializers=kept)
