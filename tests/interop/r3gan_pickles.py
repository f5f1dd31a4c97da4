"""Snapshots as brownvc/R3GAN writes them: plain modules pickled by name, with optimizers and counters beside them.

The modules are built from recorded arrays, without PyTorch: classes of the same names stand in while they are pickled.
"""

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
from stand_ins import stand_ins

CLASSES = {
    "training.networks": ("Generator", "Discriminator"),
    "R3GAN.Networks": ("Generator", "Discriminator", "GeneratorStage", "DiscriminatorStage", "ResidualBlock"),
    "torch.nn.modules.container": ("ModuleList",),
    "torch.nn.modules.linear": ("Linear",),
}
DTYPES = ("bfloat16", "float16", "float32")


class DType:
    """A type of torch, which pickles as its name there."""

    __module__ = "torch"

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


def snapshot(networks: Mapping[str, Mapping[str, np.ndarray]], low: str = "bfloat16", **more: Any) -> bytes:
    """The pickle of a snapshot.

    Args:
      networks: arrays by name, of "G", "D" and "G_ema".
      low: type of the activations of the largest stage.
      more: what is beside the networks.
    """
    with stand_ins(CLASSES) as made:
        for name in DTYPES:
            setattr(made["torch"], name, DType(name))
        content: dict[str, Any] = {
            name: _network(made, "Discriminator" if name == "D" else "Generator", arrays, low)
            for name, arrays in networks.items()
        }
        state = {"state": {0: {"step": 3, "exp_avg": np.zeros(2, np.float32)}}, "param_groups": [{"lr": 1e-4}]}
        return pickle.dumps({**content, "cur_nimg": 4_000, "D_opt_state": state, "G_opt_state": state, **more}, 4)


def _network(made: dict[str, Any], kind: str, arrays: Mapping[str, np.ndarray], low: str) -> Any:
    outer, inner = (_module(getattr(made[home], kind)) for home in ("training.networks", "R3GAN.Networks"))
    outer._modules["Model"] = inner
    stages = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("MainLayers."))
    lowest = 0 if kind == "Discriminator" else stages - 1
    for name, array in arrays.items():
        *path, leaf = name.split(".")
        at = inner
        for part in path:
            at = at._modules.setdefault(part, _module(made["torch.nn.modules.container"].ModuleList))
        (at._buffers if leaf == "Kernel" else at._parameters)[leaf] = array
    for stage in range(stages):
        inner._modules["MainLayers"]._modules[str(stage)].DataType = getattr(
            made["torch"], low if stage == lowest else "float32"
        )
    return outer


def _module(kind: type) -> Any:
    module = kind()
    module.__dict__ |= {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}}
    return module
