"""Hooks of a run: guard against NaN, scalars, sample grids, checkpoints, metrics, progress bar."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganzoo.disk import append_line, make_own_folder, read_regular, require_appendable, write_whole
from ganzoo.disk.documents import parse_json, require_fields
from ganzoo.errors import UserError, printable
from ganzoo.grids import enlarged, grid, save_png, save_slides
from ganzoo.ops.pixels import to_uint8
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.loop import Hook, HookContext

DIVERGED = "/diverged"
P_LIMIT = 0.8
MOST_BYTES = 2**30
"""Largest size of a file of rows."""
WIDE = 110
"""Columns of a terminal on which the progress bar has all its parts."""
PATIENCE = 500_000
"""Images over the limit until the warning, or a tenth of the run, if that is less."""


class Diverged(UserError):
    """Training met a value that is not finite."""


class FiniteGuard(Hook):
    """Stops the run when a network's loss or gradient is no longer finite, before anything of it is saved."""

    def __init__(self, every: tuple[int, ...], checkpoints: Checkpoints) -> None:
        self.every = every
        self._checkpoints = checkpoints

    def at(self, context: HookContext) -> None:
        offenders = [name for name, value in context.metrics.items() if name.endswith(DIVERGED) and value > 0]
        broken = [name for name, value in context.metrics.items() if not math.isfinite(value)]
        if not offenders and not broken:
            return
        network = (offenders or broken)[0].split("/")[0]
        self._checkpoints.wait()
        latest = self._checkpoints.latest
        saved = "no checkpoint was made before" if latest is None else f"the last good checkpoint is at {latest} images"
        raise Diverged(
            f"the {network} met a value that is not finite before image {context.images}; {saved};"
            " lower the learning rate, or use float32"
        )


class Log(Hook):
    """Scalars as JSON lines, of which other hooks are told."""

    def __init__(self, every: tuple[int, ...], folder: Path, told: Sequence[Hook] = ()) -> None:
        """
        Args:
          every: images between two rows.
          folder: the run's.
          told: hooks that take the rows, too.
        """
        self.every = every
        self._file, self._told = folder / "metrics.jsonl", told
        self._start = time.perf_counter()

    def start(self, context: HookContext) -> None:
        require_appendable(self._file)
        kept = keep_rows(self._file, context.images)
        self._start -= next((row["elapsed_s"] for row in reversed(kept) if "elapsed_s" in row), 0)

    def at(self, context: HookContext) -> None:
        scalars = {name: value for name, value in sorted(context.metrics.items()) if not name.endswith(DIVERGED)}
        if scalars:
            elapsed = time.perf_counter() - self._start
            timing = {"images_per_s": float(f"{context.images_per_s:.4g}"), "elapsed_s": round(elapsed, 1)}
            self.write(context, {**timing, **scalars})

    def write(self, context: HookContext, scalars: Mapping[str, float]) -> None:
        """Write a row of scalars, such as those of another hook, beside the rows of the training."""
        row = {"step": context.step, **scalars}
        append_line(self._file, json.dumps({"images": context.images, **row}))
        for hook in self._told:
            hook.on_metrics(context.images, dict(row))


def keep_rows(file: Path, images: int) -> list[dict[str, float]]:
    """Drop the rows of a metrics file that are past ``images``, and lines that are no rows, such as half a row.

    Returns:
      The numbers of the rows that are kept; none where there is no file.

    Raises:
      UserError: the file is no regular one.
    """
    if not file.exists():
        return []
    kept = [(line, row) for line, row in _rows(file) if row["images"] <= images]
    write_whole(file, "".join(line + "\n" for line, _ in kept).encode())
    return [row for _, row in kept]


def grid_files(folder: Path) -> list[Path]:
    """Return the files of sample grids of a run folder, by name: those whose names are numbers, of images seen."""
    return [
        file for file in sorted((folder / "samples").glob("*.png")) if file.stem.isdecimal() and file.stem.isascii()
    ]


def read_rows(file: Path, most: int = MOST_BYTES) -> list[dict[str, float]]:
    """Return the numbers of the rows of a metrics file, without lines that are no rows.

    Raises:
      UserError: the file is no regular one, or larger than ``most`` bytes.
      OSError: it cannot be read.
    """
    return [row for _, row in _rows(file, most)]


def _rows(file: Path, most: int = MOST_BYTES) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each line that is a row, and its numbers."""
    for line in read_regular(file, most).decode(errors="replace").splitlines():
        try:
            row = require_fields(parse_json(line), {"images": (int, float)}, ("images",))
        except UserError:
            continue
        yield line, {name: value for name, value in row.items() if isinstance(value, int | float)}


class LeakWarning(Hook):
    """Says so, once, when augmentation has been so strong for so long that it may leak into the samples.

    Up to p of about 0.8 the generator can tell which images are likelier unaugmented. Karras et al. 2020,
    arXiv:2006.06676, section 2.2.
    """

    def __init__(self, every: tuple[int, ...], patience: int, log: Callable[[str], None] = print) -> None:
        """
        Args:
          every: images between two looks.
          patience: images for which p has to stay over the limit.
          log: receives the warning.
        """
        self.every = every
        self._patience = patience
        self._log = log
        self._since: int | None = None
        self._is_logged = False

    def at(self, context: HookContext) -> None:
        p = context.metrics.get("augment/p")
        if p is None or p <= P_LIMIT:
            self._since = None
            return
        self._since = context.images if self._since is None else self._since
        lasted = context.images - self._since
        if lasted >= self._patience and not self._is_logged:
            self._is_logged = True
            self._log(
                f"warning: p of the augmentation has been over {P_LIMIT} for {lasted} images, and may leak into the"
                f" samples; use more data, or --augment-p-max {P_LIMIT}"
            )


class Samples(Hook):
    """Grids of the same latents over time, ``samples/<images>.png``.

    Real images are written as ``reals.png`` at the start. At the end the last grid is written as ``samples.png``,
    enlarged, and all together as a film, ``samples.webp``. Pixels are ``x * 127.5 + 128``, clipped: never stretched.
    """

    def __init__(
        self,
        every: int,
        folder: Path,
        sample: Callable[[Any], jax.Array],
        columns: int,
        *,
        reals: Callable[[], np.ndarray] | None = None,
        log: Callable[[str], None] = print,
        told: Sequence[Hook] = (),
    ) -> None:
        """
        Args:
          every: images between two grids.
          folder: the run's.
          sample: ``state -> images``, row by row: the same images for the same state.
          columns: images in a row.
          reals: returns real images uint8 [N, H, W, C]; None where there are none to show.
          log: receives a line about grids of the same run that cannot be part of the film.
          told: hooks that take the grids, too.
        """
        self.every = (every,)
        self._folder, self._reals, self._log, self._told = folder, reals, log, told
        self._sample = sample
        self._columns = columns

    def start(self, context: HookContext) -> None:
        if self._reals and jax.process_index() == 0 and not (self._folder / "reals.png").exists():
            save_png(self._folder / "reals.png", enlarged(grid(self._reals(), self._columns)))
        if context.images == 0:
            self._write(context)

    def at(self, context: HookContext) -> None:
        self._write(context)

    def _write(self, context: HookContext) -> None:
        images = jax.device_get(self._sample(context.state))
        if jax.process_index():
            return
        picture = grid(to_uint8(images), self._columns)
        folder = self._folder / "samples"
        make_own_folder(folder)
        save_png(folder / f"{context.images:09d}.png", picture)
        if context.last:
            save_png(self._folder / "samples.png", enlarged(picture))
            # the last one is that just written
            earlier = [file for file in grid_files(self._folder) if int(file.stem[:12]) <= context.images]
            if left_out := save_slides(self._folder / "samples.webp", earlier):
                names = ", ".join(file.name for file in left_out[:5])
                what = "cannot be read as PNG, or are of another size"
                self._log(f"note: {len(left_out)} grids in samples/ {what}: left out of samples.webp ({names})")
        for hook in self._told:
            hook.on_samples(context.images, picture)


class Save(Hook):
    """A checkpoint every so many images, and at the end."""

    def __init__(self, every: int, checkpoints: Checkpoints, told: Sequence[Hook] = ()) -> None:
        """
        Args:
          every: images between two checkpoints.
          checkpoints: where they are saved.
          told: hooks that take the folder of each checkpoint; with any, each save is waited for.
        """
        self.every = (every,)
        self._checkpoints, self._told = checkpoints, told

    def at(self, context: HookContext) -> None:
        self._checkpoints.save(context.images, context.state)
        if context.last or self._told:
            self._checkpoints.wait()
        for hook in self._told if jax.process_index() == 0 else ():
            hook.on_checkpoint(context.images, self._checkpoints.place(context.images))


class Evaluate(Hook):
    """Metrics of the images that a state makes, and the checkpoints that are best by one of them.

    A metric that fails is reported in one line, and training goes on; so is a result that cannot be written down, whose
    numbers are in the log.
    """

    def __init__(
        self,
        every: int,
        measure: Callable[[HookContext], Mapping[str, float]],
        log: Callable[[str], None],
        total: int,
        *,
        record: Callable[[HookContext, Mapping[str, float]], None] | None = None,
        rows: Path | None = None,
        scalars: Log | None = None,
        best: Checkpoints | None = None,
        lower_is_better: bool = True,
    ) -> None:
        """
        Args:
          every: images between two evaluations.
          measure: ``context -> numbers by name``; must leave the state as it is.
          log: receives a line for each evaluation.
          total: images of the whole run; a run that stops before measures nothing that is not due.
          record: writes down the numbers.
          rows: the file to which ``record`` adds a row; rows past the start of a resumed run are dropped.
          scalars: also gets the numbers, as ``metric/NAME``.
          best: keeps the best states by the first number; not closed here.
          lower_is_better: of the first number.
        """
        self.every = (every,)
        self._measure, self._log, self._total = measure, log, total
        self._record, self._rows, self._scalars, self._best = record, rows, scalars, best
        self._sign = 1 if lower_is_better else -1

    def start(self, context: HookContext) -> None:
        self._before = context.images
        if self._rows and jax.process_index() == 0:
            require_appendable(self._rows)
            keep_rows(self._rows, context.images)

    def at(self, context: HookContext) -> None:
        is_due = context.images // self.every[0] > self._before // self.every[0]
        self._before = context.images
        if not is_due and context.images < self._total:
            return  # a run that is asked to stop does so at once
        start = time.perf_counter()
        try:
            numbers = self._measure(context)
        except Exception as error:  # whatever fails, the run is worth more
            self._complain(context, "failed", error)
            return
        found = "  ".join(f"{name} {number:.4g}" for name, number in numbers.items())
        self._log(f"{context.images:>9} images  {found}  ({time.perf_counter() - start:.0f} s)")
        for keep in (self._record, self._write_scalars, self._save_if_best):
            try:
                if keep:
                    keep(context, numbers)
            except Exception as error:
                self._complain(context, "could not be kept", error)

    def _complain(self, context: HookContext, what: str, error: Exception) -> None:
        text = printable(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}", 240)
        self._log(f"metrics at {context.images} images {what}, training goes on: {text}")

    def _write_scalars(self, context: HookContext, numbers: Mapping[str, float]) -> None:
        if self._scalars:
            self._scalars.write(context, {f"metric/{name}": number for name, number in numbers.items()})

    def _save_if_best(self, context: HookContext, numbers: Mapping[str, float]) -> None:
        """Save the state if it is among the best by the first number."""
        value = next(iter(numbers.values())) * self._sign
        is_new = self._best and context.images not in self._best.values  # a resumed run repeats what it had measured
        if self._best and is_new and math.isfinite(value) and self._best.among_best(value):
            self._best.save(context.images, context.state, value)
            self._best.wait()


class Progress(Hook):
    """A progress bar with speed, elapsed and remaining time; rows of text, where the output is no terminal."""

    def __init__(
        self,
        total: int,
        every: int,
        log: Callable[[str], None] = print,
        keep: Callable[[str], None] | None = None,
    ) -> None:
        """Show the progress towards ``total`` images.

        Args:
          total: images of the run.
          every: images between two rows of text.
          log: receives the rows where there is no bar; there is none where it is not ``print``.
          keep: always receives the rows.
        """
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.every = (every,)
        self._total, self._log, self._keep = total, log, keep
        self._first, self._start = 0, time.perf_counter()
        console = Console(highlight=False)
        self._has_bar = console.is_terminal and not console.is_dumb_terminal and log is print
        self._is_narrow = console.width < WIDE
        first = (
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("left"),
        )
        more = () if self._is_narrow else (TimeElapsedColumn(), TextColumn("{task.fields[losses]}"))
        self._bar = Bar(
            *first,
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            *more,
            console=console,
            disable=not self._has_bar,
            speed_estimate_period=60,
        )
        self._task = self._bar.add_task("training", total=total, speed="", losses="")

    def start(self, context: HookContext) -> None:
        self._first, self._start = context.images, time.perf_counter()
        self._bar.update(self._task, completed=context.images)
        if self._has_bar:
            self._bar.start()

    def dispatched(self, images: int) -> None:
        self._bar.update(self._task, completed=images)

    def at(self, context: HookContext) -> None:
        losses = {name: value for name, value in context.metrics.items() if name.endswith("/loss")}
        text = " ".join(f"{name.split('/')[0][0].upper()} {value:.2f}" for name, value in sorted(losses.items()))
        speed = speed_of(context.images_per_s)
        shown = speed.split(",")[0] if self._is_narrow else speed
        self._bar.update(self._task, completed=context.images, speed=shown, losses=text)
        times = self._times(context.images)
        row = f"{context.images:>{len(str(self._total))}}/{self._total}  {speed}  {times}  {text}".rstrip()
        if not self._has_bar:
            self._log(row)
        if self._keep:
            self._keep(row)

    def _times(self, images: int) -> str:
        """Return the time since the start, and the time that is left at the mean speed so far."""
        elapsed = time.perf_counter() - self._start
        done, left = images - self._first, self._total - images
        remaining = f", {duration(elapsed / done * left)} left" if done > 0 and left > 0 else ""
        return f"in {duration(elapsed)}{remaining}"

    def end(self) -> None:
        self._bar.stop()


def speed_of(images_per_s: float) -> str:
    """Return a speed in images a second and in seconds for a thousand images, as papers give it."""
    if images_per_s <= 0:
        return "- images/s"
    digits = 0 if images_per_s >= 100 else 1 if images_per_s >= 1 else 3
    seconds = 1000 / images_per_s
    return f"{images_per_s:.{digits}f} images/s, {seconds:.{2 if seconds < 10 else 0}f} s/kimg"


def duration(seconds: float) -> str:
    """Return a time as ``1:02:03``; from ten hours on without the seconds, as ``10h02``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}h{minutes:02}" if hours >= 10 else f"{hours}:{minutes:02}:{whole % 60:02}"
