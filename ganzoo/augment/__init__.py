"""Augmentations of what a discriminator sees, by name, for every model.

``ada`` and ``diffaugment`` are the transforms, ``controller`` is their strength; each is of use on its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

import jax

from ganzoo.augment import ada, controller, diffaugment
from ganzoo.augment.controller import AugmentState, Control
from ganzoo.config import Count, CountOrZero, Range, Share, require
from ganzoo.losses import LOSSES
from ganzoo.schedules import ScheduledShare, is_scheduled
from ganzoo.typing import Images, Key, Logits, PyTree, State

AugmentationName: TypeAlias = Literal[
    "none",
    "diffaugment",
    "blit",
    "geom",
    "color",
    "filter",
    "noise",
    "cutout",
    "bg",
    "bgc",
    "bgcf",
    "bgcfn",
    "bgcfnc",
    "bgc-cutout",
]


@dataclass(frozen=True)
class Augmentation:
    """An augmentation with its settings. Draws come first, without p, so that micro-batches can divide them."""

    draw: Callable[[Key, tuple[int, ...]], PyTree]
    """``(key, (N, H, W, C)) -> draws``; all leaves are [N, ...]."""
    apply: Callable[[Images, PyTree, Any], Images]
    """``(images, draws, p) -> images``."""


KINDS = ("real", "fake")
"""Kinds of images; the augmentation of each has draws of its own."""


def _adaptive(pipeline: ada.Pipeline) -> Augmentation:
    return Augmentation(
        draw=lambda key, shape: ada.draw_numbers(key, pipeline, shape),
        apply=lambda images, numbers, p: ada.apply(images, ada.transforms(pipeline, numbers, images.shape, p)),
    )


def _always(policy: diffaugment.Policy) -> Augmentation:
    return Augmentation(
        draw=lambda key, shape: diffaugment.draw(key, policy, shape),
        apply=lambda images, transforms, p: diffaugment.apply(images, transforms),
    )


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "diffaugment": _always(diffaugment.Policy()),
    **{name: _adaptive(pipeline) for name, pipeline in ada.PIPELINES.items()},
}
"""What ``augment`` of a config can be besides "none"."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Fields that choose an augmentation of what the discriminator sees; the config of every model has them."""

    augment: AugmentationName = "none"
    """Augmentation for limited data: "bgc" and the other pipelines of ADA, whose p adapts, or "diffaugment"."""
    augment_p: ScheduledShare | None = None
    """Given probability p of each transform; None adapts p."""
    augment_ramp: CountOrZero = 0
    """Images over which a given augment_p is reached from 0 on a straight line; 0 starts with augment_p."""
    augment_target: Annotated[float, Range(-1, 1, above=True, below=True)] = controller.TARGET
    """Target of r_t, the mean sign of D's logits of real images, to which p adapts."""
    augment_interval: Count = controller.INTERVAL
    """Steps between two changes of p."""
    augment_images: Annotated[int, Range(0, above=True)] | None = None
    """Images in which p can go from 0 to 1; None: 500,000, or 100,000 for a run that starts with other weights."""
    augment_p_max: Share = 1.0
    """Upper limit of an adaptive p; over 0.8, augmentations can leak into the samples."""


def has_p(config: AugmentConfig) -> bool:
    """Return whether the augmentation has a probability."""
    return config.augment not in ("none", "diffaugment")


def adapts(config: AugmentConfig) -> bool:
    """Return whether p adapts to the overfitting of the discriminator."""
    return has_p(config) and config.augment_p is None


def check(config: AugmentConfig, loss: str) -> None:
    """Raise ``UserError`` where the augmentation fields contradict one another or the adversarial loss.

    Args:
      config: of the model.
      loss: the name of its adversarial loss, a key of ``ganzoo.losses.LOSSES``.
    """
    fits = config.augment_p is None or has_p(config)
    require(fits, "augment_p", config.augment_p, f"be None: augment = {config.augment!r} has no p")
    leads = config.augment_p is not None or not config.augment_ramp
    require(leads, "augment_ramp", config.augment_ramp, "be 0 unless augment_p gives the value to reach")
    plain = not is_scheduled(config.augment_p) or not config.augment_ramp
    require(plain, "augment_ramp", config.augment_ramp, "be 0: augment_p is a schedule already")
    must = f"be set: ADA cannot adapt p under the {loss} loss, whose logit signs carry no meaning"
    require(not adapts(config) or LOSSES[loss].has_signs, "augment_p", None, must)


def control(config: AugmentConfig) -> Control | None:
    """Return the control of p that a config asks for; None where the augmentation has no p."""
    if not has_p(config):
        return None
    if config.augment_p is None:
        speed = config.augment_images or controller.FRESH
        return controller.adaptive(target=config.augment_target, images_per_unit=speed, p_max=config.augment_p_max)
    p = f"linear(0, {config.augment_p!r}, {config.augment_ramp})" if config.augment_ramp else config.augment_p
    return controller.given(p)


def init(config: AugmentConfig) -> AugmentState | None:
    """Return the augmentation's part of a fresh train state; None where the augmentation has no p."""
    chosen = control(config)
    return None if chosen is None else controller.init(chosen)


def draw(config: AugmentConfig, kind: str, key: Key, shape: tuple[int, ...]) -> PyTree:
    """Draw how the "real" or "fake" images [N, H, W, C] of a phase are augmented; None without augmentation."""
    if config.augment == "none":
        return None
    return AUGMENTATIONS[config.augment].draw(jax.random.fold_in(key, KINDS.index(kind)), shape)


def apply(config: AugmentConfig, images: Images, drawn: PyTree, state: AugmentState | None) -> Images:
    """Return the images [N, H, W, C] as the discriminator is to see them, augmented as ``draw`` drew."""
    if config.augment == "none":
        return images
    return AUGMENTATIONS[config.augment].apply(images, drawn, None if state is None else state.p)


def count_signs(state: State, real: Logits) -> State:
    """Accumulate sign(D(real)) for r_t in a train state; no-op unless the augmentation has a p."""
    return state if state.augment is None else replace(state, augment=controller.count_signs(state.augment, real))
