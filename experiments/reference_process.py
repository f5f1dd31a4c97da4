"""The PyTorch side of the benchmark in a process of its own, so that allocators and threads do not meet.

As a program, ``python reference_process.py``, it is that process: it reads one JSON object a line, first what to build,
then one ``{"part": ..., "count": ..., "clock": ...}`` for each turn, and answers each by one line.
"""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""What seconds are counted by: the time that passes, or that which the processor works, summed over its threads."""
STEP = "step"
"""The part of a reference that is one function, not several by name."""


@dataclass(frozen=True)
class Reference:
    """What their side is: ``module.function(**arguments)``, a function of a count or several of them by name."""

    module: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Process:
    """Their side, running: ``run(part, count)`` does that part of the work ``count`` times and waits for the device."""

    def __init__(self, reference: Reference, *, keep_freed_memory: bool, **how: Any) -> None:
        """
        Args:
          reference: what to build.
          keep_freed_memory: with ``ganzoo.cli.process.keep_freed_memory``; as PyTorch comes, without.
          how: further arguments, those of the run: dtype, channels_last, threads.
        """
        arguments = {**reference.arguments, **how}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        build = {**asdict(reference), "arguments": arguments, "keep_freed_memory": keep_freed_memory}
        self.parts: list[str] = self._ask(build)["parts"]

    def run(self, part: str, count: int, clock: str = "wall") -> float:
        """The seconds that it took, by one of ``CLOCKS``."""
        return self._ask({"part": part, "count": count, "clock": clock})["seconds"]

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        cast("IO[str]", self._process.stdin).close()
        self._process.wait()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        pipe = cast("IO[str]", self._process.stdin)
        pipe.write(json.dumps(question) + "\n")
        pipe.flush()
        answer = cast("IO[str]", self._process.stdout).readline()
        if not answer:
            raise RuntimeError("the PyTorch process ended; its error stands above")
        return json.loads(answer)


def serve() -> None:
    """Build what the first line asks for, then take a turn for each further line."""
    wanted = json.loads(sys.stdin.readline())
    if wanted["keep_freed_memory"]:
        from ganzoo.cli.process import keep_freed_memory

        keep_freed_memory()
    built = getattr(importlib.import_module(wanted["module"]), wanted["function"])(**wanted["arguments"])
    parts: Mapping[str, Callable[[int], None]] = built if isinstance(built, Mapping) else {STEP: built}
    print(json.dumps({"parts": list(parts)}), flush=True)
    for line in sys.stdin:
        turn = json.loads(line)
        now = CLOCKS[turn["clock"]]
        start = now()
        parts[turn["part"]](turn["count"])
        print(json.dumps({"seconds": now() - start}), flush=True)


if __name__ == "__main__":
    serve()
