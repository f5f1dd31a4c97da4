"""How strongly to augment: p as a part of the train state, adapted to how far the discriminator overfits, or given.

Karras et al. 2020, arXiv:2006.06676, section 3; numbers of NVlabs/stylegan2-ada-pytorch, training_loop.py:312-315.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from ganzoo.config import require
from ganzoo.ops import collective
from ganzoo.typing import Count, Logits, Scalar

TARGET, INTERVAL = 0.6, 4
FRESH, TRANSFERRED = 500_000, 100_000
"""Images in which p can go from 0 to 1: in a run from scratch, and in one that starts with other weights."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Strength:
    """The probability of the transforms, and what the discriminator said since it was last looked at."""

    p: Any
    """float32 []: the probability."""
    overfitting: Any
    """float32 []: r_t of the last interval, E[sign(D(real))]: 0 where D cannot tell, 1 where it knows all reals."""
    signs: Any
    """float32 []: sum of the signs of D's logits of reals, in this interval."""
    count: Any
    """float32 []: how many logits."""


Control: TypeAlias = Callable[[Scalar, Scalar, Count, int], Any]
"""``(p, r_t, images, moved) -> p``: what p becomes at so many images, ``moved`` of which came since the last time."""


def start(control: Control) -> Strength:
    """The strength before the first step: what the control makes of p = 0, when no image was seen."""
    zero = jnp.float32(0)
    return Strength(jnp.asarray(control(zero, zero, jnp.uint32(0), 0), jnp.float32), zero, zero, zero)


def watched(strength: Strength, real: Logits) -> Strength:
    """The strength with the logits of more real images counted; the same on all devices.

    All of them count, also those of R1. NVlabs/stylegan2-ada-pytorch, loss.py:114.
    """
    signs = collective.total(jnp.sum(jnp.sign(real), dtype=jnp.float32))
    return replace(strength, signs=strength.signs + signs, count=strength.count + collective.global_size(real.shape[0]))


def controlled(strength: Strength, control: Control, images: Count, moved: int) -> Strength:
    """The strength at the end of an interval: r_t from what was counted, p from the control, and nothing counted."""
    overfitting = strength.signs / jnp.maximum(strength.count, 1)
    p = jnp.asarray(control(strength.p, overfitting, images, moved), jnp.float32)
    return Strength(p, overfitting, jnp.zeros_like(strength.signs), jnp.zeros_like(strength.count))


# Controls -----------------------------------------------------------------------------------------------------------


def adaptive(*, target: float = TARGET, images_per_unit: float = FRESH, p_max: float = 1.0) -> Control:
    """ADA: p goes up where r_t is above the target, and down where it is below, at one speed.

    Args:
      target: of r_t.
      images_per_unit: images in which p can go from 0 to 1.
      p_max: p stays in [0, p_max]. In the original it has no upper limit.
    """

    def control(p: Scalar, overfitting: Scalar, images: Count, moved: int) -> Scalar:
        del images
        return jnp.clip(p + jnp.sign(overfitting - target) * (moved / images_per_unit), 0, p_max)

    return control


def fixed(p: float) -> Control:
    """The same p all the time."""
    require(0 <= p <= 1, "p", p, "be in [0, 1]")
    return lambda now, overfitting, images, moved: p


def scheduled(schedule: Callable[[Count], Any]) -> Control:
    """p as a function of the images seen."""
    return lambda now, overfitting, images, moved: schedule(images)


def ramp(p: float, images: int) -> Control:
    """p rises from 0 in a straight line, and stays when it is reached after so many images."""
    return scheduled(lambda seen: p * jnp.minimum(seen.astype(jnp.float32) / images, 1))
