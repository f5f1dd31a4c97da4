"""What belongs to the process of a command: its memory, its caches, its cluster, its messages and its exit code.

Nothing heavy is imported with this module.
"""

import contextlib
import ctypes
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ganzoo.disk import cache_folder
from ganzoo.errors import UserError, printable

USAGE, INTERRUPTED = 2, 130
"""Exit codes."""
TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameter numbers of glibc's ``mallopt``."""
LARGEST = 2**31 - 1


def guarded(command: Callable[[], Any]) -> int:
    """Call a function; print an error of the user's or of the system's, or an interruption, as one line.

    Returns:
      The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the terminal lacks are escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
        if sys.stdout:
            sys.stdout.flush()
    except UserError as error:
        print(f"ganzoo: error: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt as stop:
        print(f"ganzoo: {str(stop) or 'stopped'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the output, such as ``head``, has enough
        _forget_output()
    except OSError as error:  # a full disk, a folder that is closed meanwhile: whatever has no message of its own
        where = f"{printable(error.filename, 200)}: " if error.filename else ""
        print(f"ganzoo: error: {where}{printable(error.strerror or error, 200)}", file=sys.stderr)
        _forget_output()
        return USAGE
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def _forget_output() -> None:
    """Let what was printed and cannot be written go nowhere, so that Python does not try again at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare() -> None:
    """Set up the process of a command that computes: quiet libraries, compiled programs and freed memory kept."""
    for library in ("absl", "asyncio"):  # Orbax reports through these, at length, what becomes a UserError
        logging.getLogger(library).setLevel(logging.CRITICAL)
    cache_compilations()
    keep_freed_memory()


def cache_compilations() -> None:
    """Keep compiled programs between runs, in the cache of ``ganzoo.disk``, unless JAX was given a place.

    Where there is no home folder to keep them in, or no permission, they are compiled each time.
    """
    import jax

    try:
        folder = cache_folder() / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if os.access(folder, os.W_OK | os.X_OK) and jax.config.jax_compilation_cache_dir is None:  # ty: ignore[missing-attribute]
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for later requests; return whether the settings were accepted.

    A compiled program on a CPU allocates all its temporaries at the start of each call and frees them at the end. By
    default each large block is a separate mapping, whose pages are faulted in and zeroed at every call, which takes up
    to half of the time of a StyleGAN2 step. In return, the process never shrinks below its peak size. Works on Linux
    with glibc; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def join_cluster(environment: Mapping[str, str]) -> None:
    """Start JAX's distributed service, from JAX_* variables or from what the cluster says by itself."""
    import jax

    try:
        count, index = (
            int(environment[name]) if name in environment else None for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        )
        jax.distributed.initialize(num_processes=count, process_id=index)
    except (ValueError, RuntimeError) as error:
        remedy = "set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or leave out --distributed"
        raise UserError(f"cannot join the other processes ({str(error).splitlines()[0]}); {remedy}") from error
