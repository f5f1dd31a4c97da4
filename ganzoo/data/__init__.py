"""Data sets read by index: the built-in digits, folders and .zip files of images, and TFDS.

>>> dataset = open_dataset(DataConfig(data="digits"), image_shape=(32, 32, 1))
>>> batch = dataset.read(positions(seed=0, size=len(dataset), start=0, count=64))
>>> batch["image"].shape, batch["label"].shape
((64, 32, 32, 1), (64, 10))
"""

from pathlib import Path

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.dataset import Dataset, size_in_bytes
from ganzoo.data.digits import open_digits
from ganzoo.data.files import open_folder, open_zip
from ganzoo.data.images import Target, decode, reason
from ganzoo.data.loading import Progress, complain, load
from ganzoo.data.order import epoch_permutation, positions
from ganzoo.data.source import Source
from ganzoo.data.tfds import PREFIX, open_tfds
from ganzoo.errors import UserError

__all__ = [
    "DataConfig",
    "Dataset",
    "epoch_permutation",
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
    target = Target(*image_shape, crop=config.crop, resize_filter=config.resize_filter)
    source = _open_source(config)
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
    )


def read_images(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image file, or those in a folder or .zip, cut and resized: uint8 [N, H, W, C].

    Raises:
        UserError: there are none, or one cannot be read.
    """
    return read_named_images(path, image_shape)[0]


def read_named_images(path: Path, image_shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """Return what ``read_images`` returns, and the N names of the files; in a folder or .zip, their paths in it."""
    if path.is_file() and path.suffix.lower() != ".zip":
        try:
            return decode(path.read_bytes(), Target(*image_shape))[None], [path.name]
        except Exception as error:  # whatever Pillow raises for a broken file
            raise UserError(f"{path} cannot be read: {reason(error)}") from error
    dataset = open_dataset(DataConfig(data=str(path)), image_shape)
    names = [dataset.source.names[index] for index in dataset.kept]
    return np.asarray(dataset.read(np.arange(len(dataset)))["image"]), names


def _open_source(config: DataConfig) -> Source:
    if config.data == "digits":
        return open_digits(config.labels)
    if config.data.startswith(PREFIX):
        return open_tfds(config)
    path = Path(config.data).expanduser()
    try:
        if path.is_dir():
            return open_folder(path, config.labels)
        if path.is_file():
            return open_zip(path, config.labels)
    except PermissionError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    raise UserError(f'no data set {config.data!r}: give "digits", a folder, a .zip file or "tfds:NAME"')
