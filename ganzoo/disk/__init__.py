"""Paths as users write them; files written whole or not at all, without following links; and the cache.

The cache, of what is costly to find again, is in ``$GANZOO_CACHE`` (``~/.cache/ganzoo`` where that is unset or empty)
and may be deleted at any time.
"""

import contextlib
import errno
import os
import stat
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal, TypeVar

from ganzoo.errors import UserError

T = TypeVar("T")
Kind = Literal["file", "folder", "other", "nothing"]

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags of opening without following a link and without waiting for the other end of a pipe."""
REASONS = {
    errno.ELOOP: "it is a link, which is not followed; remove it",
    errno.ENXIO: "it is no regular file; remove it",
    errno.EISDIR: "it is a folder; remove it",
}
"""What the errors of opening a file with these flags mean."""


def user_path(text: str | Path) -> Path:
    """Return a path as the user wrote it, with the home folder in the place of ``~``.

    Raises:
      UserError: there is no such home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: the home folder is not known; write the whole path instead of ~") from None


def kind_of(path: Path) -> Kind:
    """Say what is at a path, links followed; "other" is a pipe, a socket or a device.

    Raises:
      UserError: that cannot be found out, because a folder is closed, or the name is too long or impossible.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise UserError(f"{path}: cannot be read ({why}); give another path") from None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file; pipes and devices, which may have no end, are refused unopened.

    Args:
      path: of the file; links are followed.
      most: largest number of bytes.

    Raises:
      UserError: it is no regular file, or a larger one.
      OSError: it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError("no regular file, but a folder, a pipe or a device")
    if status.st_size > most:
        raise UserError(f"{status.st_size:,} bytes, more than {most:,}")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"more than {most:,} bytes")
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file atomically; after a power cut it holds the old or the new content. A link itself is replaced.

    Raises:
      OSError: the file cannot be written, or is a device or a pipe; no partial file remains.
    """
    _require_replaceable(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")  # the process id keeps two writers of one file apart
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def write_file(path: Path, content: bytes) -> None:
    """Replace a file as ``write_whole`` does; ``UserError`` where that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def require_writable(path: Path) -> None:
    """Raise ``UserError`` where ``write_whole`` would fail, as far as that can be known before; nothing is written."""
    parent = path.absolute().parent
    if kind_of(parent) != "folder":
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        _require_replaceable(path)
        if not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "its folder cannot be written to")
        os.stat(path.with_name(f"{path.name}.{os.getpid()}.part"))  # for names that are too long
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a file in a run folder, which is made where it is absent; a link is not followed.

    A last line that is not whole, such as one that a full disk has cut, is ended before.

    Raises:
      UserError: the file is a link, no regular file, or cannot be written.
    """
    with _opened(path, os.O_RDWR | os.O_CREAT) as (file, size):
        os.lseek(file, max(size - 1, 0), os.SEEK_SET)
        is_whole = os.read(file, 1) in (b"", b"\n")
        content = f"{'' if is_whole else chr(10)}{line}\n".encode(errors="backslashreplace")
        while content:
            content = content[os.write(file, content) :]


def require_appendable(path: Path) -> None:
    """Raise ``UserError`` where ``append_line`` would, as far as that can be known before; nothing is written."""
    if os.path.lexists(path):
        with _opened(path, os.O_RDWR):
            return
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: its folder cannot be written to")


def make_own_folder(path: Path) -> None:
    """Make a folder inside a run folder where it is absent; ``UserError`` where it is a link or cannot be made."""
    try:
        path.mkdir(exist_ok=True)
        is_own = not path.is_symlink()
    except OSError as error:
        raise UserError(f"{path} cannot be made a folder: {error.strerror or error}") from error
    if not is_own:
        raise UserError(f"{path} is a link, which is not followed; remove it")


def require_own(folder: Path) -> None:
    """Raise ``UserError`` where a folder, or anything below it, is a link or neither a folder nor a regular file.

    A folder that is absent passes, and so does what vanishes meanwhile.
    """
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                waiting += (Path(entry) for entry in os.scandir(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        if stat.S_ISLNK(mode):
            raise UserError(f"{path} is a link, which is not followed; replace it by what it points to, or remove it")
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UserError(f"{path} is no regular file; remove it")


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Generator[tuple[int, int]]:
    """Yield the descriptor of a regular file that is open at its end, and its size in bytes."""
    try:
        file = os.open(path, flags | os.O_APPEND | NO_FOLLOW, 0o666)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
            yield file, found.st_size
        finally:
            os.close(file)
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise UserError(f"{path} cannot be written: {reason}") from error


def _require_replaceable(path: Path) -> None:
    """Raise ``OSError`` for what is there and is no regular file, and for a link to such a thing or of the system."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode) and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    is_of_system = path.is_symlink() and str(path.absolute()).startswith(("/dev/", "/proc/"))  # such as /dev/stdout
    if not stat.S_ISREG(mode) or is_of_system:
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist; ``RuntimeError`` where there is no home folder."""
    return Path(os.environ.get("GANZOO_CACHE") or "~/.cache/ganzoo").expanduser()


def recall(name: str, decode: Callable[[bytes], T]) -> T | None:
    """Return what ``remember`` kept under a name, decoded; None where there is nothing that can be read.

    Args:
      name: of the file in the cache, such as ``data/0a1b.json``.
      decode: from the bytes of the file; may raise for bytes that it does not expect.
    """
    try:
        return decode((cache_folder() / name).read_bytes())
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None


def remember(name: str, content: bytes) -> None:
    """Keep a file in the cache; where it cannot be written, do nothing."""
    try:
        file = cache_folder() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
    except (OSError, RuntimeError):
        return
