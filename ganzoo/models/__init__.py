"""The models, by name: one entry of ``MODELS`` each. Installed packages may add their own, see ``find_model``."""

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ganzoo.config import replaced
from ganzoo.errors import UserError, nearest
from ganzoo.gan import GAN, Model, Preset
from ganzoo.models import dcgan, r3gan, stylegan, stylegan2, stylegan3

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (dcgan.MODEL, stylegan.PROGAN, stylegan.MODEL, stylegan2.MODEL, stylegan3.MODEL, r3gan.MODEL)
}
"""The models of this package by name."""


def create(name: str | Model, preset: str | None = None, **fields: Any) -> GAN:
    """Return a GAN from one of a model's presets, with some config fields replaced.

    Example::

        gan = ganzoo.create("dcgan", "torch", image_size=32, channels=1)
        state = gan.init(jax.random.key(0))
        step = jax.jit(gan.step, donate_argnums=0)
        state, metrics = step(state, {"image": images}, jax.random.key(1))

    Args:
      name: a key of ``ganzoo.MODELS``, or a ``Model``.
      preset: a row of the model's presets table; the model's default one when absent.
      fields: config fields that differ from the preset.

    Raises:
      UserError: an unknown name, preset or field, or a value that the config refuses.
    """
    model = name if isinstance(name, Model) else find_model(name)
    return model.build(replaced(find_preset(model, preset).config, fields))


def find_model(name: str) -> Model:
    """Return the model of a name: of ``MODELS``, of an installed package, or of a Python file.

    Args:
      name: a key of ``MODELS``; the name of an entry point of an installed package in the group ``ganzoo.models``; or
        ``path/to/file.py:NAME``, which runs that file and takes its variable NAME.

    Raises:
      UserError: there is no such model.
    """
    if ".py:" in name:
        return _from_file(name)
    found = installed_model(name)
    if found is None:
        known = [*MODELS, *(each.name for each in _entry_points())]
        raise UserError(f"unknown model {name!r};{nearest(name, known)}")
    return found


def installed_model(name: str) -> Model | None:
    """Return a model of this package or of another installed one; None where there is none. No file is run by path."""
    if name in MODELS:
        return MODELS[name]
    for each in _entry_points():
        if each.name == name:
            return _checked(each.load(), f"the entry point {each.name} = {each.value}")
    return None


def installed_models() -> dict[str, Model]:
    """Return all models by name: those of this package, then those of other installed packages."""
    others = {
        each.name: _checked(each.load(), f"the entry point {each.name} = {each.value}") for each in _entry_points()
    }
    return {**others, **MODELS}


def find_preset(model: Model, name: str | None = None) -> Preset:
    """Return a preset of a model, the default one when ``name`` is absent; ``UserError`` where there is none."""
    name = name or model.default
    if name not in model.presets:
        raise UserError(f"{model.name} has no preset {name!r};{nearest(name, model.presets)}")
    return model.presets[name]


def _entry_points() -> Iterable[EntryPoint]:
    return entry_points(group="ganzoo.models")


def _from_file(name: str) -> Model:
    path, _, variable = name.rpartition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{path}: there is no such file; give path/to/file.py:NAME, or one of {', '.join(MODELS)}")
    spec = spec_from_file_location(f"ganzoo_model_{file.stem}", file.absolute())
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    module = sys.modules.get(spec.name)
    if spec.name not in sys.modules or getattr(module, "__file__", None) != spec.origin:
        module = module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[spec.name]
            raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, variable):
        raise UserError(f"{path} has no variable {variable!r}; it must end in {variable} = ganzoo.Model(...)")
    return _checked(getattr(module, variable), name)


def _checked(model: Any, where: str) -> Model:
    if not isinstance(model, Model):
        raise UserError(f"{where} is a {type(model).__name__}; it must be a ganzoo.Model")
    return model
