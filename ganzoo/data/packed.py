"""Decoded images in a memory-mapped file, read by index."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganzoo.data.images import Target
from ganzoo.errors import UserError, printable


@dataclass(frozen=True, eq=False)
class Packed:
    """Decoded images of a data set in a file. Several threads may read at once.

    Every image is compared with its checksum when a process first reads it.
    """

    path: Path
    pixels: np.ndarray
    """uint8 [n, H, W, C], mapped from the file."""
    sums: np.ndarray
    """uint32 [n]: CRC-32 of each image."""
    target: Target
    """How the images were cut and resized."""
    content: str
    """``Source.content`` of the data set that they come from."""
    bad: tuple[tuple[int, str], ...]
    """(index, reason) of every image that could not be decoded, whose pixels mean nothing; in order."""
    intact: np.ndarray
    """bool [n]: images that have been compared with their checksums."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Return the images ``indices`` (int [N], valid ones): uint8 [N, H, W, C].

        Raises:
            UserError: an image has other bytes than those that were written.
        """
        images = np.take(self.pixels, indices, axis=0, mode="clip")
        for place in np.flatnonzero(~self.intact[indices]).tolist():
            if zlib.crc32(images[place]) != self.sums[indices[place]]:
                raise UserError(
                    f"{printable(self.path, 200)}: image {indices[place]} is damaged; remove the file and make it again"
                )
        self.intact[indices] = True
        return images
