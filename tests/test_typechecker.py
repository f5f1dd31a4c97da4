"""The checker of annotations checks functions within functions at every call, though it makes its parts once."""

from typing import Any

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError, jaxtyped
from typechecker import check


def outer(size: int) -> Any:
    @jaxtyped(typechecker=check)
    def inner(x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        return (x + y)[:size]

    return inner


@pytest.mark.parametrize("size", [3, 2])
def test_shapes_of_arguments_and_results(size: int) -> None:
    inner, three, four = outer(size), np.zeros(3), np.zeros(4)
    with pytest.raises(TypeCheckError, match="parameters"):
        inner(three, four)
    if size == 3:
        assert inner(three, three).shape == (3,)
    else:
        with pytest.raises(TypeCheckError, match="return value"):
            inner(three, three)
