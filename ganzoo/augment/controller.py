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
from ganzoo.schedules import Scheduled, at_start, value_at
from ganzoo.typing import Count, Logits, Scalar

TARGET, INTERVAL = 0.6, 4
FRESH, TRANSFERRED = 500_000, 100_000
"""Images in which p can go from 0 to 1: in a run from scratch, and in one that starts with other weights."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AugmentState:
    """The probability of the transforms, and the signs of D's logits since p last changed."""

    p: Any
    """float32 []: the probability."""
    r_t: Any
    """float32 []: E[sign(D(real))] of the last interval: 0 where D cannot tell, 1 where D knows all real images."""
    signs: Any
    """float32 []: sum of the signs of D's logits of real images in this interval."""
    count: Any
    """float32 []: number of those logits."""


Control: TypeAlias = Callable[[Scalar, Scalar, Count, int], Any]
"""``(p, r_t, images, interval_images) -> p``: the p after ``images`` seen, the last ``interval_images`` of them since p
last changed."""


def init(control: Control) -> AugmentState:
    """Return the state before the first step: p as the control makes it of p = 0 after no image."""
    zero = jnp.float32(0)
    return AugmentState(jnp.asarray(control(zero, zero, jnp.uint32(0), 0), jnp.float32), zero, zero, zero)


def count_signs(state: AugmentState, real: Logits) -> AugmentState:
    """Accumulate the signs of logits [N] of real images; the result is the same on all devices.

    All logits of real images count, also those of R1. NVlabs/stylegan2-ada-pytorch, loss.py:114.
    """
    signs = collective.total(jnp.sum(jnp.sign(real), dtype=jnp.float32))
    return replace(state, signs=state.signs + signs, count=state.count + collective.global_size(real.shape[0]))


def adapt(state: AugmentState, control: Control, images: Count, interval_images: int) -> AugmentState:
    """Compute r_t, update p, reset the counters."""
    r_t = state.signs / jnp.maximum(state.count, 1)
    p = jnp.asarray(control(state.p, r_t, images, interval_images), jnp.float32)
    return AugmentState(p, r_t, jnp.zeros_like(state.signs), jnp.zeros_like(state.count))


# Controls -----------------------------------------------------------------------------------------------------------


def adaptive(*, target: float = TARGET, images_per_unit: float = FRESH, p_max: float = 1.0) -> Control:
    r"""Return ADA's control: p rises while r_t is above the target and falls while r_t is below, at one speed.

    $$p \leftarrow \min(\max(p + \mathrm{sign}(r_t - \text{target}) \cdot n / N, 0), p_{\max})$$

    Here n is the number of images since p last changed, and N is ``images_per_unit``.

    Args:
      target: target of r_t.
      images_per_unit: images in which p can go from 0 to 1.
      p_max: p stays in [0, p_max]. In the original it has no upper limit.
    """

    def control(p: Scalar, r_t: Scalar, images: Count, interval_images: int) -> Scalar:
        del images
        return jnp.clip(p + jnp.sign(r_t - target) * (interval_images / images_per_unit), 0, p_max)

    return control


def given(p: Scheduled) -> Control:
    """Return the control that gives p, a number or a schedule, whatever D knows."""
    start = at_start(p)
    require(0 <= start <= 1, "p", p, "be in [0, 1]")
    return lambda now, r_t, images, interval_images: value_at(p, images)
