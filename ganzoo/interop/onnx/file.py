"""An ONNX file of a graph. Needs the package ``onnx``."""

import importlib
from collections.abc import Mapping
from typing import Any

import jax

from ganzoo.errors import UserError, install
from ganzoo.interop.onnx.graph import Graph

OPSET, IR_VERSION = 18, 8
"""Of December 2022; read by onnxruntime from 1.14 on."""


def library() -> Any:
    """Return the package ``onnx``; ``UserError`` where it is not installed."""
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise UserError(f"format = 'onnx': needs the extra onnx: {install('onnx')}") from error


def to_bytes(
    graph: Graph,
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    outputs: Mapping[str, tuple[Any, ...]],
    properties: Mapping[str, str],
) -> bytes:
    """Serialise a graph, weights included.

    Args:
      graph: the graph.
      inputs: shapes by name; a symbolic size is written by its name. All are float32.
      outputs: shapes by name. All are float32.
      properties: what the file says of itself by name, such as its "model".

    Raises:
      UserError: the package is not installed, or the file would have more than 2 GB, the limit of the format.
    """
    onnx = library()
    helper, to_array = onnx.helper, onnx.numpy_helper.from_array

    def info(name: str, shape: tuple[Any, ...]) -> Any:
        sizes = [size if isinstance(size, int) else str(size) for size in shape]
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)

    nodes = [
        helper.make_node(node.operator, list(node.inputs), [node.output], name=node.output, **node.attributes)
        for node in graph.nodes
    ]
    content = helper.make_graph(
        nodes,
        properties["model"],
        [info(name, spec.shape) for name, spec in inputs.items()],
        [info(name, shape) for name, shape in outputs.items()],
        [to_array(array, name) for name, array in graph.initializers.items()],
    )
    model = helper.make_model(
        content,
        producer_name="ganzoo",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, dict(properties))
    if model.ByteSize() >= 2**31:
        raise UserError(f"format = 'onnx': the file would have {model.ByteSize():,} bytes; ONNX files end at 2 GB")
    return model.SerializeToString()
