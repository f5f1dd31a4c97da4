"""Fingerprints of compiled programs: counts that change where a program does, as recorded in fingerprints.json.

To renew those of the installed compilers, after a look at what changed::

    XLA_FLAGS= uv run --extra tpu --extra cuda13 python tests/forecast/fingerprints.py

``cpu:8`` behind it renews those of that machine alone; ``--print cpu:8`` prints them, and writes nothing. Each version
of JAX has fingerprints of its own, since its compilers write other programs: ``uv run --python 3.12 ...`` renews those
of a newer one.
"""

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from ganzoo.forecast import compiled_counts, parse_topology
from ganzoo.forecast.forecast import arguments, phases_of
from ganzoo.runs.config import find_experiment, resolve
from ganzoo.training import parallel

TABLE = Path(__file__).parent / "fingerprints.json"
TOPOLOGIES = {
    "cpu:8": ("jax",),
    "v5e:2x4": ("jax", "libtpu"),
    "h100:8": ("jax", "jax-cuda13-plugin"),
}
"""Machines, and the packages whose versions decide on their programs."""
EXTRAS = {"v5e:2x4": "tpu", "h100:8": "cuda13"}
"""Extras of this package that bring the compilers."""
SMALL = {
    "dcgan-tiny": ("both networks",),
    "stylegan2-tiny": ("generator", "generator penalty", "discriminator penalty"),
    "dcgan-digits": ("both networks",),
}
SOME = {"dcgan-digits": ("both networks",), "stylegan2-tiny": ("generator", "discriminator penalty")}
PROGRAMS = {
    "cpu:8": SMALL,
    "v5e:2x4": {**SOME, "stylegan2-faces64": ("discriminator",)},
    "h100:8": SOME,
}
"""Phases by preset, for each machine: small ones of every kind, and those of presets that people train."""
BATCH = 64
IGNORED = ("kernels", "stored_bytes")
"""Counts that differ from processor to processor."""
TOLERANCE = 0.05

Fingerprint = Mapping[str, int]


def missing(topology: str) -> str:
    """What is not installed and compiles for a machine, with the remedy; empty where all is there."""
    absent = [name for name in TOPOLOGIES[topology] if not importlib.util.find_spec(name.replace("-", "_"))]
    return f"{topology}: {', '.join(absent)} is not installed: uv run --extra {EXTRAS[topology]} ..." if absent else ""


def compilers(topology: str) -> str:
    """What the programs for a machine are compiled with, such as "jax 0.10.2, libtpu 0.0.42"."""
    versions = {name: importlib.metadata.version(name).split(".")[:3] for name in TOPOLOGIES[topology]}
    return ", ".join(f"{name} {'.'.join(version)}" for name, version in versions.items())


def fingerprint(compiled: jax.stages.Compiled) -> Fingerprint:
    """The counts of a program, and the bytes that it needs at its peak."""
    counts = {name: count for name, count in asdict(compiled_counts(compiled)).items() if name not in IGNORED}
    memory: Any = compiled.memory_analysis()
    sizes = memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes
    return {**counts, "peak_memory": sum(sizes) - memory.alias_size_in_bytes}


def measured(topology: str) -> dict[str, Fingerprint]:
    """The fingerprints of all programs, by their names."""
    mesh, found = parse_topology(topology).mesh(), {}
    for preset, names in PROGRAMS[topology].items():
        experiment, _ = resolve(find_experiment(preset), mesh.size)
        gan = experiment.model.build(experiment.gan)
        phases, args = phases_of(gan.stages[-1]), arguments(gan, BATCH)
        for name in names:
            step: Any = parallel.jit_step(phases[name][0], mesh)
            found[f"{preset}, {name}"] = fingerprint(step.lower(*args).compile())
            print(f"{topology}: {preset}, {name}", file=sys.stderr)
    return found


def changes(recorded: Mapping[str, Fingerprint], found: Mapping[str, Fingerprint]) -> list[str]:
    """A line for every count that is more than 5 % off, and for every program or count that only one side has."""
    lines = [f"{name}: only in one of the two" for name in sorted(recorded.keys() ^ found.keys())]
    for name in recorded.keys() & found.keys():
        old, new = recorded[name], found[name]
        for count in sorted(old.keys() | new.keys()):
            before, now = old.get(count), new.get(count)
            if before is None or now is None or abs(now - before) > TOLERANCE * before:
                lines.append(f"{name}: {count} was {before} and is {now}")
    return lines


def recorded(topology: str) -> Mapping[str, Fingerprint] | None:
    """The fingerprints in the table of the installed compilers; None where there are none."""
    return table().get(topology, {}).get(compilers(topology))


def unrecorded(topology: str) -> str:
    """What to do where the table has no fingerprints of the installed compilers; empty where it has."""
    if recorded(topology) is not None:
        return ""
    known = "; ".join(table().get(topology, {}))
    return (
        f"{topology}: no fingerprints of {compilers(topology)} are recorded, only those of {known}; at a commit that is"
        f" known to be good, python tests/forecast/fingerprints.py {topology} records them"
    )


def table() -> dict[str, dict[str, Mapping[str, Fingerprint]]]:
    """All fingerprints: by machine, compilers and program."""
    return json.loads(TABLE.read_text())


def main(args: list[str]) -> None:
    """Renew the table, or print a part of it."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    if args[:1] == ["--print"]:
        print(json.dumps(measured(args[1])))
        return
    found = table()
    for topology in args or TOPOLOGIES:
        if reason := missing(topology):
            print(reason)
            continue
        new = measured(topology)
        print("\n".join(changes(recorded(topology) or {}, new)))
        found.setdefault(topology, {})[compilers(topology)] = new
        TABLE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
