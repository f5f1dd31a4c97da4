"""Functions that XLA compiles apart from the program that calls them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def outlined(*static: str) -> Callable[[Callable], Callable]:
    """Decorate a function of arrays so that XLA does not merge its operations with those of its caller.

    Its results are then computed once and stored, where XLA would compute them anew in every operation that uses them,
    and its operations are the same wherever shapes are, so that they are compiled once.

    Args:
        static: names of the arguments that are no arrays.
    """

    def decorate(function: Callable) -> Callable:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with set_xla_metadata(inlineable="true"):
                return function(*args, **kwargs)

        jitted = jax.jit(inside, static_argnames=static)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with set_xla_metadata(inlineable="false"):
                return jitted(*args, **kwargs)

        return call

    return decorate
