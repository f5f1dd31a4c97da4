"""Checksums of arrays: what was saved is what is loaded, or the array that differs is named.

The first 128 bits of SHA-256 (FIPS 180-4) over the type, the shape and the bytes of an array. Of an array that is
spread over several processes, none of which holds all of it, there is no checksum.
"""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from ganzoo.typing import PyTree

DIGITS = 32
"""Length of a checksum in hexadecimal digits."""


class Damaged(ValueError):
    """An array is not what its checksum says."""


def checksums(arrays: Mapping[str, PyTree]) -> dict[str, str]:
    """Return the checksums of arrays [...] by their names, in hexadecimal digits; in all cores, as hashing takes long.

    Args:
      arrays: of NumPy or JAX, on any devices.
    """
    here = {name: local for name, array in arrays.items() if (local := _local(array)) is not None}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(here, pool.map(_checksum, here.values()), strict=True))


def require_checksums(arrays: Mapping[str, PyTree], expected: Mapping[str, str]) -> None:
    """Raise ``Damaged`` where an array [...] has another checksum than the expected one; those without one pass."""
    found = checksums({name: array for name, array in arrays.items() if name in expected})
    if differing := [name for name, checksum in found.items() if checksum != expected[name]]:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise Damaged(f"{differing[0]}{more} differs from its checksum")


def _local(array: PyTree) -> np.ndarray | jax.Array | None:
    """Return what this process holds of an array [...]; None where that is only a part of it."""
    if not isinstance(array, jax.Array):
        return np.asarray(array)
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(array)
    if array.is_fully_replicated and array.addressable_shards:
        return array.addressable_data(0)
    return array if array.is_fully_addressable else None


def _checksum(array: np.ndarray | jax.Array) -> str:
    content = np.ascontiguousarray(array)
    found = hashlib.sha256(f"{content.dtype.name}{array.shape}".encode())
    found.update(content.reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:DIGITS]
