"""A zoo of generative adversarial networks for JAX.

Names are imported when they are first used, so ``import ganzoo`` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from ganzoo import (
        augment,
        data,
        draws,
        gan,
        interop,
        latent,
        losses,
        metrics,
        models,
        nn,
        objectives,
        ops,
        penalties,
        phases,
        runs,
        testing,
        training,
    )  # fmt: skip
    from ganzoo.data import DataConfig
    from ganzoo.errors import UserError
    from ganzoo.gan import GAN, Average, Model, Network, Preset, StyleSpace, TrainState
    from ganzoo.grids import show
    from ganzoo.metrics import MetricsConfig
    from ganzoo.models import MODELS, create
    from ganzoo.models.dcgan import DCGANConfig
    from ganzoo.models.stylegan import StyleGANConfig
    from ganzoo.models.stylegan2 import StyleGAN2Config
    from ganzoo.pretrained import load, save
    from ganzoo.runs import TrainingConfig, train
    from ganzoo.training.loop import Hook

_HOMES = {
    "DataConfig": "ganzoo.data",
    "UserError": "ganzoo.errors",
    **dict.fromkeys(("GAN", "Average", "Model", "Network", "Preset", "StyleSpace", "TrainState"), "ganzoo.gan"),
    "show": "ganzoo.grids",
    "MetricsConfig": "ganzoo.metrics",
    "MODELS": "ganzoo.models",
    "create": "ganzoo.models",
    "DCGANConfig": "ganzoo.models.dcgan",
    "StyleGANConfig": "ganzoo.models.stylegan",
    "StyleGAN2Config": "ganzoo.models.stylegan2",
    **dict.fromkeys(("load", "save"), "ganzoo.pretrained"),
    "TrainingConfig": "ganzoo.runs",
    "train": "ganzoo.runs",
    "Hook": "ganzoo.training.loop",
}
"""Where each public name is defined."""
_MODULES = (
    "augment", "data", "draws", "gan", "interop", "latent", "losses", "metrics", "models", "nn", "objectives", "ops",
    "penalties", "phases", "runs", "testing", "training",
)  # fmt: skip

__all__ = [
    "GAN", "MODELS", "Average", "DCGANConfig", "DataConfig", "Hook", "MetricsConfig", "Model", "Network",
    "Preset", "StyleGAN2Config", "StyleGANConfig", "StyleSpace", "TrainState", "TrainingConfig", "UserError", "augment",
    "create", "data", "draws", "gan", "interop", "latent", "load", "losses", "metrics", "models", "nn", "objectives",
    "ops", "penalties", "phases", "runs", "save", "show", "testing", "train", "training",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"ganzoo.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
