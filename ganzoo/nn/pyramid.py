"""The sizes that an image goes through between the smallest feature map and its own size."""

import math
from dataclasses import dataclass

from ganzoo.errors import UserError

LOWEST, HIGHEST = 4, 15
"""Bounds of the shorter side of the smallest feature map."""


@dataclass(frozen=True)
class Level:
    """One of the sizes."""

    resolution: int
    """Its name: the power of two nearest to the side of a square of the same area; the side itself where that is it."""
    height: int
    width: int
    features: int
    """Channels of its activations."""


def pyramid(image_size: int | tuple[int, int], channel_base: int, channel_max: int) -> tuple[Level, ...]:
    """The levels from the smallest to the image's own, each twice as high and wide as the one before.

    Channels are ``min(channel_base // resolution, channel_max)``. A side of the image is ``b * 2^k`` with the smallest
    ``b`` from 4 on that k common halvings allow: 4 x 4 for powers of two, 6 x 8 for 192 x 256.

    Raises:
      UserError: no number of halvings brings the shorter side down to 4 .. 15.
    """
    height, width = size_of(image_size)
    halvings = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 2 * LOWEST:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if not LOWEST <= min(height, width) <= HIGHEST:
        raise UserError(f"image_size = {image_size!r}: {_remedy(image_size)}")
    lowest = round(math.log2(height * width) / 2)
    return tuple(
        Level(2 ** (lowest + k), height << k, width << k, min(channel_base >> (lowest + k), channel_max))
        for k in range(halvings + 1)
    )


def size_of(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width): one number stands for both."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def _remedy(image_size: int | tuple[int, int]) -> str:
    """What to give instead."""
    rule = f"height and width must be h * 2^k and w * 2^k with the smaller of h, w from {LOWEST} to {HIGHEST}"
    height, width = size_of(image_size)
    if min(height, width) < LOWEST:
        return f"{rule}, so at least {LOWEST}"
    steps = [2**k for k in range(max(height, width).bit_length())]
    possible = [
        (rows * step, columns * step)
        for step in steps
        if (rows := round(height / step)) >= LOWEST and (columns := round(width / step)) >= LOWEST
        if min(rows, columns) <= HIGHEST
    ]
    # a number between two steps may be nearest to the largest that the finer one reaches
    possible += [(HIGHEST * step, HIGHEST * step) for step in steps if isinstance(image_size, int)]
    near = min(possible, key=lambda size: abs(size[0] - height) + abs(size[1] - width))
    return f"{rule}; the nearest is {near[0] if isinstance(image_size, int) else near}"
