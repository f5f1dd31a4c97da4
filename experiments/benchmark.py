"""How fast is it? Images per second, beside a PyTorch loop of the same work in the same run.

    python experiments/benchmark.py dcgan64 [--json FILE]
    python experiments/benchmark.py --list

Both sides take turns on the same machine and threads; medians, without warm-up and compilation. PyTorch comes with
``uv run --extra benchmark`` or ``pip install '.[benchmark]'``; without it only our side runs. Close other programs: on
a busy machine neither the ratio nor the images per second mean much. Price: about a minute per name on two CPU cores.

Adding a benchmark is one line in ``BENCHMARKS``.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import reference_dcgan
import reference_stylegan2
from rich.console import Console
from rich.table import Table

import ganzoo
from ganzoo.data import DataConfig, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.disk import write_whole
from ganzoo.errors import UserError, nearest
from ganzoo.memory import keep_freed_memory
from ganzoo.models import stylegan2
from ganzoo.training import parallel, report

ROUND_SECONDS = 0.3
"""A round of each side lasts at least this long, so that waiting for the device does not count."""
WARM_UP = 2
STEP = "step"
"""The only part of a benchmark that measures whole steps."""


@dataclass
class Ours:
    """Our side, compiled: ``run(n)`` makes n dispatches, waits, and returns the seconds spent outside the program."""

    run: Callable[[int], float]
    images: int
    """Of one dispatch."""
    steps: int
    """Of one dispatch."""
    flops: float
    """Of one dispatch, in multiplications and additions that the method needs."""
    compile_s: float
    peak_memory_bytes: int


Run = Callable[[int], None]
"""``run(n)`` does the work n times and waits for the device."""


@dataclass(frozen=True)
class Benchmark:
    """One line of the table: both sides as functions of the dtype, in one or several parts."""

    summary: str
    ours: Callable[[str], Mapping[str, Ours]]
    """The parts by name."""
    reference: Callable[..., Mapping[str, Run]] | None
    """``reference(dtype=, channels_last=, threads=)``: the same parts; None where there is no such side."""
    batch_size: int
    shares: Mapping[str, float]
    """How often each part runs in an average step."""
    without: Callable[[str], Mapping[str, Ours]] | None = None
    """Our side again, without that whose cost is measured."""


# Our side -----------------------------------------------------------------------------------------------------------


def dcgan_steps(image_size: int, batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """One whole step per dispatch, on a batch that is on the device already."""
    gan = ganzoo.create("dcgan", "torch", image_size=image_size, dtype=dtype)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, image_size, image_size, 3), dtype=np.uint8)
    batch = {"image": jnp.asarray(images)}
    state, key = gan.init(jax.random.key(0)), jax.random.key(1)
    compiled, compile_s = _compiled(jax.jit(gan.step, donate_argnums=0), state, batch, key)

    def run(dispatches: int) -> float:
        nonlocal state
        for _ in range(dispatches):
            state, _ = compiled(state, batch, key)
        jax.block_until_ready(state)
        return 0.0

    flops = dcgan_flops(gan.config, batch_size)
    return {STEP: Ours(run, batch_size, 1, flops, compile_s, _peak_memory(compiled))}


def dcgan_scan(image_size: int, batch_size: int, steps: int, dtype: str) -> Mapping[str, Ours]:
    """``steps`` steps per dispatch by the library's own feed: the images live on the device, indices are sent."""
    gan = ganzoo.create("dcgan", "torch", image_size=image_size, dtype=dtype)
    mesh = parallel.data_mesh(1)
    dataset = open_dataset(DataConfig(labels="none"), (image_size, image_size, 3))
    feed = Feed(dataset, batch_size=batch_size, seed=0, mesh=mesh)
    state, key = parallel.jit_init(gan.init, mesh)(jax.random.key(0)), jax.random.key(1)
    payloads = feed.payloads(0, 10**6 * steps, steps)
    _, payload = next(payloads)
    program = parallel.jit_step(feed.steps(gan.step), mesh, batch=feed.spec)
    compiled, compile_s = _compiled(program, state, payload, key)

    def run(dispatches: int) -> float:
        nonlocal state
        host = []
        for _ in range(dispatches):
            start = time.perf_counter()
            _, payload = next(payloads)
            state, _ = compiled(state, payload, key)
            host.append(time.perf_counter() - start)
        jax.block_until_ready(state)
        return host[0] * dispatches  # of the first, which finds the device idle: a later one may wait for it

    flops = steps * dcgan_flops(gan.config, batch_size)
    return {STEP: Ours(run, steps * batch_size, steps, flops, compile_s, _peak_memory(compiled))}


def dcgan_flops(config: Any, batch_size: int) -> float:
    """Of one step: the convolutions and the dense layers, a multiplication and an addition each.

    G's and D's convolutions cost the same layer by layer: D has 3 forward passes, 3 gradients of activations and 2 of
    kernels, G one of each. Images have no gradient in D's own update.
    """
    size, layers = config.image_size, []
    before, after = config.channels, config.discriminator_features
    for _ in range(config.levels):
        size //= 2
        layers.append(2 * batch_size * size * size * config.kernel_size**2 * before * after)
        before, after = after, 2 * after
    dense = 2 * batch_size * config.latent_size * size * size * before
    return 11.0 * sum(layers) - 2 * layers[0] + 2 * dense


def stylegan2_config(image_size: int, channel_base: int, dtype: str) -> dict[str, Any]:
    """Fields that make configuration F of that size; bfloat16 means mixed precision, as it is trained."""
    return {
        "image_size": image_size,
        "channel_base": channel_base,
        "low_precision_levels": 4 if dtype == "bfloat16" else 0,
        "minibatch_std_group": 4,
    }


def stylegan2_phases(
    image_size: int, channel_base: int, batch_size: int, dtype: str, augment: str = "none"
) -> Mapping[str, Ours]:
    """The four phases, each a program of its own, on one state that they hand on."""
    fields = stylegan2_config(image_size, channel_base, dtype)
    gan = ganzoo.create("stylegan2", "stylegan2", **fields, augment=augment)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *gan.image_shape), dtype=np.uint8)
    batch, key, state = {"image": jnp.asarray(images)}, jax.random.key(1), jax.jit(gan.init)(jax.random.key(0))

    def part(step: Any) -> Ours:
        program = jax.jit(lambda state, batch, key: step(state, batch, key)[0], donate_argnums=0)
        compiled, compile_s = _compiled(program, state, batch, key)

        def run(dispatches: int) -> float:
            nonlocal state
            for _ in range(dispatches):
                state = compiled(state, batch, key)
            jax.block_until_ready(state)
            return 0.0

        cost = report.flops(step, state, batch, key).least
        return Ours(run, batch_size, 1, cost, compile_s, _peak_memory(compiled))

    return {name: part(step) for name, (step, _) in stylegan2.phases(stylegan2.play(gan.config)).items()}


def stylegan2_sampling(image_size: int, channel_base: int, batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """Images from latents, with the averaged weights and constant noise."""
    gan = ganzoo.create("stylegan2", "stylegan2", **stylegan2_config(image_size, channel_base, dtype))
    state = jax.jit(gan.init)(jax.random.key(0))
    latents = gan.latents(jax.random.key(1), jnp.arange(batch_size))
    compiled, compile_s = _compiled(jax.jit(gan.generate), state, latents)

    def run(dispatches: int) -> float:
        for _ in range(dispatches):
            images = compiled(state, latents)
        jax.block_until_ready(images)
        return 0.0

    cost = report.flops(gan.generate, state, latents).least
    return {"sampling": Ours(run, batch_size, 1, cost, compile_s, _peak_memory(compiled))}


def _compiled(program: Any, *args: Any) -> tuple[Any, float]:
    """The program compiled for these arguments, and the seconds that tracing and compiling took."""
    start = time.perf_counter()
    compiled = program.lower(*args).compile()
    return compiled, time.perf_counter() - start


def _peak_memory(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    used = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return used - memory.alias_size_in_bytes


# The table ----------------------------------------------------------------------------------------------------------

LAZY_STEPS = {"generator": 1.0, "path length": 1 / 4, "discriminator": 1.0, "R1": 1 / 16}
THEIR_PHASES = {"G main": "generator", "G path length": "path length", "D main": "discriminator", "D R1": "R1"}


def dcgan_reference(image_size: int) -> Callable[..., Mapping[str, Run]]:
    """The PyTorch side of a DCGAN of that size."""
    return lambda **how: {STEP: reference_dcgan.trainer(image_size=image_size, batch_size=64, **how)}


def stylegan2_training(size: int, base: int, batch_size: int) -> Benchmark:
    """The average step of StyleGAN2, phase by phase."""
    shape: dict[str, Any] = {"image_size": size, "channel_base": base, "batch_size": batch_size}

    def reference(**how: Any) -> Mapping[str, Run]:
        return {THEIR_PHASES[name]: run for name, run in reference_stylegan2.phases(**shape, **how).items()}

    summary = f"StyleGAN2 (configuration F, channel base {base}) {size}x{size}, batch {batch_size}: the average step"
    return Benchmark(summary, partial(stylegan2_phases, size, base, batch_size), reference, batch_size, LAZY_STEPS)


def augmentation_cost(size: int, base: int, batch_size: int) -> Benchmark:
    """The average step of StyleGAN2 with ADA's transforms and without them; what p is does not change the work."""
    shape = (size, base, batch_size)
    summary = (
        f"StyleGAN2 (channel base {base}) {size}x{size}, batch {batch_size}: the average step with and without bgc"
    )
    phases = {
        augment: lambda dtype, augment=augment: stylegan2_phases(*shape, dtype, augment) for augment in ("bgc", "none")
    }
    return Benchmark(summary, phases["bgc"], None, batch_size, LAZY_STEPS, phases["none"])


def stylegan2_images(size: int, base: int, batch_size: int) -> Benchmark:
    """Sampling from StyleGAN2."""
    shape: dict[str, Any] = {"image_size": size, "channel_base": base, "batch_size": batch_size}
    summary = f"StyleGAN2 (configuration F, channel base {base}) {size}x{size}, batch {batch_size}: sampling"
    return Benchmark(
        summary,
        partial(stylegan2_sampling, size, base, batch_size),
        lambda **how: {"sampling": reference_stylegan2.sampler(**shape, **how)},
        batch_size,
        {"sampling": 1.0},
    )


BENCHMARKS: Mapping[str, Benchmark] = {
    "dcgan64": Benchmark(
        "DCGAN (torch preset) 64x64, batch 64: one whole step per dispatch",
        partial(dcgan_steps, 64, 64),
        dcgan_reference(64),
        64,
        {STEP: 1.0},
    ),
    "dcgan32-scan": Benchmark(
        "DCGAN (torch preset) 32x32, batch 64: 16 steps per dispatch from images on the device",
        partial(dcgan_scan, 32, 64, 16),
        dcgan_reference(32),
        64,
        {STEP: 1.0},
    ),
    **{
        f"stylegan2-64-batch{n}" if n != 8 else "stylegan2-64": stylegan2_training(64, 16384, n) for n in (8, 4, 16, 32)
    },
    "stylegan2-64-sampling": stylegan2_images(64, 16384, 8),
    "stylegan2-256-sampling": stylegan2_images(256, 16384, 8),
    "stylegan2-256": stylegan2_training(256, 16384, 64),
    "augment-64": augmentation_cost(64, 16384, 32),
    "augment-64-narrow": augmentation_cost(64, 4096, 32),
    "augment-256": augmentation_cost(256, 16384, 64),
}


# Measuring ----------------------------------------------------------------------------------------------------------


def measure(name: str, dtype: str, rounds: int) -> dict[str, Any]:
    """One row: both sides in turn, ``rounds`` times, and their medians; of several parts, the average step's sum."""
    benchmark, threads, load = BENCHMARKS[name], len(os.sched_getaffinity(0)), os.getloadavg()[0]
    ours = benchmark.ours(dtype)
    theirs: dict[str, Mapping[str, Any]] = {}
    if benchmark.reference and reference_dcgan.available():
        for layout, channels_last in {"default": False, "channels_last": True}.items():
            theirs[layout] = benchmark.reference(dtype=dtype, channels_last=channels_last, threads=threads)
    if benchmark.without:
        theirs["without"] = {part: our.run for part, our in benchmark.without(dtype).items()}
    parts, host = {}, 0.0
    for part, share in benchmark.shares.items():
        runs = {"ours": ours[part].run, **{layout: their[part] for layout, their in theirs.items()}}
        parts[part], waiting = _medians(runs, rounds)
        host += share * waiting
    seconds = {
        side: sum(share * parts[part][side] for part, share in benchmark.shares.items()) for side in ("ours", *theirs)
    }
    steps = next(iter(ours.values())).steps
    rates = {side: benchmark.batch_size / s * (steps if side == "ours" else 1) for side, s in seconds.items()}
    flops = sum(share * ours[part].flops for part, share in benchmark.shares.items())
    reference = rates.get("default")
    return {
        "name": name,
        "images_per_s": rates["ours"],
        "reference_images_per_s": reference,
        "ratio": reference and rates["ours"] / reference,
        "reference_channels_last_images_per_s": rates.get("channels_last"),
        "overhead": seconds["ours"] / seconds["without"] - 1 if "without" in seconds else None,
        "s_per_1000_images": 1000 / rates["ours"],
        "compile_s": {part: ours[part].compile_s for part in parts},
        "peak_memory_bytes": max(ours[part].peak_memory_bytes for part in parts),
        "host_time_share": host / seconds["ours"],
        "flops_per_s": flops / seconds["ours"],
        "part_seconds": parts,
        **_setting(dtype, threads),
        "batch_size": benchmark.batch_size,
        "steps_per_dispatch": steps,
        "rounds": rounds,
        "load_average": load,
    }


def _medians(runs: Mapping[str, Callable[[int], float | None]], rounds: int) -> tuple[dict[str, float], float]:
    """Seconds of one dispatch of each side, taking turns, and those of our host in ours."""
    timed = {side: _timed(run) for side, run in runs.items()}
    counts = {side: _count(run) for side, run in timed.items()}
    samples: dict[str, list[tuple[float, float]]] = {side: [] for side in timed}
    for _ in range(rounds):
        for side, run in timed.items():
            samples[side].append(run(counts[side]))
    seconds = {side: statistics.median(s for s, _ in samples[side]) / counts[side] for side in timed}
    host = statistics.median(host for _, host in samples["ours"]) / counts["ours"]
    return seconds, host


def _timed(run: Callable[[int], float | None]) -> Callable[[int], tuple[float, float]]:
    """``run`` as a function that returns (seconds, seconds of the host in them)."""

    def timed(count: int) -> tuple[float, float]:
        start = time.perf_counter()
        host = run(count)
        return time.perf_counter() - start, host or 0.0

    return timed


def _count(run: Callable[[int], tuple[float, float]]) -> int:
    """Warm up; how many dispatches make a round."""
    fastest = min(run(1)[0] for _ in range(WARM_UP))
    return max(1, math.ceil(ROUND_SECONDS / fastest))


def _setting(dtype: str, threads: int) -> dict[str, Any]:
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    return {
        "device": f"{platform.machine()} cpu, {threads} threads" if on_cpu else device.device_kind,
        "dtype": dtype,
        "threads": threads,
        "jax": jax.__version__,
        "matmul_flops_per_s": matmul_peak(dtype, 2048 if on_cpu else 8192),
    }


def matmul_peak(dtype: str, size: int, repeats: int = 10) -> float:
    """The device's own best: FLOP/s of a large square product in this dtype, at the default precision."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a, b: a @ b)
    seconds = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


# The command --------------------------------------------------------------------------------------------------------


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; --list names them")
    parser.add_argument("--list", action="store_true", help="name the benchmarks, one a line")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side (default: 9)")
    options = parser.parse_args(args)
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<22} {benchmark.summary}")
        return 0
    try:
        _check(options)
        rows = _measure_all(options.names, options.rounds)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    _print(rows)
    if options.json:
        write_whole(options.json, (json.dumps(rows, indent=2) + "\n").encode())
    return 0


def _check(options: argparse.Namespace) -> None:
    if not options.names:
        raise UserError(f"name what to measure: {', '.join(BENCHMARKS)}")
    for name in options.names:
        if name not in BENCHMARKS:
            raise UserError(f"unknown benchmark {name!r};{nearest(name, BENCHMARKS)}")
    if options.rounds < 1:
        raise UserError(f"--rounds {options.rounds}: must be at least 1")
    if options.json and not options.json.parent.is_dir():
        raise UserError(f"--json {options.json}: there is no folder {options.json.parent}")


def _measure_all(names: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """A row for each name and dtype: float32, and bfloat16 too on an accelerator."""
    keep_freed_memory()  # for both sides, as the command does
    jax.config.update("jax_enable_compilation_cache", False)  # or compile_s would be the time of reading a file
    if not reference_dcgan.available():
        print("PyTorch is not installed: the reference side is skipped (pip install '.[benchmark]')")
    dtypes = ["float32"] if jax.default_backend() == "cpu" else ["float32", "bfloat16"]
    return [measure(name, dtype, rounds) for name in names for dtype in dtypes]


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """A column for each row of the JSON."""
    first = rows[0]
    title = f"jax {first['jax']}, {first['device']}, load average {first['load_average']:.1f} at the start"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['name']}\n{row['dtype']}", justify="right")
    for title, value, digits in LINES:
        table.add_row(title, *(_number(value(row), digits) for row in rows))
    Console().print(table)
    for row in rows:
        if len(row["part_seconds"]) > 1:
            _print_parts(row)


def _print_parts(row: Mapping[str, Any]) -> None:
    """Seconds of the parts of a step."""
    sides = list(next(iter(row["part_seconds"].values())))
    table = Table(title=f"{row['name']}, {row['dtype']}: seconds of each phase", title_justify="left")
    for column in ("", *(SIDES[side] for side in sides), "compilation"):
        table.add_column(column, justify="right" if column else "left")
    for part, seconds in row["part_seconds"].items():
        numbers = [*(seconds[side] for side in sides), row["compile_s"][part]]
        table.add_row(part, *(_number(number, 3) for number in numbers))
    Console().print(table)


SIDES = {"ours": "ganzoo", "without": "without", "default": "PyTorch", "channels_last": "PyTorch, channels last"}
LINES: Sequence[tuple[str, Callable[[Mapping[str, Any]], float | None], int]] = [
    ("images/s", lambda row: row["images_per_s"], 1),
    ("PyTorch images/s", lambda row: row["reference_images_per_s"], 1),
    ("ratio", lambda row: row["ratio"], 2),
    ("PyTorch, channels last", lambda row: row["reference_channels_last_images_per_s"], 1),
    ("overhead, %", lambda row: None if row["overhead"] is None else 100 * row["overhead"], 1),
    ("s per 1000 images", lambda row: row["s_per_1000_images"], 2),
    ("longest compilation, s", lambda row: max(row["compile_s"].values()), 1),
    ("peak memory, MB", lambda row: row["peak_memory_bytes"] / 1e6, 0),
    ("host time, %", lambda row: 100 * row["host_time_share"], 2),
    ("GFLOP/s", lambda row: row["flops_per_s"] / 1e9, 0),
    ("of the matmul peak, %", lambda row: 100 * row["flops_per_s"] / row["matmul_flops_per_s"], 0),
]
"""What is printed of a row: title, value, digits."""


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
