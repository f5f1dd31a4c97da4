"""The checker of annotations in the tests: beartype, with whole numbers allowed where floats are wanted.

``jaxtyping`` writes and compiles two small functions, with nothing but names and annotations, for every function that
it decorates, and ``beartype`` wraps them. A function within a function is decorated whenever the outer one runs, which
was a tenth of the time of all tests. Small functions for the same names and annotations are made and wrapped once.
"""

from functools import cache
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import _decorator

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked_once = cache(_checked)
_made = cache(_decorator._make_fn_with_signature)
_make = _decorator._make_fn_with_signature
_small: set[Any] = set()


def _make_once(*names_and_signature: Any, output: bool) -> Any:
    """Stand in for ``jaxtyping``'s function that makes the small ones."""
    try:
        made = _made(*names_and_signature, output=output)
    except TypeError:  # annotations or defaults that cannot be keys
        return _make(*names_and_signature, output=output)
    _small.add(made[0] if output else made)
    return made


_decorator._make_fn_with_signature = _make_once


def check(function: Any) -> Any:
    """Return the function with its annotations checked at every call."""
    return _checked_once(function) if function in _small else _checked(function)
