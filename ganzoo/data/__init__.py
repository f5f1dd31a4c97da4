"""Data sets read by index: the built-in digits, images in folders, archives and parquet files, TFDS, stacked images.

>>> dataset = open_dataset(DataConfig(data="digits"), image_shape=(32, 32, 1))
>>> batch = dataset.read(positions(seed=0, size=len(dataset), start=0, count=64))
>>> batch["image"].shape, batch["label"].shape
((64, 32, 32, 1), (64, 10))
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ganzoo.config import require
from ganzoo.data.config import MAX_PIXELS, DataConfig
from ganzoo.data.dataset import Dataset, size_in_bytes
from ganzoo.data.digits import open_digits
from ganzoo.data.files import ARCHIVES, open_files
from ganzoo.data.formats import BYTES_PER_PIXEL, reason
from ganzoo.data.images import Target, decode
from ganzoo.data.loading import Progress, complain, load
from ganzoo.data.order import epoch_permutation, positions
from ganzoo.data.several import joined
from ganzoo.data.source import Source
from ganzoo.data.stacked import found_of, grey, inner, is_stacked, stacked
from ganzoo.data.survey import Found, survey
from ganzoo.data.tfds import PREFIX, open_tfds
from ganzoo.disk import kind_of, read_regular, user_path
from ganzoo.errors import UserError

__all__ = [
    "DataConfig",
    "Dataset",
    "Found",
    "epoch_permutation",
    "inspect",
    "open_dataset",
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
    target = Target(*image_shape, crop=config.crop, resize_filter=config.resize_filter, max_pixels=config.max_pixels)
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


def _decoded(source: Source, target: Target, config: DataConfig, progress: Progress | None) -> Dataset:
    """Return the data set of a source, whose images are all checked, and kept where there is room."""
    keep = size_in_bytes(len(source.names), target, source.labels) <= config.memory_budget_mib * 2**20
    pixels, bad = load(source, target, keep=keep, workers=config.workers, progress=progress)
    if bad and (config.on_bad_file == "fail" or len(bad) == len(source.names)):
        raise complain(source, bad)
    kept = np.delete(np.arange(len(source.names)), [index for index, _ in bad])
    if pixels is not None:
        pixels = pixels[kept] if bad else pixels
        pixels.flags.writeable = False
    return Dataset(
        source=source,
        target=target,
        kept=kept,
        pixels=pixels,
        labels=source.labels.take(kept) if source.labels else None,
        mirror=config.mirror,
        skipped=tuple((source.names[index], why) for index, why in bad),
        workers=config.workers,
        found=survey(source),
    )


def _open_grey(config: DataConfig) -> Source:
    """Open the set of which the images of a stacked set are made."""
    return grey(_open_sources(replace(config, data=inner(config.data), labels="auto", stack_seed=0)), config.data)


def _open_sources(config: DataConfig) -> Source:
    """Open the data set of a config, or several joined by commas unless there is a path of that name."""
    only = 'be left out: only "stacked-digits" and "stacked:NAME" are drawn from a seed'
    require(not config.stack_seed, "stack_seed", config.stack_seed, only)
    names = [config.data]
    if "," in config.data and kind_of(user_path(config.data)) == "nothing":
        names = [name for part in config.data.split(",") if (name := part.strip())] or names
    source = joined([_open_source(name, config) for name in names])
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
