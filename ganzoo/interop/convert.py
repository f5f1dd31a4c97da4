"""Conversion of the contents of a file to a model of this library: its name, config and weights by our names.

``FAMILIES`` is the registry: one line for every model whose original networks can be converted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop import stylegan, stylegan2
from ganzoo.interop.contents import Contents, Network
from ganzoo.interop.machine import named

PLAYERS: Mapping[str, str] = {
    "G": "generator",
    "D": "discriminator",
    "G_ema": "average",
    "Gs": "average",
}
"""Networks of a train state by the original names."""


NETWORKS: Mapping[str, str] = {
    "average": "generator",
    "generator": "generator",
    "discriminator": "discriminator",
}
"""Kind of each network; where networks imply different config fields, the first in this order takes precedence."""


@dataclass(frozen=True)
class Family:
    """Functions that recognise and convert the networks of one model."""

    recognise: Callable[[Network], Any]
    """Function that returns a true value for a network of the model."""
    generator: Callable[[Network], tuple[dict[str, Any], dict[str, np.ndarray]]]
    """Function that returns the config fields implied by a generator, and its weights by our names."""
    discriminator: Callable[[Network], tuple[dict[str, Any], dict[str, np.ndarray]]]
    """Function that returns the config fields implied by a discriminator, and its weights by our names."""
    originals: Callable[..., dict[str, np.ndarray]]
    """Function ``originals(player, weights, taps)`` that converts weights back to the original state dict."""
    shared: tuple[str, ...]
    """Config fields that both networks imply."""


FAMILIES: Mapping[str, Family] = {
    "stylegan": Family(
        stylegan.recognise, stylegan.generator, stylegan.discriminator, stylegan.originals, stylegan.SHARED
    ),
    "stylegan2": Family(
        stylegan2.recognise, stylegan2.generator, stylegan2.discriminator, stylegan2.originals, stylegan2.SHARED
    ),
}


@dataclass(frozen=True)
class Converted:
    """Model of this library as plain data."""

    model: str
    """A key of ``ganzoo.MODELS``."""
    fields: Mapping[str, Any]
    """Fields of the model's config; missing fields have their defaults."""
    weights: Mapping[str, np.ndarray]
    """Weights by their names in a train state."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Omissions and their reasons, one line each."""


def family_of(network: Network) -> str | None:
    """Return the name of a network's model; None if the model is unknown."""
    return next((name for name, family in FAMILIES.items() if family.recognise(network)), None)


def convert(contents: Contents) -> Converted:
    """Convert the networks of a file to a model of this library.

    A discriminator that the library's model does not support, or whose ``shared`` config fields differ from the
    generator's, is left out and noted.

    Raises:
      UserError: the file holds no generator of a known model, or the generator has unsupported features.
    """
    networks = {PLAYERS.get(name, name): network for name, network in contents.networks.items()}
    families = {player: family_of(network) for player, network in networks.items()}
    player = next((name for name in ("average", "generator") if families.get(name)), None)
    if player is None:
        found = ", ".join(f"{named(name)} ({named(network.kind)})" for name, network in contents.networks.items())
        raise UserError(f"no generator of a known model ({', '.join(FAMILIES)}); the file holds {found}")
    model = families[player] or ""
    family, weights, fields, notes = FAMILIES[model], {}, {}, []
    for player in NETWORKS:
        if player not in networks or families[player] != model:
            continue
        try:
            told, arrays = _guarded(getattr(family, NETWORKS[player]), networks[player])
            differing = [name for name in family.shared if name in told and told[name] != fields.get(name, told[name])]
            if differing:
                raise UserError(f"different from the generator in {', '.join(differing)}")
        except UserError as error:
            if player != "discriminator":
                raise
            notes.append(f"the discriminator is left out: {error}")
            continue
        fields = {**told, **fields}
        weights.update({f"{player}.{name}": array for name, array in arrays.items()})
    return Converted(model, fields, weights, contents.facts, tuple(notes))


def completed(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights [...] with a missing generator copied from its EMA, or a missing EMA from the generator."""
    result = dict(weights)
    for there, missing in (("ema.", "generator."), ("generator.", "ema.")):
        if not any(name.startswith(missing) for name in weights):
            for name, array in weights.items():
                if name.startswith(there):
                    result[missing + name.removeprefix(there)] = array
    return result


def _guarded(convert: Callable[[Network], Any], network: Network) -> Any:
    try:
        return convert(network)
    except UserError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise UserError(f"the arrays and settings of the network do not fit together ({named(error, 100)})") from error
