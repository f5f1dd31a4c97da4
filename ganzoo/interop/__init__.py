"""Reading and writing of other libraries' weights, without executing code from their files."""

from ganzoo.interop.contents import Contents, Network, read, read_tensors
from ganzoo.interop.convert import Converted, completed, convert
from ganzoo.interop.describe import describe, list_arrays
from ganzoo.interop.exchange import is_ours, loaded, originals, save, write_arrays

__all__ = [
    "Contents",
    "Converted",
    "Network",
    "completed",
    "convert",
    "describe",
    "is_ours",
    "list_arrays",
    "loaded",
    "originals",
    "read",
    "read_tensors",
    "save",
    "write_arrays",
]
