"""Files that are larger than memory, written piece by piece, whole or not at all, by one process at a time."""

import contextlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from ganzoo.disk import NO_FOLLOW, REASONS, require_writable
from ganzoo.errors import UserError

_PAUSE = 0.5
"""Seconds between two looks at a file that another process writes."""


class Unfinished:
    """A file that is being written; it takes the place of ``path`` when it is finished. Threads may share it."""

    def __init__(self, path: Path, part: Path, descriptor: int) -> None:
        self.path = path
        self.is_finished = False
        self._part = part
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, place: int, content: bytes) -> None:
        """Write bytes from a place on; ``OSError`` where the disk is full."""
        left = memoryview(content).cast("B")
        with self._lock:
            os.lseek(self._descriptor, place, os.SEEK_SET)
            while left:
                left = left[os.write(self._descriptor, left) :]

    def finish(self) -> None:
        """Put the file in its place; after a power cut, there is the old or the new one."""
        os.fsync(self._descriptor)
        os.replace(self._part, self.path)
        self.is_finished = True


@contextlib.contextmanager
def replacing(path: Path, waiting: Callable[[int], None]) -> Generator[Unfinished]:
    """Yield an empty file, ``PATH.part``, that the caller writes and finishes; removed where it is not finished.

    The process holds a lock on it. What a killed process has left is begun anew, and a second writer waits for the
    first; it should then look whether ``path`` is what it wanted to write.

    Args:
      path: the file that is to be replaced.
      waiting: called now and then with the bytes that another process has written.

    Raises:
      UserError: the file cannot be written, or there is no room on the disk.
    """
    require_writable(path)
    part = path.with_name(f"{path.name}.part")
    try:
        descriptor = _locked(part, waiting)
        unfinished = Unfinished(path, part, descriptor)
        try:
            os.ftruncate(descriptor, 0)
            yield unfinished
        finally:
            if not unfinished.is_finished:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
            os.close(descriptor)  # which also ends the lock
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise UserError(f"{path} cannot be written: {reason}") from error


def require_room(folder: Path, size: int) -> None:
    """Raise ``UserError`` where a disk has fewer free bytes than ``size``."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(f"{folder}: {size / 2**30:,.2f} GiB are needed, {free / 2**30:,.2f} GiB are free; make room")


def _locked(part: Path, waiting: Callable[[int], None]) -> int:
    """Return the descriptor of a regular file that this process has locked."""
    try:
        import fcntl
    except ImportError:
        raise UserError(f"{part} cannot be locked on this system; write it on Linux or macOS") from None
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waiting(os.fstat(descriptor).st_size)
                    time.sleep(_PAUSE)
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{part} is no regular file; remove it")
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(found, os.lstat(part)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the process before has put it in its place, or removed it
