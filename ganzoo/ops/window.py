"""The geometry of a convolution, and the checks of its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxtyping import Array

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = Pair | tuple[Pair, Pair]


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution: sizes of ``x`` and of the kernel, stride, and zeros (before, after) on each axis."""

    size: Pair
    kernel_size: Pair
    stride: int
    padding: tuple[Pair, Pair]

    @property
    def output_size(self) -> Pair:
        """Height and width of ``y``."""
        height, width = (
            (size + lo + hi - kernel) // self.stride + 1
            for size, kernel, (lo, hi) in zip(self.size, self.kernel_size, self.padding, strict=True)
        )
        return height, width

    @property
    def is_matmul(self) -> bool:
        """Whether the convolution is a matrix product at every pixel."""
        return self.kernel_size == (1, 1) and self.stride == 1 and self.padding == ((0, 0), (0, 0))


def window_of(size: Sequence[int], kernel_size: Sequence[int], stride: int, padding: Padding) -> Window:
    """Validate the arguments of a convolution and return its geometry."""
    require(len(padding) == 2 and len(size) == 2 and len(kernel_size) == 2, "sizes and padding have two numbers")
    before, after = padding
    rows, columns = (padding, padding) if isinstance(before, int) else (before, after)
    require(stride >= 1, f"stride is {stride}, must be at least 1")
    window = Window(_pair(size), _pair(kernel_size), stride, (_pair(rows), _pair(columns)))
    fits = min(window.output_size) >= 1 and min(kernel_size) >= 1
    require(fits, f"a kernel {window.kernel_size} does not fit into {window.size} padded by {window.padding}")
    return window


def _pair(numbers: Any) -> Pair:
    first, second = numbers
    return first, second


def require_output(window: Window, y: Array) -> None:
    require(
        window.output_size == y.shape[1:3],
        f"y is {y.shape[1:3]}, but {window.size} is convolved to {window.output_size} with a kernel"
        f" {window.kernel_size}, stride {window.stride}, padding {window.padding}",
    )


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
