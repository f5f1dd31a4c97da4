"""Work done ahead by threads: results stay in order, memory is bounded, and the threads end with the iterator."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Part = TypeVar("Part")
Result = TypeVar("Result")


def ahead(
    items: Iterable[Item],
    *,
    split: Callable[[Item], Sequence[Part]],
    work: Callable[[Part], Result],
    depth: int,
    workers: int,
) -> Generator[list[Result], None, None]:
    """Yield ``[work(part) for part in split(item)]`` for every item, computed by threads in advance.

    Args:
        items: items, possibly endless, taken in the caller's thread and at most ``depth`` ahead of the yielded item.
        split: splits an item into parts for different threads.
        work: function that the threads call; its errors are raised here when the item is due.
        depth: number of items prepared beside the item being yielded, >= 0.
        workers: number of threads, >= 1; they end when the iterator is exhausted, closed or collected, or fails.
    """
    pending: deque[list[Future[Result]]] = deque()
    pool = ThreadPoolExecutor(workers, "ganzoo-prefetch")
    try:
        for item in items:
            pending.append([pool.submit(work, part) for part in split(item)])
            if len(pending) > depth:
                yield [future.result() for future in pending.popleft()]
        while pending:
            yield [future.result() for future in pending.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)
