"""Conversion of the contents of a file to a model of this library: its name, config and weights by our names.

``FAMILIES`` is the registry: one line for every model whose original networks can be converted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ganzoo.disk.documents import parse_json
from ganzoo.errors import UserError
from ganzoo.interop.families import pytorch_dcgan, r3gan, rosinality, stylegan, stylegan2, stylegan3
from ganzoo.interop.families.shapes import Fields, Found, Weights
from ganzoo.interop.reading import strangers
from ganzoo.interop.reading.contents import Contents, Network, plain
from ganzoo.interop.reading.machine import named

NETWORK_OF: Mapping[str, str] = {
    "G": "generator",
    "D": "discriminator",
    "G_ema": "ema",
    "Gs": "ema",
    "g": "generator",
    "d": "discriminator",
    "g_ema": "ema",
    "netG": "generator",
    "netD": "discriminator",
}
"""Networks of a train state by the original names."""
KIND_OF: Mapping[str, str] = {
    "ema": "generator",
    "generator": "generator",
    "discriminator": "discriminator",
}
"""Kind of each network; where networks imply different config fields, the first in this order takes precedence."""
SETTINGS = "ganzoo.original"
"""Name of the config and the constructors' arguments in a file of original names."""


@dataclass(frozen=True)
class Family:
    """Functions that recognise and convert the networks of one model."""

    recognise: Callable[[Network], Any]
    """Function that returns a true value for a network of the model."""
    generator: Callable[[Network], Found]
    """Function that returns what a generator is in this library."""
    discriminator: Callable[[Network, Fields], Found]
    """Function of a discriminator and the config fields that its generator implies."""
    originals: Callable[[str, Weights, Fields], Weights]
    """Function ``originals(kind, weights, fields)`` that converts weights back to the original state dict."""
    shared: tuple[str, ...]
    """Config fields that both networks imply."""
    arguments: Mapping[str, Callable[[Fields], dict[str, Any]]] | None = None
    """By kind, a function of the config that returns the arguments of the original constructor."""
    state: Callable[[str, Weights], Weights] | None = None
    """Function ``state(kind, arrays)`` that returns what an original network keeps of the arrays of a train state."""
    model: str = ""
    """The model here, where the family has another name: its networks are written by other people."""
    critic: str = ""
    """The family as whose its discriminators are recognised, where that is another one."""


FAMILIES: Mapping[str, Family] = {
    "stylegan": Family(
        stylegan.recognise,
        stylegan.generator,
        stylegan.discriminator,
        stylegan.originals,
        stylegan.SHARED,
        stylegan.ARGUMENTS,
        stylegan.state_arrays,
    ),
    "stylegan2": Family(
        stylegan2.recognise,
        stylegan2.generator,
        stylegan2.discriminator,
        stylegan2.originals,
        stylegan2.SHARED,
        stylegan2.ARGUMENTS,
    ),
    "stylegan3": Family(
        stylegan3.recognise,
        stylegan3.generator,
        stylegan3.discriminator,
        stylegan3.originals,
        stylegan3.SHARED,
        stylegan3.ARGUMENTS,
        critic="stylegan2",
    ),
    "r3gan": Family(
        r3gan.recognise,
        r3gan.generator,
        r3gan.discriminator,
        r3gan.originals,
        r3gan.SHARED,
        r3gan.ARGUMENTS,
    ),
    "dcgan": Family(
        pytorch_dcgan.recognise,
        pytorch_dcgan.generator,
        pytorch_dcgan.discriminator,
        pytorch_dcgan.originals,
        pytorch_dcgan.SHARED,
    ),
    "rosinality": Family(
        rosinality.recognise,
        rosinality.generator,
        rosinality.discriminator,
        rosinality.originals,
        rosinality.SHARED,
        model="stylegan2",
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
    generator's, is left out and noted. A discriminator alone is converted, too: a run can start from it.

    Raises:
      UserError: the file holds no network of a known model, or the generator has unsupported features.
    """
    settings = _settings(contents)
    networks = {NETWORK_OF.get(name, name): network for name, network in _completed(contents, settings).items()}
    families = {name: family_of(network) for name, network in networks.items()}
    known = [name for name in KIND_OF if families.get(name)]
    is_alone = not {"ema", "generator"} & set(networks)
    first = next((name for name in known if name != "discriminator" or is_alone), None)
    if first is None:
        pairs = [(name, key) for name, network in contents.networks.items() for key in network.arrays]
        names = [name for pair in pairs for name in (".".join(pair), pair[1])]
        if what := strangers.network_of([contents.format.rpartition(" of ")[2], *names]):
            raise UserError(f"{what}: not supported; ganzoo reads networks of {', '.join(FAMILIES)}")
        found = ", ".join(f"{named(name)} ({named(network.kind)})" for name, network in contents.networks.items())
        raise UserError(f"no generator of a known model ({', '.join(FAMILIES)}); the file holds {found}")
    lineage = families[first] or ""
    family, weights, fields, remarks = FAMILIES[lineage], {}, {}, list(contents.notes)
    model = family.model or lineage
    left_out = [f"{named(name)} is left out: unknown to ganzoo" for name in networks if name not in KIND_OF]
    for name in (name for name in KIND_OF if name in networks):
        try:
            if families[name] != (family.critic if family.critic and name == "discriminator" else lineage):
                raise UserError(f"not of {lineage}, but of {families[name] or 'an unknown model'}")
            implied, arrays, notes, state = _guarded(family, KIND_OF[name], networks[name], fields)
            differing = [
                key for key in family.shared if key in implied and implied[key] != fields.get(key, implied[key])
            ]
            if differing:
                raise UserError(f"different from the generator in {', '.join(differing)}")
        except UserError as error:
            if families[name] == lineage and (name == first or name != "discriminator"):
                raise
            left_out.append(f"the {name} is left out: {error}")
            continue
        remarks += [note for note in notes if note not in remarks]
        fields = {**implied, **fields}
        weights.update({state_name(name, key): array for key, array in arrays.items()})
        weights = {**(state or {}), **weights}
    fields = {**fields, **(settings["config"] if settings.get("model") == model else {})}
    facts = {name: fact for name, fact in contents.facts.items() if name != SETTINGS} | settings.get("facts", {})
    return Converted(model, fields, weights, facts, (*left_out, *remarks))


# Settings in files of original names --------------------------------------------------------------------------------


def settings_of(converted: Converted, networks: tuple[str, ...]) -> dict[str, Any]:
    """Return what a file of original names keeps beside its arrays, under the name ``SETTINGS``.

    Args:
      converted: the model, with all fields of its config.
      networks: the networks in the file, by original names.

    Returns:
      The ``model``, all fields of its ``config``, its ``facts``, and for each of the ``networks`` the arguments of its
      constructor.
    """
    arguments, config = FAMILIES[converted.model].arguments, dict(converted.fields)
    known = {} if arguments is None else {name: arguments[KIND_OF[NETWORK_OF[name]]](config) for name in networks}
    return {"model": converted.model, "networks": known, "config": config, "facts": dict(converted.facts)}


def _settings(contents: Contents) -> Mapping[str, Any]:
    """Return what ``settings_of`` put into a file; nothing of other files."""
    if SETTINGS in contents.facts:
        found = contents.facts[SETTINGS]
    elif SETTINGS in contents.metadata:
        try:
            found = plain(parse_json(contents.metadata[SETTINGS]))
        except UserError as error:
            raise UserError(f"damaged: {SETTINGS} is not as ganzoo writes it ({error})") from error
    else:
        return {}
    if type(found) is not dict or {type(found.get(name)) for name in ("networks", "config", "facts")} != {dict}:
        raise UserError(f"damaged: {SETTINGS} is not as ganzoo writes it")
    return found


def _completed(contents: Contents, settings: Mapping[str, Any]) -> dict[str, Network]:
    """Return the networks of a file; those without arguments of their own have the arguments in ``settings``."""
    networks = dict(contents.networks)
    for name, arguments in settings.get("networks", {}).items():
        if name in networks and not networks[name].settings and type(arguments) is dict:
            kind = str(arguments.get("class_name", arguments.get("func_name", ""))).rpartition(".")[2]
            networks[name] = replace(networks[name], kind=kind, settings=arguments)
    return networks


# Names in a train state ---------------------------------------------------------------------------------------------


def state_name(network: str, variable: str) -> str:
    """Return the name in a train state of a Flax variable of a network.

    ``state_name("ema", "noise.b4")`` is ``ema.noise.b4``; of the generator it is ``generator.collections.noise.b4``.
    """
    is_flax = network == "ema" or variable.startswith("params.")
    return f"{network}.{variable}" if is_flax else f"{network}.collections.{variable}"


def variables_of(network: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights [...] of a network by their names as Flax variables, the inverse of ``state_name``."""
    own = (name for name in weights if name.startswith(f"{network}."))
    return {name.removeprefix(f"{network}.").removeprefix("collections."): weights[name] for name in own}


def mirror_generator(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights [...] with a missing generator copied from its EMA, or a missing EMA from the generator."""
    result = dict(weights)
    for there, missing in (("ema", "generator"), ("generator", "ema")):
        if not variables_of(missing, weights):
            found = variables_of(there, weights)
            result.update({state_name(missing, name): array for name, array in found.items()})
    return result


def _guarded(family: Family, kind: str, network: Network, fields: Fields) -> Found:
    try:
        return family.generator(network) if kind == "generator" else family.discriminator(network, fields)
    except UserError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
        raise UserError(f"the arrays and settings of the network do not fit together ({named(error, 100)})") from error
