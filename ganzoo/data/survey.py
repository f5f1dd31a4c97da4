"""What a data set holds before its images are cut and resized, from the heads of a few of its files."""

from dataclasses import dataclass

import numpy as np

from ganzoo.data.images import CHANNELS, Look
from ganzoo.data.source import Source

_LEAST, _SMALLEST = 4, 15
"""Limits of the smaller side of the first feature map, from which sizes double (`ganzoo.nn.pyramid`)."""
LOOKED_AT = 64
"""Number of files that are looked at, evenly spaced."""


@dataclass(frozen=True)
class Found:
    """Sizes, channels and labels of a data set."""

    count: int
    """Number of images."""
    looks: tuple[Look, ...]
    """What some of the files hold; those that cannot be read are left out."""
    label_size: int
    """k, the length of a label vector; 0 without labels."""
    is_classes: bool
    """Whether labels are classes."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that all files have; None where sizes differ or none can be read."""
        sizes = {(look.height, look.width) for look in self.looks}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def side(self) -> int:
        """The largest power of two, 4 to 1024, that most smaller sides of images reach: a size to train at."""
        sides = [min(look.height, look.width) for look in self.looks] or [4]
        return int(2 ** np.clip(np.floor(np.log2(np.median(sides))), 2, 10))

    @property
    def image_size(self) -> int | tuple[int, int]:
        """A size to train at, as models take it: that of all files where it can be halved often enough, else `side`."""
        height, width = self.size or (0, 0)
        while height % 2 == width % 2 == 0 < height and min(height, width) > _SMALLEST:
            height, width = height // 2, width // 2
        if self.size is None or not _LEAST <= min(height, width) <= _SMALLEST:
            return self.side
        return self.size[0] if self.size[0] == self.size[1] else self.size

    @property
    def channels(self) -> int:
        """1 where all files are grey, else 3; alpha is never a reason for more."""
        return 1 if self.looks and all(look.channels <= 2 for look in self.looks) else 3

    @property
    def labels(self) -> str:
        """The labels in words, such as "3 classes"."""
        if not self.label_size:
            return "no labels"
        return f"{self.label_size:,} classes" if self.is_classes else f"label vectors of {self.label_size:,} values"

    def __str__(self) -> str:
        """Return all of it in words, such as "64 x 64 grey, 3 classes"."""
        if not self.looks:
            return f"nothing that can be read, {self.labels}"
        sizes = sorted({(look.height * look.width, look.height, look.width) for look in self.looks})
        ends = [f"{height} x {width}" for _, height, width in (sizes[0], sizes[-1])]
        kinds = [CHANNELS[number] for number in sorted({look.channels for look in self.looks})]
        return f"{' to '.join(dict.fromkeys(ends))} {' and '.join(kinds)}, {self.labels}"

    @property
    def notes(self) -> list[str]:
        """A sentence if 16-bit images hold 12-bit data."""
        deep = [look for look in self.looks if look.is_deep]
        if not deep or not all(look.is_dim for look in deep):
            return []
        why = "16-bit images with no value above 4095 (12-bit data?) become nearly black, for the high byte is kept"
        return [f"{why}; multiply their values by 16, or save 8 bits"]


def survey(source: Source) -> Found:
    """Look at some files of a source; those that cannot be read are for others to report."""
    count, looks = len(source.names), []
    for index in np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)).tolist():
        try:
            looks.append(source.look(index))
        except Exception:  # Pillow raises errors of many types for broken files
            continue
    size = source.labels.size if source.labels else 0
    return Found(count, tuple(looks), size, bool(source.labels and source.labels.class_names))
