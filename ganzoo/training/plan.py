"""The plan of a run: which stage of a GAN takes which steps, on how many images, as arithmetic on its length."""

from collections.abc import Sequence
from dataclasses import dataclass

from ganzoo.gan import Stage


@dataclass(frozen=True)
class Segment:
    """A stretch of a run in one stage."""

    stage: Stage
    batch_size: int
    first_step: int
    first_image: int
    """Images seen before the first step."""
    last_step: int
    """Steps that the run has done at the end."""

    def images_at(self, step: int) -> int:
        """Return the images seen before a step of the segment."""
        return self.first_image + (step - self.first_step) * self.batch_size

    @property
    def last_image(self) -> int:
        """Images seen at the end."""
        return self.images_at(self.last_step)


def plan(stages: Sequence[Stage], batch_size: int, images: int) -> list[Segment]:
    """Return the segments of a run over ``images`` images; the last step may go past them.

    Args:
      stages: stages of the GAN, in turn.
      batch_size: images of a step, for stages that name no batch size.
      images: length of the run.
    """
    segments: list[Segment] = []
    step = seen = 0
    for stage in stages:
        size = stage.batch_size or batch_size
        count = max(-(-(images - seen) // size), 0)
        if stage.last_image is not None:
            block = stage.interval * size
            blocks = max((stage.last_image - seen) // block + 1, 0)
            count = min(count, blocks * stage.interval)
        if count:
            segments.append(Segment(stage, size, step, seen, step + count))
            step, seen = step + count, segments[-1].last_image
    return segments
