"""DCGAN: deep convolutional generative adversarial networks.

Radford, Metz, Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434. Two lineages of it are in use and both are presets here:

- ``paper``: the authors' own training code (Newmu/dcgan_code, faces/train_uncond_dcgan.py);
- ``torch``: the Torch and PyTorch example (soumith/dcgan.torch; pytorch/examples, dcgan/main.py).

Where reality differs from the paper:

- the paper's section 4 gives no number of filters; 128 and 64 are those of the two codes;
- dcgan.torch updates G by what D said of the fakes before its own update, and the PyTorch example, which the preset
  follows, asks the updated D again;
- the authors' code normalises the generator's first layer over the batch for each of its 16,384 units, and the Torch
  line for each channel;
- the authors' code decays beta1 by (1 - 1e-8)^t (lib/updates.py:142); in float32 that factor is exactly 1, so it has
  no counterpart here;
- sizes other than 64 double the features once more for every further halving, as the 64-pixel networks do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo import augment, objectives
from ganzoo.augment import AugmentConfig
from ganzoo.config import Count, NonNegative, Positive, Range, check_fields, require
from ganzoo.draws import Draws, FakeDraws, normal_latents, uniform_latents
from ganzoo.gan import GAN, Model, Preset, Stage, TrainState, generator_variables
from ganzoo.losses import LOSSES
from ganzoo.models.config import (
    AdamConfig,
    ImageConfig,
    ObjectiveConfig,
    adam,
    add_penalty,
    check_batch_size,
    check_objective,
    discriminator_objectives,
    init_networks,
)  # fmt: skip
from ganzoo.nn.remat import apply_block
from ganzoo.objectives import Networks, Objective
from ganzoo.ops import collective, random
from ganzoo.ops.conv import conv, conv_transpose
from ganzoo.phases import adapt_augmentation, chain, checked, every, minimize, train_step, update_ema
from ganzoo.schedules import ScheduledNonNegative, ScheduledPositive, ScheduledShareBelowOne
from ganzoo.typing import AnyArray, Images, Key, Labels, Latents, Logits, Params, PyTree, State, Step

BASE_SIZE = 4
REFERENCE_BATCH = 256

# Config ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DCGANNetworks(ImageConfig):
    """The networks. The defaults are those of the PyTorch example."""

    image_size: int = 64
    """Height and width in pixels: a power of two from 16 to 256."""
    channels: Annotated[int, Range(1, 4)] = 3
    """Channels of an image: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA."""
    latent_size: Count = 100
    latent_distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of each component of z: N(0, 1) or U(-1, 1)."""
    generator_features: Count = 64
    """Channels of the generator's last hidden layer (ngf); they double with every halving of the size."""
    discriminator_features: Count = 64
    """Channels of the discriminator's first layer (ndf); they double with every halving of the size."""
    kernel_size: Annotated[int, Range(4, 5)] = 4
    """Height and width of the stride-2 convolutions: 4 or 5."""
    first_norm: Literal["channel", "unit"] = "channel"
    """Batch normalisation of the generator's first layer: one mean per channel, or one per unit."""
    norm_epsilon: Positive = 1e-5
    """Added to the variance in batch normalisation."""
    norm_momentum: Annotated[float, Range(0, 1, above=True)] = 0.1
    """Share of the newest batch in the running statistics, which serve sampling only."""
    sample_statistics: Literal["running", "batch"] = "running"
    """Statistics with which images are sampled: the running ones, or those of a fixed reference batch of 256 latents of
    the classes in turn, so that no image depends on the images sampled beside it."""
    remat: bool = False
    """Whether activations within a layer are computed again for the gradient rather than kept: takes more time and less
    memory."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the activations; parameters, statistics and losses are always float32."""

    @property
    def levels(self) -> int:
        """The number of stride-2 convolutions between the images and the 4x4 features."""
        return (self.image_size // BASE_SIZE).bit_length() - 1


@dataclass(frozen=True)
class DCGANConfig(AugmentConfig, AdamConfig, ObjectiveConfig, DCGANNetworks):
    """The networks and their training."""

    update: Literal["same-fakes", "alternate"] = "same-fakes"
    """Whether each minibatch updates D and then G on the same fakes, or minibatches update G and D in turn."""
    learning_rate: ScheduledPositive = 2e-4
    """Adam's step size, of both networks."""
    adam_beta1: Annotated[float, Range(0, 1, below=True)] = 0.5
    adam_beta2: ScheduledShareBelowOne = 0.999
    weight_decay: NonNegative = 0.0
    """L2 penalty: weight_decay times each parameter is added to its gradient."""
    ema_half_life: ScheduledNonNegative = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        size = self.image_size
        require(16 <= size <= 256 and size & (size - 1) == 0, "image_size", size, "be 16, 32, 64, 128 or 256")
        check_objective(self)


# Layers -------------------------------------------------------------------------------------------------------------


def _near(mean: float) -> Callable[..., Array]:
    """Return the initialiser N(mean, 0.02): mean 0 for weights, 1 for batch-norm scales. Paper, section 4."""

    def draw(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return (mean + 0.02 * random.normal(key, shape)).astype(dtype)

    return draw


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, with the statistics of the whole batch on all devices.

    The running variance, which serves sampling only, can be the ``unbiased`` one, as in Torch. Ioffe and Szegedy
    2015, arXiv:1502.03167, algorithm 1.
    """

    epsilon: float
    momentum: float
    unbiased: bool

    @nn.compact
    def __call__(self, x: Float[Array, "... c"], *, train: bool) -> Float[Array, "... c"]:
        """Normalise ``x`` [..., C] of any float type, by its own statistics in training, else by the running ones."""
        features = x.shape[-1]
        scale = self.param("scale", _near(1), (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,))
        if train:
            mean, var, count = _moments(x)
            if not self.is_initializing():
                correction = count / max(count - 1, 1) if self.unbiased else 1.0
                running_mean.value += self.momentum * (mean - running_mean.value)
                running_var.value += self.momentum * (correction * var - running_var.value)
        else:
            mean, var = running_mean.value, running_var.value
        gain = scale * jax.lax.rsqrt(var + self.epsilon)
        axes = (1,) * (x.ndim - 1) + (features,)
        shifted = x.astype(jnp.float32) - mean.reshape(axes)
        return (shifted * gain.reshape(axes) + bias.reshape(axes)).astype(x.dtype)


def batch_norm(config: DCGANNetworks) -> Callable[..., BatchNorm]:
    """Return the layer of a config; only its name is left to give."""
    return partial(BatchNorm, config.norm_epsilon, config.norm_momentum, config.sample_statistics == "running")


def _moments(x: Float[Array, "... c"]) -> tuple[Float[Array, " c"], Float[Array, " c"], int]:
    """Return mean and (biased) variance [C] over the global batch, and the number of values of each channel."""
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.float32)
    mean = collective.mean(jnp.mean(x, axes))
    var = collective.mean(jnp.mean(jnp.square(x - mean.reshape((1,) * len(axes) + (-1,))), axes))
    return mean, var, collective.global_size(x.size // x.shape[-1])


class Down(nn.Module):
    """A stride-2 convolution without a bias: [N, H, W, C] -> [N, H/2, W/2, features]."""

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        size = self.kernel_size
        kernel = self.param("kernel", _near(0), (size, size, x.shape[-1], self.features))
        return conv(x, jnp.asarray(kernel, x.dtype), stride=2, padding=_half_padding(size))


class Up(nn.Module):
    """A stride-2 transposed ("fractionally strided") convolution without a bias: H x W -> 2H x 2W.

    The kernel is [height, width, out, in]: that of the convolution of which this is the transpose.
    """

    features: int
    kernel_size: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 f"]:
        height, width, size = 2 * x.shape[1], 2 * x.shape[2], self.kernel_size
        kernel = self.param("kernel", _near(0), (size, size, self.features, x.shape[-1]))
        padding = _half_padding(size)
        return conv_transpose(x, jnp.asarray(kernel, x.dtype), stride=2, padding=padding, size=(height, width))


def _half_padding(kernel_size: int) -> tuple[int, int]:
    """Return the zeros (before, after) with which a stride-2 convolution exactly halves an even size."""
    return (kernel_size - 1) // 2, (kernel_size - 2) // 2


# Networks -----------------------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """z (and a label) -> image: a dense layer to 4x4, then stride-2 transposed convolutions. Paper, figure 1."""

    config: DCGANConfig

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels | None = None, *, train: bool = False) -> Images:
        """Return images [N, H, W, C] in [-1, 1] of latents [N, z] and labels [N, k].

        The label vectors are appended to the latents (Mirza and Osindero 2014, arXiv:1411.1784). ``train`` normalises
        by the statistics of this batch and renews the running ones.
        """
        cfg = self.config
        norm = batch_norm(cfg)
        z = latents if labels is None else jnp.concatenate([latents, labels.astype(latents.dtype)], axis=-1)
        features = cfg.generator_features * 2 ** (cfg.levels - 1)
        kernel = self.param("project", _near(0), (z.shape[-1], BASE_SIZE * BASE_SIZE * features))
        x = jnp.asarray(z, cfg.dtype) @ jnp.asarray(kernel, cfg.dtype)
        if cfg.first_norm == "unit":
            x = norm(name="norm0")(x, train=train)
        x = x.reshape(-1, BASE_SIZE, BASE_SIZE, features)
        if cfg.first_norm == "channel":
            x = norm(name="norm0")(x, train=train)
        x = nn.relu(x)

        def layer(self: nn.Module, x: Array, level: int) -> Array:
            x = Up(features >> level, cfg.kernel_size, name=f"up{level}")(x)
            return nn.relu(norm(name=f"norm{level}")(x, train=train))

        for level in range(1, cfg.levels):
            x = apply_block(self, x, level, remat=cfg.remat, method=layer)
        x = Up(cfg.channels, cfg.kernel_size, name=f"up{cfg.levels}")(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Image (and a label) -> logit: stride-2 convolutions to 4x4, then one dense unit; no pooling.

    A label enters by projection: the inner product of its embedding with the summed last features is added to the
    logit (Miyato and Koyama 2018, arXiv:1802.05637, figure 1d).
    """

    config: DCGANConfig

    @nn.compact
    def __call__(self, images: Images, labels: Labels | None = None, *, train: bool = False) -> Logits:
        """Return logits [N]; in training, batch statistics are of these images, so give reals and fakes separately."""
        cfg = self.config
        norm = batch_norm(cfg)
        x = jnp.asarray(images, cfg.dtype)

        def layer(self: nn.Module, x: Array, level: int) -> Array:
            x = Down(cfg.discriminator_features << level, cfg.kernel_size, name=f"down{level}")(x)
            x = norm(name=f"norm{level}")(x, train=train) if level > 0 else x
            return nn.leaky_relu(x, 0.2)

        for level in range(cfg.levels):
            x = apply_block(self, x, level, remat=cfg.remat, method=layer)
        x = x.astype(jnp.float32)
        head = self.param("head", _near(0), (BASE_SIZE, BASE_SIZE, x.shape[-1]))
        logits = jnp.einsum("nhwc,hwc->n", x, head)
        if labels is not None:
            embedding = self.param("embedding", _near(0), (labels.shape[-1], x.shape[-1]))
            logits += jnp.einsum("nhwc,nk,kc->n", x, labels, embedding)
        return logits


# Objective ------------------------------------------------------------------------------------------------------------


def networks(config: DCGANConfig, generator: Generator, discriminator: Discriminator) -> Networks:
    """Return what the objectives need of the two modules. Batch statistics of both move in every pass."""

    def fake(params: Params, state: State, draws: Draws) -> tuple[Images, State]:
        network = state.generator
        images, renewed = _train(generator, network.with_params(params), draws["latents"], draws.get("label"))
        return images, replace(state, generator=replace(network, collections=renewed))

    def logits(params: Params, state: State, images: Images, labels: Labels | None) -> tuple[Logits, State]:
        network = state.discriminator
        values, renewed = _train(discriminator, network.with_params(params), images, labels)
        return values, replace(state, discriminator=replace(network, collections=renewed))

    draw = FakeDraws(partial(draw_latents, config), micro_batch=config.micro_batch)
    return Networks(fake, logits, draw, config.image_shape, augmentation=config)


def draw_latents(config: DCGANConfig, key: Key, indices: Array) -> Latents:
    """Draw latents [N, z]; the latent of index i depends on the key and i alone."""
    draw = {"normal": normal_latents, "uniform": uniform_latents}[config.latent_distribution]
    return draw(key, indices, size=config.latent_size)


def _train(
    network: nn.Module, variables: PyTree, inputs: AnyArray, labels: Labels | None
) -> tuple[Array, dict[str, PyTree]]:
    """Return a network's output in training, and its renewed statistics."""
    return cast("Any", network.apply(variables, inputs, labels, train=True, mutable=["batch_stats"]))


def _without_statistics(networks: Networks) -> Networks:
    """Return networks whose fakes leave the generator's running statistics as they are: for D's phase."""
    return replace(networks, fake=lambda params, state, draws: (networks.fake(params, state, draws)[0], state))


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: DCGANConfig, network: str) -> optax.GradientTransformation:
    """Return Adam, after the L2 penalty's gradient where there is one."""
    steps = adam(config, config.learning_rate, interval=config.r1_interval if network == "discriminator" else 0)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), steps) if config.weight_decay else steps


def phases(config: DCGANConfig, networks: Networks) -> dict[str, tuple[Step, int]]:
    """Return the phases of a step in their order, by name, each with the number of steps between two of its kind.

    The order is that of one of the two lineages.

    ``same-fakes``: D, then G through the new D on the same fakes (pytorch/examples, dcgan/main.py:223-264).
    ``alternate``: G in even steps and D in odd ones, each with images and latents of its own (Newmu/dcgan_code,
    faces/train_uncond_dcgan.py:203-206).
    """
    critic, penalty = discriminator_objectives(config, _without_statistics(networks), labels="batch")
    main, lazy = add_penalty(critic, penalty, config.r1_interval)

    def phase(network: str, objective: Objective) -> Step:
        return minimize(network, objective, optimizer(config, network), micro_batch=config.micro_batch)

    discriminator = phase("discriminator", main)
    generator = phase("generator", objectives.generator(networks, LOSSES[config.loss], labels="batch"))
    main_phases: dict[str, dict[str, tuple[Step, int]]] = {
        "same-fakes": {"both networks": (chain(discriminator, generator, share_key=True), 1)},
        "alternate": {"generator": (generator, 2), "discriminator": (discriminator, 2)},
    }
    penalty_phase = {"discriminator penalty": (phase("discriminator", lazy), config.r1_interval)} if lazy else {}
    return {**main_phases[config.update], **penalty_phase}


def averages(config: DCGANConfig) -> Step:
    """Return the phase of what follows the optimizers: the EMA, then the strength of the augmentation."""
    average = update_ema(half_life=config.ema_half_life)
    return chain(average, adapt_augmentation(augment.control(config), interval=config.augment_interval))


def step(config: DCGANConfig, networks: Networks) -> Step:
    """Return a whole step, in the order of one of the two lineages; see ``phases``."""
    parts = {name: phase for name, (phase, _) in phases(config, networks).items()}
    lazy = parts.pop("discriminator penalty", None)
    penalties = [every(config.r1_interval, lazy)] if lazy else []
    if config.update == "alternate":
        parts = {"both": chain(every(2, parts["generator"]), every(2, parts["discriminator"], offset=1))}
    whole = train_step(*parts.values(), *penalties, averages(config))
    check_size = partial(check_batch_size, config)
    return checked(whole, image_shape=config.image_shape, label_size=config.label_size, check_size=check_size)


def dcgan(config: DCGANConfig) -> GAN:
    """Return the DCGAN of a config."""
    generator, discriminator = Generator(config), Discriminator(config)
    parts = networks(config, generator, discriminator)
    whole = step(config, parts)

    def init(key: Key) -> TrainState:
        adam = partial(optimizer, config)
        return TrainState(**init_networks(config, generator, discriminator, adam, key, examples=2))

    return GAN(
        name="dcgan",
        config=config,
        image_shape=config.image_shape,
        label_size=config.label_size,
        generator=generator,
        discriminator=discriminator,
        init=init,
        step=whole,
        generate=partial(generate, config),
        check_batch_size=partial(check_batch_size, config),
        latents=partial(draw_latents, config),
        stages=(Stage("dcgan", whole, phases={**phases(config, parts), "averages": (averages(config), 1)}),),
    )


def generate(
    config: DCGANConfig, state: TrainState, latents: Latents, labels: Labels | None = None, *, ema: bool = True
) -> Images:
    """Return images [N, H, W, C] of latents [N, z], normalised by the statistics that the config names."""
    variables = generator_variables(state, ema=ema)
    if config.sample_statistics == "batch":
        variables = {**variables, **reference_statistics(config, variables)}
    return cast("Array", Generator(config).apply(variables, latents, labels))


def reference_statistics(config: DCGANConfig, variables: PyTree) -> PyTree:
    """Return the statistics of one fixed batch of 256 latents, in the place of the running ones."""
    indices = jnp.arange(REFERENCE_BATCH)
    labels = (
        jax.nn.one_hot(indices % config.label_size, config.label_size, dtype=jnp.float32) if config.label_size else None
    )
    latents = draw_latents(config, jax.random.fold_in(jax.random.key(0), REFERENCE_BATCH), indices)
    return _train(Generator(replace(config, norm_momentum=1.0)), variables, latents, labels)[1]


# Presets --------------------------------------------------------------------------------------------------------------

_TORCH = DCGANConfig()
_PAPER = DCGANConfig(
    latent_distribution="uniform",
    kernel_size=5,
    first_norm="unit",
    norm_epsilon=1e-8,
    sample_statistics="batch",
    update="alternate",
    weight_decay=1e-5,
)


def _preset(
    lineage: DCGANConfig, pixels: int, colours: int, z: int, ngf: int, ndf: int, ema: float = 0, labels: int = 0
) -> DCGANConfig:
    """Return a row of the table below."""
    return replace(
        lineage,
        image_size=pixels,
        channels=colours,
        latent_size=z,
        generator_features=ngf,
        discriminator_features=ndf,
        ema_half_life=ema,
        label_size=labels,
    )


# fmt: off
PRESETS: Mapping[str, Preset] = {
    #                  lineage          pixels  colours    z  ngf  ndf  EMA (images)  labels
    "paper":   Preset(_preset(_PAPER,      64,       3, 100, 128, 128), training={"batch_size": 128}),
    "torch":   Preset(_preset(_TORCH,      64,       3, 100,  64,  64)),
    "cifar10": Preset(_preset(_TORCH,      32,       3, 100,  64,  64,       10_000),
                      data={"data": "tfds:cifar10"},
                      training={"images": 2_000_000, "steps_per_dispatch": 16}),
    "digits":  Preset(_preset(_TORCH,      32,       1,  64,  24,  24,        5_000,     10),
                      data={"data": "digits"},
                      training={"images": 160_000, "batch_size": 32, "log_every": 4_000, "sample_every": 20_000,
                                "checkpoint_every": 40_000}),
    "tiny":    Preset(_preset(_TORCH,      16,       3,   8,   4,   4,          100),
                      data={"data": "digits"},
                      training={"images": 2_000, "batch_size": 16, "log_every": 400, "sample_every": 1_000,
                                "checkpoint_every": 400}),
}
# fmt: on
"""``paper`` and ``torch`` are the published configurations; ``cifar10`` and ``digits`` are this library's settings of
the Torch line for small images; ``tiny`` is for tests."""

MODEL = Model("dcgan", DCGANConfig, dcgan, PRESETS, default="torch")
