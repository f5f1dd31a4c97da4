"""Work done ahead by threads: results in order, memory bounded, threads gone when nobody listens any more."""

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
    """Yields ``[work(part) for part in split(item)]`` for every item, computed by threads in advance.

    Args:
        items: may be endless; taken in the caller's thread, at most ``depth`` ahead of what was yielded.
        split: cuts an item into parts that different threads work on.
        work: runs in the threads; what it raises is raised here when its item's turn comes.
        depth: items in the making beside the one that is yielded, >= 0.
        workers: threads, >= 1; they end with the iterator (exhausted, closed, failed or collected).
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
