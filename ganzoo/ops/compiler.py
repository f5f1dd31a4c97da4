"""Options of XLA's compiler, whose names come and go with the versions of JAX."""

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

import jax

Option: TypeAlias = bool | int | str


def accepted(options: Mapping[str, Option]) -> dict[str, Option]:
    """Return those of the options that this version of the compiler knows; a smallest program is compiled to see."""
    return {name: value for name, value in options.items() if _is_accepted(name, value)}


@cache
def _is_accepted(name: str, value: Option) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True
