"""Silence for what Orbax logs, and for what its threads print: the one error that is raised says what was wrong."""

import functools
import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

LOGGERS = ("absl", "asyncio")
"""Loggers that Orbax reports through."""
PLACES = ("/orbax/", "/uvloop/", "/tensorstore/", "/asyncio/")


@functools.cache
def silence() -> None:
    """Drop the reports of Orbax and the errors of its threads, for the rest of the process; others stay."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(lambda record: not _is_orbax(record))
    of_threads, of_destructors = threading.excepthook, sys.unraisablehook

    def thread(args: threading.ExceptHookArgs) -> None:
        if not _passes(args.exc_traceback):
            of_threads(args)

    def destructor(args: "sys.UnraisableHookArgs") -> None:
        if not _passes(args.exc_traceback) and not _passes_code(args.object):
            of_destructors(args)

    threading.excepthook, sys.unraisablehook = thread, destructor


def _is_orbax(record: logging.LogRecord) -> bool:
    """Return whether a record was made by Orbax or is about an error in it."""
    error = record.exc_info[2] if isinstance(record.exc_info, tuple) else None
    return "/orbax/" in _plain(record.pathname) or _passes(error)


def _passes(trace: TracebackType | None) -> bool:
    """Return whether an error came through Orbax or what it is made of."""
    return any(place in _plain(frame.filename) for frame in traceback.extract_tb(trace) for place in PLACES)


def _passes_code(found: Any) -> bool:
    """Return whether an object is a coroutine or a function of Orbax or what it is made of."""
    code = getattr(found, "cr_code", None) or getattr(found, "__code__", None)
    return any(place in _plain(getattr(code, "co_filename", "")) for place in PLACES)


def _plain(path: str) -> str:
    return path.replace("\\", "/")
