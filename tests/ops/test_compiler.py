"""Which options the compiler of this version of JAX takes."""

import pytest

from ganzoo.ops import compiler


def test_unknown_options_are_left_out() -> None:
    options = {"xla_backend_optimization_level": 1, "xla_cpu_no_such_option": True}
    assert compiler.accepted(options) == {"xla_backend_optimization_level": 1}


def test_a_value_of_the_wrong_kind_is_an_error() -> None:
    with pytest.raises(Exception, match="xla_backend_optimization_level"):
        compiler.accepted({"xla_backend_optimization_level": "high"})
