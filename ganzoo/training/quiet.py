"""Silence for what Orbax logs, and for what it and tensorboardX print in threads and at the end of the process.

The one error that is raised says what was wrong.
"""

import functools
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

LOGGERS = ("absl", "asyncio")
"""Loggers that Orbax reports through."""
PLACES = ("/orbax/", "/uvloop/", "/tensorstore/", "/tensorboardX/")
"""Parts of the file names of Orbax and of what runs its threads, and of tensorboardX, which writes again at the end."""


@functools.cache
def silence() -> None:
    """Drop the reports of Orbax and the errors of its threads, for the rest of the process; all others stay."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(lambda record: not _is_orbax(record))
    of_threads, of_destructors, of_callbacks = threading.excepthook, sys.unraisablehook, sys.excepthook

    def thread(args: threading.ExceptHookArgs) -> None:
        if not _passes(args.exc_traceback):
            of_threads(args)

    def destructor(args: "sys.UnraisableHookArgs") -> None:
        if not _passes(args.exc_traceback) and not _is_code(args.object):
            of_destructors(args)

    def callback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main or not _passes(trace):  # TensorStore's own threads report here that nobody waits for them any more
            of_callbacks(kind, error, trace)

    threading.excepthook, sys.unraisablehook, sys.excepthook = thread, destructor, callback


def silence_warnings() -> None:
    """Drop Python's warnings about coroutines that nobody waits for: for programs that have none besides Orbax's."""
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _is_orbax(record: logging.LogRecord) -> bool:
    """Return whether a record was made by Orbax, or is about an error in it or in TensorStore."""
    if "/orbax/" in record.pathname.replace("\\", "/"):
        return True
    _, error, trace = record.exc_info if isinstance(record.exc_info, tuple) else (None, None, None)
    return _passes(trace) or "tensorstore" in str(error)


def _passes(trace: TracebackType | None) -> bool:
    """Return whether an error came through Orbax or what runs its threads."""
    return any(_is_place(frame.filename) for frame in traceback.extract_tb(trace))


def _is_code(found: Any) -> bool:
    """Return whether an object is a coroutine or a function of Orbax or of what runs its threads."""
    code = getattr(found, "cr_code", None) or getattr(found, "__code__", None)
    return _is_place(getattr(code, "co_filename", ""))


def _is_place(path: str) -> bool:
    return any(place in "/" + path.replace("\\", "/") for place in PLACES)
