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
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ganzoo.config import check_types, differences, replaced, require, require_at_least, to_json
from ganzoo.data import DataConfig, Dataset, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.errors import UserError
from ganzoo.evaluation import Evaluator, ExtractorName, MetricsConfig, evaluating
from ganzoo.gan import GAN, parameter_count
from ganzoo.metrics.resize import Resize
from ganzoo.models import MODELS
from ganzoo.pretrained import read_start
from ganzoo.run_folder import begin_folder, check_fingerprint, check_folder, read_record, writing
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints, require_space, size_of
from ganzoo.training.hooks import PATIENCE, FiniteGuard, Hook, LeakWarning, Log, Progress, Samples, Save
from ganzoo.training.loop import Dispatch, train
from ganzoo.training.plan import Leg, plan
from ganzoo.training.report import Flops, flops, program_report
from ganzoo.training.transfer import matches, table, transfer
from ganzoo.typing import Key, Step

M = TypeVar("M")
Say = Callable[[str], None]
SHOWN_CLASSES = 20


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast, and what is written down. None of it changes what one step computes."""

    images: int = 5_000_000
    """Length of the run in real images shown to the discriminator."""
    batch_size: int = 64
    """Images of one step, over all devices; 0 leaves it to the model's own rule, where it has one."""
    seed: int = 0
    """Of the weights, the latents and the order of the data."""
    steps_per_dispatch: int = 8
    """Steps that are compiled into one call of the device; logs and checkpoints fall between the calls. On a CPU, 1 is
    fastest for networks of many small layers, such as StyleGAN2."""
    log_every: int = 20_000
    """Images between two lines of scalars."""
    sample_every: int = 100_000
    """Images between two sample grids."""
    checkpoint_every: int = 100_000
    """Images between two checkpoints: what an interruption can cost."""
    keep_last: int = 2
    """Newest checkpoints that are kept."""
    keep_every: int = 0
    """Images between checkpoints that are kept for good; 0 keeps none besides the newest."""
    devices: int = 0
    """Devices to train on; 0 for all there are."""
    mode: Literal["jit", "pmap", "shard_map"] = "jit"
    """How the step is spread over the devices; the results are the same."""
    init_from: str = ""
    """Start with the weights of this run folder, .npz or .safetensors file or pickle of the originals, as far as names
    and shapes are the same."""
    metrics: tuple[str, ...] = ()
    """Metrics during training, such as fid, frechet or precision_recall; ganzoo evaluate --help names all."""
    metric_every: int = 200_000
    """Images between two evaluations."""
    metric_samples: int = 5_000
    """Generated images of an evaluation."""
    metric_reals: int = 0
    """Real images of an evaluation, drawn at random; 0 takes all."""
    extractor: ExtractorName = "auto"
    """Features that metrics are of: "inception", "random-conv", "pixels"; "auto" is Inception where found."""
    inception: str = ""
    """File of the Inception weights; by default it is looked for in $GANZOO_CACHE or ~/.cache/ganzoo."""
    inception_resize: Resize = "tensorflow"
    """How images are brought to Inception's size: as the original FID, pytorch-fid or clean-fid."""
    keep_best: int = 0
    """Besides, so many checkpoints are kept that are best by the first of the metrics."""

    def __post_init__(self) -> None:
        check_types(self)
        require_at_least(1, self, "images", "steps_per_dispatch", "log_every", "keep_last", "metric_every")
        require(self.batch_size >= 0, "batch_size", self.batch_size, "be at least 1")
        require_at_least(0, self, "sample_every", "checkpoint_every", "keep_every", "devices", "keep_best")
        measures = self.evaluation is not None
        require(measures or not self.keep_best, "keep_best", self.keep_best, "be 0, or metrics be given")
        require(self.batch_size <= self.images, "batch_size", self.batch_size, f"be at most images = {self.images}")
        require(0 <= self.seed < 2**32, "seed", self.seed, "be in 0 .. 2^32 - 1")
        seen = self.images + self.batch_size
        require(seen < 2**32, "images", self.images, "be less than 2^32, the size of the image counter")
        steps = self.images / max(self.batch_size, 1)
        require(steps < 2**31, "images", self.images, "be less than 2^31 steps, the size of the step counter")

    @property
    def evaluation(self) -> MetricsConfig | None:
        """What is measured during training; None for nothing."""
        how = (self.metric_samples, self.metric_reals, self.extractor, self.inception, self.inception_resize)
        return MetricsConfig(self.metrics, *how) if self.metrics else None


@dataclass(frozen=True)
class Experiment(Generic[M]):
    """Everything that decides how a run turns out."""

    name: str
    """Of the experiment; the run folder is called so unless another is given."""
    model: str
    """A key of ``ganzoo.MODELS``."""
    gan: M
    """The model's config."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def experiments() -> Mapping[str, Experiment[Any]]:
    """Every preset of every model as an experiment ``<model>-<preset>``, some with settings of their own."""
    digits, cifar10, none = DataConfig(), DataConfig(data="tfds:cifar10"), DataConfig(data="")
    data = {
        "dcgan-cifar10": cifar10,
        "dcgan-digits": digits,
        "dcgan-tiny": digits,
        "progan-tiny": digits,
        "stylegan-tiny": digits,
        "stylegan2-cifar": replace(cifar10, mirror=True),
        "stylegan2-tiny": digits,
    }
    published = TrainingConfig(
        images=25_000_000, batch_size=32, log_every=4_000, sample_every=200_000, checkpoint_every=200_000
    )
    tiny = TrainingConfig(
        images=640, batch_size=16, steps_per_dispatch=1, log_every=160, sample_every=320, checkpoint_every=320
    )
    grown = TrainingConfig(
        images=200_000, batch_size=0, steps_per_dispatch=1, log_every=1_000, sample_every=2_000, checkpoint_every=4_000
    )
    training = {
        "dcgan-paper": TrainingConfig(batch_size=128),
        "dcgan-cifar10": TrainingConfig(images=2_000_000, steps_per_dispatch=16),
        "dcgan-digits": TrainingConfig(
            images=160_000, batch_size=32, log_every=4_000, sample_every=20_000, checkpoint_every=40_000
        ),
        "dcgan-tiny": TrainingConfig(
            images=2_000, batch_size=16, log_every=400, sample_every=1_000, checkpoint_every=400
        ),
        **{f"stylegan-{name}": replace(published, batch_size=0) for name in ("ffhq1024", "celebahq1024", "fixed")},
        "progan-paper": replace(published, images=14_000_000, batch_size=0),
        "stylegan-faces64": grown,
        "progan-faces64": grown,
        "stylegan-tiny": tiny,
        "progan-tiny": tiny,
        "stylegan2-stylegan2": published,
        "stylegan2-paper256": replace(published, batch_size=64),
        "stylegan2-paper512": replace(published, batch_size=64),
        "stylegan2-paper1024": published,
        "stylegan2-cifar": replace(published, images=100_000_000, batch_size=64),
        "stylegan2-auto": replace(published, batch_size=0),
        "stylegan2-faces64": TrainingConfig(
            images=200_000,
            batch_size=16,
            steps_per_dispatch=1,
            log_every=1_000,
            sample_every=4_000,
            checkpoint_every=4_000,
        ),
        "stylegan2-tiny": tiny,
    }
    return {
        name: Experiment(name, model, config, data.get(name, none), training.get(name, TrainingConfig()))
        for model, entry in MODELS.items()
        for preset, config in entry.presets.items()
        for name in [f"{model}-{preset}"]
    }


def completed(
    experiment: Experiment[Any], devices: int, recorded: Mapping[str, Any] | None = None
) -> tuple[Experiment[Any], list[str]]:
    """The experiment with a number for all that its config leaves open, and a line for each of them.

    Args:
      experiment: whose model's config may hold None, and whose batch size may be 0.
      devices: how many train it.
      recorded: the "experiment" of the run that is resumed; what was chosen there is not chosen again.

    Raises:
      UserError: the model has no rule for the batch size.
    """
    model, config, training = MODELS[experiment.model], experiment.gan, experiment.training
    if recorded:
        old, open_fields = recorded.get("gan", {}), [name for name, value in to_json(config).items() if value is None]
        known = {name: old[name] for name in open_fields if name in old}
        config = replaced(config, {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})
        batch_size = training.batch_size or recorded.get("training", {}).get("batch_size", 0)
        training = replace(training, batch_size=batch_size)
    if model.complete:
        transferred = bool(training.init_from)
        config, batch_size = model.complete(config, training.batch_size, devices, transferred=transferred)
        training = replace(training, batch_size=batch_size)
    require(training.batch_size >= 1, "batch_size", training.batch_size, "be at least 1")
    whole = replace(experiment, gan=config, training=training)
    found = differences(to_json(experiment), to_json(whole))
    return whole, [f"auto: {line.split('.', 1)[1].split(':')[0]} = {line.split(' -> ')[1]}" for line in found]


def run(
    experiment: Experiment[Any],
    out: Path,
    *,
    resume: bool = False,
    say: Say = print,
    reading: Callable[[int, int], None] | None = None,
) -> Path:
    """Train, into the folder ``out``, from the start or from its newest checkpoint; return the folder.

    All input is checked before anything is written, and everything is written by process 0.

    Args:
      experiment: what to run.
      out: the run folder; must be new or empty unless ``resume``.
      resume: go on with the run that is in ``out``, bit for bit as if it had not stopped.
      say: receives lines that tell what is about to happen.
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
        legs = plan(gan, settings.batch_size, settings.images)
        costs = [check_leg(gan, leg, shapes, mesh) for leg in legs]
        weights = read_start(settings.init_from) if settings.init_from and not resume else None
        copied = matches(shapes, weights) if weights else []
        dataset = open_dataset(experiment.data, gan.image_shape, reading)
        fit_labels(gan, dataset)
        evaluator = Evaluator(gan, dataset, settings.evaluation, mesh, say) if settings.evaluation else None
        record["fingerprint"] = dataset.fingerprint
        check_fingerprint(out, record, resume=resume)
        require_space(out, size_of(shapes))
    parallel.require_same(json.dumps([record["fingerprint"], to_json(gan.config), to_json(settings)]), "config or data")
    told = [
        *chosen,
        describe(gan, shapes, mesh),
        *tell_legs(gan, legs, costs),
        *dataset.describe().splitlines(),
        *table(copied),
    ]
    for line in told:
        say(line)
    if not resume:
        begin_folder(out, record)

    feed = Feed(dataset, seed=settings.seed, mesh=mesh)
    with Checkpoints(out / "checkpoints", keep_last=settings.keep_last, keep_every=settings.keep_every) as checkpoints:
        if checkpoints.latest is None:
            state = parallel.jit_init(gan.init, mesh)(init_key)
            state = parallel.replicate(transfer(state, weights), mesh) if weights else state
        else:
            state = checkpoints.restore(shapes, mesh)
            say(f"resumed at {int(state.images)} images")
        if resume:  # now that its checkpoint is known to be whole
            begin_folder(out, record)
        if int(state.step) >= legs[-1].last_step:
            say(f"nothing to do: the run has {int(state.images)} of {settings.images} images; raise --images to go on")
            return out
        with writing(out):
            total, every, keep_best = legs[-1].last_image, settings.metric_every, settings.keep_best
            made = hooks(gan, dataset, settings, total, out, checkpoints, sample_key)
            with evaluating(evaluator, out, made, say, every=every, total=total, keep_best=keep_best) as measuring:
                advance(gan, legs, feed, state, run_key, settings, [*made, *measuring], say)
    return out


def advance(
    gan: GAN,
    legs: Sequence[Leg],
    feed: Feed,
    state: Any,
    key: Key,
    settings: TrainingConfig,
    hooks: Sequence[Hook],
    say: Say,
) -> None:
    """Train from ``state`` to the end of the run, or until a signal comes."""
    with interruption() as interrupted, contextlib.closing(dispatches(gan, legs, feed, state, key, settings, say)) as d:
        state = train(
            d,
            state,
            key,
            last_step=legs[-1].last_step,
            hooks=hooks,
            stop=parallel.agreed(interrupted, every=max(1, 32 // settings.steps_per_dispatch)),
        )
    if int(state.step) < legs[-1].last_step:
        raise KeyboardInterrupt("stopped; a checkpoint is saved: the same command with --resume goes on")


def dispatches(
    gan: GAN, legs: Sequence[Leg], feed: Feed, state: Any, key: Key, settings: TrainingConfig, say: Say
) -> Generator[Dispatch]:
    """Those of the legs that are left, each compiled when its turn comes; what its program needs is told before."""
    done = int(state.step)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
    for leg in (leg for leg in legs if leg.last_step > done):
        first, program = max(done, leg.first_step), compiled(feed, leg.stage.step, settings.mode)
        payloads = feed.payloads(
            first, leg.last_step, settings.steps_per_dispatch, batch_size=leg.batch_size, images=leg.images_at(first)
        )
        with contextlib.closing(payloads):
            for i, (count, payload) in enumerate(payloads):
                if i == 0:
                    for line in program_report(program, (like, payload, key), gan.config, leg.batch_size, feed.mesh):
                        say(f"{leg.stage.name}: {line}" if gan.stages else line)
                yield Dispatch(program, payload, count, count * leg.batch_size)


# The parts of a run -------------------------------------------------------------------------------------------------


def check_training(experiment: Experiment[Any]) -> None:
    """Raise ``UserError`` where the experiment asks for what is not there."""
    require(bool(experiment.data.data), "data", "", "be given: --data with a folder, a .zip file or tfds:NAME")
    alone, mode = jax.process_count() == 1, experiment.training.mode
    require(alone or mode != "pmap", "mode", mode, "be jit or shard_map where processes work together")


def check_leg(gan: GAN, leg: Leg, shapes: Any, mesh: Mesh) -> Flops:
    """What a step of it costs, by tracing it; ``UserError`` where its batch suits the model or the devices not."""
    size = leg.batch_size
    require(size % mesh.size == 0, "batch_size", size, f"be a multiple of {mesh.size} devices")
    batch = {"image": jax.ShapeDtypeStruct((size, *gan.image_shape), jnp.uint8)}
    if gan.label_size:
        batch["label"] = jax.ShapeDtypeStruct((size, gan.label_size), jnp.float32)
    return flops(leg.stage.step, shapes, batch, jax.eval_shape(lambda: jax.random.key(0)))


def tell_legs(gan: GAN, legs: Sequence[Leg], costs: Sequence[Flops]) -> list[str]:
    """A line for each leg: its batch, its end and its price; of a GAN of one stage, the price."""
    told = [cost.told(leg.batch_size) for leg, cost in zip(legs, costs, strict=True)]
    if not gan.stages:
        return told
    return [
        f"{leg.stage.name:<9} images {leg.first_image:>10,} to {leg.last_image:>10,}, {leg.batch_size} at once; {line}"
        for leg, line in zip(legs, told, strict=True)
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
