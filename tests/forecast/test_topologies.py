"""Names of machines: what is meant, and one line where nothing is."""

import re

import pytest

from ganzoo.errors import UserError
from ganzoo.forecast.topologies import parse_topology, require_compiler


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("v5e:2x4", (2, 4)), ("v5p:2x2x1", (2, 2, 1)), ("h100:8", (1, 1, 8)), ("h100:1x1x8", (1, 1, 8)),
        ("a100:16", (1, 2, 8)), ("cpu", (1,)), ("cpu:8", (8,)),
    ],
)  # fmt: skip
def test_names(name: str, shape: tuple[int, ...]) -> None:
    assert parse_topology(name).shape == shape


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5:2x4", "did you mean 'v5p'"), ("v5e", "number of devices"), ("v5p:2x4", "number of devices"),
        ("h100:0", "number of devices"), ("h100:12", "multiple of 8"), ("cpu:2x2", "number of devices"),
        ("", "unknown topology ''"), ("v5e:99999999999x4", "number of devices"),
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_topology(name)


def test_a_missing_compiler_is_named_with_its_extra() -> None:
    with pytest.raises(UserError, match=re.escape("v5e:2x4: its programs are compiled by libtpu: ")) as raised:
        require_compiler("v5e:2x4", ("no_such_module",), "libtpu", "tpu")
    assert "uv run --extra tpu ganzoo" in str(raised.value)
    require_compiler("cpu", ("json",), "libtpu", "tpu")


def test_a_processor_has_only_the_devices_that_jax_has_made() -> None:
    assert parse_topology("cpu:2").mesh().size == 2
    with pytest.raises(UserError, match="JAX_NUM_CPU_DEVICES=99"):
        parse_topology("cpu:99").mesh()
