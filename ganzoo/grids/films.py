"""Films: frames written as they come, so that memory does not grow with their number."""

import contextlib
import importlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ganzoo.config import require
from ganzoo.disk import require_writable, write_file
from ganzoo.errors import UserError, install
from ganzoo.grids import coloured

ENDINGS = (".webp", ".gif", ".mp4")
SLOWEST, FASTEST = 0.1, 240
"""Frames per second that every format and player can show."""
FASTEST_GIF = 50
MOST_FRAMES = 36_000
"""Largest number of frames: 20 minutes at 30 frames per second."""


class Film(Image.Image):
    """Frames as an image of Pillow's with several of them, of which only the current one is in memory."""

    def __init__(self, frames: Iterator[np.ndarray], count: int) -> None:
        """Take ``count`` frames uint8 [H, W, C] from an iterator, each when its turn comes."""
        super().__init__()
        self.n_frames = count
        self._frames, self._place = frames, -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to the next frame; the current one may be asked for again, and earlier ones are gone."""
        if frame >= self.n_frames:
            raise EOFError
        if frame > self._place:
            picture = Image.fromarray(coloured(next(self._frames)))
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
            self._place = frame

    def tell(self) -> int:
        """Return the number of the current frame."""
        return self._place


def require_film(path: Path, fps: float) -> None:
    """Raise ``UserError`` where ``save_film`` would, as far as that can be known before the frames are made."""
    kind = path.suffix.lower()
    if kind not in ENDINGS:
        raise UserError(f"{path}: the name of a film must end in .webp, .gif or .mp4")
    require(SLOWEST <= fps <= FASTEST, "fps", fps, f"be from {SLOWEST} to {FASTEST} frames per second")
    require_writable(path)
    if kind == ".mp4":
        _ffmpeg(path)


def save_film(
    path: Path, frames: Iterable[UInt8[np.ndarray, "h w c"]], count: int | None = None, *, fps: float = 30
) -> None:
    """Write frames [H, W, C] as an endlessly looping WebP or GIF, or, with the extra ``video``, as an MP4.

    The file appears only when complete. A GIF, whose format has whole hundredths of a second, has at most 50 frames
    per second, and is made of all frames at once.

    Args:
      path: of the file; its ending says which format.
      frames: all of one shape, taken one by one.
      count: number of the frames; that of a sequence when absent.
      fps: frames per second, ``SLOWEST`` to ``FASTEST``.

    Raises:
      UserError: the ending is another one, the extra is not installed, or the file cannot be written.
    """
    require_film(path, fps)
    total = len(frames) if count is None and isinstance(frames, list | tuple | np.ndarray) else count
    require(total is not None and total >= 1, "count", total, "be the number of frames, at least 1")
    if path.suffix.lower() == ".mp4":
        _save_mp4(path, frames, fps)
        return
    write_file(path, encoded(frames, int(total or 0), path.suffix, fps))


def encoded(frames: Iterable[UInt8[np.ndarray, "h w c"]], count: int, kind: str, fps: float = 30) -> bytes:
    """Return an endlessly looping film of ``count`` frames [H, W, C]; ``kind`` is ".webp" or ".gif"."""
    is_gif = kind.lower() == ".gif"
    film, content = Film(iter(frames), count), io.BytesIO()
    duration = round(1000 / min(fps, FASTEST_GIF if is_gif else fps))
    options = {} if is_gif else {"quality": 90, "method": 2}
    film.save(content, format=kind[1:], save_all=True, duration=duration, loop=0, **options)
    return content.getvalue()


def _ffmpeg(path: Path) -> Any:
    """Return the module that encodes MP4; ``UserError`` where it is not installed."""
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise UserError(f"{path}: MP4 needs the extra video ({install('video')}); or write a .webp") from error


def _save_mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write an MP4 into an unfinished file, which then gets its name; an odd last row or column is left out."""
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part.mp4")
    encoder = None
    try:
        for frame in frames:
            even = coloured(frame)[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2, :3]
            if encoder is None:
                size = even.shape[1::-1]
                encoder = _ffmpeg(path).write_frames(str(unfinished), size, fps=fps, macro_block_size=1)
                encoder.send(None)
            encoder.send(np.ascontiguousarray(even))
        if encoder is not None:
            encoder.close()
        os.replace(unfinished, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or str(error).splitlines()[0]}") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
