"""Moves of a whole image, as affine maps that a generator with a movable input takes: see ``gan.TransformInput``.

Karras et al. 2021, arXiv:2106.12423, section 3.2: the image moves because the waves move that it is made from.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from ganzoo.config import require
from ganzoo.errors import UserError

Motion = Literal["rotate", "translate", "zoom"]
RADIUS, OCTAVES = 0.125, 0.5
"""Of the circle of "translate", in shorter sides of the image, and of the change of scale of "zoom" in either way."""


def transform(
    translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0, scale: float = 1.0
) -> Float[np.ndarray, "3 3"]:
    """Return the map that shows an image scaled, then turned, both about its centre, then moved.

    Args:
      translate: to the right and down, in shorter sides of the image.
      rotate: degrees counter-clockwise.
      scale: factor of the size of what is seen.

    Raises:
      UserError: a number is not finite, or the scale is not from 1/100 to 100.
    """
    for name, value in (("translate", translate), ("rotate", (rotate,))):
        if not np.isfinite(value).all():
            raise UserError(f"{name} = {value}: must be finite")
    require(1 / 100 <= scale <= 100, "scale", scale, "be from 0.01 to 100")
    angle = np.deg2rad(rotate)
    turned = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    forward = np.block([[turned, np.reshape(translate, (2, 1))], [np.zeros((1, 2)), np.ones((1, 1))]])
    return np.linalg.inv(forward).astype(np.float32)


def motion(kind: Motion, frames: int) -> Float[np.ndarray, "n 3 3"]:
    """Return the maps of a film of N frames that ends where it began.

    Args:
      kind: "rotate" turns once counter-clockwise; "translate" moves on a circle; "zoom" in, out and back.
      frames: N.
    """
    turns = np.arange(frames) / frames
    waves = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    if kind == "rotate":
        return np.stack([transform(rotate=360 * turn) for turn in turns])
    if kind == "translate":
        return np.stack([transform((RADIUS * x, RADIUS * y)) for x, y in zip(*waves, strict=True)])
    return np.stack([transform(scale=float(2 ** (OCTAVES * y))) for y in waves[1]])
