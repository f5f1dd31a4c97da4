"""How fast is it? Images per second, beside a PyTorch loop of the same work in the same run.

    python experiments/benchmark.py dcgan64 [--json FILE]
    python experiments/benchmark.py --list

Both sides take turns on the same machine and threads, each in a process of its own; medians, without warm-up and
compilation. PyTorch comes with ``uv run --extra benchmark`` or ``pip install '.[benchmark]'``; without it only our side
runs. It is measured as it comes, in both memory layouts, and, on a CPU, also with the C library told to keep freed
memory, which the ``ganzoo`` command does for itself. The speed of the machine is that of the faster of two products of
2048 x 2048 matrices (8192 on an accelerator), by JAX and by PyTorch. Close other programs: on a busy machine neither
the ratio nor the images per second mean much; ``--clock cpu`` counts the seconds of the processor, summed over its
threads, and is disturbed less. Price on two CPU cores: from one minute (DCGAN) to five (StyleGAN2) per name, and an
hour (R3GAN), which fewer ``--rounds`` shorten.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import reference_dcgan
from reference_process import CLOCKS, STEP, Process, Reference
from rich.console import Console
from rich.table import Table
from workloads import BENCHMARKS

from ganzoo.cli.process import guarded, keep_freed_memory
from ganzoo.disk import write_whole
from ganzoo.errors import UserError, nearest
from ganzoo.ops import processor

ROUND_SECONDS = 0.3
"""A round of each side lasts at least this long, so that waiting for the device does not count."""
WARM_UP = 1
DTYPES = ("float32", "bfloat16")
REST_SECONDS = 0.3
"""Between two turns, so that the threads of the side that had its turn are asleep."""


# Measuring ----------------------------------------------------------------------------------------------------------


def measure(name: str, dtype: str, rounds: int, *, clock: str, chosen: Sequence[str]) -> dict[str, Any]:
    """Return a row: our side and the ``chosen`` of theirs in turn, ``rounds`` times, their medians summed to a step."""
    benchmark, threads, load = BENCHMARKS[name], len(os.sched_getaffinity(0)), os.getloadavg()[0]
    ours = benchmark.ours(dtype)
    without = benchmark.without(dtype) if benchmark.without else {}
    parts, host, reference = {}, 0.0, benchmark.reference
    with ExitStack() as open_processes:
        theirs = {
            side: open_processes.enter_context(Process(reference, dtype=dtype, threads=threads, **how))
            for side, how in reference_sides().items()
            if reference and side in chosen
        }
        for part, share in benchmark.shares.items():
            sides: dict[str, Turn] = {"ours": _our_turn(ours[part].run, clock)}
            sides |= {"without": _our_turn(without[part].run, clock)} if without else {}
            sides |= {side: _their_turn(process, benchmark.theirs[part], clock) for side, process in theirs.items()}
            parts[part], waiting = _medians(sides, rounds)
            host += share * waiting
            print(f"{name}, {part}: {_each(parts[part])}", file=sys.stderr, flush=True)
    seconds = {side: sum(share * parts[part][side] for part, share in benchmark.shares.items()) for side in sides}
    steps = next(iter(ours.values())).steps
    rates = {side: benchmark.batch_size / s * (steps if side == "ours" else 1) for side, s in seconds.items()}
    flops = sum(share * ours[part].flops for part, share in benchmark.shares.items())
    theirs_as_it_comes, theirs_at_best = rates.get("default"), max((rates[side] for side in theirs), default=None)
    products = matmul_rates(dtype, threads, clock, alone=not theirs)
    cost, ceiling = flops / (steps * benchmark.batch_size), max(products.values())
    return {
        "name": name,
        "images_per_s": rates["ours"],
        "reference_images_per_s": {side: rates[side] for side in theirs},
        "ratio": theirs_as_it_comes and rates["ours"] / theirs_as_it_comes,
        "ratio_to_best": theirs_at_best and rates["ours"] / theirs_at_best,
        "overhead": seconds["ours"] / seconds["without"] - 1 if without else None,
        "s_per_1000_images": 1000 / rates["ours"],
        "compile_s": {part: ours[part].compile_s for part in parts},
        "trace_s": {part: ours[part].trace_s for part in parts},
        "peak_memory_bytes": max(ours[part].peak_memory_bytes for part in parts),
        "host_time_share": host / seconds["ours"],
        "flops_per_s": cost * rates["ours"],
        "matmul_flops_per_s": products,
        "ceiling_share": cost * rates["ours"] / ceiling,
        "reference_ceiling_share": theirs_at_best and cost * theirs_at_best / ceiling,
        "part_seconds": parts,
        **_setting(dtype, threads),
        "clock": clock,
        "batch_size": benchmark.batch_size,
        "steps_per_dispatch": steps,
        "rounds": rounds,
        "load_average": load,
    }


def reference_sides() -> dict[str, dict[str, bool]]:
    """How PyTorch is run; not at all where it is not installed."""
    if not reference_dcgan.available():
        return {}
    sides = {
        "default": {"channels_last": False, "keep_freed_memory": False},
        "channels_last": {"channels_last": True, "keep_freed_memory": False},
    }
    if jax.default_backend() == "cpu":
        sides["default_kept"] = {"channels_last": False, "keep_freed_memory": True}
        sides["channels_last_kept"] = {"channels_last": True, "keep_freed_memory": True}
    return sides


Turn = Callable[[int], tuple[float, float]]
"""``turn(count) -> (seconds, seconds of our host in them)``."""


def _our_turn(run: Callable[[int], float], clock: str) -> Turn:
    def turn(count: int) -> tuple[float, float]:
        start = CLOCKS[clock]()
        host = run(count)
        return CLOCKS[clock]() - start, host

    return turn


def _their_turn(process: Process, part: str, clock: str) -> Turn:
    return lambda count: (process.run(part, count, clock), 0.0)


def _medians(sides: Mapping[str, Turn], rounds: int) -> tuple[dict[str, float], float]:
    """Seconds of one dispatch of each side, taking turns, and those of our host in ours."""
    fastest = {side: min(turn(1)[0] for _ in range(WARM_UP)) for side, turn in sides.items()}
    counts = {side: max(1, math.ceil(ROUND_SECONDS / seconds)) for side, seconds in fastest.items()}
    samples: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, turn in sides.items():
            time.sleep(REST_SECONDS)
            if fastest[side] < ROUND_SECONDS:
                turn(1)  # memory that lay idle for a while may have to be fetched back
            samples[side].append(turn(counts[side]))
    seconds = {side: statistics.median(s for s, _ in samples[side]) / counts[side] for side in sides}
    host = statistics.median(host for _, host in samples["ours"]) / counts["ours"]
    return seconds, host


def _each(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{SIDES[side]} {value:.4g} s" for side, value in seconds.items())


def _setting(dtype: str, threads: int) -> dict[str, Any]:
    device = jax.devices()[0]
    on_cpu = device.platform == "cpu"
    return {
        "device": f"{platform.machine()} cpu, {threads} threads" if on_cpu else device.device_kind,
        "units": list(processor.units()) if on_cpu else [],
        "dtype": dtype,
        "threads": threads,
        "jax": jax.__version__,
    }


def matmul_rates(dtype: str, threads: int, clock: str, *, alone: bool, repeats: int = 10) -> dict[str, float]:
    """The machine's own best: FLOP/s of a large square product, by JAX and, unless ``alone``, by PyTorch."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    a, product = jnp.ones((size, size), dtype), jax.jit(lambda a, b: a @ b)

    def run(count: int) -> float:
        for _ in range(count):
            result = product(a, a)
        result.block_until_ready()
        return 0.0

    with ExitStack() as open_processes:
        sides = {"jax": _our_turn(run, clock)}
        if not alone:
            how = {"dtype": dtype, "threads": threads, "channels_last": False, "keep_freed_memory": True}
            reference = Process(Reference("reference_matmul", "product", {"size": size}), **how)
            sides["pytorch"] = _their_turn(open_processes.enter_context(reference), STEP, clock)
        seconds = [{side: turn(1)[0] for side, turn in sides.items()} for _ in range(1 + repeats)]
    return {side: 2 * size**3 / min(each[side] for each in seconds) for side in sides}


# The command --------------------------------------------------------------------------------------------------------


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure; --list names them")
    parser.add_argument("--list", action="store_true", help="name the benchmarks, one a line")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side (default: 9)")
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    parser.add_argument(
        "--sides", nargs="+", choices=PYTORCH_SIDES, help="ways to run PyTorch (default: all that the device has)"
    )
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="seconds of the wall, or of the processor (default: wall)"
    )
    parser.add_argument(
        "--dtype", nargs="+", choices=DTYPES, help="of the activations (default: float32, and both on an accelerator)"
    )
    options = parser.parse_args(args)
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<22} {benchmark.summary}")
        return
    _check(options)
    _print(_measure_all(options))


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


def _measure_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each name and dtype."""
    keep_freed_memory()  # as the command does
    jax.config.update("jax_enable_compilation_cache", False)  # or compile_s would be the time of reading a file
    if not options.alone and not reference_dcgan.available():
        print("PyTorch is not installed: the reference side is skipped (pip install '.[benchmark]')")
    dtypes = options.dtype or (DTYPES[:1] if jax.default_backend() == "cpu" else DTYPES)
    how = {"clock": options.clock, "chosen": () if options.alone else options.sides or PYTORCH_SIDES}
    rows = []
    for name, dtype in itertools.product(options.names, dtypes):
        rows.append(measure(name, dtype, options.rounds, **how))
        if options.json:  # after every row, because the next one takes minutes and may be interrupted
            write_whole(options.json, (json.dumps(rows, indent=2) + "\n").encode())
    return rows


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """A column for each row of the JSON."""
    first = rows[0]
    device = f"{first['device']} ({', '.join(first['units']) or 'no AVX2, AVX-512 or AMX'})"
    title = (
        f"jax {first['jax']}, {device}, load average {first['load_average']:.1f} at the start,"
        f" seconds of the {first['clock']}"
    )
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
    table = Table(title=f"{row['name']}, {row['dtype']}: seconds of each part", title_justify="left")
    for column in ("", *(SIDES[side] for side in sides), "images/s", "compilation"):
        table.add_column(column, justify="right" if column else "left")
    for part, seconds in row["part_seconds"].items():
        numbers = [*(seconds[side] for side in sides), row["batch_size"] / seconds["ours"], row["compile_s"][part]]
        table.add_row(part, *(_number(number, 3) for number in numbers))
    Console().print(table)


SIDES = {
    "ours": "ganzoo",
    "without": "without",
    "default": "PyTorch",
    "channels_last": "channels last",
    "default_kept": "memory kept",
    "channels_last_kept": "channels last, memory kept",
}
PYTORCH_SIDES = tuple(side for side in SIDES if side not in ("ours", "without"))
LINES: Sequence[tuple[str, Callable[[Mapping[str, Any]], float | None], int]] = [
    ("images/s", lambda row: row["images_per_s"], 1),
    ("PyTorch images/s", lambda row: row["reference_images_per_s"].get("default"), 1),
    ("ratio", lambda row: row["ratio"], 2),
    ("PyTorch, channels last", lambda row: row["reference_images_per_s"].get("channels_last"), 1),
    ("PyTorch, memory kept", lambda row: row["reference_images_per_s"].get("default_kept"), 1),
    ("both", lambda row: row["reference_images_per_s"].get("channels_last_kept"), 1),
    ("ratio to the best", lambda row: row["ratio_to_best"], 2),
    ("overhead, %", lambda row: _scaled(row["overhead"], 100), 1),
    ("s per 1000 images", lambda row: row["s_per_1000_images"], 2),
    ("longest compilation, s", lambda row: max(row["compile_s"].values()), 1),
    ("longest tracing before, s", lambda row: max(row["trace_s"].values()), 1),
    ("peak memory, MB", lambda row: row["peak_memory_bytes"] / 1e6, 0),
    ("host time, %", lambda row: 100 * row["host_time_share"], 2),
    ("GFLOP/s", lambda row: row["flops_per_s"] / 1e9, 0),
    ("of a matrix product, JAX", lambda row: row["matmul_flops_per_s"]["jax"] / 1e9, 0),
    ("of a matrix product, PyTorch", lambda row: _scaled(row["matmul_flops_per_s"].get("pytorch"), 1e-9), 0),
    ("share of the faster product, %", lambda row: 100 * row["ceiling_share"], 0),
    ("PyTorch at its best, %", lambda row: _scaled(row["reference_ceiling_share"], 100), 0),
]
"""What is printed of a row: title, value, digits."""


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    sys.exit(guarded(main))
