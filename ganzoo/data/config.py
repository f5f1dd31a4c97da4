"""What to read and how: the options of a data set."""

from dataclasses import dataclass
from typing import Literal

from ganzoo.config import CountOrZero, check_fields, require

LabelMode = Literal["auto", "none"]
CropMode = Literal["center", "none"]
ResizeFilter = Literal["lanczos", "bicubic", "bilinear", "hamming", "box", "nearest"]
BadFileMode = Literal["fail", "skip"]


@dataclass(frozen=True)
class DataConfig:
    """A data set and the way its pictures become arrays.

    Raises:
        UserError: a value is outside its range; the message names the field and what it takes.
    """

    data: str = "digits"
    """Data set: "digits" (built in), a folder, a .zip file, or a prepared TFDS set "tfds:NAME[/CONFIG][:VERSION]"."""
    data_dir: str | None = None
    """Folder of the prepared TFDS data sets; by default $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    split: str = "train"
    """Split of a TFDS data set, e.g. "train", "test" or "train[:90%]"; other sources have no splits."""
    labels: LabelMode = "auto"
    """"auto" takes the labels that the data set has (dataset.json, else first-level folders); "none" ignores them."""
    mirror: bool = False
    """Double the data set with the horizontal mirror of every picture: index i >= n is the mirror of i - n."""
    crop: CropMode = "center"
    """"center" cuts the middle of the picture to the wanted aspect ratio before resizing; "none" stretches it."""
    resize_filter: ResizeFilter = "lanczos"
    """Resampling filter, antialiased as Pillow does it ("nearest" is not)."""
    on_bad_file: BadFileMode = "fail"
    """What to do with pictures that cannot be decoded: "fail" lists them and stops, "skip" leaves them out."""
    memory_budget_mib: CountOrZero = 2048
    """MiB of uint8 pixels and float32 labels up to which a set stays decoded in memory and on the device."""
    workers: CountOrZero = 0
    """Decoding threads; 0 means one per core. Pictures up to about 64 x 64 pixels are read fastest by 1."""

    def __post_init__(self) -> None:
        check_fields(self)
        require(bool(self.split.strip()), "split", self.split, "be the name of a split")
