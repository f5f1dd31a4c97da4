"""What the processor of this machine can do."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

FLAGS: Mapping[str, tuple[str, ...]] = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "AVX-512 bfloat16": ("avx512_bf16",),
    "AMX bfloat16": ("amx_tile", "amx_bf16"),
}
"""Flags of the processor that make up a unit, by its name."""


@cache
def units(description: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Return the vector and matrix units of the processor, by the names of ``FLAGS``, as Linux describes it.

    Other systems, and processors other than x86, are described otherwise: they have none of these.
    """
    try:
        lines = description.read_text().splitlines()
    except OSError:
        return ()
    flags = set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
    return tuple(name for name, needed in FLAGS.items() if flags.issuperset(needed))


def multiplies_bfloat16() -> bool:
    """Return whether matrix products of bfloat16 are faster than those of float32: where the processor has AMX."""
    return "AMX bfloat16" in units()
