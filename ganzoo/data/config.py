"""Options of a data set."""

from dataclasses import dataclass
from typing import Literal

from ganzoo.config import Count, CountOrZero, check_fields, require

LabelMode = Literal["auto", "none"]
CropMode = Literal["center", "none"]
ResizeFilter = Literal["lanczos", "bicubic", "bilinear", "hamming", "box", "nearest"]
BadFileMode = Literal["fail", "skip"]

MAX_PIXELS = 250_000_000
"""Largest number of pixels of an image file by default: four copies of it, at 4 bytes a pixel, fit in 4 GB."""


@dataclass(frozen=True)
class DataConfig:
    """Options that select a data set and describe how its images become arrays.

    Raises:
        UserError: a value is outside its range; the message names the field and its range.
    """

    data: str = "digits"
    """Data set: "digits", a folder, .zip, .tar, .parquet or .pack of images, "tfds:NAME", or several with commas;
    "stacked-digits" or "stacked:NAME" puts three grey images of a labelled set into the channels of one."""
    data_dir: str | None = None
    """Folder of the prepared TFDS data sets; by default $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    split: str = "train"
    """Split of a TFDS data set, e.g. "test" or "train[:90%]"; of parquet files, those of that name."""
    labels: LabelMode = "auto"
    """"auto" reads the labels of the data set (dataset.json, metadata.jsonl, .csv, or folders); "none" ignores them."""
    stack_seed: CountOrZero = 0
    """Seed of which images "stacked-digits" and "stacked:NAME" put together; other sets have none."""
    mirror: bool = False
    """Double the data set by mirroring every image horizontally: image i >= n is the mirror of image i - n."""
    crop: CropMode = "center"
    """"center" crops the centre of an image to the target aspect ratio before resizing; "none" stretches the image."""
    resize_filter: ResizeFilter = "lanczos"
    """Resampling filter of Pillow; all but "nearest" are antialiased."""
    on_bad_file: BadFileMode = "fail"
    """What to do with pictures that cannot be decoded: "fail" lists them and stops, "skip" leaves them out."""
    memory_budget_mib: CountOrZero = 2048
    """MiB of uint8 pixels and float32 labels up to which a set stays decoded in memory and on the device."""
    cache: str | None = None
    """Folder for the decoded images, which are made once and then mapped into memory; None: decode in every run."""
    max_pixels: Count = MAX_PIXELS
    """Largest number of pixels of an image file; raise it for larger scans that you trust."""
    workers: CountOrZero = 0
    """Decoding threads; 0 means one per core. Pictures up to about 64 x 64 pixels are read fastest by 1."""

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.stack_seed < 2**32, "stack_seed", self.stack_seed, "be in 0 .. 2^32 - 1")
        require(bool(self.split.strip()), "split", self.split, "be the name of a split")
