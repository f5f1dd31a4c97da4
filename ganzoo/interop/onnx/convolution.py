"""ONNX operators for JAX's convolutions: plain, strided, dilated, grouped and transposed ones."""

from collections.abc import Sequence

import numpy as np

from ganzoo.interop.onnx.elementwise import Call
from ganzoo.interop.onnx.graph import Graph, Tensor, Value
from ganzoo.interop.onnx.shapes import pad


def convolution(graph: Graph, call: Call) -> Value:
    """Convolve in the order of the axes that ONNX has: images N, C, H, W and kernels O, I, height, width."""
    params, names = call.params, call.params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        raise call.refuse("with groups of the batch")
    x, shape = call.values[0], call.shapes[0]
    image = names.lhs_spec
    is_plain = all(by == 1 for by in params["lhs_dilation"])
    padding = [(int(low), int(high)) for low, high in params["padding"]]
    if is_plain and min(min(sides) for sides in padding) < 0:
        widths = dict(zip(image[2:], padding, strict=True))
        x = pad(graph, x, shape, [widths.get(axis, (0, 0)) for axis in range(len(shape))], np.zeros((), np.float32))
        shape, padding = x.shape, [(0, 0) for _ in padding]
    name = graph.ordered(graph.full(x, shape), image)
    if not is_plain:
        return _transposed(graph, call, name, padding)
    weights = graph.ordered(graph.full(call.values[1], call.shapes[1]), names.rhs_spec)
    attributes = {
        "strides": list(params["window_strides"]),
        "dilations": list(params["rhs_dilation"]),
        "pads": _pads(padding),
        "group": params["feature_group_count"],
        "kernel_shape": [call.shapes[1][axis] for axis in names.rhs_spec[2:]],
    }
    return Tensor(graph.node("Conv", [name, weights], attributes), call.shape, names.out_spec)


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
    return [low for low, _ in padding] + [high for _, high in padding]


def _transposed(graph: Graph, call: Call, image: str, padding: Sequence[tuple[int, int]]) -> Tensor:
    """Write a convolution of a dilated image as a transposed convolution with the turned kernel.

    The transposed convolution gives all pixels that any tap reaches: ``reach - padding`` too many on each side, where
    ``reach`` is the size of the kernel minus 1.
    """
    params, names = call.params, call.params["dimension_numbers"]
    kernel, groups = call.values[1], params["feature_group_count"]
    if isinstance(kernel, Tensor) or any(by != 1 for by in params["window_strides"]):
        raise call.refuse("of a dilated image with a stride, or with a kernel that is computed,")
    kernel = np.transpose(np.broadcast_to(kernel, call.shapes[1]), names.rhs_spec)
    sizes, dilations = kernel.shape[2:], params["rhs_dilation"]
    kernel = np.flip(kernel, tuple(range(2, kernel.ndim)))
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:]).swapaxes(1, 2)  # [groups, I / groups, O / groups, ...]
    kernel = kernel.reshape(-1, *kernel.shape[2:])
    reach = [(size - 1) * by for size, by in zip(sizes, dilations, strict=True)]
    extra = [(by - low, by - high) for by, (low, high) in zip(reach, padding, strict=True)]
    attributes = {
        "strides": list(params["lhs_dilation"]),
        "dilations": list(dilations),
        "pads": _pads([(max(low, 0), max(high, 0)) for low, high in extra]),
        "group": groups,
        "kernel_shape": list(sizes),
    }
    name = graph.node("ConvTranspose", [image, graph.initializer(kernel)], attributes)
    beyond = dict(zip(names.out_spec[2:], [(max(-low, 0), max(-high, 0)) for low, high in extra], strict=True))
    widths = [beyond.get(axis, (0, 0)) for axis in range(len(call.shape))]
    shape = tuple(size - low - high for size, (low, high) in zip(call.shape, widths, strict=True))
    return pad(graph, Tensor(name, shape, names.out_spec), shape, widths, np.zeros((), np.float32))
