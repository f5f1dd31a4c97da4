"""What was used last, kept by name, and the rest forgotten."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The ``most`` values that were used last; safe for several threads."""

    def __init__(self, most: int) -> None:
        self._most, self._kept, self._lock = most, OrderedDict[Hashable, T](), threading.Lock()

    def get(self, name: Hashable) -> T | None:
        """Return a value; None where it is not kept."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)

    def put(self, name: Hashable, value: T) -> T:
        """Keep a value, and return it; the one that was not used for the longest time may go."""
        with self._lock:
            self._kept[name] = value
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value

    def made(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return a value, which is made and kept where it is not there; two threads may both make it."""
        found = self.get(name)
        return self.put(name, make()) if found is None else found
