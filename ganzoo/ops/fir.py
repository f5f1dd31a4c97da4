"""FIR resampling of images: upsample, pad, filter, downsample, with derivatives that are resamplings themselves.

A filter is one tap sequence for both axes (separable) or a matrix of taps; both are constants, not learned. The
adjoint of a resampling is the resampling with ``up`` and ``down`` exchanged and the taps reversed, so derivatives of
every order cost as much as the function. Forward-mode differentiation (``jax.jvp``) is not supported.

A separable filter of few taps is two passes over the image, along one axis each, on CPU and TPU, and one pass over both
axes on GPU, where a second reading of the image costs more than the additions that it saves.

Zhang 2019, arXiv:1904.11486 (low-pass filters in networks); Karras et al. 2019, arXiv:1912.04958, which resamples by
[1, 3, 3, 1]. Conventions follow NVlabs/stylegan2-ada-pytorch, torch_utils/ops/upfirdn2d.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import gcd, prod
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Maps: TypeAlias = Float[Array, "_n _h _w _c"]
Pair: TypeAlias = tuple[int, int]
Factor: TypeAlias = int | Pair
"""Factor along both axes, or along (height, width)."""
Padding: TypeAlias = Pair | tuple[Pair, Pair]
"""Zeros (before, after) for both axes, or one pair each for (height, width); negative numbers crop."""
Filter: TypeAlias = Sequence[float] | np.ndarray | None
"""Taps for both axes, a matrix of taps [height, width], or None for the identity."""


def setup_filter(taps: Filter, *, normalize: bool = True, gain: float = 1.0, flip: bool = False) -> np.ndarray:
    """Normalise, scale and optionally flip the taps of a filter.

    Args:
        taps: a sequence [k] (for both axes), a matrix [height, width], or None for the identity.
        normalize: divide the taps by their sum, so that the filter sums to ``gain``.
        gain: factor of the whole two-dimensional filter.
        flip: reverse the taps, which turns a convolution into a correlation.

    Returns:
        float64, in the shape of ``taps``: [k] or [height, width].

    Raises:
        ValueError: there are no taps, there are three or more axes, or ``normalize`` is given taps that sum to 0.
    """
    f = np.asarray([1.0] if taps is None else taps, np.float64)
    if f.ndim not in (1, 2) or not f.size:
        raise ValueError(f"a filter of shape {f.shape}: give a sequence or a matrix of taps")
    if normalize:
        if f.sum() == 0:
            raise ValueError("the taps of a filter sum to 0: it cannot be normalised")
        f = f / f.sum()
    if flip:
        f = np.flip(f)
    return f * gain ** (f.ndim / 2)


def upfirdn(
    x: Maps,
    f: Filter,
    *,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = (0, 0),
    gain: float = 1.0,
    correlate: bool = False,
) -> Maps:
    """Insert zeros (``up``), pad, convolve with ``f``, keep every ``down``-th value.

    Args:
        x: [N, H, W, C].
        f: filter taps, as returned by ``setup_filter``.
        up: upsampling factor; ``up - 1`` zeros are inserted after every value.
        down: downsampling factor; every ``down``-th value is kept.
        padding: zeros (before, after) around the upsampled image.
        gain: factor of the result; ``up`` squared preserves the brightness.
        correlate: correlate instead of convolve, that is, do not flip the filter.

    Returns:
        [N, (H up + before + after - taps) // down + 1, likewise the width, C] in the dtype of ``x``. Half precision is
        accumulated in float32.

    Raises:
        ValueError: the result would have no pixels.
    """  # fmt: skip
    return resample(windows(f, up=up, down=down, padding=padding, gain=gain, correlate=correlate), x)


def windows(
    f: Filter,
    *,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = (0, 0),
    gain: float = 1.0,
    correlate: bool = False,
) -> "tuple[Window, ...]":
    """Return ``upfirdn`` with these arguments as one pass over both axes, or as two if the filter is separable."""
    f = setup_filter(f, normalize=False, flip=not correlate)
    (up_y, up_x), (down_y, down_x) = _pair(up), _pair(down)
    pad_y, pad_x = pad_pairs(padding)
    if f.ndim == 2:
        return (Window(_taps(f * gain), (up_y, up_x), (down_y, down_x), (pad_y, pad_x)),)
    along_x = Window(_taps(f[None, :] * gain), (1, up_x), (1, down_x), ((0, 0), pad_x))
    return along_x, Window(_taps(f[:, None]), (up_y, 1), (down_y, 1), (pad_y, (0, 0)))


def resample(passes: "Sequence[Window]", x: Maps) -> Maps:
    """Resample images [N, H, W, C] by passes in turn, in the dtype of ``x``; a GPU may do two as one."""
    return _in_turn(passes, x) if len(passes) < 2 or _is_large(passes) else _chosen(tuple(passes), x)


def adjoint(passes: "Sequence[Window]", size: Sequence[int]) -> "tuple[Window, ...]":
    """Return the adjoint of passes over images of ``size`` (height, width): it maps output to input gradients."""
    result: list[Window] = []
    for window in passes:
        result.insert(0, window.adjoint(size))
        size = window.output_size(size)
    return tuple(result)


def blur(x: Maps, f: Filter, *, padding: Padding = (0, 0), gain: float = 1.0, correlate: bool = False) -> Maps:
    """Filter images [N, H, W, C] and keep their size (plus ``padding``)."""
    height, width = _size(f)
    extra = ((height // 2, (height - 1) // 2), (width // 2, (width - 1) // 2))
    return upfirdn(x, f, padding=add_padding(padding, extra), gain=gain, correlate=correlate)


def upsample(
    x: Maps, f: Filter, *, up: Factor = 2, padding: Padding = (0, 0), gain: float = 1.0, correlate: bool = False
) -> Maps:
    """Upsample images [N, H, W, C] to [N, H up, W up, C] (plus ``padding``) and preserve their brightness."""
    factors = _pair(up)
    around = upsampling_padding(f, factors)
    gain = gain * factors[0] * factors[1]
    return upfirdn(x, f, up=factors, padding=add_padding(padding, around), gain=gain, correlate=correlate)


def downsample(
    x: Maps, f: Filter, *, down: Factor = 2, padding: Padding = (0, 0), gain: float = 1.0, correlate: bool = False
) -> Maps:
    """Downsample images [N, H, W, C] to [N, H / down, W / down, C] (plus ``padding``)."""
    factors = _pair(down)
    around = downsampling_padding(f, factors)
    return upfirdn(x, f, down=factors, padding=add_padding(padding, around), gain=gain, correlate=correlate)


def upsampling_padding(f: Filter, up: Pair) -> tuple[Pair, Pair]:
    """Return the zeros around the upsampled image with which filtering keeps its size and its centre."""
    return _each(f, up, lambda taps, by: ((taps + by - 1) // 2, (taps - by) // 2))


def downsampling_padding(f: Filter, down: Pair) -> tuple[Pair, Pair]:
    """Return the zeros around the image with which filtering and downsampling divide its size by ``down``, centred."""
    return _each(f, down, lambda taps, by: ((taps - by + 1) // 2, (taps - by) // 2))


# One pass -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Resampling in computable form: taps of a correlation ``[height][width]``; factors and zeros for each axis."""

    taps: tuple[tuple[float, ...], ...]
    up: Pair
    down: Pair
    padding: tuple[Pair, Pair]

    @property
    def is_identity(self) -> bool:
        """Whether the resampling returns its input."""
        return self == Window(((1.0,),), (1, 1), (1, 1), ((0, 0), (0, 0)))

    def axis(self, axis: int) -> "Axis":
        """Return the resampling along the height (0) or the width (1)."""
        taps = (len(self.taps), len(self.taps[0]))[axis]
        return Axis(taps, self.up[axis], self.down[axis], *self.padding[axis])

    def output_size(self, size: Sequence[int]) -> Pair:
        """Return the height and width of the result for images of ``size``."""
        return self.axis(0).output_size(size[0]), self.axis(1).output_size(size[1])

    def after(self, other: "Window") -> "Window":
        """Return this resampling, of a filter along one axis, after one along the other axis as a single one."""
        taps = np.asarray(self.taps) * np.asarray(other.taps)  # [height, 1] and [1, width], in any order
        up, down = ((a * c, b * d) for (a, b), (c, d) in ((self.up, other.up), (self.down, other.down)))
        return Window(_taps(taps), up, down, add_padding(self.padding, other.padding))

    def adjoint(self, size: Sequence[int]) -> "Window":
        """Return the adjoint: the resampling that maps an output gradient to the gradient of an input of ``size``."""
        padding = self.axis(0).adjoint_padding(size[0]), self.axis(1).adjoint_padding(size[1])
        return Window(tuple(row[::-1] for row in self.taps[::-1]), self.down, self.up, padding)


@dataclass(frozen=True)
class Axis:
    """Geometry along one axis: ``y[m] = sum_k f[k] x[(m down + k - before) / up]``, over integer indices only.

    All outputs of one phase ``r`` (``m = r + phases q``) use the same taps, at ``x[q stride + shift]``.
    """

    taps: int
    up: int
    down: int
    before: int
    after: int

    @property
    def phases(self) -> int:
        """Number of phases: outputs of different phases use different taps."""
        return self.up // gcd(self.up, self.down)

    @property
    def stride(self) -> int:
        """Pixels of ``x`` between consecutive outputs of one phase."""
        return self.down // gcd(self.up, self.down)

    def seen(self, phase: int) -> list[Pair]:
        """Return (tap, shift) for each tap that ``phase`` uses."""
        places = ((k, phase * self.down + k - self.before) for k in range(self.taps))
        return [(k, place // self.up) for k, place in places if place % self.up == 0]

    def output_size(self, size: int) -> int:
        """Return the number of outputs for ``size`` inputs."""
        return (size * self.up + self.before + self.after - self.taps) // self.down + 1

    def adjoint_padding(self, size: int) -> Pair:
        """Return the zeros (before, after) of the adjoint, whose output has ``size`` values."""
        before = self.taps - 1 - self.before
        return before, (size - 1) * self.up + self.taps - self.output_size(size) * self.down - before


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pass(window: Window, x: Array) -> Array:
    """Resample over both axes: sum shifted images for each phase, then interleave the phases."""
    if window.is_identity:
        return x
    rows, columns = window.axis(0), window.axis(1)
    height, width = window.output_size(x.shape[1:3])
    if min(height, width) < 1:
        raise ValueError(f"an image of {x.shape[1:3]} pixels is too small for {window}")
    wide = jnp.promote_types(x.dtype, jnp.float32)
    counts = -(-height // rows.phases), -(-width // columns.phases)
    padded, (top, left) = _padded(window, x, counts)

    def phase(row: int, column: int) -> Array:
        total = None
        for (i, dy), (j, dx) in product(rows.seen(row), columns.seen(column)):
            if tap := window.taps[i][j]:
                part = _strided(padded, (dy + top, dx + left), (rows.stride, columns.stride), counts)
                term = part.astype(wide) * jnp.asarray(tap, wide)
                total = term if total is None else total + term
        return jnp.zeros_like(x, wide, (x.shape[0], *counts, x.shape[3])) if total is None else total

    y = _interleaved([[phase(row, column) for column in range(columns.phases)] for row in range(rows.phases)])
    return y[:, :height, :width].astype(x.dtype)


_pass.defvjp(
    lambda window, x: (_pass(window, x), x.shape[1:3]),
    lambda window, size, dy: (_pass(window.adjoint(size), dy),),
)


def _padded(window: Window, x: Array, counts: Pair) -> tuple[Array, Pair]:
    """Pad ``x`` with all the zeros that any tap reads; return the result and the zeros before each axis."""
    widths, before = [(0, 0, 0)], []
    for axis in (0, 1):
        along, size = window.axis(axis), x.shape[1 + axis]
        shifts = [shift for phase in range(along.phases) for _, shift in along.seen(phase)] or [0]
        low = max(0, -min(shifts))
        high = max(0, max(shifts) + (counts[axis] - 1) * along.stride + 1 - size)
        widths.append((low, high, 0))
        before.append(low)
    padded = lax.pad(x, jnp.zeros((), x.dtype), (*widths, (0, 0, 0)))
    return padded, (before[0], before[1])


def _strided(x: Array, start: Pair, stride: Pair, count: Pair) -> Array:
    """Take ``count`` pixels along each axis, beginning at ``start``, in steps of ``stride``."""
    (top, left), (rows, columns) = start, count
    limits = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
    return lax.slice(x, (0, top, left, 0), (x.shape[0], *limits, x.shape[3]), (1, *stride, 1))


def _interleaved(phases: list[list[Array]]) -> Array:
    """Interleave phases: [N, p, q, C] for every phase [row][column] -> [N, rows p, columns q, C]."""
    rows = [columns[0] if len(columns) == 1 else _woven(columns, 2) for columns in phases]
    return rows[0] if len(rows) == 1 else _woven(rows, 1)


def _woven(parts: list[Array], axis: int) -> Array:
    stacked = jnp.stack(parts, axis + 1)
    shape = parts[0].shape
    return stacked.reshape(*shape[:axis], len(parts) * shape[axis], *shape[axis + 1 :])


# Two passes, or one -------------------------------------------------------------------------------------------------

PLANE_TAPS = 16
"""Most taps of a separable filter, multiplied out, that a GPU applies in one pass: those of [1, 3, 3, 1]."""


def _is_large(passes: Sequence[Window]) -> bool:
    """Say whether passes are two everywhere, or one of them changes nothing."""
    taps = prod(len(window.taps) * len(window.taps[0]) for window in passes)
    return taps > PLANE_TAPS or any(window.is_identity for window in passes)


def _in_turn(passes: Sequence[Window], x: Array) -> Array:
    for window in passes:
        x = _pass(window, x)
    return x


def _at_once(passes: Sequence[Window], x: Array) -> Array:
    return _pass(passes[1].after(passes[0]), x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chosen(passes: tuple[Window, ...], x: Array) -> Array:
    """Resample along one axis and then along the other; the platform decides how."""
    in_turn = partial(_in_turn, passes)
    return lax.platform_dependent(x, cpu=in_turn, tpu=in_turn, default=partial(_at_once, passes))


_chosen.defvjp(
    lambda passes, x: (_chosen(passes, x), x.shape[1:3]),
    lambda passes, size, dy: (resample(adjoint(passes, size), dy),),
)


# Arguments ----------------------------------------------------------------------------------------------------------


def _taps(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(tap) for tap in row) for row in matrix)


def _pair(factor: Factor) -> Pair:
    height, width = (factor, factor) if isinstance(factor, int) else factor
    if min(height, width) < 1:
        raise ValueError(f"a resampling factor of {factor}: must be a whole number of at least 1")
    return height, width


def pad_pairs(padding: Padding) -> tuple[Pair, Pair]:
    """Return padding as (before, after) for height and width."""
    before, after = padding
    if isinstance(before, int) and isinstance(after, int):
        return (before, after), (before, after)
    (top, bottom), (left, right) = padding  # ty: ignore[not-iterable]
    return (top, bottom), (left, right)


def add_padding(padding: Padding, more: tuple[Pair, Pair]) -> tuple[Pair, Pair]:
    """Add two paddings; return (before, after) for height and width."""
    (top, bottom), (left, right) = pad_pairs(padding)
    return (top + more[0][0], bottom + more[0][1]), (left + more[1][0], right + more[1][1])


def _size(f: Filter) -> Pair:
    shape = np.shape([1.0] if f is None else f)
    return (shape[0], shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _each(f: Filter, factors: Pair, padding: Callable[[int, int], Pair]) -> tuple[Pair, Pair]:
    (height, width), (rows, columns) = _size(f), factors
    return padding(height, rows), padding(width, columns)
