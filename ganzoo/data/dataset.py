"""An open data set: its properties, and reading by index."""

import textwrap
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ganzoo.data.formats import reason
from ganzoo.data.images import CHANNELS, Target
from ganzoo.data.labels import Labels, parts
from ganzoo.data.loading import thread_count
from ganzoo.data.packed import Packed
from ganzoo.data.prefetch import ahead
from ganzoo.data.source import Source, digest
from ganzoo.data.survey import Found
from ganzoo.errors import UserError, printable

Batch = dict[str, np.ndarray]
"""``{"image": uint8 [N, H, W, C], "label": float32 [N, k]}``; ``"label"`` is absent without labels."""

_MIB = 2**20


@dataclass(frozen=True, eq=False)
class Stack:
    """What the images of a stacked set are made of; see `ganzoo.data.stacked`."""

    parts: "Dataset"
    """The grey images, with their classes."""
    modes: np.ndarray
    """int64 [n]: the combination of classes of each of the n images, also where these are read without labels."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data set of images of one shape, with one label each or none; opened by `ganzoo.data.open_dataset`.

    Several threads may read at once.
    """

    source: Source
    target: Target
    kept: np.ndarray
    """int64 [n]: indices of the source's images that can be decoded."""
    pixels: np.ndarray | None
    """uint8 [n, H, W, C] if the images are kept decoded in memory, else None."""
    labels: Labels | None
    """Labels of the n images."""
    mirror: bool
    """Whether the data set has 2 n images, of which image i >= n is the horizontal mirror of image i - n."""
    skipped: tuple[tuple[str, str], ...]
    """(name, reason) of every image that was left out because it cannot be decoded."""
    workers: int
    """Decoding threads; 0 for one per core."""
    found: Found
    """What the files hold before they are cut and resized."""
    packed: Packed | None = None
    """The source's images in the target's shape, if they lie decoded in a file; read from there unless in memory."""
    stack: Stack | None = None
    """What the images are made of when they are read; None for those of files."""

    @property
    def name(self) -> str:
        """Name and location of the data set, for display."""
        return printable(self.source.title, 200)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the decoded images."""
        return self.target.shape

    @property
    def label_size(self) -> int:
        """k, the length of a label vector; 0 without labels."""
        return self.labels.size if self.labels else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """k class names; empty without labels or if labels are vectors."""
        return self.labels.class_names if self.labels else ()

    @cached_property
    def present_classes(self) -> np.ndarray:
        """Numbers of the classes that have images, int64, in order; empty without classes."""
        return self.labels.present() if self.labels else np.empty(0, np.int64)

    @cached_property
    def in_memory(self) -> Batch | None:
        """All n images, not mirrored, as one read-only batch; None if they exceed the memory budget."""
        return None if self.pixels is None else self._with_labels(self.pixels, np.arange(len(self.kept)))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of 16 hexadecimal digits: equal for equal images, sizes, labels and order, in any location.

        A pack has that of the data set that it was made of, where it is read at its own size.
        """
        is_as_packed = self.packed and repr(self.packed.target) == repr(self.target)
        content = self.packed.content if self.packed and is_as_packed else self.source.content
        return digest(content, self.target, self.mirror, *parts(self.labels), self.kept.tobytes())[:16]

    def __len__(self) -> int:
        """Return the number of images, mirrored ones included."""
        return len(self.kept) * (2 if self.mirror else 1)

    def read(self, indices: np.ndarray) -> Batch:
        """Read the images ``indices`` (int [N], each in 0 .. len - 1) in the given order.

        Returns:
            ``{"image": uint8 [N, H, W, C], "label": float32 [N, k]}``; ``"label"`` is absent without labels.

        Raises:
            IndexError: an index is outside the data set.
            UserError: a file cannot be read any more.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"indices {indices.min()} to {indices.max()} of a data set of {len(self)} images")
        pictures = indices % len(self.kept)
        images = self._decode(pictures) if self.pixels is None else self.pixels[pictures]
        mirrored = indices >= len(self.kept)
        images[mirrored] = images[mirrored, :, ::-1]
        return self._with_labels(images, pictures)

    def prefetch(self, index_batches: Iterable[np.ndarray], depth: int = 2) -> Generator[Batch, None, None]:
        """Read batches ahead, in order; threads decode images that are not in memory.

        Args:
            index_batches: index arrays, int [N] each; may be endless. At most ``depth`` are taken in advance.
            depth: number of batches prepared beside the batch being yielded, >= 0.

        Yields:
            `read(indices)` for each index array. The threads end when the iterator is exhausted, closed or collected;
            an error of `read` is raised when its batch is due.
        """
        if self.pixels is not None:
            yield from map(self.read, index_batches)
            return
        workers = thread_count(self.workers)
        split = partial(_cut, parts=workers)
        with closing(ahead(index_batches, split=split, work=self.read, depth=depth, workers=workers)) as batches:
            for parts in batches:
                yield {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def check_labels(self, label_size: int) -> None:
        """Raise ``UserError`` unless a model that wants label vectors of a length, 0 for none, can be trained on it."""
        if label_size in (0, self.label_size):
            return
        if self.label_size:
            found, remedy = f"has label vectors of length {self.label_size}", f"set --label-size {self.label_size}"
        else:
            found, remedy = "has no labels", "set --label-size 0 to train without labels"
            remedy += f", or mend this: {self.source.why_unlabelled}" if self.source.why_unlabelled else ""
        raise UserError(f"{self.name} {found}, the model wants {label_size}; {remedy}")

    def describe(self, label_size: int | None = None) -> str:
        """Return a short table of the contents of the data set and of how it is read.

        Args:
            label_size: length of the label vectors that the model wants, 0 for none; None if no model is known.
        """
        height, width, channels = self.image_shape
        count = len(self.kept)
        crop = "center crop" if self.target.crop == "center" else "no crop"
        notes = (*self.source.notes, *self.found.notes, *(self.labels.gaps() if self.labels else ()))
        rows = [
            ("data", self.name),
            ("found", f"{self.found} -> {self._use(label_size)}"),
            ("images", f"{count:,} of {height} x {width} x {channels} (height x width x channels)"),
            ("mirror", f"yes, {len(self):,} images in all" if self.mirror else "no"),
            ("resize", f"{crop}, {self.target.resize_filter}"),
            ("kept", self._kept()),
            *([("skipped", f"{len(self.skipped):,} that cannot be decoded")] if self.skipped else []),
            ("labels", self._label_title()),
            *(("", line) for line in (self.labels.lines() if self.labels else [])),
            *(row for note in notes for row in _wrapped("note", printable(note, 300))),
        ]
        return "\n".join(f"{key:<8} {value}".rstrip() for key, value in rows)

    def _use(self, label_size: int | None) -> str:
        """Say what becomes of the images and labels."""
        height, width, channels = self.image_shape
        images = f"{height} x {width} {CHANNELS[channels]}"
        if label_size is None:
            return f"read as {images}"
        if label_size or not self.label_size:
            return f"trained as {images} {'with' if label_size else 'without'} labels"
        return f"trained as {images} without labels (--label-size {self.label_size} to use them)"

    def _decode(self, pictures: np.ndarray) -> np.ndarray:
        if self.packed:
            return self.packed.take(self.kept[pictures])
        images = np.empty((len(pictures), *self.image_shape), np.uint8)
        for place, index in enumerate(self.kept[pictures].tolist()):
            try:
                images[place] = self.source.picture(index, self.target)
            except Exception as error:  # the image could be decoded when the data set was opened
                name = printable(self.source.names[index], 200)
                raise UserError(f"{self.name}: {name} cannot be read any more ({reason(error)}); restore it") from error
        return images

    def _with_labels(self, images: np.ndarray, pictures: np.ndarray) -> Batch:
        return {"image": images, "label": self.labels.rows(pictures)} if self.labels else {"image": images}

    def _kept(self) -> str:
        """Say where the images are."""
        if self.stack:
            parts = self.stack.parts
            return f"made when they are read, of {len(parts.kept):,} grey images {parts._kept()}"
        mib = size_in_bytes(len(self.kept), self.target, self.labels) / _MIB
        where = f"mapped from {printable(self.packed.path, 200)}" if self.packed else "streamed from disk"
        return f"{'in memory' if self.pixels is not None else where}, {mib:,.1f} MiB"

    def _label_title(self) -> str:
        if not self.labels:
            return "none"
        return f"{self.label_size:,} classes" if self.class_names else f"vectors of {self.label_size:,} values"


def size_in_bytes(count: int, target: Target, labels: Labels | None) -> int:
    """Return the bytes of ``count`` decoded images and their label vectors."""
    height, width, channels = target.shape
    return count * (height * width * channels + 4 * (labels.size if labels else 0))


def _wrapped(key: str, text: str) -> list[tuple[str, str]]:
    """Return rows of a table that fit a terminal of 80 columns."""
    lines = textwrap.wrap(text, 70, break_on_hyphens=False)
    return [(key if place == 0 else "", line) for place, line in enumerate(lines)]


def _cut(indices: np.ndarray, parts: int) -> list[np.ndarray]:
    return np.array_split(indices, max(1, min(parts, len(indices))))
