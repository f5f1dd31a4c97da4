"""What a run takes on a machine that is not there: every phase of its step compiled for it, and what comes of that."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from ganzoo.config import require
from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.forecast.counts import Counts, counts_of, kernels_of
from ganzoo.forecast.hlo import parse
from ganzoo.forecast.roofline import Roofline, roofline
from ganzoo.forecast.topologies import Topology
from ganzoo.gan import GAN, Stage
from ganzoo.runs.config import Experiment, resolve
from ganzoo.runs.run import fitting_segments
from ganzoo.training import parallel
from ganzoo.training.report import Memory, memory_limit, memory_of
from ganzoo.typing import PyTree, Step

NEEDED = re.compile(r"Used ([\d.]+)([MGT]) of [\d.]+[MGT] hbm")
UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Phase:
    """A phase of a step, compiled."""

    name: str
    interval: int
    """Steps between two of its kind."""
    memory: Memory
    """Of one device."""
    counts: Counts | None
    """Of one device; None where the compiler gave up for want of memory."""
    roofline: Roofline | None
    """None also where the peaks of the device are not known."""
    compile_seconds: float

    @property
    def seconds(self) -> float | None:
        """Seconds at the roofline; None where they are not known."""
        return self.roofline.seconds if self.roofline else None

    @property
    def compiler_seconds(self) -> float | None:
        """Seconds as the compiler estimates; None where it does not."""
        return self.roofline.compiler_seconds if self.roofline else None


@dataclass(frozen=True)
class StageForecast:
    """A stretch of a run: one program for each phase."""

    name: str
    batch_size: int
    """Images of a step, over all devices."""
    images: int
    """Real images that it sees."""
    steps: int
    phases: tuple[Phase, ...]

    @property
    def memory(self) -> Memory:
        """What the phase that takes most of it takes."""
        return max((phase.memory for phase in self.phases), key=lambda memory: memory.peak)

    @property
    def step_seconds(self) -> float | None:
        """Seconds of the average step at the roofline; None where those of a phase are not known."""
        return self._average([phase.seconds for phase in self.phases])

    @property
    def compiler_seconds(self) -> float | None:
        """Seconds of the average step as the compiler estimates; None where it does not."""
        return self._average([phase.compiler_seconds for phase in self.phases])

    def average(self, what: Callable[[Counts], int]) -> float | None:
        """Return a number of the average step: that of each phase divided by its interval, added up."""
        return self._average([what(phase.counts) if phase.counts else None for phase in self.phases])

    def _average(self, values: Sequence[float | None]) -> float | None:
        known = [(value, phase.interval) for value, phase in zip(values, self.phases, strict=True) if value is not None]
        return sum(value / interval for value, interval in known) if len(known) == len(self.phases) else None


@dataclass(frozen=True)
class Forecast:
    """What a run takes on a machine."""

    experiment: Experiment[Any]
    """With a number for all that its config leaves open."""
    topology: Topology
    stages: tuple[StageForecast, ...]

    @property
    def seconds(self) -> float | None:
        """Seconds of the whole run at the roofline; None where those of a step are not known."""
        parts = [(stage.step_seconds, stage.steps) for stage in self.stages]
        return None if any(each is None for each, _ in parts) else sum((each or 0) * steps for each, steps in parts)


def forecast(
    experiment: Experiment[Any],
    topology: Topology,
    *,
    stage: str | None = None,
    programs: Path | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Forecast:
    """Compile the phases of a run for a machine; return what it takes there. Nothing is executed.

    Args:
      experiment: its data are not read: what it would take from them is as the config says.
      topology: the machine.
      stage: only this stage of a GAN that has several, such as "64x64".
      programs: a folder to which the text of each compiled program is written.
      log: receives a line before each compilation.

    Raises:
      UserError: the compiler is not installed, or the batch does not suit the devices or the model.
    """
    mesh = topology.mesh()
    experiment, _ = resolve(experiment, mesh.size)
    gan = experiment.model.build(experiment.gan)
    segments = fitting_segments(gan, experiment.training, mesh.size)
    names = [segment.stage.name for segment in segments]
    require(stage is None or stage in names, "stage", stage, f"be one of {', '.join(names)}")
    found = []
    is_divided = experiment.training.shard_state and mesh.size > 1
    for segment in (segment for segment in segments if stage in (None, segment.stage.name)):
        args = arguments(gan, segment.batch_size)
        layout = parallel.divided_layout(args[0], mesh) if is_divided else None
        phases = []
        for name, (step, interval) in phases_of(segment.stage).items():
            log(f"{topology.name}: compiling {segment.stage.name}, {name}")
            text = programs and programs / f"{experiment.name}_{topology.name}_{segment.stage.name}_{name}.hlo"
            program = parallel.jit_step(step, mesh, layout=layout)
            phases.append(_phase(name, interval, program, args, topology, mesh, text))
        images, steps = segment.last_image - segment.first_image, segment.last_step - segment.first_step
        found.append(StageForecast(segment.stage.name, segment.batch_size, images, steps, tuple(phases)))
    return Forecast(experiment, topology, tuple(found))


def phases_of(stage: Stage) -> dict[str, tuple[Step, int]]:
    """Return the phases of a stage by name; its step where it tells none."""
    return dict(stage.phases) or {"step": (stage.step, 1)}


def arguments(gan: GAN, batch_size: int) -> tuple[PyTree, PyTree, PyTree]:
    """Return the shapes of a state, a batch and a key, with which a step can be compiled."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    reals = {"image": jax.ShapeDtypeStruct((batch_size, *gan.image_shape), "uint8")}
    if gan.label_size:
        reals["label"] = jax.ShapeDtypeStruct((batch_size, gan.label_size), "float32")
    batch = {**reals, **{network: dict(reals) for network in gan.own_reals}}
    return jax.eval_shape(gan.init, key), batch, key


def compiled_counts(compiled: jax.stages.Compiled) -> Counts:
    """Return the counts of a compiled program, on one device."""
    program = parse(compiled.as_text() or "")
    return counts_of(program, kernels_of(program))


def _phase(
    name: str, interval: int, step: Any, args: tuple[PyTree, ...], topology: Topology, mesh: Mesh, text: Path | None
) -> Phase:
    """Compile a phase, which is a jitted step; return what it takes."""
    limit = topology.device.memory or memory_limit(mesh.devices.flat[0])
    start = time.perf_counter()
    try:
        compiled = step.lower(*args).compile()
    except jax.errors.JaxRuntimeError as error:
        return Phase(name, interval, needed(error, limit), None, None, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    whole = compiled.as_text() or ""
    if text is not None:
        write_whole(text, whole.encode())
    program = parse(whole)
    kernels = kernels_of(program)
    time_of_it = roofline(kernels, topology.device, mesh.size)
    return Phase(name, interval, memory_of(compiled, limit), counts_of(program, kernels), time_of_it, seconds)


def needed(error: Exception, limit: int | None) -> Memory:
    """Return the memory that a program needs, which the compiler says where a device has less; else raise the error."""
    found = NEEDED.search(str(error))
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise UserError(f"the compiler gave up: {str(error).splitlines()[0]}") from error
    return Memory(0, int(float(found[1]) * UNITS[found[2]]) if found else (limit or 0) + 1, limit)
