"""What a program costs: FLOPs and memory, from the one trace and the one compilation that its first call needs."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.extend
from jax.interpreters.partial_eval import dce_jaxpr

from ganzoo.typing import PyTree

MEMORY_SHARE = 0.95
"""Of a device's memory, what a program may fill."""


# FLOPs --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flops:
    """Multiplications and additions of the matrix products and convolutions in a function."""

    least: float
    """Where every conditional takes its cheapest branch: a step without lazy phases."""
    most: float
    """Where it takes its dearest one: a step with all of them."""

    def line(self, images: int) -> str:
        """Return one line about a program that works on ``images`` images."""
        lazy = "" if self.most == self.least else f"; {_engineering(self.most / images)} with the lazy phases"
        return f"a step: {_engineering(self.least / images)} an image{lazy}"


def flops(jaxpr: Any) -> Flops:
    """Count the operations of a traced function, such as ``jax.jit(f).trace(...).jaxpr``.

    What no result needs is left out, as compilers drop it; the gradient of a gradient leaves such operations behind.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)  # without its constants
    jaxpr, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return Flops(_count(jaxpr, min), _count(jaxpr, max))


def _count(jaxpr: Any, choose: Callable[[list[float]], float]) -> float:
    total = 0.0
    for eqn in jaxpr.eqns:
        name, inner = eqn.primitive.name, [_count(sub, choose) for sub in _subs(eqn)]
        if name == "dot_general":
            total += _dot(eqn)
        elif name == "conv_general_dilated":
            total += _convolution(eqn)
        elif name == "cond":
            by_platform = eqn.params.get("branches_platforms")
            total += inner[-1] if by_platform else choose(inner)  # the last one is the library's formulation
        else:
            total += sum(inner) * eqn.params.get("length", 1)  # of a scan
    return total


def _subs(eqn: Any) -> list[Any]:
    """Return the functions that an equation calls."""
    values = [
        part
        for value in eqn.params.values()
        for part in (value if isinstance(value, tuple | list) else (value,))
        if not callable(part) or hasattr(part, "jaxpr")
    ]
    closed = [value.jaxpr if hasattr(value, "jaxpr") else value for value in values]
    return [value for value in closed if isinstance(value, jax.extend.core.Jaxpr)]


def _dot(eqn: Any) -> float:
    contracted = eqn.params["dimension_numbers"][0][0]
    left = eqn.invars[0].aval.shape
    return 2.0 * prod(eqn.outvars[0].aval.shape) * prod(left[axis] for axis in contracted)


def _convolution(eqn: Any) -> float:
    """Count a convolution without the zeros that a dilation puts between the values."""
    kernel = eqn.invars[1].aval.shape
    spec = eqn.params["dimension_numbers"].rhs_spec
    taps = prod(kernel[axis] for axis in spec[1:])
    dense = 2.0 * prod(eqn.outvars[0].aval.shape) * taps
    return dense / prod(eqn.params["lhs_dilation"])


def _engineering(count: float) -> str:
    unit, name = next(
        (unit, name) for unit, name in ((1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs")) if unit <= max(count, 1e6)
    )
    return f"{count / unit:.3g} {name}"


# Memory -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Bytes of one device."""

    fixed: int
    """The state, the batch and the results: all that does not shrink with a micro-batch."""
    working: int
    """Of the program's temporaries, at their peak."""
    limit: int | None
    """Memory of the device; None where the device does not tell."""

    @property
    def peak(self) -> int:
        """Bytes that the program needs at its peak."""
        return self.fixed + self.working

    @property
    def fits(self) -> bool:
        """Whether the device has the memory."""
        return self.limit is None or self.peak <= MEMORY_SHARE * self.limit

    def largest_micro_batch(self, now: int, multiple: int) -> int | None:
        """Return the largest divisor of ``now`` images at once, a multiple of ``multiple``, that would fit.

        Temporaries are taken to grow with the images. None where not even the smallest one fits.
        """
        if self.limit is None:
            return now
        free = MEMORY_SHARE * self.limit - self.fixed
        fitting = (size for size in range(now, 0, -1) if now % size == size % multiple == 0)
        return next((size for size in fitting if self.working * size / now <= free), None)


def memory_of(compiled: jax.stages.Compiled, limit: int | None) -> Memory:
    """Return what a compiled program needs, from the executable itself, beside the bytes that a device has."""
    analysis: Any = compiled.memory_analysis()
    fixed = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return Memory(fixed, analysis.temp_size_in_bytes, limit)


def memory_limit(device: jax.Device) -> int | None:
    """Return the bytes that programs may use on a device: as it tells, or the machine's memory for a processor."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    if device.platform != "cpu":
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError, OSError):
        return None


def program_report(
    program: Any, args: tuple[PyTree, ...], config: Any, batch_size: int, mesh: jax.sharding.Mesh, *, steps: int = 1
) -> list[str]:
    """Trace and compile a program as its first call would; return what it costs and needs, and the remedy if too much.

    Args:
      program: a jitted K-step program.
      args: those of the first call, which then finds the program compiled.
      config: of the model; one with a field ``micro_batch`` can work on parts of the batch.
      batch_size: images of a step, over all devices.
      mesh: where the program runs.
      steps: K.
    """
    traced = program.trace(*args)
    start = time.perf_counter()
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    memory = memory_of(compiled, memory_limit(mesh.local_devices[0]))
    limit = "" if memory.limit is None else f" of {readable_bytes(memory.limit)}"
    where = "a device" if mesh.size > 1 else "the device"
    lines = [
        flops(traced.jaxpr).line(steps * batch_size),
        f"compiled in {seconds:.0f} s; takes {readable_bytes(memory.peak)}{limit} of {where}'s memory at its peak",
    ]
    if not memory.fits:
        lines.append(f"this does not fit: {remedy(memory, config, batch_size, mesh.size)}")
    return lines


def remedy(memory: Memory, config: Any, batch_size: int, devices: int) -> str:
    """Return what would make a program fit: a smaller micro-batch, or smaller batch where there is none."""
    now = getattr(config, "micro_batch", 0) or batch_size
    size = memory.largest_micro_batch(now, devices)
    if size is None:
        return "even the smallest micro-batch would not; take smaller images, fewer channels or more devices"
    need = readable_bytes(int(memory.fixed + memory.working * size / now))
    option = "--micro-batch" if hasattr(config, "micro_batch") else "--batch-size"
    return f"{option} {size} would, with about {need}"


def readable_bytes(count: int) -> str:
    """Return a number of bytes with its unit, such as 1.5 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
