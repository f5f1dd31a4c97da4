"""Progressive growing: which level of detail a run is at, as arithmetic on the images that it has seen.

The level of detail counts halvings: at 0 images have their full size, at 2 a quarter of it in both directions, and at
1.3 those of half the size are 70 % faded in. A level is trained for some images, then the next one fades in, is
trained ... Karras et al. 2017, arXiv:1710.10196, section 2 and appendix A.1; the schedule is that of NVlabs/stylegan,
training/training_loop.py:54-92.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from ganzoo.typing import Count


@dataclass(frozen=True)
class Growth:
    """The schedule of a run."""

    start: int
    """Halvings at the start."""
    training_images: int
    """Images for which a level is trained before the next one fades in."""
    fading_images: int
    """Images for which it fades in; 0 lets it appear at once."""
    interval: int
    """Steps from one look at the schedule to the next."""

    @property
    def period(self) -> int:
        """Images from the start of one level's training to that of the next."""
        return self.training_images + self.fading_images

    def level_of_detail(self, images: int) -> float:
        """Return the level of detail after ``images`` images."""
        phase, within = divmod(images, self.period)
        faded = max(within - self.training_images, 0) / self.fading_images if self.fading_images else 0.0
        return max(self.start - phase - faded, 0.0)

    def last_image(self, halvings: int) -> int | None:
        """Return the last image count at which the level ``halvings`` is trained; None for the final level.

        A level is trained while it fades in and while it is trained alone.
        """
        if halvings == 0:
            return None
        passed = self.start - halvings
        return passed * self.period + self.training_images - (0 if self.fading_images else 1)

    def renewed(self, images: Count, step: Count, before: Float[Array, ""]) -> Float[Array, ""]:
        """Return the level of detail of a step: by its images where the schedule is due, else the one ``before``."""
        phase, within = images // self.period, images % self.period
        fading = jnp.where(within > self.training_images, within - self.training_images, 0)
        faded = fading.astype(jnp.float32) / max(self.fading_images, 1)
        now = jnp.maximum(self.start - phase.astype(jnp.float32) - faded, 0)
        return jnp.where(step % self.interval == 0, now, before)


def changes_networks(before: Float[Array, ""], now: Float[Array, ""]) -> Array:
    """Return whether a fade has begun or ended between two levels of detail: other weights are trained from then on."""
    return (jnp.floor(before) != jnp.floor(now)) | (jnp.ceil(before) != jnp.ceil(now))
