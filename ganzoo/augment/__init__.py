"""Augmentations of what a discriminator sees, by name, for every model that has a field for one.

``ada`` and ``diffaugment`` are the transforms, ``controller`` is their strength; each is of use on its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import jax

from ganzoo.augment import ada, controller, diffaugment
from ganzoo.augment.controller import Control, Strength, watched
from ganzoo.config import require, require_at_least, require_positive, require_share
from ganzoo.typing import Images, Key, Logits, PyTree, State

AugmentationName: TypeAlias = Literal[
    "none", "diffaugment", "blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"
]


@dataclass(frozen=True)
class Augmentation:
    """An augmentation with its settings. Draws come first, without p, so that micro-batches can divide them."""

    draw: Callable[[Key, tuple[int, ...]], PyTree]
    """``(key, (N, H, W, C)) -> draws``; all leaves are [N, ...]."""
    apply: Callable[[Images, PyTree, Any], Images]
    """``(images, draws, p) -> images``."""


KINDS = ("real", "fake")
"""Of images; the augmentation of each has draws of its own."""


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
    """The fields that choose an augmentation of what the discriminator sees; the config of every model extends it."""

    augment: AugmentationName = "none"
    """For limited data: "bgc" and the other sets of ADA, whose probability p adapts; or "diffaugment"."""
    augment_p: float | None = None
    """A fixed probability of each transform; None lets it adapt."""
    augment_ramp: int = 0
    """Images in which a given augment_p is reached from 0, in a straight line; 0 starts with it."""
    augment_target: float = controller.TARGET
    """Target of r_t, the mean sign of D's logits of reals, to which p adapts."""
    augment_interval: int = controller.INTERVAL
    """Steps from one change of p to the next."""
    augment_images: int | None = None
    """Images in which p can go from 0 to 1; None: 500,000, or 100,000 for a run that starts with other weights."""
    augment_p_max: float = 1.0
    """p does not adapt beyond this; over 0.8, augmentations can leak into the samples."""


def has_p(config: AugmentConfig) -> bool:
    """Whether the augmentation has a probability."""
    return config.augment not in ("none", "diffaugment")


def adapts(config: AugmentConfig) -> bool:
    """Whether p is to adapt to the overfitting of the discriminator."""
    return has_p(config) and config.augment_p is None


def check(config: AugmentConfig, loss: str = "non-saturating", *, sign_tells: bool = True) -> None:
    """Raise ``UserError`` where a config asks for what cannot be.

    Args:
      config: of the model.
      loss: the name of its adversarial loss.
      sign_tells: whether a logit above 0 means "real" under that loss.
    """
    require_share(config, "augment_p", "augment_p_max")
    require(-1 < config.augment_target < 1, "augment_target", config.augment_target, "be between -1 and 1")
    require_at_least(0, config, "augment_ramp")
    require_at_least(1, config, "augment_interval")
    if config.augment_images is not None:
        require_positive(config, "augment_images")
    fits = config.augment_p is None or has_p(config)
    require(fits, "augment_p", config.augment_p, f"be None: augment = {config.augment!r} has no p")
    leads = config.augment_p is not None or not config.augment_ramp
    require(leads, "augment_ramp", config.augment_ramp, "be 0 unless augment_p says where it leads to")
    must = f"be given: the signs of logits, to which p would adapt, say nothing under the {loss} loss"
    require(not adapts(config) or sign_tells, "augment_p", None, must)


def control(config: AugmentConfig) -> Control | None:
    """The control of p that a config asks for; None where nothing has a p."""
    if not has_p(config):
        return None
    if config.augment_p is None:
        speed = config.augment_images or controller.FRESH
        return controller.adaptive(target=config.augment_target, images_per_unit=speed, p_max=config.augment_p_max)
    if config.augment_ramp:
        return controller.ramp(config.augment_p, config.augment_ramp)
    return controller.fixed(config.augment_p)


def start(config: AugmentConfig) -> Strength | None:
    """What the state of a fresh run holds of it; None where nothing has a p."""
    chosen = control(config)
    return None if chosen is None else controller.start(chosen)


def draw(config: AugmentConfig, kind: str, key: Key, shape: tuple[int, ...]) -> PyTree:
    """How the images [N, H, W, C] of a kind, "real" or "fake", are augmented in a phase; None where they are not."""
    if config.augment == "none":
        return None
    return AUGMENTATIONS[config.augment].draw(jax.random.fold_in(key, KINDS.index(kind)), shape)


def augmented(config: AugmentConfig, images: Images, drawn: PyTree, strength: Strength | None) -> Images:
    """The images as the discriminator is to see them, by what ``draw`` gave."""
    if config.augment == "none":
        return images
    return AUGMENTATIONS[config.augment].apply(images, drawn, None if strength is None else strength.p)


def heard(state: State, real: Logits) -> State:
    """The train state with D's logits of real images counted, where they decide on the augmentation."""
    return state if state.augment is None else replace(state, augment=watched(state.augment, real))
