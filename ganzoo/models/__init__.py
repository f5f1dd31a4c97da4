"""The models, by name. Adding a line to ``MODELS`` is the whole ceremony."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ganzoo.config import replaced
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN
from ganzoo.models import dcgan, dcgan_config, stylegan, stylegan2, stylegan2_config, stylegan_config


@dataclass(frozen=True)
class Model:
    """What the registry knows of a model."""

    config: type
    """Its frozen config dataclass, whose defaults are the preset ``default``."""
    presets: Mapping[str, Any]
    """Configs by name; ``tiny`` is there for tests."""
    default: str
    build: Callable[[Any], GAN]
    complete: Callable[..., tuple[Any, int]] | None = None
    """``(config, batch_size, devices) -> (config, batch_size)`` with a number for all that is open (None, or 0)."""


MODELS: Mapping[str, Model] = {
    "dcgan": Model(dcgan_config.DCGANConfig, dcgan_config.PRESETS, "torch", dcgan.dcgan),
    "progan": Model(
        stylegan_config.StyleGANConfig,
        stylegan_config.PROGAN_PRESETS,
        "paper",
        partial(stylegan.stylegan, name="progan"),
        stylegan_config.complete,
    ),
    "stylegan": Model(
        stylegan_config.StyleGANConfig,
        stylegan_config.PRESETS,
        "ffhq1024",
        stylegan.stylegan,
        stylegan_config.complete,
    ),
    "stylegan2": Model(
        stylegan2_config.StyleGAN2Config,
        stylegan2_config.PRESETS,
        "auto",
        stylegan2.stylegan2,
        stylegan2_config.complete,
    ),
}


def create(name: str, preset: str | None = None, **fields: Any) -> GAN:
    """The GAN of that name, from one of its presets, with some config fields replaced.

    Example::

        gan = ganzoo.create("dcgan", "torch", image_size=32, channels=1)
        state = gan.init(jax.random.key(0))
        step = jax.jit(gan.step, donate_argnums=0)
        state, metrics = step(state, {"image": images}, jax.random.key(1))

    Args:
      name: a key of ``ganzoo.MODELS``.
      preset: a row of the model's presets table; the model's default one when absent.
      fields: config fields that differ from the preset.

    Raises:
      UserError: an unknown name, preset or field, or a value that the config refuses.
    """
    if name not in MODELS:
        raise UserError(f"unknown model {name!r};{nearest(name, MODELS)}")
    model = MODELS[name]
    preset = preset or model.default
    if preset not in model.presets:
        raise UserError(f"{name} has no preset {preset!r};{nearest(preset, model.presets)}")
    return model.build(replaced(model.presets[preset], fields))
