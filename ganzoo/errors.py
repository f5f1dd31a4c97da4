"""The error for input that the user can put right."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input (a config, a data set, a checkpoint): one message that names the thing and the remedy.

    The command line prints it as one line and exits with code 2; in a program it is an ordinary ``ValueError``.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt ``name``: `` did you mean 'x'?`` where one is close, then all the ``known`` names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f" did you mean {close[0]!r}?" if close else ""
    return f"{guess} known: {', '.join(known)}"
