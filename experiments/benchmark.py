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
from rich.console import Console
from rich.table import Table

import ganzoo
from ganzoo.data import DataConfig, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.disk import write_whole
from ganzoo.errors import UserError, nearest
from ganzoo.training import parallel

ROUND_SECONDS = 0.3
"""A round of each side lasts at least this long, so that waiting for the device does not count."""
WARM_UP = 2


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


@dataclass(frozen=True)
class Benchmark:
    """One line of the table: both sides as functions of the dtype."""

    summary: str
    ours: Callable[[str], Ours]
    reference: Callable[..., Callable[[int], None]]
    """``reference(dtype=, channels_last=, threads=)`` is a ``run(steps)``."""
    batch_size: int


# Our side -----------------------------------------------------------------------------------------------------------


def dcgan_steps(image_size: int, batch_size: int, dtype: str) -> Ours:
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

    return Ours(run, batch_size, 1, dcgan_flops(gan.config, batch_size), compile_s, _peak_memory(compiled))


def dcgan_scan(image_size: int, batch_size: int, steps: int, dtype: str) -> Ours:
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
    return Ours(run, steps * batch_size, steps, flops, compile_s, _peak_memory(compiled))


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

BENCHMARKS: Mapping[str, Benchmark] = {
    "dcgan64": Benchmark(
        "DCGAN (torch preset) 64x64, batch 64: one whole step per dispatch",
        partial(dcgan_steps, 64, 64),
        partial(reference_dcgan.trainer, image_size=64, batch_size=64),
        64,
    ),
    "dcgan32-scan": Benchmark(
        "DCGAN (torch preset) 32x32, batch 64: 16 steps per dispatch from images on the device",
        partial(dcgan_scan, 32, 64, 16),
        partial(reference_dcgan.trainer, image_size=32, batch_size=64),
        64,
    ),
}


# Measuring ----------------------------------------------------------------------------------------------------------


def measure(name: str, dtype: str, rounds: int) -> dict[str, Any]:
    """One row: both sides in turn, ``rounds`` times, and their medians."""
    benchmark, threads, load = BENCHMARKS[name], len(os.sched_getaffinity(0)), os.getloadavg()[0]
    ours = benchmark.ours(dtype)
    layouts = {"default": False, "channels_last": True} if reference_dcgan.available() else {}
    sides = {"ours": (_timed(ours.run), ours.images)}
    for layout, channels_last in layouts.items():
        run = benchmark.reference(dtype=dtype, channels_last=channels_last, threads=threads)
        sides[layout] = (_timed(run), benchmark.batch_size)

    counts = {side: _count(run) for side, (run, _) in sides.items()}
    samples: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, (run, _) in sides.items():
            samples[side].append(run(counts[side]))
    seconds = {side: statistics.median(s for s, _ in samples[side]) / counts[side] for side in sides}
    rates = {side: images / seconds[side] for side, (_, images) in sides.items()}
    host = sum(host for _, host in samples["ours"]) / sum(total for total, _ in samples["ours"])
    reference = rates.get("default")
    return {
        "name": name,
        "images_per_s": rates["ours"],
        "reference_images_per_s": reference,
        "ratio": reference and rates["ours"] / reference,
        "reference_channels_last_images_per_s": rates.get("channels_last"),
        "compile_s": ours.compile_s,
        "peak_memory_bytes": ours.peak_memory_bytes,
        "host_time_share": host,
        "flops_per_s": ours.flops / seconds["ours"],
        **_setting(dtype, threads),
        "batch_size": benchmark.batch_size,
        "steps_per_dispatch": ours.steps,
        "rounds": rounds,
        "load_average": load,
    }


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
            print(f"{name:<14} {benchmark.summary}")
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


LINES: Sequence[tuple[str, Callable[[Mapping[str, Any]], float | None], int]] = [
    ("images/s", lambda row: row["images_per_s"], 1),
    ("PyTorch images/s", lambda row: row["reference_images_per_s"], 1),
    ("ratio", lambda row: row["ratio"], 2),
    ("PyTorch, channels last", lambda row: row["reference_channels_last_images_per_s"], 1),
    ("compilation, s", lambda row: row["compile_s"], 1),
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
