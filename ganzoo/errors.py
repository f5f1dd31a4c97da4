"""The error for input that the user can put right."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input (a config, a data set, a checkpoint): one message that names the thing and the remedy.

    The command line prints it as one line and exits with code 2; in a program it is an ordinary ``ValueError``.
    """


def guess(name: str, known: Iterable[str]) -> str:
    """Return `` did you mean 'x'?`` for a misspelt ``name``; empty where none of the ``known`` names is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" did you mean {close[0]!r}?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt ``name``: its ``guess``, then all the ``known`` names."""
    known = sorted(known)
    return f"{guess(name, known)} known: {', '.join(known)}"


def install(extra: str) -> str:
    """Return how to install an optional part of this package, from its source: the name ``ganzoo`` is taken on PyPI."""
    return f"in the folder of its source, uv run --extra {extra} ganzoo ... or pip install '.[{extra}]'"
