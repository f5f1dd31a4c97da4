"""What is written between dispatches: the guard, the log, the sample grids, the checkpoints, the lines of progress."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import UserError
from ganzoo.gan import Average
from ganzoo.grids import grid
from ganzoo.ops.pixels import to_uint8
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.hooks import Diverged, FiniteGuard, LeakWarning, Log, Progress, Samples, Save, keep_rows, speed_of
from ganzoo.training.loop import Dispatch, Hook, HookContext, train

NAN = float("nan")


def context(images=64, last=False, state=None, **metrics) -> HookContext:
    """A moment with these metrics; ``__`` in their names stands for the slash."""
    pending = [{name.replace("__", "/"): Average(value, 1.0) for name, value in metrics.items()}]
    return HookContext(images, images // 16, state, 123.456, last, pending)


class Shelf(Checkpoints):
    """Checkpoints that only remember what was asked of them."""

    latest = None

    def __init__(self, latest=None) -> None:
        self.latest = latest
        self.asked: list = []

    def save(self, images, state) -> None:
        self.asked.append((images, state))

    def wait(self) -> None:
        self.asked.append("wait")


# The guard ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_the_guard_names_the_player_and_the_last_good_checkpoint(player) -> None:
    metrics = {f"{player}__diverged": 1.0, "generator__loss": NAN, "discriminator__loss": NAN}
    with pytest.raises(Diverged) as error:
        FiniteGuard((1,), Shelf(latest=48)).at(context(images=64, **metrics))
    message = str(error.value)
    assert f"the {player} met a value that is not finite before image 64" in message
    assert "the last good checkpoint is at 48 images" in message
    assert "lower the learning rate" in message
    assert "\n" not in message


def test_the_guard_knows_when_there_is_no_checkpoint() -> None:
    shelf = Shelf()
    with pytest.raises(Diverged, match="no checkpoint was made before"):
        FiniteGuard((1,), shelf).at(context(generator__diverged=1.0))
    assert shelf.asked == ["wait"]  # one may have been under way


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_the_guard_names_the_player_of_a_metric_that_is_not_finite(bad) -> None:
    with pytest.raises(Diverged, match="the discriminator met"):
        FiniteGuard((1,), Shelf()).at(context(generator__diverged=0.0, discriminator__real=bad))


def test_the_guard_is_silent_in_a_healthy_run() -> None:
    shelf = Shelf()
    FiniteGuard((1,), shelf).at(context(generator__diverged=0.0, discriminator__diverged=0.0, generator__loss=1e30))
    assert not shelf.asked


def test_nothing_is_saved_of_a_run_that_diverged() -> None:
    class Ended(Hook):
        ended = False

        def end(self) -> None:
            self.ended = True

    shelf, last = Shelf(), Ended()
    hooks = [FiniteGuard((16,), shelf), Save(16, shelf), last]
    dispatches = [Dispatch(counting, jnp.float32(number == 2), 1, 16) for number in range(5)]
    with pytest.raises(Diverged, match="before image 48"):
        train(dispatches, Stepped(0), None, last_step=5, hooks=hooks)
    assert [images for images, _ in shelf.asked[:2]] == [16, 32]
    assert shelf.asked[2:] == ["wait"]
    assert last.ended


class Stepped:
    """A state that is only a step number."""

    def __init__(self, step: int) -> None:
        self.step, self.images = step, 16 * step


def counting(state, payload, key):
    del key
    return Stepped(state.step + 1), {"generator/diverged": Average.of(payload)}


# The log ------------------------------------------------------------------------------------------------------------


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_row_holds_the_scalars_and_where_the_run_is(tmp_path) -> None:
    log = Log((16,), tmp_path)
    log.start(context(images=0))
    log.at(context(images=64, generator__loss=0.5, a=2.0, generator__diverged=0.0))
    log.at(context(images=128, generator__loss=0.25))
    log.end()
    found = rows(tmp_path)
    assert all(0 <= row.pop("elapsed_s") < 60 for row in found)
    assert found == [
        {"images": 64, "step": 4, "images_per_s": 123.5, "a": 2.0, "generator/loss": 0.5},
        {"images": 128, "step": 8, "images_per_s": 123.5, "generator/loss": 0.25},
    ]


def test_a_phase_that_did_not_run_has_no_scalar(tmp_path) -> None:
    log = Log((16,), tmp_path)
    log.at(HookContext(64, 4, None, 1.0, False, [{"a": Average(1.0, 1.0), "b": Average(0.0, 0.0)}]))
    assert "b" not in rows(tmp_path)[0]
    log.at(HookContext(80, 5, None, 1.0, False, [{"b": Average(0.0, 0.0)}]))
    assert len(rows(tmp_path)) == 1  # nothing to log, so no row


def test_rows_that_come_again_and_what_is_no_row_are_dropped(tmp_path) -> None:
    file = tmp_path / "metrics.jsonl"
    good = ['{"images": 16, "a": 1}\n', '{"images": 64, "a": 2}\n']
    later, odd = (
        '{"images": 65, "a": 3}\n',
        ["[1]\n", "3\n", "\n", '{"a": 1}\n', '{"images": "x"}\n', '{"images": 16, "a'],
    )
    file.write_text("".join([good[0], *odd[:5], later, good[1], odd[5]]))
    keep_rows(file, 64)
    assert file.read_text() == "".join(good)
    keep_rows(file, 0)
    assert file.read_text() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"images": ' + "9" * 5000 + "}", '{"images": true}', '{"images": null}']
)
def test_rows_of_another_kind_are_dropped(line: str, tmp_path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"images": 16, "elapsed_s": 2.5}\n' + line + "\n")
    assert keep_rows(file, 64) == [{"images": 16, "elapsed_s": 2.5}]
    assert file.read_text() == '{"images": 16, "elapsed_s": 2.5}\n'


def test_a_resumed_log_counts_the_seconds_of_before(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"images": 32, "elapsed_s": 1000.0}\n{"images": 64, "metric/fid": 3.0}\n')
    log = Log((16,), tmp_path)
    log.start(context(images=64))
    log.at(context(images=96, a=1.0))
    log.end()
    assert 1000 <= rows(tmp_path)[-1]["elapsed_s"] < 1060


def test_a_log_that_is_not_there_is_not_made(tmp_path) -> None:
    keep_rows(tmp_path / "metrics.jsonl", 64)
    assert not list(tmp_path.iterdir())


def test_events_that_cannot_be_written_are_one_error(tmp_path) -> None:
    """tensorboardX tries again when the process ends, and Python would print what comes of it."""
    program = """if True:
        import resource, sys
        from tensorboardX import SummaryWriter
        from ganzoo.training.quiet import silence
        silence()
        board = SummaryWriter(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        board.add_scalar("a", 1.0, 1)
        try:
            board.flush()
        except OSError:
            print("refused")
    """
    pytest.importorskip("tensorboardX")
    pytest.importorskip("resource", reason="only on POSIX")
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "refused\n", "")


def test_a_resumed_log_goes_on_after_its_state(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"images": 64}\n{"images": 128}\n')
    log = Log((16,), tmp_path)
    log.start(context(images=64))
    log.at(context(images=96, a=1.0))
    log.end()
    assert [row["images"] for row in rows(tmp_path)] == [64, 96]


def test_a_warning_when_p_stays_over_the_limit() -> None:
    told: list[str] = []
    hook = LeakWarning((100,), patience=200, log=told.append)
    for images, p in enumerate([0.9, 0.9, 0.7, 0.9, 0.9, 0.9, 0.9]):
        assert bool(told) == (images > 5)
        hook.at(context(images=100 * images, augment__p=p))
    assert len(told) == 1
    assert "over 0.8 for 200 images" in told[0]
    assert "--augment-p-max 0.8" in told[0]


# Samples ------------------------------------------------------------------------------------------------------------


def numbered(state, count=64):
    """Image i is all of one grey, ``i - state`` steps from the middle."""
    grey = (jnp.arange(count) - state) / 255
    return jnp.broadcast_to(grey[:, None, None, None], (count, 4, 4, 1))


def greys(file, columns: int) -> np.ndarray:
    """[rows, columns]: one pixel of each image of a grid of 4 x 4 pixels."""
    pixels = np.asarray(Image.open(file))
    assert pixels.shape[1] == 6 * columns - 2
    return pixels[::6, ::6]


def test_samples_are_shown_in_order(tmp_path) -> None:
    Samples(100, tmp_path, numbered, 8).at(context(images=1000, state=0))
    expected = to_uint8(numbered(0, 64))[:, 0, 0, 0].reshape(8, 8)
    np.testing.assert_array_equal(greys(tmp_path / "samples" / "000001000.png", 8), expected)


def test_the_beginning_is_shown_and_the_end_is_enlarged(tmp_path) -> None:
    samples = Samples(100, tmp_path, numbered, 8)
    samples.start(context(images=0, state=0))
    samples.at(context(images=100, state=1))
    assert not (tmp_path / "samples.png").exists()
    samples.at(context(images=200, state=2, last=True))
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["000000000.png", "000000100.png", "000000200.png"]
    last = np.asarray(Image.open(tmp_path / "samples.png"))
    small = grid(to_uint8(numbered(2, 64)), 8)[..., 0]
    with Image.open(tmp_path / "samples.webp") as film:
        assert film.size == small.shape[::-1]  # frames that look alike are one
    factor = len(last) // len(small)
    assert factor > 1
    np.testing.assert_array_equal(last[::factor, ::factor], small)


def test_foreign_files_among_the_samples_are_left_out_with_a_note(tmp_path) -> None:
    told: list[str] = []
    samples = Samples(100, tmp_path, numbered, 8, log=told.append)
    samples.at(context(images=100, state=1))
    for name, content in {"000000150": b"%!PS", "000000999": b"x", "theirs": b"x", "\u0664": b"x"}.items():
        (tmp_path / "samples" / f"{name}.png").write_bytes(content)
    (tmp_path / "samples" / "000000160.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "samples" / "000000170.png")
    samples.at(context(images=200, state=100, last=True))
    with Image.open(tmp_path / "samples.webp") as film:
        assert film.n_frames == 2
    (line,) = told
    assert line.startswith("note: 3 grids in samples/ cannot be read")
    assert line.endswith("(000000150.png, 000000160.png, 000000170.png)")


def test_samples_that_would_be_written_elsewhere_are_refused(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "samples").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, which is not followed"):
        Samples(100, tmp_path / "run", numbered, 8).at(context(images=100, state=1))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_real_images_are_written_once(tmp_path) -> None:
    for grey in (50, 90):
        samples = Samples(100, tmp_path, numbered, 2, reals=lambda grey=grey: np.full((4, 4, 4, 1), grey, np.uint8))
        samples.start(context(images=64, state=0))
    assert np.asarray(Image.open(tmp_path / "reals.png"))[0, 0] == 50


def test_a_resumed_run_does_not_show_its_beginning_again(tmp_path) -> None:
    Samples(100, tmp_path, numbered, 8).start(context(images=64, state=0))
    assert not list(tmp_path.iterdir())


# Checkpoints and progress -------------------------------------------------------------------------------------------


def test_a_save_at_the_end_is_waited_for() -> None:
    shelf = Shelf()
    Save(16, shelf).at(context(images=16, state="a"))
    Save(16, shelf).at(context(images=32, state="b", last=True))
    assert shelf.asked == [(16, "a"), (32, "b"), "wait"]


def test_progress_is_printed_in_lines_where_the_output_is_no_terminal(capsys) -> None:
    progress = Progress(total=640, every=64)
    progress.start(context(images=0))
    progress.dispatched(64)
    progress.at(context(images=64, generator__loss=0.25, discriminator__loss=1.5))
    progress.end()
    speed, times = "123 images/s, 8.10 s/kimg", "in 0:00:00, 0:00:00 left"
    assert capsys.readouterr().out == f" 64/640  {speed}  {times}  D 1.50 G 0.25\n"


def test_progress_is_kept_where_it_is_shown_as_a_bar(capsys) -> None:
    kept: list[str] = []
    progress = Progress(total=640, every=64, keep=kept.append)
    progress.at(context(images=64, generator__loss=0.25))
    assert [line + "\n" for line in kept] == [capsys.readouterr().out]


def test_progress_of_a_run_of_days_fits_a_terminal(monkeypatch) -> None:
    lines: list[str] = []
    progress = Progress(total=5_000_000, every=64, log=lines.append)
    progress.start(context(images=0))
    monkeypatch.setattr("time.perf_counter", lambda began=progress._start: began + 36_000)
    progress.at(context(images=1_000_000, generator__loss=0.25, discriminator__loss=1.5))
    (line,) = lines
    assert "in 10h00, 40h00 left" in line
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("images_per_s", "expected"),
    [
        (0.0, "- images/s"),
        (0.02, "0.020 images/s, 50000 s/kimg"),
        (2.5, "2.5 images/s, 400 s/kimg"),
        (644.4, "644 images/s, 1.55 s/kimg"),
    ],
)
def test_speeds(images_per_s: float, expected: str) -> None:
    assert speed_of(images_per_s) == expected
