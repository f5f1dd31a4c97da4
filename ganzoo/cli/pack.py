"""The subcommand pack."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from ganzoo.cli.parsing import Group, class_options, options_of, parse_groups
from ganzoo.cli.progress import bar
from ganzoo.config import replaced
from ganzoo.data import DataConfig, inspect, pack
from ganzoo.disk import user_path
from ganzoo.nn.pyramid import size_of

DESCRIPTION = """Write the decoded images of a data set, with their labels, into one file that is a data set by itself.

ganzoo pack images.zip images64.pack --image-size 64

It is read as --data images64.pack, mapped into memory: many times as fast as pictures are decoded."""
OF_READERS = ("data", "mirror", "memory_budget_mib", "cache", "stack_seed")
"""Fields of ``DataConfig`` that change nothing in a pack."""


@dataclass(frozen=True)
class Pack:
    """Write a pack."""

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """"digits", a folder, .zip, .tar or .parquet of images, "tfds:NAME", or several joined by commas."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.pack")]
    """The file to write; a pack that is there is replaced, unless it holds the same already."""
    image_size: int | tuple[int, int] | None = None
    """Pixels: one number for a square, or height and width; None: those of the images."""
    channels: int | None = None
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; None: those of the images."""
    reading: dict[str, Any] = field(default_factory=dict)
    """Other fields of ``DataConfig``."""


def pack_data(args: Sequence[str]) -> None:
    """Answer ``ganzoo pack DATA OUT ...``."""
    chosen = parsed(args)
    config = replaced(DataConfig(data=chosen.data), chosen.reading)
    out, size, channels = user_path(chosen.out), chosen.image_size, chosen.channels
    if size is None or channels is None:
        found = inspect(config)
        size = found.image_size if size is None else size
        channels = found.channels if channels is None else channels
    height, width = size_of(size)
    with bar("packing") as show:
        is_new = pack(config, (height, width, channels), out, show)
    said = "" if is_new else "there already, of the same images: "
    print(f"{said}{height} x {width} x {channels}, {out.stat().st_size / 2**20:,.1f} MiB -> {out}")


def parsed(args: Sequence[str]) -> Pack:
    """Return what was typed; ``UserError`` for an unknown option or a bad value."""
    own = [option for option in class_options(Pack) if option.path != "reading"]
    reading = [option for option in options_of(DataConfig(), "data.") if option.flag not in OF_READERS]
    values = parse_groups([Group("", own), Group("data", reading)], args, "ganzoo pack", DESCRIPTION)
    others = {option.flag: values[option.path] for option in reading}
    return Pack(**{option.path: values[option.path] for option in own}, reading=others)
