"""Data sets read by index: the built-in digits, images in folders, archives and parquet files, TFDS, stacked images.

>>> dataset = open_dataset(DataConfig(data="digits"), image_shape=(32, 32, 1))
>>> batch = dataset.read(positions(seed=0, size=len(dataset), start=0, count=64))
>>> batch["image"].shape, batch["label"].shape
((64, 32, 32, 1), (64, 10))
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ganzoo.config import require
from ganzoo.data.cache import cached
from ganzoo.data.config import MAX_PIXELS, DataConfig
from ganzoo.data.dataset import Dataset, size_in_bytes
from ganzoo.data.digits import open_digits
from ganzoo.data.files import ARCHIVES, open_files
from ganzoo.data.formats import BYTES_PER_PIXEL, reason
from ganzoo.data.images import Target, decode
from ganzoo.data.loading import BadFiles, Progress, complain, load
from ganzoo.data.order import epoch_permutation, positions
from ganzoo.data.packed import Packed
from ganzoo.data.packs import ENDING, holds, identity_of, is_pack, read_pack, write_pack
from ganzoo.data.several import joined
from ganzoo.data.source import Source
from ganzoo.data.stacked import found_of, grey, inner, is_stacked, stacked
from ganzoo.data.survey import Found, survey
from ganzoo.data.tfds import PREFIX, open_tfds
from ganzoo.disk import kind_of, read_regular, require_writable, user_path
from ganzoo.errors import UserError

__all__ = [
    "DataConfig",
    "Dataset",
    "Found",
    "describe_pack",
    "epoch_permutation",
    "inspect",
    "open_dataset",
    "pack",
    "positions",
    "read_images",
    "read_named_images",
]


def open_dataset(config: DataConfig, image_shape: tuple[int, int, int], progress: Progress | None = None) -> Dataset:
    """Open a data set, check every image, and keep the images decoded if they fit in ``config.memory_budget_mib``.

    Args:
        config: which data set to read, and how.
        image_shape: (H, W, C) of the decoded images; C is 1 (grey), 2 (grey + alpha), 3 (RGB) or 4 (RGBA).
        progress: called with ``(images done, images in all)`` while images are decoded.

    Raises:
        UserError: the data set does not exist, cannot be read, or holds no images or broken ones, its labels are
            invalid, or ``image_shape`` is impossible. The message names the file and the remedy.
    """
    target = _target(config, image_shape)
    if not is_stacked(config.data):
        return _decoded(_open_sources(config), target, config, progress)
    if target.channels != 3:
        raise UserError(
            f"{config.data} has images of 3 channels, not {target.channels}; take a model with --channels 3"
        )
    one = replace(target, channels=1)
    return stacked(_decoded(_open_grey(config), one, replace(config, mirror=False), progress), config)


def inspect(config: DataConfig) -> Found:
    """Return the sizes, channels and labels of a data set, from the heads of a few of its files.

    Raises:
        UserError: as ``open_dataset``, but for broken images, which are left out.
    """
    return found_of(_open_grey(config), config) if is_stacked(config.data) else survey(_open_sources(config))


def read_images(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image file, or those in a folder or an archive, cut and resized: uint8 [N, H, W, C].

    Raises:
        UserError: there are none, or one cannot be read.
    """
    return read_named_images(path, image_shape)[0]


def read_named_images(path: Path, image_shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Return what ``read_images`` returns, and the N names of the files; in a folder or archive, their paths in it."""
    path = user_path(path)
    if kind_of(path) == "file" and not path.name.lower().endswith(ARCHIVES):
        try:
            return decode(read_regular(path, BYTES_PER_PIXEL * MAX_PIXELS), Target(*image_shape))[None], [path.name]
        except Exception as error:  # whatever Pillow raises for a broken file
            raise UserError(f"{path} cannot be read: {reason(error)}") from error
    dataset = open_dataset(DataConfig(data=str(path)), image_shape)
    names = [dataset.source.names[index] for index in dataset.kept]
    return np.asarray(dataset.read(np.arange(len(dataset)))["image"]), names


def pack(config: DataConfig, image_shape: tuple[int, int, int], path: Path, progress: Progress | None = None) -> bool:
    """Write the decoded images of a data set, their labels and names into a pack, which is a data set by itself.

    Its batches are those of the data set, bit for bit, and a run may be resumed with either. Images that cannot be
    decoded are as in the data set: with ``config.on_bad_file = "skip"`` the pack is read with that, too.

    Args:
        config: which data set to read, and how; ``mirror``, ``memory_budget_mib`` and ``cache`` are for readers.
        image_shape: (H, W, C) of the decoded images, as for ``open_dataset``.
        path: of the pack; its name ends in .pack. A pack that is there is replaced, another file is refused.
        progress: called with ``(images done, images in all)``.

    Returns:
        Whether the pack was written; False where it is there already, and the data set has not changed.

    Raises:
        UserError: as ``open_dataset``, or the pack cannot be written.
    """
    path = user_path(path)
    if not path.name.lower().endswith(ENDING):
        raise UserError(f"{path}: the name of a pack must end in {ENDING}")
    if is_stacked(config.data):
        raise UserError(
            f"{config.data}: stacked images are made when they are read; pack the set that they are made of"
        )
    require_writable(path)
    if kind_of(path) != "nothing" and not is_pack(path):
        raise UserError(f"{path} is no pack, and is not replaced; give another name, or remove it")
    target, source = _target(config, image_shape), _open_sources(config)

    def is_there() -> bool:
        return holds(path, identity_of(source, target))

    return not is_there() and write_pack(
        path,
        source,
        target,
        workers=config.workers,
        progress=progress,
        is_there=is_there,
        accept=partial(_accept, source, config),
    )


def describe_pack(path: Path) -> str:
    """Return a short table of what a pack holds; ``UserError`` where it cannot be read."""
    config = DataConfig(data=str(path), on_bad_file="skip", memory_budget_mib=0)
    return open_dataset(config, read_pack(path).packed.target.shape).describe()


def _decoded(source: Source, target: Target, config: DataConfig, progress: Progress | None) -> Dataset:
    """Return the data set of a source, whose images are all checked, and kept where there is room."""
    source, packed = _with_packed(source, target, config, progress)
    keep = size_in_bytes(len(source.names), target, source.labels) <= config.memory_budget_mib * 2**20
    if packed:
        bad, pixels = list(packed.bad), packed.take(np.arange(len(source.names))) if keep else None
    else:
        pixels, bad = load(source, target, keep=keep, workers=config.workers, progress=progress)
    _accept(source, config, bad)
    kept = np.delete(np.arange(len(source.names)), [index for index, _ in bad])
    if pixels is not None:
        pixels = pixels[kept] if bad else pixels
        pixels.flags.writeable = False
    return Dataset(
        source=source,
        target=target,
        kept=kept,
        pixels=pixels,
        packed=packed,
        labels=source.labels.take(kept) if source.labels else None,
        mirror=config.mirror,
        skipped=tuple((source.names[index], why) for index, why in bad),
        workers=config.workers,
        found=survey(source),
    )


def _accept(source: Source, config: DataConfig, bad: BadFiles) -> None:
    """Raise ``UserError`` where images that cannot be decoded are not to be left out, or none would be left."""
    if bad and (config.on_bad_file == "fail" or len(bad) == len(source.names)):
        raise complain(source, bad)


def _open_grey(config: DataConfig) -> Source:
    """Open the set of which the images of a stacked set are made."""
    return grey(_open_sources(replace(config, data=inner(config.data), labels="auto", stack_seed=0)), config.data)


def _target(config: DataConfig, image_shape: tuple[int, int, int]) -> Target:
    return Target(*image_shape, crop=config.crop, resize_filter=config.resize_filter, max_pixels=config.max_pixels)


def _with_packed(
    source: Source, target: Target, config: DataConfig, progress: Progress | None
) -> tuple[Source, Packed | None]:
    """Return a source with notes on how it is packed, and its decoded images, from the cache where that is given."""
    given, notes, packed = source.packed, list(source.notes), None
    if given:
        size = "{} x {} x {}".format(*given.target.shape)
        if given.target.shape == target.shape:
            packed = given
            for name in ("crop", "resize_filter"):
                then, now = getattr(given.target, name), getattr(target, name)
                if then != now:
                    notes.append(f"the images were packed with {name} = {then}; {name} = {now} changes nothing")
            if config.cache:
                notes.append("the cache is not used: the data set is a pack of the size wanted")
        else:
            notes.append(f"the images are resized from the {size} of the pack, not from their originals")
    if config.cache and not packed:
        place = ",".join(_place(name) for name in _names(config))
        folder = user_path(config.cache)
        packed = cached(source, target, folder, place, workers=config.workers, progress=progress)
    return replace(source, notes=tuple(notes)), packed


def _place(name: str) -> str:
    """Return what names a data set, whatever the folder that the program runs in, for the cache."""
    path = user_path(name)
    return name if kind_of(path) == "nothing" else str(path.resolve())


def _names(config: DataConfig) -> list[str]:
    """Return the data set of a config, or several joined by commas unless there is a path of that name."""
    if "," in config.data and kind_of(user_path(config.data)) == "nothing":
        return [name for part in config.data.split(",") if (name := part.strip())] or [config.data]
    return [config.data]


def _open_sources(config: DataConfig) -> Source:
    """Open the data sets of a config as one."""
    only = 'be left out: only "stacked-digits" and "stacked:NAME" are drawn from a seed'
    require(not config.stack_seed, "stack_seed", config.stack_seed, only)
    source = joined([_open_source(name, config) for name in _names(config)])
    if config.labels == "none" and not source.why_unlabelled:
        return replace(source, why_unlabelled="leave out --labels none to use those of the data set")
    return source


def _open_source(name: str, config: DataConfig) -> Source:
    if name == "digits":
        return open_digits(config.labels)
    if name.startswith(PREFIX):
        return open_tfds(name, config)
    if is_stacked(name):
        raise UserError(f"{name}: a stacked set is neither joined with others nor stacked again; give it alone")
    path = user_path(name)
    if kind_of(path) == "nothing":
        raise UserError(
            f'no data set {name!r}: give "digits", "stacked-digits", a folder, a .zip file or a .tar file of images,'
            ' "tfds:NAME" or "stacked:NAME"'
        )
    return open_files(path, config)
