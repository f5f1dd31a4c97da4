"""Hooks from outside: whatever one of them raises ends the run after a checkpoint, in one line that names the hook."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganzoo.errors import UserError, guess, printable
from ganzoo.training.loop import Hook, HookContext

TOLD = "on_"
"""How the names of the methods begin by which a run tells what it has written."""


class HookFailed(UserError):
    """A hook raised an error, which is the cause of this one."""


class Outside:
    """The hooks that a run was given, and what went wrong in them."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.hooks = [Guarded(hook, self) for hook in hooks]
        self.waiting = [each for each in self.hooks if each.takes_checkpoints]
        """Those that are told of checkpoints."""
        self._first: tuple[Hook, int, Exception] | None = None

    @property
    def has_failed(self) -> bool:
        """Whether a hook has raised an error."""
        return self._first is not None

    def add(self, hook: Hook, images: int, error: Exception) -> None:
        """Keep the error of a hook, raised when the run had seen so many images, unless there was one before."""
        self._first = self._first or (hook, images, error)

    def complain(self, outcome: str) -> None:
        """Raise ``HookFailed`` where a hook has failed; ``outcome`` says what has become of the run."""
        if self._first:
            hook, images, error = self._first
            what = printable(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}", 240)
            raise HookFailed(f"the hook {_name(hook)} failed at {images} images ({what}); {outcome}") from error


class Guarded(Hook):
    """A hook from outside; once it has failed, only its ``end`` is called."""

    def __init__(self, hook: Hook, outside: Outside) -> None:
        self.every = hook.every
        self._hook, self._outside = hook, outside
        self._images, self._is_broken = 0, False

    @property
    def takes_checkpoints(self) -> bool:
        """Whether the hook does something with checkpoints."""
        return type(self._hook).on_checkpoint is not Hook.on_checkpoint

    def start(self, context: HookContext) -> None:
        self._images = context.images
        self._call(self._hook.start, context)
        self._outside.complain("nothing was trained")

    def dispatched(self, images: int) -> None:
        self._images = images
        self._call(self._hook.dispatched, images)

    def at(self, context: HookContext) -> None:
        self._call(self._hook.at, context)

    def end(self) -> None:
        self._is_broken = False
        self._call(self._hook.end)

    def on_begin(self, folder: Path, config: Mapping[str, Any], images: int) -> None:
        self._images = images
        self._call(self._hook.on_begin, folder, config, images)
        self._outside.complain("nothing was trained")

    def on_metrics(self, images: int, metrics: Mapping[str, float]) -> None:
        self._call(self._hook.on_metrics, images, dict(metrics))

    def on_samples(self, images: int, picture: np.ndarray) -> None:
        self._call(self._hook.on_samples, images, picture)

    def on_checkpoint(self, images: int, folder: Path) -> None:
        self._call(self._hook.on_checkpoint, images, folder)

    def _call(self, method: Callable[..., None], *args: Any) -> None:
        """Call a method of the hook, and keep the error that it raises."""
        if not self._is_broken:
            try:
                method(*args)
            except Exception as error:  # whatever fails, the run is worth more
                self._is_broken = True
                self._outside.add(self._hook, self._images, error)


class Opening(Hook):
    """Tells hooks, before anything else, in which folder the run is, in the first process."""

    def __init__(self, told: Sequence[Hook], folder: Path, config: Mapping[str, Any]) -> None:
        self._told, self._folder = told, folder
        self._config = json.loads(json.dumps(config))  # as it is read from the file: lists for tuples

    def start(self, context: HookContext) -> None:
        for hook in self._told if jax.process_index() == 0 else ():
            hook.on_begin(self._folder, self._config, context.images)


def check_hooks(hooks: Sequence[Any]) -> None:
    """Raise ``UserError`` for what is no hook, and for methods that nobody would call."""
    known = [name for name in vars(Hook) if name.startswith(TOLD)]
    for hook in hooks:
        if isinstance(hook, type) and issubclass(hook, Hook):
            raise UserError(f"hooks: {hook.__name__} is a class; give an instance of it, such as {hook.__name__}()")
        if not isinstance(hook, Hook):
            raise UserError(f"hooks: {printable(repr(hook), 80)} is no hook; derive its class from ganzoo.Hook")
        for name in dir(hook):
            if name.startswith(TOLD) and name not in known:
                hint = guess(name, known) or f" known: {', '.join(known)}"
                raise UserError(f"hooks: {_name(hook)}.{name} would never be called;{hint}")


def _name(hook: Hook) -> str:
    return printable(type(hook).__qualname__, 60)
