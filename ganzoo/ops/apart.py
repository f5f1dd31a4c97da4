"""Operations that XLA compiles apart from the program that they are in."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def apart(function: Callable, *arrays: Any, **settings: Any) -> Any:
    """Return ``function(*arrays, **settings)``, whose operations XLA does not merge with those of the caller.

    XLA computes a sum anew in every operation that uses it, and compiles each of these anew. What is computed apart is
    stored instead, and the operations that use it are the same ones, compiled once, wherever their shapes are.

    Args:
        function: computes arrays from arrays.
        *arrays: trees of arrays.
        **settings: hashable.
    """
    with set_xla_metadata(inlineable="false"):
        return _compiled(function)(arrays, tuple(settings.items()))


@cache
def _compiled(function: Callable) -> Callable:
    @wraps(function)
    def inside(arrays: tuple, settings: tuple) -> Any:
        with set_xla_metadata(inlineable="true"):
            return function(*arrays, **dict(settings))

    return jax.jit(inside, static_argnums=1)
