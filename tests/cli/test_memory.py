"""What the command tells the C library about freed memory."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource, sys, threading
from ganzoo.cli.process import keep_freed_memory

if not keep_freed_memory():
    sys.exit("not here")
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes, library.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def use(size):
    before, block = faults(), library.malloc(size)
    library.memset(block, 1, 40 * 2**20)
    library.free(block)
    counts.append(faults() - before)

for size in (3 * 2**30, 50 * 2**20):  # more than two gigabytes, and what fits into an arena of a thread
    counts = []
    for _ in range(3):
        thread = threading.Thread(target=use, args=(size,))
        thread.start()
        thread.join()
    print(*counts)
"""


def test_freed_memory_is_used_again_by_every_thread_without_page_faults() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    if "not here" in result.stderr:
        pytest.skip("another C library than glibc")
    assert result.returncode == 0, result.stderr
    (first, *again), small = (list(map(int, line.split())) for line in result.stdout.splitlines())
    assert first > 8 * max(again + small), result.stdout
