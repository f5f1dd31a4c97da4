"""Machines by name: the devices for which programs can be compiled without having one of them."""

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from ganzoo.errors import UserError, install, nearest
from ganzoo.forecast.devices import DEVICES, Device, target_config
from ganzoo.ops.collective import AXIS

KNOWN = "v5e:2x4, v5p:2x2x1, v6e:2x4, h100:8, h100:1x2x8 (slices x hosts x GPUs), a100:8, cpu, cpu:8"
WITHOUT_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}
"""With these variables, the TPU's library asks no server which machine this is, and does not lock a device."""
TPU_HOST = {"v5e": (2, 4, 1), "v6e": (2, 4, 1), "v5p": (2, 2, 1)}
"""Chips of a host."""
CUDA_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")


@dataclass(frozen=True)
class Topology:
    """A machine, or several that are linked."""

    name: str
    """As it was typed."""
    device: Device
    shape: tuple[int, ...]
    """Chips along each axis of a TPU; slices, hosts of a slice and GPUs of a host."""

    @property
    def size(self) -> int:
        """Number of devices."""
        return prod(self.shape)

    def mesh(self) -> Mesh:
        """Return the devices as a mesh with the batch as its axis; programs can be compiled for it, and not run.

        Raises:
          UserError: the compiler is not installed, or knows no such topology.
        """
        found = {"tpu": self._tpu, "gpu": self._gpu, "cpu": self._cpu}[self.device.platform]()
        return Mesh(np.array(found), (AXIS,))

    def _tpu(self) -> Any:
        require_compiler(self.name, ("libtpu",), "libtpu", "tpu")
        for name, value in WITHOUT_TPU.items():
            os.environ.setdefault(name, value)
        generation, _, grid = self.name.partition(":")
        whole = TPU_HOST[generation]
        host = self._three() if all(n <= most for n, most in zip(self._three(), whole, strict=True)) else whole
        try:
            return topologies.get_topology_desc(f"{generation}:{grid}", "tpu", chips_per_host_bounds=list(host)).devices
        except (jax.errors.JaxRuntimeError, RuntimeError) as error:
            raise UserError(f"{self.name}: {str(error).splitlines()[0]}") from error

    def _three(self) -> tuple[int, ...]:
        return (*self.shape, 1, 1)[:3]

    def _gpu(self) -> Any:
        require_compiler(self.name, CUDA_PLUGINS, "JAX's CUDA plugin", "cuda13")
        os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
        config, grid = target_config(self.device), "x".join(map(str, self.shape))
        name = self.name.partition(":")[0]
        try:
            return topologies.get_topology_desc(name, "cuda", target_config=config, topology=grid).devices
        except (jax.errors.JaxRuntimeError, RuntimeError, NotImplementedError) as error:
            raise UserError(f"{self.name}: {str(error).splitlines()[0]}") from error

    def _cpu(self) -> Any:
        found = jax.devices("cpu")
        if len(found) < self.size:
            raise UserError(
                f"{self.name}: JAX has made {len(found)} devices of the processor; set JAX_NUM_CPU_DEVICES={self.size}"
            )
        return found[: self.size]


def parse_topology(name: str) -> Topology:
    """Return the topology of a name such as ``v5e:2x4``, ``h100:8`` or ``cpu``; ``UserError`` where there is none."""
    kind, colon, grid = name.partition(":")
    if kind not in DEVICES:
        raise UserError(f"unknown topology {name!r};{nearest(kind, DEVICES)}, as in {KNOWN}")
    device = DEVICES[kind]
    shape = tuple(int(n) for n in grid.split("x")) if re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4}){0,2}", grid) else ()
    if not colon and device.platform != "tpu":
        shape = (1,)
    sizes = {"tpu": (3,) if kind == "v5p" else (2,), "gpu": (1, 3), "cpu": (1,)}[device.platform]
    if len(shape) not in sizes:
        raise UserError(f"topology {name!r}: give the number of devices after the colon, as in {KNOWN}")
    if device.platform == "gpu" and len(shape) == 1:
        hosts, rest = divmod(shape[0], 8)
        if shape[0] > 8 and rest:
            raise UserError(f"topology {name!r}: hosts have 8 GPUs; give a multiple of 8, or slices x hosts x GPUs")
        shape = (1, max(hosts, 1), min(shape[0], 8))
    return Topology(name, device, shape)


def require_compiler(topology: str, modules: Sequence[str], compiler: str, extra: str) -> None:
    """Raise ``UserError``, which names the extra, where none of the modules is installed that bring a compiler."""
    if not any(importlib.util.find_spec(name) for name in modules):
        raise UserError(f"{topology}: its programs are compiled by {compiler}: {install(extra)}")
