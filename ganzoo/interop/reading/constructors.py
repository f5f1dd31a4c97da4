"""Names that a pickle of networks may use, and the inert records that replace the named objects.

The names cover arrays of NumPy, tensors and storages of PyTorch, plain collections, and the two records of a network in
the original code: the persistent object of ``torch_utils.persistence`` and the ``Network`` of ``dnnlib.tflib``. Both
records embed source text, which is never read.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import (
    Built,
    Constructor,
    Foreign,
    Keyed,
    Meter,
    checked_key,
    foreign,
    named,
    put,
    refusal,
)
from ganzoo.interop.reading.modules import PersistentObject, module_calls, persistent_object

NUMPY_TYPE = re.compile(r"(?:[fiu][1248]|b1)$")
MAX_DIMENSIONS = 32

STORAGES: Mapping[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
"""Element types, in the byte order of PyTorch's files, by the storage classes of ``torch``."""

DTYPES = ("float16", "bfloat16", "float32", "float64")
"""Types of ``torch`` that modules keep as attributes, by name."""


# Records ------------------------------------------------------------------------------------------------------------


@dataclass
class NumpyType(Built):
    """A ``numpy.dtype``."""

    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        """Set the byte order from (version, order, ...); refuse types with fields or a shape."""
        _, order, subtype, names, fields, *_ = state
        if order not in ("<", ">", "|", "=") or (subtype, names, fields) != (None, None, None):
            raise UserError("refused: a numpy.dtype with fields")
        self.order = order

    def dtype(self) -> np.dtype:
        """Return the NumPy dtype."""
        return np.dtype(self.code).newbyteorder(self.order if self.order != "|" else "=")  # ty: ignore[invalid-argument-type]


@dataclass
class NumpyArray(Built):
    """A ``numpy.ndarray``."""

    meter: Meter
    content: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """Set the content from (version, shape, type, Fortran order, bytes)."""
        _, shape, kind, is_fortran, raw = state
        if not isinstance(kind, NumpyType) or not isinstance(raw, bytes):
            raise UserError(f"refused: an array of {named(kind)} in {named(raw)}")
        dtype = kind.dtype()
        if sizes(shape) * dtype.itemsize != len(raw):
            raise UserError(f"refused: an array of shape {shape} in {len(raw)} bytes")
        self.meter.spend(size=len(raw))
        self.content = np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")

    def array(self) -> np.ndarray:
        """Return the NumPy array, of any shape [...]."""
        if self.content is None:
            raise UserError("refused: an array without content")
        return self.content


@dataclass
class Storage:
    """Storage of PyTorch: a flat buffer, shared by the tensors that view it."""

    kind: np.dtype
    count: int
    """Number of elements."""
    read: Callable[[], bytes] | None = None
    """Function that reads the bytes; None until the bytes are located."""
    _content: np.ndarray | None = None

    def content(self) -> np.ndarray:
        """Return the elements [count]; raise ``UserError`` if the file holds another number of bytes."""
        if self._content is None:
            if self.read is None:
                raise UserError("refused: a tensor whose storage is not in the file")
            raw = self.read()
            if len(raw) != self.count * self.kind.itemsize:
                raise UserError(f"refused: a storage of {self.count} x {self.kind} in {len(raw)} bytes")
            self._content = np.frombuffer(raw, self.kind)
        return self._content


@dataclass(frozen=True)
class Tensor(Keyed):
    """Strided view of a storage; offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    meter: Meter

    def array(self) -> np.ndarray:
        """Return the NumPy array, of any shape [...]; raise ``UserError`` if the view does not fit into its storage."""
        count = sizes(self.shape)
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if count and (last >= self.storage.count or count > self.storage.count):
            raise UserError(
                f"refused: a tensor of shape {self.shape} and strides {self.strides} from element {self.offset} of a"
                f" storage of {self.storage.count}"
            )
        kind = self.storage.kind
        self.meter.spend(size=count * kind.itemsize)
        content = self.storage.content()[self.offset :] if count else np.empty(0, kind)
        if self.strides == contiguous(self.shape) or not count:
            return content[:count].reshape(self.shape)
        strides = [stride * kind.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(content, self.shape, strides).copy()


@dataclass
class Parameter(Built):
    """A ``torch.nn.Parameter`` in the format of PyTorch before version 0.4, as in the oldest files of torchvision."""

    tensor: Tensor | None = None

    def build(self, state: Any) -> None:
        """Set the tensor from a state of the tensor and four items that only training uses."""
        tensor, *rest = state
        if not isinstance(tensor, Tensor) or len(rest) != 4:
            raise UserError(f"refused: a parameter of {named(tensor)}")
        self.tensor = tensor

    def array(self) -> np.ndarray:
        """Return the NumPy array, of any shape [...]."""
        if self.tensor is None:
            raise UserError("refused: a parameter without a tensor")
        return self.tensor.array()


@dataclass
class TensorFlowNetwork(Built):
    """A ``dnnlib.tflib.network.Network``, or the ``tfutil.Network`` of 2017."""

    state: dict[str, Any] = field(default_factory=dict)
    class_name: str = "dnnlib.tflib.network.Network"

    def build(self, state: Any) -> None:
        """Set the version, name, static arguments, components and variables."""
        if type(state) is not dict:
            raise UserError(f"refused: a network of {named(state)}")
        self.state.update(state)


@dataclass
class Namespace(Built):
    """An ``argparse.Namespace``: the options of a program by name."""

    state: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Set the options."""
        if type(state) is not dict:
            raise UserError(f"refused: options in {named(state)}")
        self.state.update(state)


ARRAYS = (NumpyArray, Tensor, Parameter)
"""Records of arrays."""
MODULES = (PersistentObject, Foreign)
"""Records of modules: both have a ``class_name`` and a ``state``."""


def as_array(thing: Any) -> np.ndarray | None:
    """Return the array [...] of an array record; None for anything else."""
    return thing.array() if isinstance(thing, ARRAYS) else None


def is_real(array: np.ndarray) -> bool:
    """Return whether an array [...] holds real numbers, as weights are: no texts, complex numbers or truth values."""
    return array.dtype.kind in "fiu" or array.dtype == _dtype("bfloat16")


def sizes(shape: Any) -> int:
    """Return the number of elements of a shape; raise ``UserError`` if ``shape`` is no shape."""
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS or any(not whole(size) for size in shape):
        raise UserError(f"refused: the shape {named(shape)}")
    return math.prod(shape)


def whole(number: Any) -> bool:
    """Return whether ``number`` is an integer in [0, 2^48), so that it may be a size in memory."""
    return type(number) is int and 0 <= number < 2**48


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array in C order."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


# Constructors -------------------------------------------------------------------------------------------------------


def constructors(meter: Meter, load_storage: Callable[[Any], Storage] | None = None) -> dict[str, Constructor]:
    """Return all constructors that a pickle may name, by ``module.name``.

    Args:
      meter: meter that counts the bytes of the arrays.
      load_storage: reads a PyTorch file inside of the pickle; None refuses such files.
    """
    calls: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": _dictionary,
        "dnnlib.util.EasyDict": _dictionary,
        "dnnlib.EasyDict": _dictionary,
        "easydict.EasyDict": _dictionary,
        "pytorch_lightning.utilities.parsing.AttributeDict": _dictionary,
        "lightning_fabric.utilities.data.AttributeDict": _dictionary,
        "collections.defaultdict": _default_dictionary,
        "argparse.Namespace": lambda: Namespace(),
        "copyreg._reconstructor": _reconstructed,
        "copy_reg._reconstructor": _reconstructed,
        "torch.device": _device,
        "builtins.set": _set,
        "__builtin__.set": _set,
        "_codecs.encode": _encoded,
        "numpy.dtype": _numpy_type,
        "torch._utils._rebuild_parameter": lambda data, requires_grad=True, hooks=None: data,
        "torch._utils._rebuild_tensor_v2": _tensor(meter),
        "torch._utils._rebuild_tensor": _tensor(meter),
        "torch.nn.parameter.Parameter": lambda: Parameter(),
        "torch.Size": _size,
        "torch_utils.persistence._reconstruct_persistent_obj": persistent_object,
        "dnnlib.tflib.network.Network": lambda: TensorFlowNetwork(),
        "tfutil.Network": lambda: TensorFlowNetwork(class_name="tfutil.Network"),
    }
    calls.update(module_calls(meter))
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        calls[f"{module}.scalar"] = _scalar
        calls[f"{module}._reconstruct"] = _numpy_array(meter)
    if load_storage:
        calls["torch.storage._load_from_bytes"] = load_storage
    made = [Constructor(name, call) for name, call in calls.items()]
    made += [Constructor(name) for name in ("numpy.ndarray", "builtins.object", "__builtin__.object")]
    made += [Constructor(f"torch.{name}", value=_dtype(kind)) for name, kind in STORAGES.items()]
    made += [Constructor(f"torch.{name}") for name in DTYPES]
    return {constructor.name: constructor for constructor in made}


def _dictionary(items: Any = ()) -> dict[Any, Any]:
    if type(items) is not dict and type(items) not in (list, tuple):
        raise UserError(f"refused: a dictionary of {named(items)}")
    made: dict[Any, Any] = {}
    for key, value in items.items() if type(items) is dict else items:
        put(made, checked_key(key), value)
    return made


def _default_dictionary(factory: Any = None, items: Any = ()) -> dict[Any, Any]:
    if factory is not None and not isinstance(factory, Constructor):
        raise UserError(f"refused: a dictionary whose default is {named(factory)}")
    return _dictionary(items)


def _reconstructed(kind: Any, base: Any, state: Any) -> Foreign:
    """Return an object without attributes, as pickles of protocols 0 and 1 make it."""
    if not isinstance(kind, Constructor) or kind.is_known:
        raise UserError(f"refused: an object of the class {named(kind)}")
    if not isinstance(base, Constructor) or base.name.rpartition(".")[2] != "object" or state is not None:
        raise refusal(kind.name)
    return foreign(kind, ())


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or type(index) not in (int, type(None)):
        raise UserError(f"refused: a device {named(kind)}")
    return kind if index is None else f"{kind}:{index}"


def _set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple, set):
        raise UserError(f"refused: a set of {named(items)}")
    return set(map(checked_key, items))


def _size(items: Any = ()) -> tuple[int, ...]:
    sizes(items)
    return items


def _encoded(text: Any, encoding: Any) -> bytes:
    """Decode bytes from the text form of pickle protocols without bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UserError(f"refused: {named(text)} encoded as {named(encoding)}")
    return text.encode("latin1")


def _numpy_type(code: Any, align: Any = False, copy: Any = False) -> NumpyType:
    del align, copy
    if not isinstance(code, str) or not NUMPY_TYPE.match(code):
        raise UserError(f"refused: arrays of the type {named(code)}")
    return NumpyType(code)


def _scalar(kind: Any, raw: Any) -> Any:
    if not isinstance(kind, NumpyType) or not isinstance(raw, bytes) or len(raw) != kind.dtype().itemsize:
        raise UserError(f"refused: a number of {named(kind)} in {named(raw)}")
    return np.frombuffer(raw, kind.dtype())[0].item()


def _numpy_array(meter: Meter) -> Callable[..., NumpyArray]:
    def reconstruct(kind: Any, shape: Any, code: Any) -> NumpyArray:
        del code
        if not isinstance(kind, Constructor) or kind.name != "numpy.ndarray" or shape != (0,):
            raise UserError(f"refused: an array of the class {named(kind)}")
        return NumpyArray(meter)

    return reconstruct


def _tensor(meter: Meter) -> Callable[..., Tensor]:
    def rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> Tensor:
        del more  # requires_grad and hooks
        if not isinstance(storage, Storage) or not whole(offset):
            raise UserError(f"refused: a tensor in {named(storage)}")
        sizes(shape), sizes(strides)
        if len(shape) != len(strides):
            raise UserError(f"refused: a tensor of {len(shape)} sizes and {len(strides)} strides")
        return Tensor(storage, offset, shape, strides, meter)

    return rebuild


def _dtype(kind: str) -> np.dtype:
    if kind != "bfloat16":
        return np.dtype(kind)
    import ml_dtypes  # comes with JAX

    return np.dtype(ml_dtypes.bfloat16)
