"""The loop: when hooks are called, what they read, when it stops."""

import jax.numpy as jnp
import pytest

from ganzoo.gan import Average
from ganzoo.training.loop import Dispatch, Hook, HookContext, train

BATCH = 10


class State:
    """A state that counts."""

    def __init__(self, step: int) -> None:
        self.step, self.images = step, step * BATCH


def step(state: State, payload: int, key: None) -> tuple[State, dict]:
    del key
    total = sum(range(state.step, state.step + payload))
    return State(state.step + payload), {"loss": Average(jnp.float32(total), jnp.float32(payload))}


class Recorder(Hook):
    def __init__(self, every: tuple[int, ...], read: bool = False) -> None:
        self.every, self.read = every, read
        self.calls: list = []
        self.dispatches: list[int] = []
        self.started = self.ended = 0

    def start(self, context: HookContext) -> None:
        self.started += 1
        assert not context.last

    def dispatched(self, images: int) -> None:
        self.dispatches.append(images)

    def at(self, context: HookContext) -> None:
        self.calls.append((context.images, context.last, context.metrics.get("loss") if self.read else None))

    def end(self) -> None:
        self.ended += 1


def run(*hooks: Hook, first: int = 0, last: int = 10, cuts=(2, 2, 2, 2, 2), stop=lambda: False) -> State:
    dispatches = [Dispatch(step, count, count, count * BATCH) for count in cuts]
    return train(dispatches, State(first), None, last_step=last, hooks=hooks, stop=stop)


def test_hooks_are_called_at_the_first_dispatch_past_their_images() -> None:
    hook = Recorder((30,))
    assert run(hook).step == 10
    assert [images for images, _, _ in hook.calls] == [40, 60, 100]  # 30 in 20..40, 60, 90 in 80..100
    assert [last for _, last, _ in hook.calls] == [False, False, True]
    assert hook.dispatches == [20, 40, 60, 80, 100]
    assert (hook.started, hook.ended) == (1, 1)


def test_every_number_counts_and_zero_never() -> None:
    hook = Recorder((40, 50, 0))
    run(hook)
    assert [images for images, _, _ in hook.calls] == [40, 60, 80, 100]


def test_a_resumed_run_calls_hooks_at_the_same_images() -> None:
    whole, rest = Recorder((30,)), Recorder((30,))
    run(whole)
    run(rest, first=4, cuts=(2, 2, 2))
    assert rest.calls == [call for call in whole.calls if call[0] > 40]


def test_metrics_are_means_since_they_were_last_read() -> None:
    reader, other = Recorder((40,), read=True), Recorder((20,))
    run(other, reader)
    assert [loss for _, _, loss in reader.calls] == [1.5, 5.5, 8.5]  # of the steps 0-3, 4-7, 8-9


def test_stop_ends_after_the_dispatch_and_tells_all_hooks() -> None:
    hook, asked = Recorder((1000,)), iter([False, True])
    assert run(hook, stop=lambda: next(asked)).step == 4
    assert hook.calls == [(40, True, None)]
    assert hook.ended == 1


def test_hooks_end_also_when_one_of_them_fails() -> None:
    class Failing(Hook):
        every = (20,)

        def at(self, context: HookContext) -> None:
            raise RuntimeError("no")

    hook = Recorder((20,))
    with pytest.raises(RuntimeError, match="no"):
        run(hook, Failing())
    assert hook.ended == 1
    assert len(hook.calls) == 1
