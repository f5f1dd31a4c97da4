"""Sets of stacked images: three grey images of another set, drawn at random, in the three channels of one image.

A set of K classes has K^3 combinations of them: 1,000 modes for digits, which a classifier of one channel can count
(Metz et al. 2016, arXiv:1611.02163, section 3.3.1). As many images are drawn, from a seed, as PacGAN trains on (Lin et
al. 2017, arXiv:1712.04086, section 4.2, after VEEGAN, Srivastava et al. 2017, arXiv:1705.07761). They are put together
when they are read: only the grey images are ever kept.
"""

from dataclasses import replace

import numpy as np

from ganzoo.data.config import DataConfig
from ganzoo.data.dataset import Dataset, Stack
from ganzoo.data.images import CHANNELS, Look, Target
from ganzoo.data.labels import MOST_CLASSES, Labels, of_classes
from ganzoo.data.source import Source, digest
from ganzoo.data.survey import Found, survey
from ganzoo.errors import UserError, printable

BUILT_IN, PREFIX = "stacked-digits", "stacked:"
COUNT = 128_000
"""Images of a set."""
PARTS = 3
"""Grey images of one image, a channel each."""
MOST_PARTS_CLASSES = round(MOST_CLASSES ** (1 / PARTS))
"""Largest number of classes of the grey images."""
_DIGITS_SIDE = 32
"""Height and width in pixels of the images of ``BUILT_IN``."""


def is_stacked(data: str) -> bool:
    """Say whether the name of a data set is of a stacked one."""
    return data == BUILT_IN or data.startswith(PREFIX)


def inner(data: str) -> str:
    """Return the name of the set that a stacked set is made of; ``UserError`` where there is none."""
    name = "digits" if data == BUILT_IN else data.removeprefix(PREFIX).strip()
    if not name:
        raise UserError(f"{data} which set? write {PREFIX}NAME, e.g. {PREFIX}tfds:mnist, or {BUILT_IN}")
    return name


def grey(source: Source, data: str) -> Source:
    """Return a source whose images are to be stacked, and of which each must be grey.

    Raises:
      UserError: the set has colours, no classes, or too many of them.
    """
    found, title = survey(source), printable(source.title, 120)
    if found.channels != 1:
        kinds = CHANNELS[max(look.channels for look in found.looks)] if found.looks else "unreadable"
        raise UserError(f"{data}: stacked sets are made of grey images, and some of {title} are {kinds}")
    if source.labels is None or not source.labels.class_names:
        why = f" ({source.why_unlabelled})" if source.why_unlabelled else ""
        lacks = "labels" if source.labels is None else "classes, but label vectors"
        raise UserError(f"{data}: stacked sets are made of images with classes, and {title} has no {lacks}{why}")
    if source.labels.size > MOST_PARTS_CLASSES:
        most = f"{source.labels.size:,} classes have too many combinations; at most {MOST_PARTS_CLASSES} can be stacked"
        raise UserError(f"{data}: {most}")

    def picture(index: int, target: Target) -> np.ndarray:
        if source.look(index).channels > 2:
            raise UserError("not grey, as stacked images must be")
        return source.picture(index, target)

    def digit_look(index: int) -> Look:
        return replace(source.look(index), height=_DIGITS_SIDE, width=_DIGITS_SIDE)

    look = digit_look if data == BUILT_IN else source.look
    return replace(source, picture=picture, look=look, revision=digest(source.revision, "grey"))


def found_of(source: Source, config: DataConfig) -> Found:
    """Return the sizes, channels and labels of the stacks of a ``grey`` source."""
    looks = tuple(replace(look, channels=PARTS) for look in survey(source).looks)
    size = source.labels.size if source.labels and config.labels == "auto" else 0
    return Found(COUNT, looks, size**PARTS, is_classes=bool(size))


def stacked(parts: Dataset, config: DataConfig) -> Dataset:
    """Return the stacked set of an open set of one channel, whose source is ``grey``.

    Image i has three images of ``parts`` in its channels, drawn from ``config.stack_seed`` and i alone. With classes a,
    b and c of K, its class is K^2 a + K b + c: for digits their three places.
    """
    assert parts.labels is not None
    random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([config.stack_seed])))
    chosen = random.randint(0, len(parts), (COUNT, PARTS))
    size = parts.labels.size
    modes = parts.labels.values[chosen] @ size ** np.arange(PARTS - 1, -1, -1)
    target = replace(parts.target, channels=PARTS)

    def picture(index: int, target: Target) -> np.ndarray:
        del target  # that of this set alone
        return np.moveaxis(parts.read(chosen[index])["image"][..., 0], 0, -1)

    def look(index: int) -> Look:
        return replace(parts.source.look(int(parts.kept[chosen[index, 0]])), channels=PARTS)

    content = digest(parts.fingerprint, config.stack_seed, COUNT)
    missing = f"images that cannot be decoded, and so are in no stack: {len(parts.skipped):,}"
    source = Source(
        title="stacked-digits (built in)" if config.data == BUILT_IN else f"{PREFIX}{parts.source.title}",
        names=[f"stack {index}" for index in range(COUNT)],
        picture=picture,
        look=look,
        labels=of_classes(modes.tolist(), _names(parts.labels)) if config.labels == "auto" else None,
        content=content,
        revision=digest(content, parts.source.revision),
        notes=(*parts.source.notes, *((missing,) if parts.skipped else ())),
        why_unlabelled="leave out --labels none to use those of the data set" if config.labels == "none" else "",
    )
    return Dataset(
        source=source,
        target=target,
        kept=np.arange(COUNT),
        pixels=None,
        labels=source.labels,
        mirror=config.mirror,
        skipped=(),
        workers=config.workers,
        found=found_of(parts.source, config),
        stack=Stack(parts, modes),
    )


def _names(labels: Labels) -> tuple[str, ...]:
    """Return the names of all combinations of classes: "000" to "999" for digits."""
    names = labels.class_names
    between = "" if all(len(name) == 1 for name in names) else "/"
    return tuple(between.join((a, b, c)) for a in names for b in names for c in names)
