"""What can be run: every preset of every model with its data and its training, as experiments by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from ganzoo import augment
from ganzoo.augment import controller
from ganzoo.config import check_fields, differences, replaced, require, require_at_least, to_json
from ganzoo.data import DataConfig
from ganzoo.runs.evaluate import ExtractorName, MetricsConfig
from ganzoo.metrics.resize import Resize
from ganzoo.models import MODELS

M = TypeVar("M")


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
    lpips: tuple[str, ...] = ()
    """Files of the LPIPS weights, by which path lengths are those of the literature."""
    keep_best: int = 0
    """Besides, so many checkpoints are kept that are best by the first of the metrics."""

    def __post_init__(self) -> None:
        check_fields(self)
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
        how = (
            self.metric_samples,
            self.metric_reals,
            self.extractor,
            self.inception,
            self.inception_resize,
            self.lpips,
        )
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
        images=84_000, batch_size=0, steps_per_dispatch=1, log_every=1_000, sample_every=2_000, checkpoint_every=4_000
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
        "progan-faces64": replace(grown, images=108_000),
        "stylegan-tiny": tiny,
        "progan-tiny": tiny,
        "stylegan2-stylegan2": published,
        "stylegan2-paper256": replace(published, batch_size=64),
        "stylegan2-paper512": replace(published, batch_size=64),
        "stylegan2-paper1024": published,
        "stylegan2-cifar": replace(published, images=100_000_000, batch_size=64),
        "stylegan2-auto": replace(published, batch_size=0),
        "stylegan2-faces64": TrainingConfig(
            images=64_000,
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
        config, batch_size = model.complete(config, training.batch_size, devices)
        training = replace(training, batch_size=batch_size)
    if augment.adapts(config) and config.augment_images is None:
        images = controller.TRANSFERRED if training.init_from else controller.FRESH
        config = replace(config, augment_images=images)
    require(training.batch_size >= 1, "batch_size", training.batch_size, "be at least 1")
    whole = replace(experiment, gan=config, training=training)
    found = differences(to_json(experiment), to_json(whole))
    return whole, [f"auto: {line.split('.', 1)[1].split(':')[0]} = {line.split(' -> ')[1]}" for line in found]
