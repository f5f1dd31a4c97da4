"""Bars on a terminal that show how far something is, and batches that move them."""

import contextlib
from collections.abc import Callable, Generator, Iterator

import numpy as np


@contextlib.contextmanager
def bar(title: str) -> Generator[Callable[[int, int], None]]:
    """Yield a function that shows how many images are done; on a terminal only, and gone when all are.

    The title and the time that is left come first, and are seen on the narrowest terminal.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), TimeRemainingColumn(), TextColumn("left"), MofNCompleteColumn(), BarColumn(None))
    shown = Progress(*columns, transient=True)
    task = shown.add_task(title)
    has_bar = shown.console.is_terminal and not shown.console.is_dumb_terminal

    def stop() -> None:
        if shown.live.is_started:  # otherwise it would print an empty line
            shown.stop()

    def show(done: int, total: int) -> None:
        if not has_bar:
            return
        if done < total:
            shown.update(task, completed=done, total=total)
            shown.start()
        else:
            stop()

    try:
        yield show
    finally:
        stop()


def shown(batches: Iterator[np.ndarray], total: int, show: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    """Yield batches, and show how many images there have been."""
    done = 0
    for batch in batches:
        done += len(batch)
        yield batch
        show(done, total)


def counted(batches: Iterator[np.ndarray], total: int, show: Callable[[int, int], None]) -> Iterator[np.ndarray]:
    """Return the images [H, W, C] of batches one by one, and show how many there have been."""
    return (image for batch in shown(batches, total, show) for image in batch)
