"""A run from a config to a folder: the model, the data and the training of it, put together and started or resumed.

A run folder holds::

    config.json       everything that the run was made with
    metrics.jsonl     a line of scalars every ``log_every`` images
    tensorboard/      the same as TensorBoard events
    samples/          grids of the same latents over time, named by the images seen
    samples.png       the last grid, enlarged
    checkpoints/      whole train states, named by the images seen
    evaluations.jsonl metrics with all that it takes to repeat them, and best/ checkpoints by one, if asked for
"""

import contextlib
import json
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ganzoo.config import require, to_json
from ganzoo.data import Dataset, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.errors import UserError
from ganzoo.runs.evaluate import Evaluator, evaluating
from ganzoo.gan import GAN, Stage, parameter_count
from ganzoo.models import MODELS
from ganzoo.pretrained import read_start
from ganzoo.runs.config import Experiment, TrainingConfig, completed
from ganzoo.runs.folder import begin_folder, check_fingerprint, check_folder, read_record, writing
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints, require_space, size_of
from ganzoo.training.hooks import PATIENCE, FiniteGuard, Hook, LeakWarning, Log, Progress, Samples, Save
from ganzoo.training.loop import Dispatch, train
from ganzoo.training.plan import Segment, plan
from ganzoo.training.report import Flops, flops, program_report
from ganzoo.runs.transfer import matches, table, transfer
from ganzoo.typing import Key, Step

LogLine = Callable[[str], None]
SHOWN_CLASSES = 20


def run(
    experiment: Experiment[Any],
    out: Path,
    *,
    resume: bool = False,
    log: LogLine = print,
    reading: Callable[[int, int], None] | None = None,
) -> Path:
    """Train, into the folder ``out``, from the start or from its newest checkpoint; return the folder.

    All input is checked before anything is written, and everything is written by process 0.

    Args:
      experiment: what to run.
      out: the run folder; must be new or empty unless ``resume``.
      resume: go on with the run that is in ``out``, bit for bit as if it had not stopped.
      log: receives lines that tell what is about to happen.
      reading: told (pictures read, pictures in all) while the data set is opened.

    Raises:
      UserError: bad input, a folder that holds another run, no room on the disk, or training that diverged.
      KeyboardInterrupt: stopped by a signal, after a checkpoint was saved.
    """
    with parallel.together():  # nobody writes before all have checked
        MODELS[experiment.model].build(experiment.gan)  # complains of its config before anything else is looked at
        mesh = parallel.data_mesh(experiment.training.devices)
        recorded = read_record(out / "config.json")["experiment"] if resume and (out / "config.json").exists() else None
        experiment, chosen = completed(experiment, mesh.size, recorded)
        settings, gan = experiment.training, MODELS[experiment.model].build(experiment.gan)
        check_training(experiment)
        record = {"experiment": to_json(experiment)}
        check_folder(out, record, resume=resume)
        init_key, run_key, sample_key = jax.random.split(jax.random.key(settings.seed), 3)
        shapes = jax.eval_shape(gan.init, init_key)
        segments = plan(gan.stages or (Stage(gan.name, gan.step),), settings.batch_size, settings.images)
        costs = [check_leg(gan, segment, shapes, mesh) for segment in segments]
        weights = read_start(settings.init_from) if settings.init_from and not resume else None
        copied = matches(shapes, weights) if weights else []
        dataset = open_dataset(experiment.data, gan.image_shape, reading)
        fit_labels(gan, dataset)
        evaluator = Evaluator(gan, dataset, settings.evaluation, mesh, log) if settings.evaluation else None
        record["fingerprint"] = dataset.fingerprint
        check_fingerprint(out, record, resume=resume)
        require_space(out, size_of(shapes))
    parallel.require_same(json.dumps([record["fingerprint"], to_json(gan.config), to_json(settings)]), "config or data")
    told = [
        *chosen,
        describe(gan, shapes, mesh),
        *tell_legs(gan, segments, costs),
        *dataset.describe().splitlines(),
        *table(copied),
    ]
    for line in told:
        log(line)
    if not resume:
        begin_folder(out, record)

    feed = Feed(dataset, seed=settings.seed, mesh=mesh)
    with Checkpoints(out / "checkpoints", keep_last=settings.keep_last, keep_every=settings.keep_every) as checkpoints:
        if checkpoints.latest is None:
            state = parallel.jit_init(gan.init, mesh)(init_key)
            state = parallel.replicate(transfer(state, weights), mesh) if weights else state
        else:
            state = checkpoints.restore(shapes, mesh)
            log(f"resumed at {int(state.images)} images")
        if resume:  # now that its checkpoint is known to be whole
            begin_folder(out, record)
        if int(state.step) >= segments[-1].last_step:
            log(f"nothing to do: the run has {int(state.images)} of {settings.images} images; raise --images to go on")
            return out
        with writing(out):
            total, every, keep_best = segments[-1].last_image, settings.metric_every, settings.keep_best
            made = hooks(gan, dataset, settings, total, out, checkpoints, sample_key)
            with evaluating(evaluator, out, made, log, every=every, total=total, keep_best=keep_best) as measuring:
                advance(gan, segments, feed, state, run_key, settings, [*made, *measuring], log)
    return out


def advance(
    gan: GAN,
    segments: Sequence[Segment],
    feed: Feed,
    state: Any,
    key: Key,
    settings: TrainingConfig,
    hooks: Sequence[Hook],
    log: LogLine,
) -> None:
    """Train from ``state`` to the end of the run, or until a signal comes."""
    with interruption() as interrupted, contextlib.closing(dispatches(gan, segments, feed, state, key, settings, log)) as d:
        state = train(
            d,
            state,
            key,
            last_step=segments[-1].last_step,
            hooks=hooks,
            stop=parallel.agreed(interrupted, every=max(1, 32 // settings.steps_per_dispatch)),
        )
    if int(state.step) < segments[-1].last_step:
        raise KeyboardInterrupt("stopped; a checkpoint is saved: the same command with --resume goes on")


def dispatches(
    gan: GAN, segments: Sequence[Segment], feed: Feed, state: Any, key: Key, settings: TrainingConfig, log: LogLine
) -> Generator[Dispatch]:
    """Those of the segments that are left, each compiled when its turn comes; what its program needs is told before."""
    done = int(state.step)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    for segment in (segment for segment in segments if segment.last_step > done):
        first, program = max(done, segment.first_step), compiled(feed, segment.stage.step, settings.mode)
        payloads = feed.payloads(
            first, segment.last_step, settings.steps_per_dispatch, batch_size=segment.batch_size, images=segment.images_at(first)
        )
        with contextlib.closing(payloads):
            for i, (count, payload) in enumerate(payloads):
                if i == 0:
                    for line in program_report(program, (like, payload, key), gan.config, segment.batch_size, feed.mesh):
                        log(f"{segment.stage.name}: {line}" if gan.stages else line)
                yield Dispatch(program, payload, count, count * segment.batch_size)


# The parts of a run -------------------------------------------------------------------------------------------------


def check_training(experiment: Experiment[Any]) -> None:
    """Raise ``UserError`` where the experiment asks for what is not there."""
    require(bool(experiment.data.data), "data", "", "be given: --data with a folder, a .zip file or tfds:NAME")
    alone, mode = jax.process_count() == 1, experiment.training.mode
    require(alone or mode != "pmap", "mode", mode, "be jit or shard_map where processes work together")


def check_leg(gan: GAN, segment: Segment, shapes: Any, mesh: Mesh) -> Flops:
    """What a step of it costs, by tracing it; ``UserError`` where its batch does not suit the model or the devices."""
    size = segment.batch_size
    require(size % mesh.size == 0, "batch_size", size, f"be a multiple of {mesh.size} devices")
    batch = {"image": jax.ShapeDtypeStruct((size, *gan.image_shape), jnp.uint8)}
    if gan.label_size:
        batch["label"] = jax.ShapeDtypeStruct((size, gan.label_size), jnp.float32)
    return flops(segment.stage.step, shapes, batch, jax.eval_shape(lambda: jax.random.key(0)))


def tell_legs(gan: GAN, segments: Sequence[Segment], costs: Sequence[Flops]) -> list[str]:
    """A line for each segment: its batch, its end and its price; of a GAN of one stage, the price."""
    told = [cost.told(segment.batch_size) for segment, cost in zip(segments, costs, strict=True)]
    if not gan.stages:
        return told
    return [
        f"{segment.stage.name:<9} images {segment.first_image:>10,} to {segment.last_image:>10,}, {segment.batch_size} at once; {line}"
        for segment, line in zip(segments, told, strict=True)
    ]


def compiled(feed: Feed, step: Step, mode: str) -> Step:
    """The feed's K-step program in the asked mode."""
    modes = {"jit": parallel.jit_step, "pmap": parallel.pmap_step, "shard_map": parallel.shard_map_step}
    return modes[mode](feed.steps(step), feed.mesh, batch=feed.spec)


def hooks(
    gan: GAN, dataset: Dataset, settings: TrainingConfig, images: int, out: Path, checkpoints: Checkpoints, key: Key
) -> list[Hook]:
    """What is done between dispatches, in this order: nothing is saved that the guard has not seen.

    The run ends at ``images``, and ``key`` draws the latents of its sample grids.
    """
    columns, labels = shown_labels(gan, dataset)
    count = 64 if labels is None else len(labels)
    sample = jax.jit(lambda state: gan.sample(state, key, count, labels=labels))
    reading = (settings.log_every, settings.sample_every, settings.checkpoint_every)
    everywhere: list[Hook] = [FiniteGuard(reading, checkpoints)]
    if jax.process_index() == 0:
        everywhere += [Log(reading, out), Progress(images, settings.log_every)]
        everywhere += [LeakWarning(reading, min(PATIENCE, images // 10))]
    everywhere += [Samples(settings.sample_every, out, sample, columns)]
    return [*everywhere, Save(settings.checkpoint_every, checkpoints)]


def shown_labels(gan: GAN, dataset: Dataset) -> tuple[int, jax.Array | None]:
    """The columns of the sample grids and the labels in them, row by row.

    A row for each class, of the first 20; labels that are no classes are those of the first 64 images.
    """
    if not gan.label_size:
        return 8, None
    if dataset.class_names:
        classes = np.arange(min(gan.label_size, SHOWN_CLASSES)).repeat(10)
        return 10, jax.nn.one_hot(classes, gan.label_size)
    return 8, jnp.asarray(dataset.read(np.arange(64) % len(dataset))["label"])


def describe(gan: GAN, shapes: Any, mesh: Mesh) -> str:
    """One line: the model, its size and where it runs."""
    g, d = (parameter_count(network.params) for network in (shapes.generator, shapes.discriminator))
    height, width, channels = gan.image_shape
    device = mesh.devices.flat[0]
    where = f"{mesh.size} x {device.device_kind}" if mesh.size > 1 else device.device_kind
    return f"{gan.name} {width}x{height}x{channels}: G {g:,} and D {d:,} parameters, on {where}"


def fit_labels(gan: GAN, dataset: Dataset) -> None:
    """Raise ``UserError`` unless the data has the labels that the model wants."""
    if gan.label_size and gan.label_size != dataset.label_size:
        found = f"has label vectors of length {dataset.label_size}" if dataset.label_size else "has no labels"
        remedy = f"set --label-size {dataset.label_size}" + ("" if dataset.label_size else " to train without labels")
        raise UserError(f"{dataset.name} {found}, the model wants {gan.label_size}; {remedy}")


@contextmanager
def interruption() -> Generator[Callable[[], bool]]:
    """Within, the first Ctrl-C or SIGTERM only makes the yielded function true; the second acts as usual."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        asked = True
        signal.signal(number, previous[number])

    def stop() -> bool:
        return asked

    previous: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
