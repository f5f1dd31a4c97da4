"""The one comparison of arrays and trees of arrays in tests, and programs that compile quickly."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ganzoo.gan import named_leaves
from ganzoo.typing import PyTree

VALUES = 1e-5
"""Default tolerance, as a share of the largest number of an array."""
ZEROS = 1e-8
"""Tolerance where all expected numbers are 0."""


QUICKLY: dict[str, Any] = {"xla_backend_optimization_level": 0}
"""Compiler options: a third to a half of the compilation time, for slower code of which little is run."""
if jax.__version_info__ < (0, 11):
    QUICKLY["xla_cpu_use_fusion_emitters"] = False  # later versions have no such option


def quick_jit(function: Callable[..., Any], **options: Any) -> Any:
    """Return ``jax.jit(function, **options)`` that compiles in less time, to slower code."""
    return jax.jit(function, compiler_options=QUICKLY, **options)


def assert_near(
    actual: PyTree, expected: PyTree, relative: float = VALUES, *, absolute: float = 0.0, extra: bool = False
) -> None:
    """Assert that every array is near its counterpart.

    Args:
      actual: an array, or a tree of arrays.
      expected: the same structure.
      relative: tolerance as a share of the largest magnitude of the expected array.
      absolute: tolerance from which on a smaller relative one does not count.
      extra: whether ``actual`` may hold leaves that ``expected`` does not.

    Raises:
      AssertionError: names the first array that differs, or is not in both.
    """
    ours, theirs = dict(named_leaves(jax.device_get(actual))), dict(named_leaves(jax.device_get(expected)))
    missing = theirs.keys() - ours.keys() if extra else theirs.keys() ^ ours.keys()
    assert not missing, f"not in both: {', '.join(sorted(missing)[:5])}"
    for name, leaf in theirs.items():
        largest = float(np.abs(np.asarray(leaf, np.float64)).max(initial=0))
        tolerance = max(relative * largest if largest else ZEROS, absolute)
        message = f"{name or 'array'}, whose largest number is {largest:.3g}"
        np.testing.assert_allclose(np.asarray(ours[name], _kind(leaf)), leaf, rtol=0, atol=tolerance, err_msg=message)


def _kind(leaf: Any) -> Any:
    """Return the type in which a leaf is compared: its own, but float32 for narrower floats."""
    dtype = np.asarray(leaf).dtype
    return np.float32 if dtype.itemsize < 4 and np.issubdtype(dtype, np.floating) else None
