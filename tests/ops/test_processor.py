"""The units of a processor from its description by Linux."""

from pathlib import Path

import pytest

from ganzoo.ops import processor


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse4_2", ()),
        ("avx2 avx512f", ("AVX2", "AVX-512")),
        ("avx2 amx_tile amx_int8", ("AVX2",)),
        ("amx_bf16 avx2 amx_tile", ("AVX2", "AMX bfloat16")),
    ],
)
def test_units_by_flags(flags: str, expected: tuple, tmp_path: Path) -> None:
    description = tmp_path / "cpuinfo"
    description.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n\nprocessor\t: 1\n")
    assert processor.units(description) == expected


def test_a_system_without_a_description_has_no_units(tmp_path: Path) -> None:
    assert processor.units(tmp_path / "none") == ()
