"""From the contents of a file to a model of this library: its name, its config and its weights by our names.

``FAMILIES`` is the registry: a line for every model whose originals' networks are known here.
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
"""Parts of a train state by the originals' names of networks."""


NETWORKS: Mapping[str, str] = {
    "average": "generator",
    "generator": "generator",
    "discriminator": "discriminator",
}
"""What each part is, the surest first: what it tells of the config is believed."""


@dataclass(frozen=True)
class Family:
    """How the networks of one model are recognised and converted."""

    recognise: Callable[[Network], Any]
    """True of a network of the model."""
    generator: Callable[[Network], tuple[dict[str, Any], dict[str, np.ndarray]]]
    """The config fields that it tells, and its weights."""
    discriminator: Callable[[Network], tuple[dict[str, Any], dict[str, np.ndarray]]]
    originals: Callable[..., dict[str, np.ndarray]]
    """``originals(player, weights, taps)``: the way back to the originals' state dict."""
    shared: tuple[str, ...]
    """Config fields that both networks tell."""


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
    """A model of this library, as plain data."""

    model: str
    """A key of ``ganzoo.MODELS``."""
    fields: Mapping[str, Any]
    """Fields of its config; those that are missing have their defaults."""
    weights: Mapping[str, np.ndarray]
    """By their names in a train state."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was left out and why, a line for each."""


def family_of(network: Network) -> str | None:
    """The model that a network is of; None where it is of none that is known here."""
    return next((name for name, family in FAMILIES.items() if family.recognise(network)), None)


def convert(contents: Contents) -> Converted:
    """The model that the networks of a file are.

    A discriminator that the model here has not, or whose widths are not the generator's, which one config cannot tell,
    is left out, and noted.

    Raises:
      UserError: there is no generator of a known model among them, or it has what the model here has not.
    """
    networks = {PLAYERS.get(name, name): network for name, network in contents.networks.items()}
    families = {player: family_of(network) for player, network in networks.items()}
    player = next((name for name in ("average", "generator") if families.get(name)), None)
    if player is None:
        found = ", ".join(f"{named(name)} ({named(network.kind)})" for name, network in contents.networks.items())
        raise UserError(f"no generator of a model that is known here ({', '.join(FAMILIES)}); it holds {found}")
    model = families[player] or ""
    family, weights, fields, notes = FAMILIES[model], {}, {}, []
    for player in NETWORKS:
        if player not in networks or families[player] != model:
            continue
        try:
            told, arrays = _guarded(getattr(family, NETWORKS[player]), networks[player])
            differing = [name for name in family.shared if name in told and told[name] != fields.get(name, told[name])]
            if differing:
                raise UserError(f"another {', '.join(differing)} than the generator's")
        except UserError as error:
            if player != "discriminator":
                raise
            notes.append(f"the discriminator is left out: {error}")
            continue
        fields = {**told, **fields}
        weights.update({f"{player}.{name}": array for name, array in arrays.items()})
    return Converted(model, fields, weights, contents.facts, tuple(notes))


def completed(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with those of a missing generator taken from the average, and the other way round."""
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
        raise UserError(f"its arrays and settings do not fit together ({named(error, 100)})") from error
