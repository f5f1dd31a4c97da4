"""Packs: files of the decoded images of a data set with their names and labels, memory-mapped when they are read.

A pack has a head of ``HEAD`` bytes (``MAGIC``, a SHA-256, JSON), the pixels as uint8 [n, H, W, C], and a tail: CRC-32s
of the images, labels, and the texts. The SHA-256 is of the JSON and the tail.
"""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from ganzoo.data.config import CropMode, DataConfig, ResizeFilter
from ganzoo.data.images import MODES, Look, Target, fit
from ganzoo.data.labels import Labels, parts
from ganzoo.data.loading import BadFiles, Progress, decode_all
from ganzoo.data.packed import Packed
from ganzoo.data.source import Source, digest
from ganzoo.disk.documents import parse_json, require_fields
from ganzoo.disk.large import Unfinished, replacing, require_room
from ganzoo.errors import UserError, printable

ENDING = ".pack"
MAGIC = b"ganzoo pack\n"
HEAD = 4096
VERSION = 1
_FIELDS = {
    "version": int, "count": int, "shape": list, "crop": str, "resize_filter": str, "max_pixels": int, "title": str,
    "content": str, "identity": str, "label_size": int, "labels": str, "bytes": list,
}  # fmt: skip
_BETWEEN = "\0"


@dataclass(frozen=True)
class Pack:
    """A pack that has been read, but for its pixels."""

    packed: Packed
    names: Sequence[str]
    """Names of the n images in the data set that they come from."""
    labels: Labels | None
    title: str
    """Of the data set that the images come from."""
    identity: str
    """See ``identity_of``."""


def identity_of(source: Source, target: Target) -> str:
    """Return a hash that changes with everything that decides on a pack: files, dates, size, labels and format."""
    return digest(VERSION, source.revision, target, target.max_pixels, *parts(source.labels))


def is_pack(path: Path) -> bool:
    """Return whether a file begins as packs do; False where it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
    return False


def size_of(count: int, target: Target) -> int:
    """Return the bytes of the head and the pixels of a pack."""
    height, width, channels = target.shape
    return HEAD + count * height * width * channels


# Writing ------------------------------------------------------------------------------------------------------------


def write_pack(
    path: Path,
    source: Source,
    target: Target,
    *,
    workers: int,
    progress: Progress | None,
    is_there: Callable[[], bool],
    accept: Callable[[BadFiles], None] = lambda bad: None,
) -> bool:
    """Decode all images of a data set into a pack, which replaces the file at ``path`` when it is whole.

    Args:
      path: of the pack.
      source: the data set.
      target: size, channels and resizing rule.
      workers: decoding threads; 0 for one per core.
      progress: called with (images done, images in all), also while another process writes the same pack.
      is_there: says whether the pack at ``path`` is the wanted one, as it may be after another process has written it.
      accept: called with the images that cannot be decoded; nothing is written where it raises.

    Returns:
      Whether the pack was written; False where it is there already.

    Raises:
      UserError: there is no room for the pack, or it cannot be written.
    """
    count = len(source.names)

    def waiting(written: int) -> None:
        if progress:
            progress(min(max(0, written - HEAD) * count // (size_of(count, target) - HEAD), count - 1), count)

    with replacing(path, waiting) as unfinished:
        if is_there():
            return False
        require_room(path.absolute().parent, size_of(count, target))
        sink = _Sink(unfinished, count)
        bad = list(decode_all(source, target, sink, workers, progress))
        accept(bad)
        tail = _tail(source, sink.sums, bad)
        head = _head(source, target, [len(part) for part in tail])
        place = size_of(count, target)
        for part in tail:
            unfinished.write(place, part)
            place += len(part)
        unfinished.write(0, _sealed(head, tail))
        unfinished.finish()
    return True


def holds(path: Path, identity: str) -> bool:
    """Return whether a file is an undamaged pack of this identity."""
    try:
        return is_pack(path) and read_pack(path).identity == identity
    except UserError:
        return False


class _Sink:
    """Room for images by index in an unfinished pack; keeps their checksums."""

    def __init__(self, unfinished: Unfinished, count: int) -> None:
        self.sums = np.zeros(count, np.uint32)
        self._unfinished = unfinished

    def __setitem__(self, index: int, image: np.ndarray) -> None:
        content = image.tobytes()
        self.sums[index] = zlib.crc32(content)
        self._unfinished.write(HEAD + index * len(content), content)


def _head(source: Source, target: Target, lengths: list[int]) -> bytes:
    labels = source.labels
    fields = {
        "version": VERSION,
        "count": len(source.names),
        "shape": list(target.shape),
        "crop": target.crop,
        "resize_filter": target.resize_filter,
        "max_pixels": target.max_pixels,
        "title": printable(source.title, 200),
        "content": source.content,
        "identity": identity_of(source, target),
        "label_size": labels.size if labels else 0,
        "labels": "none" if not labels else "classes" if labels.class_names else "vectors",
        "bytes": lengths,
    }
    return json.dumps(fields).encode()


def _tail(source: Source, sums: np.ndarray, bad: BadFiles) -> list[bytes]:
    """Return the checksums, the labels, the names, the names of classes, and the images that cannot be decoded."""
    labels = source.labels
    values = labels.values.astype("<i8" if labels.class_names else "<f4").tobytes() if labels else b""
    texts = [source.names, labels.class_names if labels else (), [f"{index} {why}" for index, why in bad]]
    return [sums.astype("<u4").tobytes(), values, *(_joined(text) for text in texts)]


def _sealed(head: bytes, tail: Sequence[bytes]) -> bytes:
    """Return the whole head of a pack."""
    return (MAGIC + _seal(head, tail) + b"\n" + head).ljust(HEAD)


def _seal(head: bytes, tail: Sequence[bytes]) -> bytes:
    hasher = hashlib.sha256(head)
    for part in tail:
        hasher.update(part)
    return hasher.hexdigest().encode()


def _joined(texts: Sequence[str]) -> bytes:
    """Return texts, each with a zero byte after it; undecodable bytes of names stay what they are."""
    return "".join(f"{text.replace(_BETWEEN, '')}{_BETWEEN}" for text in texts).encode("utf-8", "surrogatepass")


# Reading ------------------------------------------------------------------------------------------------------------


def read_pack(path: Path) -> Pack:
    """Open a pack: read what it says and map its pixels.

    Raises:
      UserError: it is no pack, one of another version, or a damaged one.
    """
    again = f"make it again: ganzoo pack DATA {printable(path.name, 60)}"
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
            if not start.startswith(MAGIC):
                raise UserError("no pack, or a damaged one")
            seal, _, text = start[len(MAGIC) :].partition(b"\n")
            head = require_fields(parse_json(text.rstrip(b" ")), _FIELDS, _FIELDS)
            if head["version"] != VERSION:
                raise UserError(f"a pack of version {printable(head['version'], 20)}, and this is for {VERSION}")
            count, target, lengths = _checked(head)
            ends = np.cumsum([size_of(count, target), *lengths]).tolist()
            size = path.stat().st_size
            if size != ends[-1]:
                raise UserError(f"a damaged pack ({size:,} bytes instead of {ends[-1]:,})")
            file.seek(ends[0])
            tail = [file.read(stop - begin) for begin, stop in pairwise(ends)]
        if _seal(text.rstrip(b" "), tail) != seal:
            raise UserError("a damaged pack (another checksum)")
        return _made(path, head, count, target, tail)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}; {again}") from error
    except ValueError as error:
        raise UserError(f"{path}: a damaged pack ({error}); {again}") from error


def open_pack(path: Path, config: DataConfig) -> Source:
    """Open a pack as a data set.

    Raises:
      UserError: as ``read_pack``.
    """
    pack = read_pack(path)
    packed, bad = pack.packed, dict(pack.packed.bad)
    height, width, channels = packed.target.shape

    def picture(index: int, target: Target) -> np.ndarray:
        from PIL import Image

        if index in bad:
            raise UserError(bad[index])
        (image,) = packed.take(np.asarray([index]))
        if target.shape == packed.target.shape:
            return image
        return fit(Image.fromarray(image[..., 0] if channels == 1 else image, MODES[channels]), target)

    status = path.stat()
    is_hidden = config.labels == "none" and pack.labels is not None
    return Source(
        title=f"{path} (pack of {pack.title})",
        names=pack.names,
        picture=picture,
        look=lambda index: Look(height, width, channels),
        labels=None if is_hidden else pack.labels,
        content=digest("pack", packed.content, packed.target),
        revision=digest(pack.identity, str(path.resolve()), status.st_mtime_ns, status.st_size),
        why_unlabelled="leave out --labels none to use those of the pack" if is_hidden else "",
        packed=packed,
    )


def _checked(head: dict[str, Any]) -> tuple[int, Target, list[int]]:
    """Return the number of images, their target, and the lengths of the parts of the tail."""
    count, shape, lengths = head["count"], head["shape"], head["bytes"]
    numbers = [count, head["max_pixels"], head["label_size"], *shape, *lengths]
    if not all(type(number) is int and 0 <= number < 2**48 for number in numbers) or (len(shape), len(lengths)) != (
        3,
        5,
    ):
        raise UserError("a damaged pack (impossible sizes)")
    if not count or head["crop"] not in get_args(CropMode) or head["resize_filter"] not in get_args(ResizeFilter):
        raise UserError("a damaged pack (impossible settings)")
    crop, resize_filter = cast(CropMode, head["crop"]), cast(ResizeFilter, head["resize_filter"])
    height, width, channels = shape
    target = Target(height, width, channels, crop=crop, resize_filter=resize_filter, max_pixels=head["max_pixels"])
    return count, target, lengths


def _made(path: Path, head: dict[str, Any], count: int, target: Target, tail: list[bytes]) -> Pack:
    """Return the pack of a checked head and a tail; raise ``ValueError`` where they do not fit each other."""
    sums = np.frombuffer(tail[0], "<u4")
    names, class_names, lines = (part.decode("utf-8", "surrogatepass").split(_BETWEEN)[:-1] for part in tail[2:])
    labels = _labels(head, tail[1], class_names)
    bad = tuple((int(index), why) for index, _, why in (line.partition(" ") for line in lines))
    if len(sums) != count or len(names) != count or (labels and len(labels.values) != count):
        raise ValueError("not as many names or labels as images")
    if not all(0 <= index < count for index, _ in bad):
        raise ValueError("impossible images")
    intact = np.zeros(count, bool)
    intact[[index for index, _ in bad]] = True  # nothing was written for them
    pixels = np.asarray(np.memmap(path, np.uint8, "r", HEAD, (count, *target.shape)))
    return Pack(
        Packed(path, pixels, sums, target, head["content"], bad, intact), names, labels, head["title"], head["identity"]
    )


def _labels(head: dict[str, Any], values: bytes, class_names: list[str]) -> Labels | None:
    size = head["label_size"]
    if head["labels"] == "vectors":
        return Labels(np.frombuffer(values, "<f4").astype(np.float32).reshape(-1, size), size)
    if head["labels"] != "classes":
        return None
    numbers = np.frombuffer(values, "<i8").astype(np.int64)
    if len(class_names) != size or not numbers.size or not 0 <= numbers.min() <= numbers.max() < size:
        raise ValueError("impossible classes")
    return Labels(numbers, size, tuple(class_names))
