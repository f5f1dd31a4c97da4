"""What belongs to the process of a command: its memory, its caches, its cluster, its messages and its exit code.

Nothing heavy is imported with this module.
"""

import contextlib
import ctypes
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Any, NoReturn

from ganzoo.disk import cache_folder
from ganzoo.errors import UserError, printable
from ganzoo.training.quiet import silence, silence_warnings

USAGE, INTERRUPTED = 2, 130
"""Exit codes."""
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
"""Parameter numbers of glibc's ``mallopt``."""
NEVER = -1
FULL = "there is not enough memory; make fewer images at once (--batch, --batch-size or --micro-batch), or smaller ones"


def guarded(command: Callable[[], Any], *, is_last: bool = False) -> int:
    """Call a function; print an error of the user's or of the system's, or an interruption, as one line.

    Args:
      command: what to call.
      is_last: whether the process ends afterwards; a Ctrl-C then ends it at once, and in silence after its line.

    Returns:
      The exit code.
    """
    silence()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the terminal lacks are escaped
            stream.reconfigure(errors="backslashreplace")
    with noticing_stop(is_last=is_last) as was_stopped:
        try:
            command()
            if sys.stdout:
                sys.stdout.flush()
        except SystemExit as leaving:
            return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
        except BaseException as error:
            is_broken_off = was_stopped() and not isinstance(error, UserError | KeyboardInterrupt)
            answer = answer_to(KeyboardInterrupt() if is_broken_off else error)
            if answer is None:
                raise
            code, line = answer
            if isinstance(error, OSError):
                _forget_output()
            with contextlib.suppress(OSError, ValueError):  # nobody reads the errors
                print(line, end="\n" if line else "", file=sys.stderr, flush=True)
            if is_last and was_stopped():
                _leave(code)
            return code
    return 0


def answer_to(error: BaseException) -> tuple[int, str] | None:
    """Return the exit code and the line to print for what ended a command; None for what nobody has foreseen."""
    if isinstance(error, UserError):
        return USAGE, f"ganzoo: error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, f"ganzoo: {str(error) or 'stopped'}"
    if isinstance(error, BrokenPipeError):  # whoever reads the output, such as ``head``, has enough
        return 0, ""
    if isinstance(error, OSError):  # a full disk, a folder that is closed meanwhile: whatever has no message of its own
        where = f"{printable(error.filename, 200)}: " if error.filename else ""
        return USAGE, f"ganzoo: error: {where}{printable(error.strerror or error, 200)}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:1000]:  # of the machine, of a device
        return USAGE, f"ganzoo: error: {FULL}"
    return None


@contextlib.contextmanager
def noticing_stop(*, is_last: bool = False) -> Generator[Callable[[], bool]]:
    """Within, yield a function that says whether Ctrl-C was pressed, whatever became of the ``KeyboardInterrupt``.

    An import, a thread or a callback in which it is raised may turn it into an error of its own, or print a traceback
    and go on. Off the main thread, and where a program has its own handler, nothing is changed.

    Args:
      is_last: leave it to the system to end the process by a Ctrl-C that comes afterwards.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    was_stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal was_stopped
        was_stopped = True
        if is_last and _is_importing(frame):
            with contextlib.suppress(OSError):
                os.write(2, b"ganzoo: stopped\n")
            os._exit(INTERRUPTED)
        signal.default_int_handler(number, frame)

    def tell(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)

    before, sys.unraisablehook = sys.unraisablehook, tell
    signal.signal(signal.SIGINT, stop)
    try:
        yield lambda: was_stopped
    finally:
        sys.unraisablehook = before
        ends = is_last or was_stopped
        signal.signal(signal.SIGINT, signal.SIG_DFL if ends else signal.default_int_handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether a module is being imported, whose own code may print a ``KeyboardInterrupt`` and go on."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _leave(code: int) -> NoReturn:
    """End the process at once; XLA, whose threads may still compile, would crash while Python takes it down."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(code)


def _forget_output() -> None:
    """Let what was printed and cannot be written go nowhere, so that Python does not try again at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def prepare(*, cached: bool = True) -> None:
    """Set up the process of a command that computes: quiet libraries, freed memory and, if asked, programs kept."""
    silence_warnings()
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")  # of a full disk
    if cached:
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
    to half of the time of a StyleGAN2 step. The same goes for what the threads of a program allocate, each in an arena
    of its own, which is given back whenever it is empty; so all share one. In return, the process never shrinks below
    its peak size. Works on Linux with glibc; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (ARENA_MAX, 1))
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
