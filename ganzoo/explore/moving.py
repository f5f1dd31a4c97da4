"""The long work that moves points of an image."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ganzoo.config import require
from ganzoo.errors import UserError
from ganzoo.explore.engine import Engine
from ganzoo.explore.jobs import Job, Stopped
from ganzoo.explore.pictures import png
from ganzoo.explore.settings import Settings, parse
from ganzoo.explore.work import finish
from ganzoo.latent.dragging import DragConfig, drag
from ganzoo.ops.pixels import to_uint8

MOST_STEPS = 2000


@dataclass(frozen=True)
class Wish:
    """What is to be dragged."""

    settings: Settings
    handles: np.ndarray
    """Points (x, y) of the image in pixels, [n, 2]."""
    targets: np.ndarray
    """Where they are to go, [n, 2]."""
    mask: np.ndarray | None
    """bool [H, W]: what may change; None: everything."""
    config: DragConfig


def wish(asked: dict[str, Any], shape: tuple[int, int, int]) -> Wish:
    """Return what a page asks for, as JSON; ``UserError`` where it is none."""
    points = {name: _points(name, asked[name]) for name in ("handles", "targets")}
    require(1 <= asked["steps"] <= MOST_STEPS, "steps", asked["steps"], f"be 1 to {MOST_STEPS}")
    config = DragConfig(steps=asked["steps"], learning_rate=float(asked["rate"]))
    return Wish(parse(asked["settings"]), mask=_mask(asked["mask"], shape[:2]), config=config, **points)


def dragging(engine: Engine, wished: Wish) -> Callable[[Job], None]:
    """Return the work of dragging points of an image; it ends with the name of the styles that it came to."""
    settings = wished.settings
    if (settings.move, settings.rotate, settings.scale) != ((0, 0), 0, 1):
        raise UserError("dragging: the image is moved as a whole; bring it back to rest first")
    point = engine.point(settings)
    sampler = replace(engine.sampler, state=engine.state(settings.weights))
    moments = drag(
        sampler, point.content[None], wished.handles, wished.targets, wished.config,
        mask=wished.mask, noise=engine.noise(point),
    )  # fmt: skip

    def work(job: Job) -> None:
        job.note, last = "compiling the step", None
        try:
            for last in moments:
                apart = f"{last.distances.max():.1f} pixels to go"
                share = last.step / wished.config.steps
                image = png(to_uint8(last.image))
                job.tell(share, f"step {last.step}, {apart}", image, step=last.step, handles=last.handles.tolist())
        except Stopped:  # what it has come to counts
            pass
        if last is not None:
            finish(job, engine, last.ws[0], to_uint8(last.image))

    return work


def _points(name: str, found: Any) -> np.ndarray:
    is_list = isinstance(found, Sequence) and all(
        isinstance(each, list) and len(each) == 2 and all(isinstance(value, int | float) for value in each)
        for each in found
    )
    if not is_list or not found:
        raise UserError(f"{name} must be points [x, y], at least one")
    return np.asarray(found, np.float32)


def _mask(text: str, size: tuple[int, int]) -> np.ndarray | None:
    """Return a mask [H, W] of a text with a bit for each pixel, row by row; None for no text."""
    if not text:
        return None
    try:
        bits = np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), np.uint8))
    except ValueError as error:
        raise UserError(f"the mask is damaged ({error}); paint it again") from error
    count = size[0] * size[1]
    require(count <= len(bits) < count + 8, "mask", len(bits), f"have {count} bits")
    return bits[:count].reshape(size).astype(bool)
