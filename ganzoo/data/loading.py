"""Decoding of all images before a run, which finds broken images and keeps a small data set decoded in memory."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Protocol

import numpy as np

from ganzoo.data.formats import reason
from ganzoo.data.images import Target
from ganzoo.data.source import Source
from ganzoo.disk import recall, remember
from ganzoo.errors import UserError, printable

Progress = Callable[[int, int], None]
"""Called with ``(images done, images in all)`` now and then, from the thread that opens the data set."""
BadFiles = list[tuple[int, str]]
"""(index of the image, why it cannot be decoded), in order."""


class Room(Protocol):
    """Where decoded images go by their index, such as an array; several threads may use it at once."""

    def __setitem__(self, index: int, image: np.ndarray, /) -> None:
        """Keep image ``index``, uint8 [H, W, C]."""
        ...


_BLOCK = 64
_LISTED = 6
_QUICK_SECONDS = 5e-4
"""Seconds per image below which threads only wait for Python's lock (CIFAR-10: 7.5 s with 1 thread, 12.5 s with 2)."""


def load(
    source: Source, target: Target, *, keep: bool, workers: int, progress: Progress | None
) -> tuple[np.ndarray | None, BadFiles]:
    """Decode every image of ``source``.

    Where the pixels are not kept, the numbers of the broken pictures are remembered (see `ganzoo.disk`), so
    that the next run on the same files decodes only those again.

    Returns:
        ``(pixels, bad)``: uint8 [n, H, W, C], or None unless ``keep``; and the images that cannot be decoded, whose
        pixels are undefined.
    """
    key = f"check-{source.revision}"
    if not keep and (suspects := _recalled(key, len(source.names))) is not None:
        return None, decode_some(source, target, None, suspects)
    pixels = _room(source, target) if keep else None
    bad = list(decode_all(source, target, pixels, workers, progress))
    if not keep:
        remember(_file(key), json.dumps([index for index, _ in bad]).encode())
    return pixels, bad


def complain(source: Source, bad: BadFiles) -> UserError:
    """Return an error that lists broken images and names the remedy."""
    listed = "; ".join(f"{printable(source.names[index], 80)} ({printable(why)})" for index, why in bad[:_LISTED])
    rest = f"; and {len(bad) - _LISTED:,} more" if len(bad) > _LISTED else ""
    count = f"{len(bad):,} of {len(source.names):,} images"
    large = "raise --max-pixels where they are to be trusted" if any("--max-pixels" in why for _, why in bad) else ""
    broken = "repair or remove them" if any("--max-pixels" not in why for _, why in bad) else ""
    remedy = ", ".join(filter(None, (large, broken, "or pass --on-bad-file skip")))
    return UserError(f"{printable(source.title, 120)}: {count} cannot be decoded; {remedy}: {listed}{rest}")


def thread_count(workers: int) -> int:
    """Return ``workers``, or the number of cores if ``workers`` is 0."""
    return workers or os.cpu_count() or 1


def _room(source: Source, target: Target) -> np.ndarray:
    """Return room for all images; raise ``UserError`` if the memory has none."""
    try:
        return np.empty((len(source.names), *target.shape), np.uint8)
    except MemoryError as error:
        raise UserError(f"{source.title}: {error}; lower --memory-budget-mib to read images from disk") from None


def _file(key: str) -> str:
    """Return the name of a file in the cache."""
    return f"data/{key}.json"


def _recalled(key: str, size: int) -> list[int] | None:
    """Return the remembered numbers of broken images; None if there is nothing usable."""
    suspects = recall(_file(key), json.loads)
    is_usable = isinstance(suspects, list) and all(isinstance(i, int) and 0 <= i < size for i in suspects)
    return suspects if is_usable else None


def decode_some(source: Source, target: Target, pixels: Room | None, indices: Sequence[int]) -> BadFiles:
    """Decode some images into ``pixels``, unless it is None, and return the images that cannot be decoded."""
    bad = []
    for index in indices:
        try:
            image = source.picture(index, target)
        except Exception as error:  # Pillow raises errors of many types for broken files
            bad.append((index, reason(error)))
        else:
            if pixels is not None:
                pixels[index] = image
    return bad


def decode_all(
    source: Source, target: Target, pixels: Room | None, workers: int, progress: Progress | None
) -> Iterator[tuple[int, str]]:
    """Decode all images into ``pixels``, unless it is None, by threads; yield the images that cannot be decoded."""
    size = len(source.names)
    decode = partial(decode_some, source, target, pixels)
    blocks = [range(start, min(start + _BLOCK, size)) for start in range(0, size, _BLOCK)]
    began = time.perf_counter()
    first = decode(blocks[0])
    is_quick = (time.perf_counter() - began) / len(blocks[0]) < _QUICK_SECONDS
    pool = ThreadPoolExecutor(1 if is_quick and not workers else thread_count(workers), "ganzoo-load")
    try:
        for block, bad in zip(blocks, chain([first], pool.map(decode, blocks[1:])), strict=True):
            yield from bad
            if progress:
                progress(block.stop, size)
    finally:
        pool.shutdown(cancel_futures=True)
