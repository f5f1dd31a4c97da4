"""The long works of a page: the film of a path, and the search for the styles of a visitor's picture."""

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.explore.engine import Engine
from ganzoo.explore.jobs import Job
from ganzoo.explore.pictures import png
from ganzoo.explore.settings import Settings
from ganzoo.grids.films import encoded
from ganzoo.latent.projection import ProjectionConfig, project
from ganzoo.ops.pixels import to_uint8

MOST_FRAMES, MOST_STEPS = 2400, 5000
"""Largest number of frames of a film, and of steps of a search."""
STYLE_SAMPLES = 2000
"""Random styles whose mean is the start of a search."""


def film(engine: Engine, settings: Settings, frames: int, fps: int) -> Callable[[Job], None]:
    """Return the work of making a film, a WebP that loops, of a path with so many frames between two bookmarks.

    Raises:
      UserError: there are fewer than two bookmarks, or too many frames.
    """
    count = frames * len(settings.path)
    require(len(settings.path) >= 2, "bookmarks", len(settings.path), "be two or more")
    require(frames >= 1 and count <= MOST_FRAMES, "frames", count, f"be 1 to {MOST_FRAMES} in all")
    require(1 <= fps <= 60, "fps", fps, "be 1 to 60 frames per second")

    def work(job: Job) -> None:
        def made() -> Iterator[np.ndarray]:
            size = engine.sampler.batch
            for first in range(0, count, size):
                job.tell(first / count, f"frame {first} of {count}")
                places = range(first, min(first + size, count))
                yield from engine.images([replace(settings, at=place / frames) for place in places])

        job.picture = encoded(made(), count, ".webp", fps)
        job.tell(1, "done")

    return work


def projection(engine: Engine, picture: np.ndarray, settings: Settings, steps: int) -> Callable[[Job], None]:
    """Return the work of finding the styles of a picture uint8 [H, W, C]; it ends with the name of what was found."""
    engine.sampler.require_styles("one's own image")
    require(1 <= steps <= MOST_STEPS, "steps", steps, f"be 1 to {MOST_STEPS}")
    label = engine.labels(settings)

    def work(job: Job) -> None:
        job.tell(0, "compiling the search")

        def tell(step: int, distance: float) -> None:
            job.tell(step / steps, f"step {step} of {steps}, distance {distance:.4f}", distance=distance)

        config = ProjectionConfig(steps=steps, optimise_noise=False, style_samples=STYLE_SAMPLES)
        target = picture[None] / np.float32(127.5) - 1
        found = project(
            engine.sampler, target, config, labels=None if label is None else label[None], log=tell, every=10
        )
        finish(job, engine, found.ws[0], to_uint8(found.images)[0])

    return work


def finish(job: Job, engine: Engine, ws: np.ndarray, image: np.ndarray) -> None:
    """End a work with styles [L, w] and their image: keep them as a link will bring them back, in half precision."""
    text = packed(ws)
    job.keep(png(image), styles=engine.keep_styles(unpacked(text, ws.shape)), text=text)


def packed(ws: np.ndarray) -> str:
    """Return styles [L, w] as text for an address, in half precision."""
    return base64.urlsafe_b64encode(zlib.compress(np.asarray(ws, "<f2").tobytes(), 9)).decode().rstrip("=")


def unpacked(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the styles float32 of ``packed``; ``UserError`` where the text is damaged or of another model."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        size = 2 * int(np.prod(shape))
        machine = zlib.decompressobj()
        numbers = machine.decompress(content, size + 1)
    except (ValueError, zlib.error) as error:
        raise UserError(f"the styles in this link are damaged ({error}); copy the whole link") from error
    if len(numbers) != size:
        raise UserError("the styles in this link are damaged, or of another model; copy the whole link")
    return np.frombuffer(numbers, "<f2").astype(np.float32).reshape(shape)


def strip(images: np.ndarray, columns: int) -> np.ndarray:
    """Return images [N, H, W, C] beside and below each other without gaps: [rows H, columns W, C]."""
    count, height, width, channels = images.shape
    rows = count // columns
    whole = images.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return whole.reshape(rows * height, columns * width, channels)
