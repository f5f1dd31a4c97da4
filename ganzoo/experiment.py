"""A run from a config to a folder: the model, the data and the training of it, put together and started or resumed.

A run folder holds::

    config.json       everything that the run was made with
    metrics.jsonl     a line of scalars every ``log_every`` images
    tensorboard/      the same as TensorBoard events
    samples/          grids of the same latents over time, named by the images seen
    samples.png       the last grid, enlarged
    checkpoints/      whole train states, named by the images seen
"""

import json
import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ganzoo.config import check_types, differences, require, require_at_least, to_json
from ganzoo.data import DataConfig, Dataset, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.disk import write_whole
from ganzoo.errors import UserError
from ganzoo.gan import GAN, parameter_count
from ganzoo.models import MODELS
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints, require_space, size_of
from ganzoo.training.hooks import FiniteGuard, Hook, Log, Progress, Samples, Save
from ganzoo.training.loop import train
from ganzoo.typing import Key, Step

M = TypeVar("M")
SHOWN_CLASSES = 20


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast, and what is written down. None of it changes what one step computes."""

    images: int = 5_000_000
    """Length of the run in real images shown to the discriminator."""
    batch_size: int = 64
    """Images of one step, over all devices."""
    seed: int = 0
    """Of the weights, the latents and the order of the data."""
    steps_per_dispatch: int = 8
    """Steps that are compiled into one call of the device; logs and checkpoints fall between the calls."""
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

    def __post_init__(self) -> None:
        check_types(self)
        require_at_least(1, self, "images", "batch_size", "steps_per_dispatch", "log_every", "keep_last")
        require_at_least(0, self, "sample_every", "checkpoint_every", "keep_every", "devices")
        require(self.batch_size <= self.images, "batch_size", self.batch_size, f"be at most images = {self.images}")
        require(0 <= self.seed < 2**32, "seed", self.seed, "be in 0 .. 2^32 - 1")
        seen = self.steps * self.batch_size
        require(seen < 2**32, "images", self.images, "be less than 2^32, the size of the image counter")
        require(self.steps < 2**31, "images", self.images, "be less than 2^31 steps, the size of the step counter")

    @property
    def steps(self) -> int:
        """Steps of the whole run: the last one may go past ``images``."""
        return -(-self.images // self.batch_size)


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


FREE_ON_RESUME = (
    *("training.images", "training.log_every", "training.sample_every", "training.checkpoint_every"),
    *("training.keep_last", "training.keep_every", "training.devices", "training.mode", "name"),
    *("data.data", "data.data_dir", "data.workers", "data.memory_budget_mib", "data.on_bad_file"),
)
"""Fields that may differ when a run is resumed; that the images are others, their fingerprint (of names, sizes and
labels) tells."""


def experiments() -> Mapping[str, Experiment[Any]]:
    """Every preset of every model as an experiment ``<model>-<preset>``, some with settings of their own."""
    digits, none = DataConfig(), DataConfig(data="")
    data = {"dcgan-cifar10": DataConfig(data="tfds:cifar10"), "dcgan-digits": digits, "dcgan-tiny": digits}
    training = {
        "dcgan-paper": TrainingConfig(batch_size=128),
        "dcgan-cifar10": TrainingConfig(images=2_000_000, steps_per_dispatch=16),
        "dcgan-digits": TrainingConfig(
            images=160_000, batch_size=32, log_every=4_000, sample_every=20_000, checkpoint_every=40_000
        ),
        "dcgan-tiny": TrainingConfig(
            images=2_000, batch_size=16, log_every=400, sample_every=1_000, checkpoint_every=400
        ),
    }
    return {
        name: Experiment(name, model, config, data.get(name, none), training.get(name, TrainingConfig()))
        for model, entry in MODELS.items()
        for preset, config in entry.presets.items()
        for name in [f"{model}-{preset}"]
    }


def run(
    experiment: Experiment[Any],
    out: Path,
    *,
    resume: bool = False,
    say: Callable[[str], None] = print,
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
    settings = experiment.training
    init_key, run_key, sample_key = jax.random.split(jax.random.key(settings.seed), 3)
    with parallel.together():  # nobody writes before all have checked
        gan = MODELS[experiment.model].build(experiment.gan)
        mesh = check_training(experiment)
        record = {"experiment": to_json(experiment)}
        check_folder(out, record, resume=resume)
        dataset = open_dataset(experiment.data, gan.image_shape, reading)
        fit_labels(gan, dataset)
        record["fingerprint"] = dataset.fingerprint
        check_fingerprint(out, record, resume=resume)
        shapes = jax.eval_shape(gan.init, init_key)
        require_space(out, size_of(shapes))
    parallel.require_same(json.dumps([record["fingerprint"], to_json(gan.config), to_json(settings)]), "config or data")
    for line in (describe(gan, shapes, mesh), *dataset.describe().splitlines()):
        say(line)
    if not resume:
        begin_folder(out, record)

    feed = Feed(dataset, batch_size=settings.batch_size, seed=settings.seed, mesh=mesh)
    with Checkpoints(out / "checkpoints", keep_last=settings.keep_last, keep_every=settings.keep_every) as checkpoints:
        if checkpoints.latest is None:
            state = parallel.jit_init(gan.init, mesh)(init_key)
        else:
            state = checkpoints.restore(shapes, mesh)
            say(f"resumed at {int(state.images)} images")
        if resume:  # now that its checkpoint is known to be whole
            begin_folder(out, record)
        if int(state.step) >= settings.steps:
            say(f"nothing to do: the run has {int(state.images)} of {settings.images} images; raise --images to go on")
            return out
        with writing(out):
            made = hooks(gan, dataset, settings, out, checkpoints, sample_key)
            advance(gan, feed, state, run_key, settings, made)
    return out


def advance(gan: GAN, feed: Feed, state: Any, key: Key, settings: TrainingConfig, hooks: Sequence[Hook]) -> None:
    """Train from ``state`` to the end of the run, or until a signal comes."""
    with interruption() as interrupted:
        state = train(
            compiled(feed, gan.step, settings.mode),
            feed.payloads(int(state.step), settings.steps, settings.steps_per_dispatch),
            state,
            key,
            last_step=settings.steps,
            batch_size=settings.batch_size,
            hooks=hooks,
            stop=parallel.agreed(interrupted, every=max(1, 32 // settings.steps_per_dispatch)),
        )
    if int(state.step) < settings.steps:
        raise KeyboardInterrupt("stopped; a checkpoint is saved: the same command with --resume goes on")


# The parts of a run -------------------------------------------------------------------------------------------------


def check_training(experiment: Experiment[Any]) -> Mesh:
    """The devices to train on; ``UserError`` where the experiment asks for what is not there."""
    require(bool(experiment.data.data), "data", "", "be given: --data with a folder, a .zip file or tfds:NAME")
    mesh, batch_size = parallel.data_mesh(experiment.training.devices), experiment.training.batch_size
    require(batch_size % mesh.size == 0, "batch_size", batch_size, f"be a multiple of {mesh.size} devices")
    alone, mode = jax.process_count() == 1, experiment.training.mode
    require(alone or mode != "pmap", "mode", mode, "be jit or shard_map where processes work together")
    return mesh


def compiled(feed: Feed, step: Step, mode: str) -> Step:
    """The feed's K-step program in the asked mode."""
    modes = {"jit": parallel.jit_step, "pmap": parallel.pmap_step, "shard_map": parallel.shard_map_step}
    return modes[mode](feed.steps(step), feed.mesh, batch=feed.spec)


def hooks(
    gan: GAN, dataset: Dataset, settings: TrainingConfig, out: Path, checkpoints: Checkpoints, key: Key
) -> list[Hook]:
    """What is done between dispatches, in this order: nothing is saved that the guard has not seen."""
    columns, labels = shown_labels(gan, dataset)
    count = 64 if labels is None else len(labels)
    sample = jax.jit(lambda state: gan.sample(state, key, count, labels=labels))
    reading = (settings.log_every, settings.sample_every, settings.checkpoint_every)
    everywhere: list[Hook] = [FiniteGuard(reading, checkpoints)]
    if jax.process_index() == 0:
        everywhere += [Log(reading, out), Progress(settings.steps * settings.batch_size, settings.log_every)]
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


def check_folder(out: Path, record: Mapping[str, Any], *, resume: bool) -> None:
    """Raise ``UserError`` unless ``out`` can hold this run."""
    config = out / "config.json"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    if resume and not config.exists():
        raise UserError(f"{out} holds no run to resume; leave out --resume to start one")
    there = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, so {out} cannot be made; give another folder by --out")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"{there} is not writable; give another folder by --out")
    if not resume and out.exists() and any(out.iterdir()):
        holds = "already holds a run; add --resume to go on with it" if config.exists() else "is not empty; empty it"
        raise UserError(f"{out} {holds}, or give another folder by --out")
    if resume:
        changed = [
            line
            for line in differences(_read(config)["experiment"], record["experiment"])
            if line.split(":")[0] not in FREE_ON_RESUME
        ]
        if changed:
            raise UserError(f"{out} was made with another config: {'; '.join(changed)}. Resume with the old values")


def check_fingerprint(out: Path, record: Mapping[str, Any], *, resume: bool) -> None:
    """Raise ``UserError`` where a run would be resumed on other images."""
    if resume and _read(out / "config.json").get("fingerprint") != record["fingerprint"]:
        raise UserError(f"{out} was trained on other images than those now at {record['experiment']['data']['data']}")


def begin_folder(out: Path, record: Mapping[str, Any]) -> None:
    """Make the folder and write its config, whole or not at all."""
    if jax.process_index():
        return
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "config.json", (json.dumps(record, indent=2) + "\n").encode())


@contextmanager
def writing(out: Path) -> Generator[None]:
    """Within, what the file system refuses becomes a ``UserError``."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise UserError(f"cannot write {where}: {error.strerror or error}; mend that or give another --out") from error


def _read(config: Path) -> dict[str, Any]:
    try:
        record = json.loads(config.read_text())
        if not isinstance(record, dict) or not isinstance(record.get("experiment"), dict):
            raise ValueError('no "experiment" in it')
    except (OSError, ValueError) as error:
        raise UserError(f"{config} cannot be read ({error}); it must be the file that the run wrote") from error
    return record


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
