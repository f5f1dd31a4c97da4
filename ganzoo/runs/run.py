"""A run from a config to a folder: model, data and training put together, then started or resumed.

A run folder holds::

    config.json       everything that the run was made with, also versions and command lines
    log.txt           the lines that were printed
    metrics.jsonl     a row of scalars every ``log_every`` images
    tensorboard/      scalars and sample grids as TensorBoard events
    samples/          grids of the same latents over time, named by the images seen
    reals.png         real images in the same arrangement
    samples.png       the last grid, enlarged
    samples.webp      all grids as a film
    checkpoints/      whole train states, named by the images seen
    evaluations.jsonl metrics with all that it takes to repeat them, and best/ checkpoints by one, if asked for
"""

import contextlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ganzoo.config import Difference, require, to_json
from ganzoo.data import Dataset, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.errors import printable
from ganzoo.gan import GAN, parameter_count
from ganzoo.pretrained import PRESENT_CLASSES, read_record, read_start
from ganzoo.runs.config import Experiment, TrainingConfig, resolve
from ganzoo.runs.evaluate import Evaluator, evaluating
from ganzoo.runs.folder import RunLog, begin_folder, check_folder, circumstances, data_changes, saved_images, writing
from ganzoo.runs.stopping import interruption
from ganzoo.runs.transfer import matches, other_settings, table, transfer, unused
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints, require_space, size_of, unchecked
from ganzoo.training.guarded import Opening, Outside, check_hooks
from ganzoo.training.hooks import PATIENCE, FiniteGuard, Hook, LeakWarning, Log, Progress, Samples, Save
from ganzoo.training.loop import Dispatch, train
from ganzoo.training.plan import Segment, plan
from ganzoo.training.report import program_report
from ganzoo.training.trackers import trackers
from ganzoo.typing import Key, PyTree, State, Step

LogLine = Callable[[str], None]
SHOWN_CLASSES = 20
COMPARED_EVERY = 32
"""Steps between two moments at which processes tell each other whether they were asked to stop."""


@dataclass(frozen=True)
class Run:
    """A run that was checked and may begin: all that stays the same until its end."""

    experiment: Experiment[Any]
    gan: GAN
    shapes: State
    """The train state as shapes and types."""
    mesh: Mesh
    segments: Sequence[Segment]
    dataset: Dataset
    feed: Feed
    evaluator: Evaluator | None
    weights: dict[str, np.ndarray] | None
    """Weights to start from, by their names in a train state."""
    record: dict[str, Any]
    """The content of config.json."""
    log: LogLine
    trackers: Sequence[Hook] = ()
    """Hooks of the trackers that the settings name."""

    @property
    def settings(self) -> TrainingConfig:
        """Settings of the run."""
        return self.experiment.training

    @property
    def steps_per_dispatch(self) -> int:
        """Number of steps that are compiled into one call of the device."""
        on_cpu = all(device.platform == "cpu" for device in self.mesh.devices.flat)
        return self.settings.steps_per_dispatch or (1 if on_cpu else 8)

    @property
    def layout(self) -> PyTree:
        """How the train state is divided over the devices; None where it is whole on each."""
        return parallel.divided_layout(self.shapes, self.mesh) if self.settings.shard_state else None

    def key(self, purpose: int) -> Key:
        """Return the key of the weights (0), of the steps (1) or of the sample grids (2)."""
        return jax.random.split(jax.random.key(self.settings.seed), 3)[purpose]

    def start(self) -> State:
        """Return the first train state, on every device or divided over them."""
        state = parallel.jit_init(self.gan.init, self.mesh, layout=self.layout)(self.key(0))
        return parallel.place(transfer(state, self.weights), self.mesh, self.layout) if self.weights else state

    def program(self, segment: Segment) -> Step:
        """Return the K-step program of a segment, to be called with payloads of the feed."""
        steps = self.feed.steps(segment.stage.step)
        return parallel.jit_step(steps, self.mesh, batch=self.feed.spec, layout=self.layout)


def run(
    experiment: Experiment[Any],
    out: Path,
    *,
    resume: bool = False,
    allow_new_data: bool = False,
    dry_run: bool = False,
    hooks: Sequence[Hook] = (),
    log: LogLine = print,
    reading: Callable[[int, int], None] | None = None,
) -> State:
    """Train, into the folder ``out``, from the start or from its newest checkpoint; return the last train state.

    All input is checked before anything is written, and everything is written by process 0.

    Args:
      experiment: what to run.
      out: the run folder; must be new or empty unless ``resume``.
      resume: continue the run in ``out``, bit for bit as if it had not stopped.
      allow_new_data: resume also where the data set has other images than before, such as more of them, which is
        recorded in config.json under "data_changes".
      dry_run: do all checks, say what the run would do and cost, and write nothing; the state is then one of shapes.
      hooks: called besides those of the run, after them. An error in one of them ends the run after a checkpoint.
      log: receives lines that say what is about to happen.
      reading: called with (images read, images in all) while the data set is opened.

    Raises:
      UserError: bad input, a folder that holds another run, no room on the disk, or training that diverged; or, as its
        ``HookFailed``, an error in a hook.
      KeyboardInterrupt: stopped by a signal, after a checkpoint was saved.
    """
    check_hooks(hooks)
    log = RunLog(log)
    if dry_run and experiment.data.cache:
        log(f"dry run: the cache in {printable(experiment.data.cache, 200)} is neither read nor written")
        experiment = replace(experiment, data=replace(experiment.data, cache=None))
    prepared = prepare(experiment, out, resume=resume, allow_new_data=allow_new_data, log=log, reading=reading)
    if dry_run:
        steps = prepared.steps_per_dispatch
        for segment in prepared.segments:
            payload = prepared.feed.example(steps, segment.batch_size)
            args = prepared.shapes, payload, prepared.key(1)
            report(prepared, segment, prepared.program(segment), args, steps)
        log(f"dry run: nothing was written to {out}")
        return prepared.shapes
    if not resume:
        begin_folder(out, prepared.record)
        log.open(out)
    settings = prepared.settings
    with Checkpoints(out / "checkpoints", keep_last=settings.keep_last, keep_every=settings.keep_every) as checkpoints:
        if checkpoints.latest is None:
            state = prepared.start()
        else:
            state = checkpoints.restore(prepared.shapes, prepared.mesh, layout=prepared.layout)
            log(f"resumed at {int(state.images)} images")
            for note in unchecked(out / "checkpoints" / str(checkpoints.latest)):
                log(f"note: {note}")
        if resume:  # now that the checkpoint is known to be whole
            begin_folder(out, prepared.record)
            log.open(out)
        if int(state.step) >= prepared.segments[-1].last_step:
            log(f"nothing to do: the run has {int(state.images)} of {settings.images} images; raise --images to go on")
            return state
        outside = Outside([*prepared.trackers, *hooks])
        own = run_hooks(prepared, out, checkpoints, outside)
        with writing(out), measuring(prepared, out, own) as every_hook:
            return advance(prepared, state, every_hook, outside)


def prepare(
    experiment: Experiment[Any],
    out: Path,
    *,
    resume: bool = False,
    allow_new_data: bool = False,
    log: LogLine = print,
    reading: Callable[[int, int], None] | None = None,
) -> Run:
    """Check all that a run needs, say what it will do, and return it; nothing is written.

    Raises:
      UserError: as ``run``.
    """
    with parallel.together():  # nobody writes before all have checked
        require(bool(experiment.data.data), "data", "", "be given: --data with a folder, a .zip file or tfds:NAME")
        require(resume or not allow_new_data, "allow_new_data", True, "be left out of a run that is not resumed")
        mesh = parallel.data_mesh(experiment.training.devices)
        old = read_record(out) if resume and (out / "config.json").exists() else None
        recorded = old["experiment"] if old else None
        experiment, notes = with_recorded_start(experiment, out, recorded)
        experiment, chosen = resolve(experiment, mesh.size, recorded)
        settings, gan = experiment.training, experiment.model.build(experiment.gan)
        record: dict[str, Any] = {"experiment": experiment.to_json()}
        check_folder(out, record, recorded, resume=resume)
        shapes = jax.eval_shape(gan.init, jax.random.key(0))
        segments = fitting_segments(gan, settings, mesh.size)
        weights, started = start_weights(experiment, shapes, out, old)
        dataset = open_dataset(experiment.data, gan.image_shape, reading)
        dataset.check_labels(gan.label_size)
        measures = bool(settings.metrics.metrics)
        evaluator = Evaluator(gan, dataset, settings.metrics, mesh, log) if measures else None
        tracking = trackers(settings.log_to, log) if jax.process_index() == 0 else []
        record |= circumstances(old)
        record |= {"fingerprint": dataset.fingerprint} | ({"start": started} if started else {})
        changes = data_changes(out, record, old, allow_new=allow_new_data)
        record |= {"data_changes": changes} if changes else {}
        is_partly = 0 < len(dataset.present_classes) < gan.label_size
        record |= {PRESENT_CLASSES: dataset.present_classes.tolist()} if is_partly else {}
        require_space(out, size_of(shapes))
    parallel.require_same(json.dumps([record["fingerprint"], to_json(gan.config), to_json(settings)]), "config or data")
    feed = Feed(dataset, seed=settings.seed, mesh=mesh, own_reals=gan.own_reals)
    prepared = Run(experiment, gan, shapes, mesh, segments, dataset, feed, evaluator, weights, record, log, tracking)
    if settings.shard_state and mesh.size == 1:
        notes.append("note: shard_state changes nothing on one device")
    choices = [_choice(each, experiment) for each in chosen]
    if old and changes != old.get("data_changes", []):
        notes.append(f"note: from image {changes[-1]['images']} on, the run has other data than before")
    told = [*notes, *choices, describe(prepared), *costs(prepared), *dataset.describe(gan.label_size).splitlines()]
    for line in [*told, *(started if weights else [])]:
        log(printable(line, 500))
    return prepared


def fitting_segments(gan: GAN, settings: TrainingConfig, devices: int) -> list[Segment]:
    """Return the segments of a run; ``UserError`` where a batch suits not the devices or not the model."""
    segments = plan(gan.stages, settings.batch_size, settings.images)
    for segment in segments:
        size = segment.batch_size
        require(size % devices == 0, "batch_size", size, f"be a multiple of {devices} devices")
        gan.check_batch_size(size)
    return segments


def with_recorded_start(
    experiment: Experiment[Any], out: Path, recorded: Mapping[str, Any] | None
) -> tuple[Experiment[Any], list[str]]:
    """Return the experiment with the ``init_from`` that a resumed run began with, and notes about another one."""
    if recorded is None:
        return experiment, []
    given, began = experiment.training.init_from, str(recorded.get("training", {}).get("init_from", ""))
    notes = [f"note: init_from = {given!r} is not used: the run in {out} has begun with {began or 'fresh weights'}"]
    changed = replace(experiment, training=replace(experiment.training, init_from=began))
    return changed, notes if given not in ("", began) else []


def start_weights(
    experiment: Experiment[Any], shapes: State, out: Path, old: Mapping[str, Any] | None
) -> tuple[dict[str, np.ndarray] | None, list[str]]:
    """Return the weights that a run starts from, and lines about them for its log and its record.

    Args:
      experiment: names the weights in its ``init_from``.
      shapes: the train state.
      out: the run folder.
      old: the record there; None for a new run.

    Returns:
      The weights, None where the run starts without any or goes on from a checkpoint; and the lines.
    """
    init_from = experiment.training.init_from
    if not init_from or (old and saved_images(out)):
        return None, list(old.get("start", [])) if old else []
    lines: list[str] = []
    start = read_start(init_from, lines.append)
    lines += [*table(matches(shapes, start.weights)), *unused(shapes, start.weights)]
    if start.model == experiment.model.name:
        lines += other_settings(experiment.gan, start.fields)
    elif start.model:
        lines.append(f"note: the source is of {start.model}, whose settings may mean other functions")
    return start.weights, lines


def advance(run: Run, state: State, hooks: Sequence[Hook], outside: Outside) -> State:
    """Train from ``state`` to the end of the run, until a signal comes or a hook fails; return the last state.

    Args:
      run: what is trained.
      state: is donated.
      hooks: of the run itself.
      outside: hooks that come after them, whose errors are raised when all is saved.
    """
    last_step = run.segments[-1].last_step
    compared_every = max(1, COMPARED_EVERY // run.steps_per_dispatch)
    with interruption() as interrupted, contextlib.closing(dispatches(run, state)) as calls:
        stop = parallel.agreed(lambda: interrupted() or outside.has_failed, every=compared_every)
        every_hook = [*hooks, *outside.hooks]
        state = train(calls, state, run.key(1), last_step=last_step, hooks=every_hook, stop=stop)
    is_whole = int(state.step) >= last_step
    rest = "the run is complete" if is_whole else "mend it and resume the run"
    outside.complain(f"the checkpoint at {int(state.images)} images is saved: {rest}")
    if not is_whole:
        raise KeyboardInterrupt("stopped; a checkpoint is saved: the same command with --resume goes on")
    return state


def dispatches(run: Run, state: State) -> Generator[Dispatch]:
    """Yield the calls that are left of a run; each segment is compiled, and reported, when its turn comes."""
    done = int(state.step)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    for segment in (segment for segment in run.segments if segment.last_step > done):
        first, program = max(done, segment.first_step), run.program(segment)
        payloads = run.feed.payloads(
            first,
            segment.last_step,
            run.steps_per_dispatch,
            batch_size=segment.batch_size,
            images=segment.images_at(first),
        )
        with contextlib.closing(payloads):
            for i, (count, payload) in enumerate(payloads):
                if i == 0:
                    report(run, segment, program, (like, payload, run.key(1)), count)
                yield Dispatch(program, payload, count, count * segment.batch_size)


def _choice(chosen: Difference, experiment: Experiment[Any]) -> str:
    """Return a line about a setting that the config left open, with the reason where the weights are one."""
    name = chosen.field.split(".")[-1]
    is_transferred = experiment.training.init_from and chosen.field == f"gan.{name}" and name in experiment.transferred
    return f"auto: {name} = {chosen.new!r}{', as the run starts with other weights' if is_transferred else ''}"


# The parts of a run -------------------------------------------------------------------------------------------------


def run_hooks(run: Run, out: Path, checkpoints: Checkpoints, outside: Outside) -> list[Hook]:
    """Return what is done between calls of the device, in this order: nothing is saved that the guard has not seen.

    What is written is told to the hooks from ``outside``, which are not among those returned.
    """
    settings, total = run.settings, run.segments[-1].last_image
    columns, labels = shown_labels(run.gan, run.dataset)
    show, keep = (run.log.show, run.log.keep) if isinstance(run.log, RunLog) else (run.log, None)
    count, key = 64 if labels is None else len(labels), run.key(2)
    whole = partial(parallel.gathered, mesh=run.mesh)
    sample = jax.jit(lambda state: whole(run.gan.sample(whole(state), key, count, labels=labels)))
    reading = (settings.log_every, settings.sample_every, settings.checkpoint_every)
    told = outside.hooks
    hooks: list[Hook] = [Opening(told, out, run.record), FiniteGuard(reading, checkpoints)]
    if jax.process_index() == 0:
        hooks += [Log(reading, out, told), Progress(total, settings.log_every, show, keep)]
        hooks += [LeakWarning(reading, min(PATIENCE, total // 10), run.log)]
    reals = partial(shown_reals, run.dataset, count, labels)
    samples = Samples(settings.sample_every, out, sample, columns, reals=reals, log=run.log, told=told)
    return [*hooks, samples, Save(settings.checkpoint_every, checkpoints, outside.waiting)]


@contextmanager
def measuring(run: Run, out: Path, hooks: list[Hook]) -> Generator[list[Hook]]:
    """Yield the hooks with the metrics' one at the end, when the checkpoint is safe, where metrics are asked for."""
    if run.evaluator is None:
        yield hooks
        return
    every, keep_best, total = run.settings.metric_every, run.settings.keep_best, run.segments[-1].last_image
    log = next((hook for hook in hooks if isinstance(hook, Log)), None)
    with evaluating(run.evaluator, out, run.log, every=every, total=total, keep_best=keep_best, scalars=log) as hook:
        yield [*hooks, hook]


def shown_labels(gan: GAN, dataset: Dataset) -> tuple[int, jax.Array | None]:
    """Return the columns of the sample grids, and their labels [N, k] row by row.

    A row for each class that has images, of the first 20; labels that are no classes are those of the first 64 images.
    """
    if not gan.label_size:
        return 8, None
    if dataset.class_names:
        classes = dataset.present_classes[:SHOWN_CLASSES].repeat(10)
        return 10, jax.nn.one_hot(classes, gan.label_size)
    return 8, jnp.asarray(dataset.read(np.arange(64) % len(dataset))["label"])


def shown_reals(dataset: Dataset, count: int, labels: jax.Array | None) -> np.ndarray:
    """Return real images uint8 [N, H, W, C] for a grid like that of the samples: of the same classes, row by row.

    Args:
      dataset: of the run.
      count: N.
      labels: [N, k] of the samples, as ``shown_labels`` returns them.
    """
    if labels is None or dataset.labels is None or not dataset.class_names:
        return dataset.read(np.arange(count) % len(dataset))["image"]
    classes, per_row = np.unique(np.asarray(labels).argmax(axis=1), return_counts=True)
    of_class = (np.flatnonzero(dataset.labels.values == number) for number in classes)
    return dataset.read(np.concatenate([np.resize(own, n) for own, n in zip(of_class, per_row, strict=True)]))["image"]


# What is said of it -------------------------------------------------------------------------------------------------


def describe(run: Run) -> str:
    """Return one line: the model, its size and where it runs."""
    g, d = (parameter_count(network.params) for network in (run.shapes.generator, run.shapes.discriminator))
    height, width, channels = run.gan.image_shape
    device = run.mesh.devices.flat[0]
    where = f"{run.mesh.size} x {device.device_kind}" if run.mesh.size > 1 else device.device_kind
    if run.settings.shard_state:
        size, part = size_of(run.shapes) / 1e6, parallel.bytes_of_one_device(run.shapes, run.layout) / 1e6
        where += f", each with {part:.1f} MB of the state's {size:.1f} MB"
    return f"{run.gan.name} {width}x{height}x{channels}: G {g:,} and D {d:,} parameters, on {where}"


def costs(run: Run) -> list[str]:
    """Return a line for each stage of a GAN that has several: its batch and its part of the run."""
    if len(run.gan.stages) == 1:
        return []
    return [
        f"{segment.stage.name:<9} images {segment.first_image:>10,} to {segment.last_image:>10,},"
        f" {segment.batch_size} at once"
        for segment in run.segments
    ]


def report(run: Run, segment: Segment, program: Step, args: tuple[PyTree, ...], steps: int) -> None:
    """Trace and compile a program for arguments, as its first call would; say what a step costs and needs."""
    prefix = f"{segment.stage.name}: " if len(run.gan.stages) > 1 else ""
    for line in program_report(program, args, run.gan.config, segment.batch_size, run.mesh, steps=steps):
        run.log(f"{prefix}{line}")
