"""Memory of the processor that is kept instead of being given back, because getting it anew costs page faults."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt``."""
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed for the next request; whether it understood.

    A compiled program on a CPU asks for all its temporaries at the start of each call and frees them at its end. By
    default each large block is a mapping of its own, whose every page is then faulted in and zeroed again and again:
    of StyleGAN2's steps that is up to half the time. The price is that the process stays as large as it ever was.
    Linux with glibc only; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
