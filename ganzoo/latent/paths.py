"""Interpolation between points: straight, along the sphere, or by a smooth curve through all of them."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ganzoo.errors import UserError

Way = Literal["linear", "slerp", "cubic"]


def interpolate(points: np.ndarray, frames: int, way: Way = "linear", *, closed: bool = True) -> np.ndarray:
    """Return ``frames`` points from each point to the next: [N frames, ...] when closed, else (N - 1) frames + 1.

    Args:
      points: [N, ...], N at least 2.
      frames: points from one of the given points to the next.
      way: "linear"; "slerp", along the sphere on the last axis, with lengths in between those of the ends (Shoemake
        1985; for latents, White 2016, arXiv:1609.04468); "cubic", a Catmull-Rom curve, smooth at the points, too.
      closed: end where it began, so that a film can be looped.
    """
    parts = list(segments(points, frames, way, closed=closed))
    return np.concatenate(parts if closed else [*parts, np.asarray(points, np.float32)[-1:]])


def segments(points: np.ndarray, frames: int, way: Way = "linear", *, closed: bool = True) -> Iterator[np.ndarray]:
    """Yield the points of ``interpolate`` from each point to the next, float32 [frames, ...], one segment at a time."""
    points = np.asarray(points)
    count = len(points)
    if count < 2 or frames < 1:
        raise UserError(
            f"a path through {count} points in {frames} frames: there must be 2 points and 1 frame, or more"
        )
    t = np.arange(frames).reshape(-1, *[1] * (points.ndim - 1)) / frames
    for segment in range(count if closed else count - 1):
        yield _segment(points, segment, t, way, closed=closed).astype(np.float32)


def place_on(points: np.ndarray, at: float, way: Way = "linear", *, closed: bool = True) -> np.ndarray:
    """Return the point [...] at one place of the path through points [N, ...]: 1.5 is halfway from point 1 to 2.

    Args:
      points: as for ``interpolate``, as are the next but one.
      at: from 0; a closed path begins again at N, an open one ends at N - 1.
      way: as for ``interpolate``.
      closed: see ``points``.
    """
    points = np.asarray(points)
    count = len(points) if closed else len(points) - 1
    if count < 1 or len(points) < 2:
        raise UserError(f"a path through {len(points)} points: there must be 2 or more")
    at = at % count if closed else min(max(at, 0.0), float(count))
    segment = min(int(at), count - 1)
    return _segment(points, segment, np.asarray(at - segment), way, closed=closed).astype(np.float32)


def noise_segments(maps: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Yield noise maps [frames, h, w] from each of the maps [N, h, w] to the next, on the sphere: always as strong."""
    flat = maps.reshape(len(maps), -1)
    return (part.reshape(-1, *maps.shape[1:]) for part in segments(flat, frames, "slerp"))


def _segment(points: np.ndarray, segment: int, t: np.ndarray, way: Way, *, closed: bool) -> np.ndarray:
    """Return the points at ``t`` of the way from point ``segment`` to the next."""
    count = len(points)
    a, b = (points[place].astype(np.float64) for place in (segment, (segment + 1) % count))
    if way == "linear":
        return a + t * (b - a)
    if way == "slerp":
        return slerp(a, b, t)
    before = points[(segment - 1) % count] if closed or segment > 0 else 2 * a - b
    after = points[(segment + 2) % count] if closed or segment + 2 < count else 2 * b - a
    before, after = before.astype(np.float64), after.astype(np.float64)
    in_, out = (b - before) / 2, (after - a) / 2
    return (2 * t**3 - 3 * t**2 + 1) * a + (t**3 - 2 * t**2 + t) * in_ + (3 * t**2 - 2 * t**3) * b + (t**3 - t**2) * out


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Turn from ``a`` to ``b`` [..., n] evenly while the length changes evenly, on the last axis.

    In the precision of its arguments; ``metrics.path_length.slerp`` is the same in JAX.
    """
    lengths = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    u, v = (x / np.maximum(length, 1e-12) for x, length in zip((a, b), lengths, strict=True))
    angle = np.arccos(np.clip(np.sum(u * v, axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    is_straight = sine < 1e-6
    safe = np.where(is_straight, 1, sine)
    turned = np.where(is_straight, u + t * (v - u), (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / safe)
    return turned * (lengths[0] + t * (lengths[1] - lengths[0]))
