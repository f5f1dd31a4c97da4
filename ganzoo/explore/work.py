"""The long works of a page: the film of a path, and the search for the styles and weights of a visitor's picture."""

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
from ganzoo.latent.projection import Distance, Prepared, ProjectionConfig, project
from ganzoo.latent.tuning import TuningConfig, pivotal_tuning, psnr
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


def projection(
    engine: Engine,
    picture: np.ndarray,
    settings: Settings,
    steps: int,
    distance: Distance | Prepared | None = None,
) -> Callable[[Job], None]:
    """Return the work of finding the styles of a picture uint8 [H, W, C]; it ends with the name of what was found.

    The search is on the model's own weights. The distance is what it minimises; None: that of ``project``.
    """
    engine.sampler.require_styles("one's own image")
    require(1 <= steps <= MOST_STEPS, "steps", steps, f"be 1 to {MOST_STEPS}")
    label = engine.labels(settings)

    def work(job: Job) -> None:
        job.tell(0, "compiling the search")
        config = ProjectionConfig(steps=steps, optimise_noise=False, style_samples=STYLE_SAMPLES)
        found = project(
            engine.sampler, _target(picture), config, labels=None if label is None else label[None],
            distance=distance, log=_teller(job, steps), every=10,
        )  # fmt: skip
        finish(job, engine, found.ws[0], to_uint8(found.images)[0])

    return work


def tuning(
    engine: Engine, picture: np.ndarray, styles: str, steps: int, distance: Distance | Prepared | None = None
) -> Callable[[Job], None]:
    """Return the work of tuning the weights until kept styles give a picture uint8 [H, W, C].

    It starts from the model's own weights, ends with the name of the tuned ones, and leaves nothing when it is stopped.

    Args:
      engine: of a model with styles.
      picture: what the image is to be.
      styles: name of the styles, the pivots.
      steps: most steps of Adam.
      distance: what is minimised beside the squares of the pixels; None: nothing.
    """
    engine.sampler.require_styles("tuning")
    require(1 <= steps <= MOST_STEPS, "steps", steps, f"be 1 to {MOST_STEPS}")
    pivots = engine.kept_styles(styles)[None]

    def work(job: Job) -> None:
        job.tell(0, "compiling the tuning")
        target, tell = _target(picture), _teller(job, steps)
        config = TuningConfig(steps=steps)
        tuned = pivotal_tuning(engine.sampler, target, pivots, config, distance=distance, log=tell)
        before, after = (float(psnr(each, target)[0]) for each in (tuned.before, tuned.images))
        gain = f"PSNR {before:.1f} dB before tuning, {after:.1f} dB after {len(tuned.distances)} steps"
        job.keep(png(to_uint8(tuned.images)[0]), weights=engine.keep_weights(tuned.state), gain=gain)

    return work


def _target(picture: np.ndarray) -> np.ndarray:
    """Return a picture uint8 [H, W, C] as images [1, H, W, C] in [-1, 1]."""
    return picture[None] / np.float32(127.5) - 1


def _teller(job: Job, steps: int) -> Callable[[int, float], None]:
    """Return a function that tells how far a work of so many steps is."""
    return lambda step, apart: job.tell(step / steps, f"step {step} of {steps}, distance {apart:.4f}")


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
