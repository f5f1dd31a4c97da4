"""Several data sets as one."""

import bisect
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from ganzoo.data.images import Look, Target
from ganzoo.data.labels import Labels, of_classes
from ganzoo.data.source import Source, digest


def joined(sources: Sequence[Source]) -> Source:
    """Return the images of all sources, in order.

    Classes of one name are one class. There are labels if all sources have classes, or all have vectors of one length.
    """
    if len(sources) == 1:
        return sources[0]
    ends = list(accumulate(len(source.names) for source in sources))

    def find(index: int) -> tuple[Source, int]:
        place = bisect.bisect_right(ends, index)
        return sources[place], index - (ends[place - 1] if place else 0)

    def picture(index: int, target: Target) -> np.ndarray:
        source, inside = find(index)
        return source.picture(inside, target)

    def look(index: int) -> Look:
        source, inside = find(index)
        return source.look(inside)

    labels, why = _labels(sources)
    return Source(
        title=" + ".join(source.title for source in sources),
        names=[f"{source.title}: {name}" for source in sources for name in source.names],
        picture=picture,
        look=look,
        labels=labels,
        content=digest(*(source.content for source in sources)),
        revision=digest(*(source.revision for source in sources)),
        notes=tuple(f"{source.title}: {note}" for source in sources for note in source.notes) + ((why,) if why else ()),
        why_unlabelled=why,
    )


def _labels(sources: Sequence[Source]) -> tuple[Labels | None, str]:
    """Return the labels of all, or None and why."""
    given = [source.labels for source in sources if source.labels]
    if len(given) < len(sources):
        why = next(source.title for source in sources if not source.labels)
        return None, f"no labels for all: {why} has none" if given else ""
    if all(labels.class_names for labels in given):
        numbered = all(name.isdecimal() for labels in given for name in labels.class_names)
        names = {name for labels in given for name in labels.class_names}
        classes = sorted(names, key=lambda name: (int(name) if numbered else 0, name))
        place = {name: index for index, name in enumerate(classes)}
        maps = [np.array([place[name] for name in labels.class_names]) for labels in given]
        values = np.concatenate([mapped[labels.values] for mapped, labels in zip(maps, given, strict=True)])
        return of_classes(values.tolist(), classes), ""
    sizes = {labels.size for labels in given}
    if len(sizes) > 1 or any(labels.class_names for labels in given):
        return None, "no labels for all: some are classes or vectors of another length"
    return Labels(np.concatenate([labels.values for labels in given]), sizes.pop()), ""
