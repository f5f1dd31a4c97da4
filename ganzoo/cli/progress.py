"""Bars on a terminal that show how far something is."""

import contextlib
from collections.abc import Callable, Generator


@contextlib.contextmanager
def reading_bar() -> Generator[Callable[[int, int], None]]:
    """Yield a function that shows how many images are read; on a terminal only, and gone when all are read."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, transient=True)
    task = bar.add_task("reading")

    def stop() -> None:
        if bar.live.is_started:  # otherwise it would print an empty line
            bar.stop()

    def show(done: int, total: int) -> None:
        if not bar.console.is_terminal:
            return
        if done < total:
            bar.start()
            bar.update(task, completed=done, total=total)
        else:
            stop()

    try:
        yield show
    finally:
        stop()
