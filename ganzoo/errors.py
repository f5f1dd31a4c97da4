"""The error for input that the user can put right, and texts as people read them in any terminal."""

import difflib
from collections.abc import Iterable

LONGEST = 500
"""Largest number of characters of a message."""
_GAP = " ... "


class UserError(ValueError):
    """Bad input (a config, a data set, a checkpoint): one message that names the thing and the remedy.

    The command line prints it as one line and exits with code 2; in a program it is an ordinary ``ValueError``. The
    message is always one printable line of at most ``LONGEST`` characters, whatever names it was made with.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(message, LONGEST))


def printable(text: object, length: int = 100) -> str:
    r"""Return a text of unknown origin, such as a name in a file, as one line of limited length for any terminal.

    Control characters, line ends, marks of the writing direction, surrogates and all else that cannot be printed are
    escaped as in Python's strings: ``\n``, ``\x1b``, ``\u202e``. A longer text loses its middle.

    Args:
      text: a string, or anything that ``str`` takes.
      length: largest number of characters of the result, at least 20.
    """
    whole = str(text)
    ends = _escaped(whole[:length]), _escaped(whole[-length:])
    if len(whole) <= length and len(ends[0]) <= length:
        return ends[0]
    first = (length - len(_GAP)) * 3 // 5
    return ends[0][:first] + _GAP + ends[1][first + len(_GAP) - length :]


def guess(name: str, known: Iterable[str]) -> str:
    """Return `` did you mean 'x'?`` for a misspelt ``name``; empty where none of the ``known`` names is close."""
    close = difflib.get_close_matches(name[:LONGEST], list(known), n=1, cutoff=0.5)
    return f" did you mean {close[0]!r}?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt ``name``: its ``guess``, then all the ``known`` names."""
    known = sorted(known)
    return f"{guess(name, known)} known: {', '.join(known)}"


def several(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 image`` or ``1,200 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def install(extra: str) -> str:
    """Return how to install an optional part of this package, from its source: the name ``ganzoo`` is taken on PyPI."""
    return f"in the folder of its source, uv run --extra {extra} ganzoo ... or pip install '.[{extra}]'"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
