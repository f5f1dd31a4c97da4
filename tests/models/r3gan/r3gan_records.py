"""The recorded runs of brownvc/R3GAN as configs, states and batches of this library."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from golden_cases import Case

from ganzoo.config import replaced
from ganzoo.gan import Network, TrainState
from ganzoo.interop.families import r3gan as family
from ganzoo.interop.reading.contents import Network as Original
from ganzoo.models import r3gan
from ganzoo.models.r3gan import R3GANConfig

NAMES = {"G": "generator", "D": "discriminator"}


def below(case: Case, prefix: str) -> dict[str, np.ndarray]:
    """All arrays below a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in case.arrays.items() if name.startswith(prefix)}


def config_of(case: Case, **fields: Any) -> R3GANConfig:
    """The config that the shapes of a case's networks imply, as for any file of them."""
    found = {kind: _found(below(case, f"params/{kind}/"), kind).fields for kind in NAMES}
    for name in family.SHARED:
        assert found["G"][name] == found["D"][name], name
    return replaced(R3GANConfig(), {**found["D"], **found["G"], **fields})


def tree(case: Case, prefix: str) -> Any:
    """Parameters, or their gradients, from the arrays below a prefix that ends in the network's name."""
    kind = prefix.rstrip("/").rpartition("/")[2][0]
    result: dict = {}
    for name, array in _found(below(case, prefix), kind).weights.items():
        *modules, leaf = name.removeprefix("params.").split(".")
        at = result
        for module in modules:
            at = at.setdefault(module, {})
        at[leaf] = array
    return result


def state_of(config: R3GANConfig, case: Case) -> TrainState:
    """The state before the first iteration."""

    def network(kind: str) -> Network:
        params = jax.tree.map(jnp.asarray, tree(case, f"params/{kind}/"))
        return Network.create({"params": params}, r3gan.optimizer(config, NAMES[kind]).init)

    generator = network("G")
    ema = tree(case, "params/G_ema/") if below(case, "params/G_ema/") else generator.params
    return TrainState(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=generator,
        discriminator=network("D"),
        ema={"params": jax.tree.map(jnp.asarray, ema)},
    )


def _found(arrays: Mapping[str, np.ndarray], kind: str) -> Any:
    network = Original("", arrays)
    return family.generator(network) if kind == "G" else family.discriminator(network, {})
