"""A forecast as text for people and as JSON, with warnings and what to do about them."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from ganzoo.config import to_json
from ganzoo.forecast.forecast import Forecast, Phase, StageForecast
from ganzoo.forecast.roofline import assumptions
from ganzoo.training.report import Memory, readable_bytes, remedy

TITLES = ("phase", "every", "fixed", "temporary", "peak", "GFLOP/image", "MB/image", "collectives", "at least", "bound")
FEW = 8
"""Images of a chip below which programs of a TPU take several times longer for an image: its tiles have 8 rows."""
LITTLE = 0.5
"""Share of useful work of the matrix unit below which its padding is worth a warning."""
SAVING = {"remat": "--remat", "shard_state": "--shard-state"}
"""Fields of a config that save memory, and their options."""


def lines(found: Forecast) -> list[str]:
    """Return a forecast as lines of text."""
    topology, settings = found.topology, found.experiment.training
    limit = found.stages[0].memory.limit
    machine = f"{topology.size} x {topology.device.name}" + (f" of {readable_bytes(limit)}" if limit else "")
    shown = [f"{found.experiment.name} on {topology.name}, {machine}, {settings.images:,} images"]
    for stage in found.stages:
        images = f"{stage.batch_size} images a step, {stage.batch_size // topology.size} a device"
        of = f"{stage.name}: " if len(found.stages) > 1 else ""
        shown += ["", f"{of}{images}, {stage.steps:,} steps", *_table(stage, topology.size)]
        shown += [f"warning: {text}" for text in warnings(found, stage)]
    shown += ["", *duration(found)]
    if topology.device.is_known:
        shown.append(f"at least: {assumptions(topology.device)}")
    return shown


def duration(found: Forecast) -> list[str]:
    """Return lines on images a second, hours and device-hours, at the roofline and as the compiler estimates."""
    if not found.topology.device.is_known:
        return ["no time: the peaks of this processor are not known; ganzoo train prints the measured one"]
    parts = [
        ("at the roofline", [stage.step_seconds for stage in found.stages]),
        ("as the compiler estimates", [stage.compiler_seconds for stage in found.stages]),
    ]
    shown = []
    for name, seconds in parts:
        known = [(each, stage) for each, stage in zip(seconds, found.stages, strict=True) if each is not None]
        if len(known) < len(found.stages):
            continue
        whole = sum(each * stage.steps for each, stage in known)
        images = sum(stage.images for _, stage in known)
        hours = whole / 3600
        of_all = hours * found.topology.size
        shown.append(f"{name}: {images / whole:,.0f} images/s, {_short(hours)} hours, {_short(of_all)} device-hours")
    return shown or ["no time: not all programs fit"]


def warnings(found: Forecast, stage: StageForecast) -> list[str]:
    """Return what is wrong with a stage on a machine, each with what to do about it."""
    device, devices = found.topology.device, found.topology.size
    config, settings = found.experiment.gan, found.experiment.training
    micro = getattr(config, "micro_batch", 0) or stage.batch_size
    said = []
    if not stage.memory.fits:
        worst = max(stage.phases, key=lambda phase: phase.memory.peak)
        limit = readable_bytes(stage.memory.limit or 0)
        unused = {each.name for part in (config, settings) for each in fields(part) if not getattr(part, each.name)}
        useless = {"shard_state"} if devices == 1 else set()
        others = [option for name, option in SAVING.items() if name in unused - useless]
        also = f"; so may {' or '.join(others)}" if others else ""
        need = readable_bytes(stage.memory.peak)
        said.append(
            f"{worst.name} needs {need} of the {limit} of a device: "
            f"{remedy(stage.memory, config, stage.batch_size, devices)}{also}"
        )
    if device.platform == "tpu" and micro // devices < FEW:
        said.append(
            f"{micro // devices} images at once on a chip: with fewer than {FEW}, an image takes several times longer;"
            f" --batch-size {FEW * devices}, a larger micro-batch or fewer chips help"
        )
    useful = useful_share(stage)
    if useful is not None and useful < LITTLE:
        said.append(
            f"{1 - useful:.0%} of the matrix unit's work is padding of channels to {device.tile}: layers of fewer"
            f" channels cost as much as those of {device.tile}; more channels are free, fewer save nothing"
        )
    return said


def useful_share(stage: StageForecast) -> float | None:
    """Return the share of the matrix unit's work that is not padding, in the average step; None where it is unknown."""
    parts = [
        (phase.counts.flops / phase.interval, phase.roofline.useful)
        for phase in stage.phases
        if phase.counts and phase.roofline and phase.counts.flops
    ]
    padded = sum(flops / useful for flops, useful in parts)
    return sum(flops for flops, _ in parts) / padded if padded else None


def to_dict(found: Forecast) -> dict[str, Any]:
    """Return a forecast as JSON types; seconds, bytes and FLOPs, of one device unless a name says otherwise."""
    whole = found.seconds
    return {
        "name": found.experiment.name,
        "topology": found.topology.name,
        "device": found.topology.device.name,
        "devices": found.topology.size,
        "memory_limit": found.stages[0].memory.limit,
        "images": found.experiment.training.images,
        "hours": None if whole is None else whole / 3600,
        "device_hours": None if whole is None else whole / 3600 * found.topology.size,
        "assumptions": assumptions(found.topology.device) if found.topology.device.is_known else "",
        "config": to_json(found.experiment.gan),
        "stages": [_stage(found, stage) for stage in found.stages],
    }


def _stage(found: Forecast, stage: StageForecast) -> dict[str, Any]:
    seconds = stage.step_seconds
    return {
        "name": stage.name,
        "batch_size": stage.batch_size,
        "images": stage.images,
        "steps": stage.steps,
        "peak_memory": stage.memory.peak,
        "fits": stage.memory.fits,
        "step_seconds": seconds,
        "compiler_seconds": stage.compiler_seconds,
        "images_per_second": stage.batch_size / seconds if seconds else None,
        "flops": stage.average(lambda counts: counts.flops),
        "stored_bytes": stage.average(lambda counts: counts.stored_bytes),
        "warnings": warnings(found, stage),
        "phases": [
            {
                "name": phase.name,
                "interval": phase.interval,
                "memory": {"fixed": phase.memory.fixed, "temporary": phase.memory.working, "peak": phase.memory.peak},
                "counts": phase.counts and asdict(phase.counts),
                "seconds": phase.seconds,
                "bounds": phase.roofline and dict(phase.roofline.shares),
                "compiler_seconds": phase.compiler_seconds,
                "compile_seconds": phase.compile_seconds,
            }
            for phase in stage.phases
        ],
    }


def _table(stage: StageForecast, devices: int) -> list[str]:
    """Return the phases and the average step as aligned lines."""
    share = devices / stage.batch_size  # from a device to an image
    rows = [TITLES, *(_row(phase, share) for phase in stage.phases), _average(stage, share)]
    if stage.compiler_seconds is not None:
        estimates = [phase.compiler_seconds for phase in stage.phases]
        times = ("compiler", *(_time(each) for each in [*estimates, stage.compiler_seconds]))
        rows = [(*row[:-1], each, row[-1]) for row, each in zip(rows, times, strict=True)]
    columns = []
    for title, *cells in zip(*rows, strict=True):
        width = max(map(len, (title, *cells)))
        align = str.ljust if title in ("phase", "bound") else str.rjust
        columns += [[align(cell, width) for cell in (title, *cells)]] if any(cells) else []
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _row(phase: Phase, share: float) -> Sequence[str]:
    memory, counts = phase.memory, phase.counts
    head = (phase.name, str(phase.interval), *_memory(memory))
    if counts is None:
        return (*head, "", "", "", "", "does not fit")
    sent = f"{counts.collectives}: {readable_bytes(counts.collective_bytes)}" if counts.collectives else "-"
    gigaflops, megabytes = counts.flops * share / 1e9, counts.stored_bytes * share / 1e6
    bound = phase.roofline.bound if phase.roofline else ""
    return (*head, f"{gigaflops:,.3g}", f"{megabytes:,.1f}", sent, _time(phase.seconds), bound)


def _average(stage: StageForecast, share: float) -> Sequence[str]:
    flops, stored = stage.average(lambda counts: counts.flops), stage.average(lambda counts: counts.stored_bytes)
    sums = (
        "" if flops is None else f"{flops * share / 1e9:,.3g}",
        "" if stored is None else f"{stored * share / 1e6:,.1f}",
    )
    return ("average step", "", *_memory(stage.memory), *sums, "", _time(stage.step_seconds), "")


def _short(number: float) -> str:
    """Return a number with three digits, or all of a large one."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _memory(memory: Memory) -> tuple[str, str, str]:
    return readable_bytes(memory.fixed), readable_bytes(memory.working), readable_bytes(memory.peak)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:,.3g} ms"
