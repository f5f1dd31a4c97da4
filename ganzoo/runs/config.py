"""What can be run: a model's config with data and run settings, as experiments by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ganzoo import augment
from ganzoo.augment import controller
from ganzoo.config import Count, CountOrZero, Difference, check_fields, differences, replaced, require, to_json
from ganzoo.data import DataConfig, inspect
from ganzoo.errors import UserError, nearest
from ganzoo.gan import Model
from ganzoo.metrics.config import MetricsConfig
from ganzoo.models import find_model, find_preset, installed_models
from ganzoo.training.trackers import TrackerName

M = TypeVar("M")


@dataclass(frozen=True)
class TrainingConfig:
    """Run settings: how long, on what devices, and what is written down."""

    images: Count = 5_000_000
    """Length of the run in real images shown to the discriminator."""
    batch_size: CountOrZero = 64
    """Images of one step, over all devices; 0 takes the model's own rule, where the model has one."""
    seed: CountOrZero = 0
    """Seed of the weights, the latents and the order of the data."""
    init_from: str = ""
    """Start with the weights of this run folder or RUN/best, .npz or .safetensors file or original pickle, as far as
    names and shapes are the same."""

    # what is written
    log_every: Count = 20_000
    """Images between two rows of scalars."""
    log_to: tuple[TrackerName, ...] = ("tensorboard",)
    """Where scalars and sample grids go besides the run folder: tensorboard, wandb (Weights & Biases), trackio."""
    sample_every: CountOrZero = 100_000
    """Images between two sample grids; 0 writes only the last one."""
    checkpoint_every: CountOrZero = 100_000
    """Images between two checkpoints: what an interruption can cost."""
    keep_last: Count = 2
    """Number of newest checkpoints that are kept."""
    keep_every: CountOrZero = 0
    """Images between checkpoints that are kept for good; 0 keeps the newest only."""

    # where it runs
    devices: CountOrZero = 0
    """Number of devices to train on; 0 uses all."""
    shard_state: bool = False
    """Divide parameters, optimizer moments and EMA over the devices rather than keep copies: saves memory, costs
    communication."""
    steps_per_dispatch: CountOrZero = 0
    """Steps compiled into one call of the device, between which nothing is logged. 0: 1 on CPUs, 8 elsewhere."""

    # what is measured
    metrics: MetricsConfig = field(default_factory=lambda: MetricsConfig(metrics=(), samples=5_000))
    """What is measured during training."""
    metric_every: Count = 200_000
    """Images between two evaluations."""
    keep_best: CountOrZero = 0
    """Number of checkpoints kept that are best by the first metric, besides the newest ones."""

    def __post_init__(self) -> None:
        check_fields(self)
        measures = bool(self.metrics.metrics)
        require(len(set(self.log_to)) == len(self.log_to), "log_to", self.log_to, "name each once")
        require(measures or not self.keep_best, "keep_best", self.keep_best, "be 0, or metrics be given")
        require(self.batch_size <= self.images, "batch_size", self.batch_size, f"be at most images = {self.images}")
        require(self.seed < 2**32, "seed", self.seed, "be in 0 .. 2^32 - 1")
        seen = self.images + self.batch_size
        require(seen < 2**32, "images", self.images, "be less than 2^32, the size of the image counter")
        steps = self.images / max(self.batch_size, 1)
        require(steps < 2**31, "images", self.images, "be less than 2^31 steps, the size of the step counter")


@dataclass(frozen=True)
class Experiment(Generic[M]):
    """Everything that decides how a run turns out."""

    name: str
    """Name of the experiment, and of the run folder unless another is given."""
    model: Model
    gan: M
    """The model's config."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    from_data: tuple[str, ...] = ()
    """Fields of the model's config that are read from the data, as in ``ganzoo.Preset``."""
    transferred: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields of the model's config where the run starts with other weights, as in ``ganzoo.Model``."""

    def given(self, names: Collection[str]) -> "Experiment[M]":
        """Return the experiment for a user who gives the fields ``names``, which then have the values given."""
        return replace(
            self,
            from_data=tuple(name for name in self.from_data if name not in names),
            transferred={name: value for name, value in self.transferred.items() if name not in names},
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain dicts, lists and numbers, the model by its name."""
        parts = {name: to_json(getattr(self, name)) for name in ("gan", "data", "training")}
        return {"name": self.name, "model": self.model.name, **parts}


def experiment_of(model: Model, preset: str | None = None, *, name: str | None = None) -> Experiment[Any]:
    """Return a preset of a model, the default one when absent, with its data and run settings."""
    found = find_preset(model, preset)
    data, training = replaced(DataConfig(data=""), found.data), replaced(TrainingConfig(), found.training)
    name = name or f"{model.name}-{preset or model.default}"
    return Experiment(name, model, found.config, data, training, found.from_data, model.transferred)


def experiments() -> Mapping[str, Experiment[Any]]:
    """Return every preset of every installed model as an experiment ``<model>-<preset>``."""
    return {
        f"{name}-{preset}": experiment_of(model, preset, name=f"{name}-{preset}")
        for name, model in installed_models().items()
        for preset in model.presets
    }


def find_experiment(name: str | Model) -> Experiment[Any]:
    """Return the experiment of a name.

    Args:
      name: ``<model>-<preset>``; a model's name, for its default preset; ``path/to/file.py:NAME`` or
        ``path/to/file.py:NAME:preset``, which runs that file; or a ``Model``.

    Raises:
      UserError: there is no such experiment.
    """
    if isinstance(name, Model):
        return experiment_of(name)
    if ".py:" in name:
        path, _, rest = name.partition(".py:")
        variable, _, preset = rest.partition(":")
        return experiment_of(find_model(f"{path}.py:{variable}"), preset or None)
    known = experiments()
    if name in known:
        return known[name]
    models = installed_models()
    if name in models:
        return experiment_of(models[name])
    raise UserError(f"unknown experiment {name!r};{nearest(name, [*known, *models])}")


def resolve(
    experiment: Experiment[Any], devices: int, recorded: Mapping[str, Any] | None = None
) -> tuple[Experiment[Any], list[Difference]]:
    """Return the experiment with a number for all that its config leaves open, and what was chosen.

    Args:
      experiment: its model's config may hold None, and its batch size may be 0.
      devices: how many train it.
      recorded: the "experiment" of the run that is resumed; what was chosen there is not chosen again.

    Raises:
      UserError: the model has no rule for the batch size, or the data, where they are asked, cannot be read.
    """
    config, training = experiment.gan, experiment.training
    transferred = experiment.transferred if training.init_from else {}
    if recorded:
        old, open_fields = recorded.get("gan", {}), [name for name, value in to_json(config).items() if value is None]
        known = {name: old[name] for name in (*experiment.from_data, *open_fields, *transferred) if name in old}
        config = replaced(config, {k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})
        batch_size = training.batch_size or recorded.get("training", {}).get("batch_size", 0)
        training = replace(training, batch_size=batch_size)
    elif experiment.from_data and experiment.data.data:
        config = replaced(config, _of_data(experiment))
    config = config if recorded else replaced(config, transferred)
    if experiment.model.fill_defaults:
        config, batch_size = experiment.model.fill_defaults(config, training.batch_size, devices)
        training = replace(training, batch_size=batch_size)
    adapts = isinstance(config, augment.AugmentConfig) and augment.adapts(config)
    if adapts and config.augment_images is None:
        images = controller.TRANSFERRED if training.init_from else controller.FRESH
        config = replace(config, augment_images=images)
    require(training.batch_size >= 1, "batch_size", training.batch_size, "be at least 1: this model has no rule for 0")
    whole = replace(experiment, gan=config, training=training)
    return whole, differences(experiment.to_json(), whole.to_json())


def _of_data(experiment: Experiment[Any]) -> dict[str, Any]:
    """Return the fields that are read from the data."""
    found = inspect(experiment.data)
    known = {"image_size": found.image_size, "channels": found.channels, "label_size": found.label_size}
    return {name: known[name] for name in experiment.from_data}
