"""ONNX files of JAX programs: operators of ONNX for the primitives of JAX."""

from ganzoo.interop.onnx.file import library, to_bytes
from ganzoo.interop.onnx.trace import trace

__all__ = ["library", "to_bytes", "trace"]
