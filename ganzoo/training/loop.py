"""The training loop: the only one. It knows calls of compiled programs, and hooks; no model and no device."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganzoo.typing import Key, Metrics, State, Step

IN_FLIGHT = 2


@dataclass
class HookContext:
    """What a hook sees of the run, between two dispatches."""

    images: int
    """Real images seen."""
    step: int
    state: State
    """Donated by the next dispatch: read or copy it now."""
    images_per_s: float
    """Speed since the last call of any hook."""
    last: bool
    """Whether the run ends here, finished or stopped."""
    pending: list[Metrics] = field(repr=False)
    _read: dict[str, float] | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Averages since they were last read, by name. Waits for the device; phases that did not run are left out."""
        if self._read is None:
            sums: dict[str, Any] = {}
            for metrics in jax.device_get(self.pending):
                for name, value in metrics.items():
                    sums[name] = sums[name] + value if name in sums else value
            self._read = {name: value.value for name, value in sums.items() if value.count}
        return self._read

    @property
    def was_read(self) -> bool:
        """Whether a hook has read the metrics."""
        return self._read is not None


class Hook:
    """Something done while a run goes on. Subclasses override what they need.

    The loop calls ``start``, ``dispatched``, ``at`` and ``end``. A run in a folder also tells the hooks that it was
    given what it has written there, in the first process: ``on_begin``, ``on_metrics``, ``on_samples``,
    ``on_checkpoint``.
    """

    every: Sequence[int] = ()
    """Images between two calls of ``at``; of several numbers, each counts. 0 means never."""

    def start(self, context: HookContext) -> None:
        """Do what comes before the first dispatch."""

    def dispatched(self, images: int) -> None:
        """Do what comes after each dispatch, which may still be computing; do not wait for the device."""

    def at(self, context: HookContext) -> None:
        """Do what is due every so many images, and at the end."""

    def end(self) -> None:
        """Clean up after the last ``at``, also when an error ended the loop."""

    def on_begin(self, folder: Path, config: Mapping[str, Any], images: int) -> None:
        """Do what comes before ``start``.

        Args:
          folder: of the run, with its ``config.json``.
          config: the content of that file; the settings are in ``config["experiment"]``.
          images: real images seen; more than 0 in a run that was resumed.
        """

    def on_metrics(self, images: int, metrics: Mapping[str, float]) -> None:
        """Take a row of ``metrics.jsonl``, when it is written: scalars by name, or the results of an evaluation."""

    def on_samples(self, images: int, picture: np.ndarray) -> None:
        """Take a grid of samples, uint8 [H, W, C], when it is written to ``samples/``."""

    def on_checkpoint(self, images: int, folder: Path) -> None:
        """Take the folder of a checkpoint, when it is whole on the disk; for this the run waits for each save."""


@dataclass(frozen=True)
class Dispatch:
    """One call of a compiled program."""

    program: Step
    """Takes ``payload`` in the place of a batch, and donates the state."""
    payload: Any
    steps: int
    images: int
    """Of all its steps."""


def train(
    dispatches: Iterable[Dispatch],
    state: State,
    key: Key,
    *,
    last_step: int,
    hooks: Sequence[Hook],
    stop: Callable[[], bool] = lambda: False,
) -> State:
    """Train until ``last_step`` or until ``stop()`` holds; return the last state.

    Args:
      dispatches: what to call, in turn.
      state: is donated.
      key: the run's key; the steps derive all draws from it.
      last_step: steps that the state has done at the end of the run.
      hooks: called in this order.
      stop: asked after each dispatch.
    """
    done, images = int(state.step), int(state.images)
    clock, program = _Clock(images), None
    pending: list[Metrics] = []
    in_flight: deque[Metrics] = deque()

    def show(to: Sequence[Hook], last: bool) -> list[Metrics]:
        """Show the run to hooks; return the metrics that none of them read."""
        jax.block_until_ready(metrics)  # speed is that of steps which have ended; hooks are about to read them anyway
        in_flight.clear()
        context = HookContext(images, done, state, clock.speed(images), last, pending)
        for hook in to:
            hook.at(context)
        clock.restart(images)  # hooks are not training
        return [] if context.was_read else pending

    try:
        for hook in hooks:
            hook.start(HookContext(images, done, state, 0.0, False, []))
        for dispatch in dispatches:
            state, metrics = dispatch.program(state, dispatch.payload, key)
            before, images, done = images, images + dispatch.images, done + dispatch.steps
            pending.append(metrics)
            in_flight.append(metrics)
            if dispatch.program is not program:
                jax.block_until_ready(metrics)
                program = dispatch.program
                clock.restart(images)  # compiling is not training
            if len(in_flight) > IN_FLIGHT:  # the device stays busy, the host does not run away from it
                jax.block_until_ready(in_flight.popleft())
            for hook in hooks:
                hook.dispatched(images)
            if done >= last_step or stop():
                show(hooks, last=True)
                break
            due = [hook for hook in hooks if _is_due(hook, before, images)]
            if due:
                pending = show(due, last=False)
    finally:
        for hook in hooks:
            hook.end()
    return state


def _is_due(hook: Hook, before: int, now: int) -> bool:
    return any(every and now // every > before // every for every in hook.every)


class _Clock:
    """Images per second between two questions."""

    def __init__(self, images: int) -> None:
        self.restart(images)

    def restart(self, images: int) -> None:
        self._images, self._time = images, time.perf_counter()

    def speed(self, images: int) -> float:
        speed = (images - self._images) / max(time.perf_counter() - self._time, 1e-9)
        self.restart(images)
        return speed
