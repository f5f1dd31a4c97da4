"""One computation at a time; of what a visitor asked for, only the newest."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stale(Exception):
    """A newer request of the same visitor came while this one waited."""


class Turns:
    """Gives visitors their turns, in the order in which they asked."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._newest: dict[tuple[str, str], object] = {}

    async def take(self, visitor: str, kind: str, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, which runs in a thread when it is its turn.

        Args:
          visitor: who asks; one visitor's requests never drop another's.
          kind: of request; a newer one of the same kind drops one that still waits.
          work: takes no arguments.

        Raises:
          Stale: it was dropped.
        """
        place, ticket = (visitor, kind), object()
        self._newest[place] = ticket
        try:
            async with self._lock:
                if self._newest.get(place) is not ticket:
                    raise Stale
                return await asyncio.to_thread(work)
        finally:
            if self._newest.get(place) is ticket:
                del self._newest[place]
