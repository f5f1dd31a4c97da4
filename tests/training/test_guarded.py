"""Hooks from outside: what they are told, and what becomes of a run when one of them fails."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import ganzoo
from ganzoo.cli.process import answer_to
from ganzoo.training.guarded import HookFailed, Outside, check_hooks
from ganzoo.training.loop import Hook, HookContext

TINY = {"images": 64, "batch_size": 16, "log_every": 16, "sample_every": 32, "checkpoint_every": 32, "devices": 1}


def quiet(line: str) -> None:
    """Take a line."""


class Witness(Hook):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def on_begin(self, folder, config, images) -> None:
        self.config = config
        self.seen.append(("begin", folder.name, images))

    def start(self, context) -> None:
        self.seen.append(("start", context.images))

    def on_metrics(self, images, metrics) -> None:
        assert all(math.isfinite(value) for value in metrics.values())
        self.seen.append(("metrics", images, "generator/loss" in metrics))

    def on_samples(self, images, picture) -> None:
        assert picture.dtype == np.uint8
        self.seen.append(("samples", images, picture.ndim))

    def on_checkpoint(self, images, folder) -> None:
        assert (folder / "_CHECKPOINT_METADATA").exists()
        self.seen.append(("checkpoint", images, folder.name))

    def at(self, context) -> None:
        self.seen.append(("at", context.images, context.last))

    def end(self) -> None:
        self.seen.append(("end",))


class Failing(Hook):
    """Fails at 32 images, and says how it was ended."""

    ended = 0

    def on_metrics(self, images, metrics) -> None:
        if images >= 32:
            raise KeyError("generator/los\nand more")

    def end(self) -> None:
        self.ended += 1


def test_what_a_hook_is_told_and_what_a_failure_costs(tmp_path: Path) -> None:
    witness, failing, out = Witness(), Failing(), tmp_path / "run"
    with pytest.raises(HookFailed) as raised:
        ganzoo.train("dcgan-tiny", out=out, hooks=[failing, witness], log=quiet, **TINY)
    what = "(KeyError: 'generator/los\\nand more')"
    outcome = "the checkpoint at 48 images is saved: mend it and resume the run"
    assert str(raised.value) == f"the hook Failing failed at 32 images {what}; {outcome}"
    assert isinstance(raised.value.__cause__, KeyError)
    assert answer_to(raised.value) == (2, f"ganzoo: error: {raised.value}")
    assert failing.ended == 1
    assert witness.config["experiment"] == json.loads((out / "config.json").read_text())["experiment"]
    assert witness.seen == [
        ("begin", "run", 0),
        ("samples", 0, 3),
        ("start", 0),
        ("metrics", 16, True),
        ("metrics", 32, True),
        ("samples", 32, 3),
        ("checkpoint", 32, "32"),
        ("metrics", 48, True),
        ("samples", 48, 3),
        ("checkpoint", 48, "48"),
        ("at", 48, True),
        ("end",),
    ]
    again = Witness()
    ganzoo.train("dcgan-tiny", out=out, resume=True, hooks=[again], log=quiet, **TINY)
    assert again.seen[0] == ("begin", "run", 48)
    assert again.seen[-4:] == [("samples", 64, 3), ("checkpoint", 64, "64"), ("at", 64, True), ("end",)]


@pytest.mark.parametrize("method", ["on_begin", "start"])
def test_a_failure_at_the_start_trains_nothing(method: str) -> None:
    hook = type("Early", (Hook,), {method: lambda self, *_: 1 / 0})()
    (guarded,) = Outside([hook]).hooks
    args = (Path(), {}, 16) if method == "on_begin" else (HookContext(16, 1, None, 0.0, False, []),)
    with pytest.raises(HookFailed, match=r"Early failed at 16 images \(ZeroDivisionError: .*\); nothing was trained"):
        getattr(guarded, method)(*args)


def test_the_first_failure_counts_and_a_broken_hook_is_only_ended() -> None:
    calls: list[str] = []

    class Broken(Hook):
        def on_samples(self, images, picture) -> None:
            calls.append("samples")
            raise ValueError("first")

        def end(self) -> None:
            calls.append("end")
            raise ValueError("second")

    outside = Outside([Broken()])
    (guarded,) = outside.hooks
    assert not outside.has_failed
    for _ in range(2):
        guarded.on_samples(16, np.zeros((1, 1, 1), np.uint8))
    guarded.end()
    assert calls == ["samples", "end"]
    with pytest.raises(HookFailed, match="ValueError: first"):
        outside.complain("")


def test_only_hooks_that_take_checkpoints_make_the_run_wait() -> None:
    outside = Outside([Hook(), Witness(), Failing()])
    assert outside.waiting == outside.hooks[1:2]


def test_an_interruption_in_a_hook_is_no_failure() -> None:
    class Stopped(Hook):
        def at(self, context) -> None:
            raise KeyboardInterrupt

    (guarded,) = Outside([Stopped()]).hooks
    with pytest.raises(KeyboardInterrupt):
        guarded.at(HookContext(16, 1, None, 0.0, False, []))


class Misspelt(Hook):
    """Has a method that nobody calls."""

    def on_metric(self, images, metrics) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("hook", "complaint"),
    [
        (print, "hooks: <built-in function print> is no hook; derive its class from ganzoo.Hook"),
        (Witness, r"hooks: Witness is a class; give an instance of it, such as Witness\(\)"),
        (Misspelt(), "hooks: Misspelt.on_metric would never be called; did you mean 'on_metrics'?"),
    ],
)
def test_what_is_no_hook_is_refused_before_the_run(hook, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ganzoo.UserError, match=complaint):
        check_hooks([hook])
    with pytest.raises(ganzoo.UserError, match=complaint):
        ganzoo.train("dcgan-tiny", out=tmp_path / "run", hooks=[hook], log=quiet, **TINY)
    assert not list(tmp_path.iterdir())
