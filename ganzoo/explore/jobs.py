"""Long work of visitors: each in a thread of its own, with progress, a way to stop, and a result."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ganzoo.errors import UserError
from ganzoo.explore.recent import Recent

MOST_AT_ONCE = 4
"""Largest number of works that run at once, of all visitors."""
MOST_KEPT = 64
"""Largest number of works whose result is kept."""


class Stopped(Exception):
    """The work was to end."""


@dataclass
class Job:
    """One long work."""

    name: str
    visitor: str
    share: float = 0.0
    """How much is done, from 0 to 1."""
    note: str = "waiting"
    """What is being done, for people."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the page shows meanwhile and afterwards, as JSON types."""
    picture: bytes = b""
    """PNG of how far it is, or another file that was made."""
    error: str = ""
    is_done: bool = False
    wants_stop: threading.Event = field(default_factory=threading.Event)

    def tell(self, share: float, note: str, picture: bytes | None = None, **facts: Any) -> None:
        """Note how far it is; ``Stopped`` where it is to end. Called by the work itself."""
        self.share, self.note = share, note
        self.keep(picture, **facts)
        if self.wants_stop.is_set():
            raise Stopped

    def keep(self, picture: bytes | None = None, **facts: Any) -> None:
        """Keep what was made, whether it is to end or not."""
        self.picture = self.picture if picture is None else picture
        self.facts = {**self.facts, **facts}

    def shown(self) -> Mapping[str, Any]:
        """Return how far it is, as JSON types."""
        facts = {"job": self.name, "share": round(self.share, 4), "note": self.note, "done": self.is_done}
        return {**facts, **self.facts, **({"error": self.error} if self.error else {})}


class Jobs:
    """The works of all visitors; each visitor has one at a time."""

    def __init__(self) -> None:
        self._kept: Recent[Job] = Recent(MOST_KEPT)
        self._running: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, visitor: str, work: Callable[[Job], None]) -> Job:
        """Start a work, and end an earlier one of the same visitor; ``UserError`` where too many run."""
        with self._lock:
            before = self._running.get(visitor)
            if before is None and len(self._running) >= MOST_AT_ONCE:
                raise UserError(f"{MOST_AT_ONCE} works of other visitors run already; try again when one is done")
            if before is not None:
                before.wants_stop.set()
            job = Job(secrets.token_hex(12), visitor)
            self._running[visitor] = job
        self._kept.put(job.name, job)
        threading.Thread(target=self._run, args=(job, work), daemon=True, name=f"job {job.name}").start()
        return job

    def find(self, name: str) -> Job:
        """Return a work; ``UserError`` where it is not kept."""
        found = self._kept.get(name)
        if found is None:
            raise UserError("this work is not kept any more; start it again")
        return found

    def _run(self, job: Job, work: Callable[[Job], None]) -> None:
        try:
            work(job)
            job.note = "done"
        except Stopped:
            job.note = "stopped"
        except UserError as error:
            job.error = str(error)
        except Exception as error:  # the page must learn of it; the server goes on
            job.error = f"{type(error).__name__}: {str(error)[:300]}"
        finally:
            job.is_done = True
            with self._lock:
                if self._running.get(job.visitor) is job:
                    del self._running[job.visitor]
