"""How long a compiled program would take at least: each kernel at the speed of what it uses up first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganzoo.forecast.counts import Kernel, Product
from ganzoo.forecast.devices import Device

COMPUTE: Mapping[str, float] = {"gpu": 0.55, "tpu": 0.85}
MEMORY = 0.85
"""Shares of the peaks that kernels reach, by platform and of the bandwidth."""
LAUNCH: Mapping[str, float] = {"gpu": 2e-6, "tpu": 0.0, "cpu": 0.0}
"""Seconds that any kernel takes, by platform."""


@dataclass(frozen=True)
class Roofline:
    """Seconds of one call of a program on each device."""

    seconds: float
    shares: Mapping[str, float]
    """Share of the time by what limits it: "compute", "memory", "launches" or "links"."""
    compiler_seconds: float | None
    """The sum of the compiler's own estimates, of TPUs only."""
    useful: float
    """Share of the matrix unit's work that is not padding of channels; 1 without products."""

    @property
    def bound(self) -> str:
        """What limits most of the time."""
        return max(self.shares, key=lambda name: self.shares[name]) if self.shares else ""


def roofline(kernels: Sequence[Kernel], device: Device, devices: int) -> Roofline | None:
    """Return the time of a program, kernel after kernel; None for a device whose peaks are not known.

    Args:
      kernels: of one call.
      device: each of those that take part.
      devices: how many do; a ring over all of them carries the collectives, while nothing else happens.
    """
    if not device.is_known:
        return None
    limits: dict[str, float] = defaultdict(float)
    for kernel in kernels:
        times = {
            "compute": sum(_seconds(product, device) for product in kernel.products),
            "memory": kernel.stored / (MEMORY * device.bandwidth),
            "launches": LAUNCH[device.platform],
        }
        bound = max(times, key=lambda name: times[name])
        limits[bound] += kernel.times * times[bound]
        if kernel.sent and devices > 1:
            limits["links"] += kernel.times * 2 * kernel.sent * (devices - 1) / devices / (MEMORY * device.link)
    seconds = sum(limits.values())
    cycles = sum(kernel.times * kernel.cycles for kernel in kernels)
    real = sum(kernel.times * kernel.flops for kernel in kernels)
    padded = sum(kernel.times * product.padded(device.tile) for kernel in kernels for product in kernel.products)
    return Roofline(
        seconds,
        {name: part / seconds for name, part in limits.items()} if seconds else {},
        cycles / device.clock if device.clock and cycles else None,
        real / padded if padded else 1.0,
    )


def assumptions(device: Device) -> str:
    """Return one line: what the time is computed from."""
    launch, share = LAUNCH[device.platform], COMPUTE[device.platform]
    peaks = device.bfloat16 / 1e12, device.float32 / 1e12
    parts = [
        f"{share:.0%} of {peaks[0]:.0f} TFLOPs in bfloat16 and {peaks[1]:.0f} in float32",
        f"{MEMORY:.0%} of {device.bandwidth / 1e9:,.0f} GB/s of memory and {device.link / 1e9:,.0f} GB/s of links",
        *([f"channels padded to multiples of {device.tile}"] if device.tile > 1 else []),
        *([f"at least {launch * 1e6:.0f} us a kernel"] if launch else []),
        "one kernel after the other",
        "data always there",
    ]
    return ", ".join(parts)


def _seconds(product: Product, device: Device) -> float:
    if product.kind in ("bf16", "f16"):
        peak = device.bfloat16
    elif product.precision == "default":
        peak = device.float32
    else:
        peak = device.exact * (2 if product.precision == "high" and device.platform == "tpu" else 1)
    return product.padded(device.tile) / (COMPUTE[device.platform] * peak)
