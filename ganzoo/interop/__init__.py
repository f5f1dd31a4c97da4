"""Reading and writing other people's weights, without running what is in their files."""

from ganzoo.interop import onnx
from ganzoo.interop.card import model_card
from ganzoo.interop.convert import Converted, convert, mirror_generator
from ganzoo.interop.describe import describe, list_arrays
from ganzoo.interop.exchange import from_exchange, is_exchange, originals, save, save_originals, write_arrays
from ganzoo.interop.export import export, export_onnx
from ganzoo.interop.foreign import TORCH_SUFFIXES, save_torch
from ganzoo.interop.reading.contents import Contents, Network, check_address, read, read_tensors

__all__ = [
    "TORCH_SUFFIXES",
    "Contents",
    "Converted",
    "Network",
    "check_address",
    "convert",
    "describe",
    "export",
    "export_onnx",
    "from_exchange",
    "is_exchange",
    "list_arrays",
    "mirror_generator",
    "model_card",
    "onnx",
    "originals",
    "read",
    "read_tensors",
    "save",
    "save_originals",
    "save_torch",
    "write_arrays",
]
