"""What one does with a trained generator: sampling, mixing, interpolation, projection, tuning, editing and dragging.

Example::

    sampler = Sampler(*ganzoo.load("ffhq.pkl"))
    images = sampler.images(sampler.latents(range(16)), psi=0.7)
    found = project(sampler, targets)

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganzoo.latent.directions import edit, factorise, principal_components
    from ganzoo.latent.dragging import DragConfig, Dragged, drag
    from ganzoo.latent.mixing import mix
    from ganzoo.latent.paths import interpolate
    from ganzoo.latent.projection import Projection, ProjectionConfig, pixel_distance, project
    from ganzoo.latent.sampler import Sampler
    from ganzoo.latent.saved import SavedProjection, load_projection, save_projection
    from ganzoo.latent.transforms import motion, transform
    from ganzoo.latent.tuning import Tuned, TuningConfig, pivotal_tuning
    from ganzoo.nn.styles import truncate

_HOMES = {
    **dict.fromkeys(("edit", "factorise", "principal_components"), "ganzoo.latent.directions"),
    **dict.fromkeys(("DragConfig", "Dragged", "drag"), "ganzoo.latent.dragging"),
    "mix": "ganzoo.latent.mixing",
    "interpolate": "ganzoo.latent.paths",
    **dict.fromkeys(("Projection", "ProjectionConfig", "pixel_distance", "project"), "ganzoo.latent.projection"),
    "Sampler": "ganzoo.latent.sampler",
    **dict.fromkeys(("SavedProjection", "load_projection", "save_projection"), "ganzoo.latent.saved"),
    **dict.fromkeys(("motion", "transform"), "ganzoo.latent.transforms"),
    **dict.fromkeys(("Tuned", "TuningConfig", "pivotal_tuning"), "ganzoo.latent.tuning"),
    "truncate": "ganzoo.nn.styles",
}
"""The module of each public name."""

__all__ = [
    "DragConfig", "Dragged", "Projection", "ProjectionConfig", "Sampler", "SavedProjection", "Tuned", "TuningConfig",
    "drag", "edit", "factorise", "interpolate", "load_projection", "mix", "motion", "pivotal_tuning", "pixel_distance",
    "principal_components", "project", "save_projection", "transform", "truncate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ganzoo.latent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
