"""Augmentations of what a discriminator sees, by name, for every model that has a field for one.

``ada`` and ``diffaugment`` are the transforms, ``controller`` is their strength; each is of use on its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from ganzoo.augment import ada, controller, diffaugment
from ganzoo.augment.controller import Control, Strength
from ganzoo.config import require, require_at_least, require_positive
from ganzoo.typing import Images, Key, PyTree

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


@runtime_checkable
class Settings(Protocol):
    """The fields of a model's config that choose an augmentation."""

    @property
    def augment(self) -> AugmentationName: ...
    @property
    def augment_p(self) -> float | None: ...
    @property
    def augment_ramp(self) -> int: ...
    @property
    def augment_target(self) -> float: ...
    @property
    def augment_interval(self) -> int: ...
    @property
    def augment_images(self) -> int | None: ...
    @property
    def augment_p_max(self) -> float: ...


def has_p(config: Settings) -> bool:
    """Whether the augmentation has a probability."""
    return config.augment not in ("none", "diffaugment")


def adapts(config: Settings) -> bool:
    """Whether p is to adapt to the overfitting of the discriminator."""
    return has_p(config) and config.augment_p is None


def check(config: Settings) -> None:
    """Raise ``UserError`` where a config asks for what cannot be."""
    for name in ("augment_p", "augment_p_max"):
        value = getattr(config, name)
        require(value is None or 0 <= value <= 1, name, value, "be in [0, 1]")
    require(-1 < config.augment_target < 1, "augment_target", config.augment_target, "be between -1 and 1")
    require_at_least(0, config, "augment_ramp")
    require_at_least(1, config, "augment_interval")
    if config.augment_images is not None:
        require_positive(config, "augment_images")
    fits = config.augment_p is None or has_p(config)
    require(fits, "augment_p", config.augment_p, f"be None: augment = {config.augment!r} has no p")
    leads = config.augment_p is not None or not config.augment_ramp
    require(leads, "augment_ramp", config.augment_ramp, "be 0 unless augment_p says where it leads to")


def control(config: Settings) -> Control | None:
    """The control of p that a config asks for; None where nothing has a p."""
    if not has_p(config):
        return None
    if config.augment_p is None:
        speed = config.augment_images or controller.FRESH
        return controller.adaptive(target=config.augment_target, images_per_unit=speed, p_max=config.augment_p_max)
    if config.augment_ramp:
        return controller.ramp(config.augment_p, config.augment_ramp)
    return controller.fixed(config.augment_p)


def start(config: Settings) -> Strength | None:
    """What the state of a fresh run holds of it; None where nothing has a p."""
    chosen = control(config)
    return None if chosen is None else controller.start(chosen)
