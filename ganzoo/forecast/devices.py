"""What accelerators have, as their makers publish it: memory, peaks, bandwidths, and what a roofline assumes of each.

Sources:

- TPU: Google Cloud, "TPU v5e", "TPU v5p" and "TPU v6e" (docs.cloud.google.com/tpu/docs/v5e, v5p, v6e): memory, its
  bandwidth, bfloat16 peak, bidirectional interconnect bandwidth of a chip (halved here for one direction), number and
  size of the matrix units.
- H100: NVIDIA, "H100 Tensor Core GPU Datasheet", the column SXM: 80 GB, 3.35 TB/s, 1,979 TFLOPS in bfloat16 and 989 in
  TF32 with sparsity (halved here), 67 in float32, NVLink 900 GB/s in both directions together (halved here).
- A100: NVIDIA, "A100 Tensor Core GPU Datasheet", the column 80GB SXM: 80 GB, 2,039 GB/s, 312 TFLOPS in bfloat16, 156 in
  TF32, 19.5 in float32, NVLink 600 GB/s (halved here).
- Limits of a GPU's multiprocessors: NVIDIA, "CUDA C++ Programming Guide", technical specifications by compute
  capability; their number, clock and cache: the whitepapers of the two architectures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GIB = 2**30
Passes = Mapping[str, int]


@dataclass(frozen=True)
class Multiprocessors:
    """What the compiler for a GPU has to know of it."""

    name: str
    """As the driver names the device."""
    capability: tuple[int, int]
    """Compute capability."""
    count: int
    lanes: int
    """Float32 units of one."""
    clock: float
    """GHz, the highest one."""
    cache: int
    """Bytes of the second-level cache."""
    shared: int
    """Bytes of the shared memory of one, of which a block may have all but 1 KiB."""


@dataclass(frozen=True)
class Device:
    """One device, as programs are divided over them: a chip of a TPU, a GPU, or a processor."""

    name: str
    platform: Literal["tpu", "gpu", "cpu"]
    memory: int | None = None
    """Bytes that a program can have; None: those of this machine."""
    bandwidth: float = 0.0
    """Bytes per second of the memory."""
    bfloat16: float = 0.0
    """FLOPs per second of matrix products of bfloat16; 0: unknown, and no time is told."""
    float32: float = 0.0
    """FLOPs per second of matrix products of float32 at JAX's default precision: one pass of bfloat16 on TPUs, TF32 on
    GPUs."""
    exact: float = 0.0
    """FLOPs per second of matrix products of float32 at the highest precision: six passes on TPUs."""
    link: float = 0.0
    """Bytes per second from a device to others, in one direction."""
    tile: int = 1
    """Channels to which the matrix unit pads."""
    clock: float = 0.0
    """Cycles per second in which the compiler of a TPU estimates; 0: unknown."""
    multiprocessors: Multiprocessors | None = None

    @property
    def is_known(self) -> bool:
        """Whether a roofline can be drawn."""
        return self.bfloat16 > 0


def _tpu(
    name: str, gigabytes: float, bandwidth: float, peak: float, link: float, tile: int = 128, clock: float = 0.0
) -> Device:
    """Return a row of the table below; GiB of memory, GB/s, TFLOPs, GB/s in both directions, GHz."""
    peak = peak * 1e12
    memory = int(gigabytes * GIB)
    return Device(name, "tpu", memory, bandwidth * 1e9, peak, peak, peak / 6, link * 1e9 / 2, tile, clock * 1e9)


_H100 = Multiprocessors("NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 1.98, 50 * 2**20, 228 * 1024)
_A100 = Multiprocessors("NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 1.41, 40 * 2**20, 164 * 1024)

# fmt: off
DEVICES: Mapping[str, Device] = {
    #               name  GiB    GB/s  TFLOPs link tile clock
    "v5e": _tpu("TPU v5e", 15.75,  819, 197,  400, 128, 1.5),
    "v5p": _tpu("TPU v5p", 95.0,  2765, 459, 1200, 128, 1.75),
    "v6e": _tpu("TPU v6e", 31.25, 1638, 918,  800),
    "h100": Device("H100 SXM", "gpu", 79 * GIB, 3.35e12, 989e12, 494e12, 67e12, 450e9, multiprocessors=_H100),
    "a100": Device("A100 SXM 80GB", "gpu", 79 * GIB, 2.039e12, 312e12, 156e12, 19.5e12, 300e9, multiprocessors=_A100),
    "cpu": Device("processor", "cpu"),
}
# fmt: on
"""By the name of a topology before the colon. Of the 16 GB of a v5e, 15.75 GiB are left to programs, as its compiler
says where they do not suffice; of others, the same share or GiB are taken. The clock of a v5e or v5p is its peak
divided by what its matrix units do in a cycle: 4 or 8 of 128 x 128 products."""


def target_config(device: Device) -> str:
    """Return what XLA's compiler for GPUs has to know of a device that is not there: a ``GpuTargetConfigProto``."""
    unit = device.multiprocessors
    assert unit is not None
    major, minor = unit.capability
    return f"""gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {unit.shared}
  shared_memory_per_block_optin: {unit.shared - 1024}
  threads_per_core_limit: 2048
  core_count: {unit.count}
  fpus_per_core: {unit.lanes}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {int(device.bandwidth)}
  l2_cache_size: {unit.cache}
  clock_rate_ghz: {unit.clock}
  device_memory_size: {device.memory}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  cuda_compute_capability {{ major: {major} minor: {minor} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 patch: 0 }}
device_description_str: "{unit.name}"
"""
