"""The cache of decoded images: one pack for each data set and image size, made once and used until the set changes."""

from dataclasses import replace
from pathlib import Path

from ganzoo.data.images import Target
from ganzoo.data.loading import Progress, decode_some
from ganzoo.data.packed import Packed
from ganzoo.data.packs import ENDING, identity_of, is_pack, read_pack, write_pack
from ganzoo.data.source import Source, digest
from ganzoo.disk import kind_of
from ganzoo.errors import UserError


def cached(
    source: Source, target: Target, folder: Path, place: str, *, workers: int, progress: Progress | None
) -> Packed:
    """Return the decoded images of a data set from its pack in the cache, which is made where it is absent or old.

    Labels stay with the data set: the pack has none.

    Args:
      source: the data set.
      target: size, channels and resizing rule.
      folder: of the cache; made where it is absent.
      place: what names the data set and stays the same when its files change, such as its path.
      workers: decoding threads; 0 for one per core.
      progress: called with (images done, images in all).

    Raises:
      UserError: the folder or the pack cannot be written, or another file is in its place.
    """
    source = replace(source, labels=None)
    path = folder / _name(target, place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made: {error.strerror or error}; give another folder by --cache"
        ) from error
    if kind_of(path) != "nothing" and not is_pack(path):
        raise UserError(f"{path} is no pack, but has the place of one; remove it")
    found = _found(path, source, target)
    if found is None:
        write_pack(
            path,
            source,
            target,
            workers=workers,
            progress=progress,
            is_there=lambda: _found(path, source, target) is not None,
        )
        found = read_pack(path).packed
    return found


def _name(target: Target, place: str) -> str:
    height, width, channels = target.shape
    return f"{height}x{width}x{channels}-{digest(place, target)[:16]}{ENDING}"


def _found(path: Path, source: Source, target: Target) -> Packed | None:
    """Return the images in a pack; None where it is absent, damaged or old, or a broken image has been repaired."""
    try:
        pack = read_pack(path) if is_pack(path) else None
    except UserError:
        return None
    if pack is None or pack.identity != identity_of(source, target):
        return None
    suspects = [index for index, _ in pack.packed.bad]
    return pack.packed if len(decode_some(source, target, None, suspects)) == len(suspects) else None
