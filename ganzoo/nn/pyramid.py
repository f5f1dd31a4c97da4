"""Sizes of the feature maps of a network, from the smallest to the size of the image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ganzoo.errors import UserError

LOWEST, HIGHEST = 4, 15
"""Bounds of the shorter side of the smallest feature map, in pixels."""


@dataclass(frozen=True)
class Level:
    """Size and width of the feature maps at one level of a network."""

    resolution: int
    """Name of the level: the power of two nearest to the side of a square with the same area as the feature map."""
    height: int
    width: int
    features: int
    """Channels of the feature maps."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width


def pyramid(
    image_size: int | tuple[int, int],
    channel_base: int,
    channel_max: int,
    smallest: int | tuple[int, int] | None = None,
) -> tuple[Level, ...]:
    """Return the levels from the smallest to the size of the image, each twice as high and wide as the previous one.

    Channels are ``min(channel_base // resolution, channel_max)``. Height and width are halved together down to the
    size ``smallest``; without one, while both are even and neither falls below 4: the smallest level is then 4 x 4 for
    powers of two, and 6 x 8 for 192 x 256.

    Raises:
      UserError: no number of halvings leads to ``smallest``, or brings the shorter side down to 4 .. 15.
    """
    height, width = size_of(image_size)
    if smallest is not None:
        rows, columns = size_of(smallest)
        fitting = [k for k in range(16) if rows >= 1 and (rows << k, columns << k) == (height, width)]
        if not fitting:
            raise UserError(f"smallest_size = {smallest!r}: must be {image_size!r}, halved a number of times")
        return _levels(rows, columns, fitting[0], channel_base, channel_max)
    halvings = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 2 * LOWEST:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if not LOWEST <= min(height, width) <= HIGHEST:
        raise UserError(f"image_size = {image_size!r}: {_remedy(image_size)}")
    return _levels(height, width, halvings, channel_base, channel_max)


def _levels(height: int, width: int, halvings: int, channel_base: int, channel_max: int) -> tuple[Level, ...]:
    lowest = round(math.log2(height * width) / 2)
    return tuple(
        Level(2 ** (lowest + k), height << k, width << k, min(channel_base >> (lowest + k), channel_max))
        for k in range(halvings + 1)
    )


def spread(numbers: Sequence[int], image_size: int | tuple[int, int]) -> tuple[int, ...]:
    """Return one number for each level of an image, from the smallest; the last number holds for all larger levels."""
    return tuple(numbers[min(i, len(numbers) - 1)] for i in range(level_count(image_size)))


def level_count(image_size: int | tuple[int, int]) -> int:
    """Return the number of levels of an image, whatever their channels; ``UserError`` as ``pyramid``."""
    return len(pyramid(image_size, 0, 0))


def size_of(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width); a single number stands for both."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def _remedy(image_size: int | tuple[int, int]) -> str:
    """Return the rule for image sizes and the nearest valid size."""
    rule = f"height and width must be h * 2^k and w * 2^k with min(h, w) from {LOWEST} to {HIGHEST}"
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
    # a size between two steps may be nearest to the largest size of the finer step
    possible += [(HIGHEST * step, HIGHEST * step) for step in steps if isinstance(image_size, int)]
    near = min(possible, key=lambda size: abs(size[0] - height) + abs(size[1] - width))
    return f"{rule}; the nearest is {near[0] if isinstance(image_size, int) else near}"
