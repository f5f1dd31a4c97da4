"""Films: every format and number of channels, frames taken one by one, and what is refused before any is made."""

import contextlib
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import UserError
from ganzoo.grids import coloured
from ganzoo.grids.films import require_film, save_film


def frames(count: int, channels: int = 3) -> Iterator[np.ndarray]:
    """Uint8 [8, 6, channels], each with a square at another place."""
    for i in range(count):
        frame = np.full((8, 6, channels), 30, np.uint8)
        frame[i % 4 : i % 4 + 4, 1:5] = 200
        yield frame


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["a.webp", "a.gif", "A.WEBP"])
def test_a_film_has_its_frames_in_order(channels: int, name: str, tmp_path: Path) -> None:
    save_film(tmp_path / name, frames(4, channels), 4, fps=20)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (4, (6, 8), 0)
        for i, frame in enumerate(frames(4, channels)):
            film.seek(i)
            shown = np.asarray(film.convert("RGB"), int)
            assert film.info["duration"] == 50
            assert np.abs(shown - coloured(frame)[..., :3]).mean() < 30


def test_a_film_of_one_frame(tmp_path: Path) -> None:
    for name in ("a.webp", "a.gif"):
        save_film(tmp_path / name, frames(1), 1)
        with Image.open(tmp_path / name) as film:
            assert (getattr(film, "n_frames", 1), film.size) == (1, (6, 8))


def test_frames_are_forgotten_one_by_one(tmp_path: Path) -> None:
    """Films of 4 and of 400 frames need about the same memory of Python's."""
    peaks = []
    for count in (4, 400):
        tracemalloc.start()
        save_film(tmp_path / "a.webp", (np.full((64, 64, 3), i % 256, np.uint8) for i in range(count)), count)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50 * 64 * 64 * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio_ffmpeg closes no pipes
def test_an_mp4(tmp_path: Path) -> None:
    reader = pytest.importorskip("imageio_ffmpeg", reason="the extra video")
    save_film(tmp_path / "a.mp4", (frame.repeat(5, 0).repeat(5, 1) for frame in frames(6)), 6, fps=10)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    with contextlib.closing(reader.read_frames(str(tmp_path / "a.mp4"))) as film:
        about = next(film)
    assert about["size"] == (30, 40)
    assert about["fps"] == 10


def test_what_is_refused_before_any_frame_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    refused = {"a.avi": "must end in", "a": "must end in", "a.mp4": "the extra video", "none/a.gif": "no folder"}
    for name, words in refused.items():
        with pytest.raises(UserError, match=words):
            require_film(tmp_path / name, 30)
    for fps in (0, -1, 0.001, 1e9, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"fps = .*: must be from 0.1 to 240"):
            require_film(tmp_path / "a.webp", fps)
    with pytest.raises(UserError, match="count = 0"):
        save_film(tmp_path / "a.webp", [])
    assert not list(tmp_path.iterdir())
