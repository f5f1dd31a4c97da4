"""What a compiled program consists of: its kernels with their FLOPs and bytes, collectives, layout changes, loops."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import ceil, prod

from ganzoo.forecast.hlo import Array, Computation, Instruction, Program

MEGABYTE = 2**20
FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "partition-id", "replica-id", "after-all"),
    *("iota", "while", "conditional", "call", "async-start", "async-update", "async-done", "copy-done", "domain"),
    *("opt-barrier", "add-dependency", "all-reduce-done", "all-gather-done", "collective-permute-done", "recv-done"),
    *("send-done", "get-dimension-size", "slice-start", "dynamic-slice-start"),
}
"""Operations that move nothing, or whose parts are counted by themselves."""
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
PRODUCTS = ("convolution", "dot")
LIBRARY = re.compile(r"__cudnn\$|__cublas|__onednn\$(?:convolution|matmul)")
SLICES = ("slice", "dynamic-slice", "gather")
GLUE = re.compile(r"AsyncCollective|AllocateBuffer|Sharding|AssumeGatherIndicesInBound|annotate_device_placement")
"""Custom calls that do no work."""


@dataclass(frozen=True)
class Product:
    """A convolution or a matrix product."""

    flops: float
    channels: tuple[int, int]
    """Of its input and output; of a kernel's gradient, both of the kernel."""
    kind: str
    """Type of its first operand."""
    precision: str
    """"default", "high" or "highest"."""

    def padded(self, tile: int) -> float:
        """Return the FLOPs on a matrix unit that pads both kinds of channels to multiples of ``tile``."""
        return self.flops * prod(ceil(n / tile) * tile / n for n in self.channels)


@dataclass(frozen=True)
class Kernel:
    """Something that a device executes at once."""

    name: str
    times: int
    """How often, in one call of the program."""
    stored: float
    """Bytes that it reads from and writes to the main memory, each time."""
    products: tuple[Product, ...]
    cycles: int
    """As the compiler estimates for each time; 0 where it does not."""
    sent: int = 0
    """Bytes of the result of a collective."""

    @property
    def flops(self) -> float:
        """FLOPs of the products, each time."""
        return sum(product.flops for product in self.products)


@dataclass(frozen=True)
class Counts:
    """Numbers that tell one program from another, on one device."""

    convolutions: int
    products: int
    """Matrix products; compilers for TPUs write them as convolutions."""
    layout_changes: int
    """Copies and transposes with a result of 1 MiB or more, also those within fusions."""
    layout_bytes: int
    """Bytes of their results."""
    collectives: int
    collective_bytes: int
    """Bytes of their results."""
    gathers: int
    scatters: int
    loops: int
    kernels: int
    """Everything that a device executes at once, loops unrolled."""
    flops: int
    stored_bytes: int
    """Bytes read from and written to the main memory."""


def counts_of(program: Program, kernels: Sequence[Kernel]) -> Counts:
    """Count what is in a program whose kernels are ``kernels_of(program)``."""
    found = dict.fromkeys((each.name for each in fields(Counts)), 0)
    for each, table, times in program.executed():
        found["loops"] += times * (each.op == "while")
        for inner, _ in ((each, table), *program.within(each)):
            is_product = _is_library(inner) and "conv" not in inner.target
            found["convolutions"] += times * (inner.op == "convolution" or (_is_library(inner) and not is_product))
            found["products"] += times * (inner.op == "dot" or is_product)
            found["gathers"] += times * (inner.op == "gather")
            found["scatters"] += times * (inner.op == "scatter")
            if inner.op in ("copy", "transpose") and inner.size >= MEGABYTE:
                found["layout_changes"] += times
                found["layout_bytes"] += times * inner.size
    for kernel in kernels:
        found["collectives"] += kernel.times * bool(kernel.sent)
        found["collective_bytes"] += kernel.times * kernel.sent
        found["kernels"] += kernel.times
        found["flops"] += round(kernel.times * kernel.flops)
        found["stored_bytes"] += round(kernel.times * kernel.stored)
    return Counts(**found)


def kernels_of(program: Program) -> list[Kernel]:
    """Return what a device executes in one call of a program."""
    return list(_kernels(program))


def _kernels(program: Program) -> Iterator[Kernel]:
    channels: set[str] = set()
    for each, table, times in program.executed():
        if each.op in FREE or GLUE.search(each.target):
            continue
        whole = [(each, table), *program.within(each)]
        found = next((inner for inner, _ in whole if _collective(inner)), None)
        sent = 0
        if found is not None:
            channel = re.search(r"channel_id=(\d+)", found.attributes)
            is_new = channel is None or channel[1] not in channels  # an asynchronous one is in several fusions
            channels |= {channel[1]} if channel else set()
            sent = _sent(found) if is_new else 0
        products = tuple(product for inner, near in whole if (product := _product(inner, near)))
        cycles = re.search(r'"estimated_cycles":"(\d+)"', each.attributes)
        yield Kernel(each.name, times, _stored(program, each, table), products, int(cycles[1]) if cycles else 0, sent)


# Bytes --------------------------------------------------------------------------------------------------------------


def _stored(program: Program, each: Instruction, table: Computation) -> float:
    """Return the bytes that an instruction reads from and writes to the main memory; of slices, what is in them."""
    operands = [table[name] for name in dict.fromkeys(each.operands) if name in table]
    if each.op.removesuffix("-done") in SLICES:
        is_near = bool(operands) and not operands[0].stored
        return each.stored + (0 if is_near else each.size)
    if each.op == "dynamic-update-slice":
        return 2 * operands[1].stored
    if each.op.endswith("-start"):  # the result names the operand once more
        return sum(operand.stored for operand in operands) + (each.result[0].stored if each.result else 0)
    if each.op != "fusion" or each.called not in program.computations:
        return sum(operand.stored for operand in operands) + each.stored
    inside = program.computations[each.called]
    read = sum(_read(number, name, table, inside) for number, name in enumerate(each.operands))
    root = next((inner for inner in inside.values() if inner.is_root), None)
    if root is not None and root.op == "dynamic-update-slice":
        return read + inside[root.operands[1]].stored
    return read + each.stored


def _read(number: int, name: str, table: Computation, inside: Computation) -> int:
    """Return the bytes of an operand of a fusion that it reads."""
    whole = table[name].stored if name in table else 0
    own = next((i.name for i in inside.values() if i.op == "parameter" and i.literal == str(number)), None)
    users = [inner for inner in inside.values() if own in inner.operands]
    if users and all(user.op in SLICES and user.operands[0] == own for user in users):
        return min(whole, sum(user.size for user in users))
    if users and all(user.op == "dynamic-update-slice" and user.operands[0] == own for user in users):
        return 0  # changed in place
    return whole


# Collectives --------------------------------------------------------------------------------------------------------


def _collective(each: Instruction) -> bool:
    return each.op.removesuffix("-start") in COLLECTIVES


def _sent(each: Instruction) -> int:
    """Return the bytes of a collective's result, which an asynchronous start of a gather names after the operand."""
    if each.op in ("all-gather-start", "collective-permute-start"):
        return each.result[1].size if len(each.result) > 1 else each.size
    return each.size


# Matrix products ----------------------------------------------------------------------------------------------------


def _is_library(each: Instruction) -> bool:
    return bool(LIBRARY.search(each.target))


def _product(each: Instruction, table: Computation) -> Product | None:
    """Return the matrix product that an instruction computes, if it does."""
    if each.op not in PRODUCTS and not _is_library(each):
        return None
    operands = [table[name].result[0] for name in each.operands[:2] if name in table]
    if len(operands) < 2 or not each.result:
        return None
    precision = next((name for name in ("highest", "high") if name in _precision(each)), "default")
    if "dim_labels=" in each.attributes:
        flops, channels = _convolution(each, *operands)
    else:
        flops, channels = _matrices(each, operands[0])
    return Product(flops, channels, operands[0].kind, precision)


def _precision(each: Instruction) -> str:
    found = re.search(r'operand_precision"?[=:][\[{]([^\]}]*)', each.attributes)
    return found[1].lower() if found else ""


def _convolution(each: Instruction, left: Array, right: Array) -> tuple[float, tuple[int, int]]:
    """Return the FLOPs of a convolution, without the zeros that a dilation puts between values, and its channels."""
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", each.attributes)
    assert labels is not None
    result = each.result[0]
    if "BackwardFilter" in each.target:  # image and gradient of the result give that of the kernel
        result, right = right, result
    elif "BackwardInput" in each.target:  # gradient of the result and kernel give that of the image
        result, left = left, result
    size = dict(zip(labels[2], right.dims, strict=False))
    out, into = size.get("o", 1), size.get("i", 1)
    if labels[1].startswith("f"):  # the gradient of a kernel: images are added up, and "b" are its inputs
        into = dict(zip(labels[3], result.dims, strict=False)).get("b", 1)
    window = dict(part.split("=") for part in _braces(each.attributes, "window").split())
    numbers = {name: [int(n) for n in value.split("x")] for name, value in window.items() if name != "pad"}
    dilation = prod(numbers.get("lhs_dilate", [1]))
    flops = 2.0 * prod(result.dims) * prod(right.dims) / max(out, 1) / dilation
    return flops, (max(into, 1), max(out, 1))


def _matrices(each: Instruction, left: Array) -> tuple[float, tuple[int, int]]:
    found = re.search(r'lhs_contracting_dim(?:s=\{|ensions":\[)([\d,"]*)', each.attributes)
    axes = [int(n) for n in re.findall(r"\d+", found[1])] if found else [len(left.dims) - 1]
    depth = prod(left.dims[axis] for axis in axes if axis < len(left.dims))
    result = each.result[0]
    return 2.0 * prod(result.dims) * depth, (max(depth, 1), max(result.dims[-1] if result.dims else 1, 1))


def _braces(text: str, name: str) -> str:
    found = re.search(rf"\b{name}=\{{([^}}]*)\}}", text)
    return found[1] if found else ""
