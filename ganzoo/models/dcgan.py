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

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from ganzoo import augment
from ganzoo.gan import GAN, Average, NetworkState, TrainState
from ganzoo.losses import LOSSES, AdversarialLoss
from ganzoo.models.dcgan_config import BASE_SIZE, DCGANConfig
from ganzoo.ops import collective, pixels, random
from ganzoo.ops.conv import conv, conv_transpose
from ganzoo.phases import average_generator, chain, control_augmentation, counted, every, fitted, minimize, same_draws
from ganzoo.typing import AnyArray, Batch, Images, Key, Labels, Latents, Logits, Metrics, Params, PyTree, Scalar, Step

REFERENCE_BATCH = 256

# Layers -------------------------------------------------------------------------------------------------------------


def _near(mean: float) -> Callable[..., Array]:
    """Initialiser N(mean, 0.02): weights around 0, batch-norm scales around 1. Radford et al. 2015, section 4."""

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
        """``x`` [..., C] in any float type; ``train`` takes the statistics of ``x``, otherwise the running ones."""
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


def batch_norm(config: DCGANConfig) -> Callable[..., BatchNorm]:
    """The layer as the config has it; only its name is left to give."""
    return partial(BatchNorm, config.norm_epsilon, config.norm_momentum, config.sample_statistics == "running")


def _moments(x: Float[Array, "... c"]) -> tuple[Float[Array, " c"], Float[Array, " c"], int]:
    """Mean and (biased) variance of each channel over the global batch, and the number of values in them."""
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
    """Zeros (before, after) with which a stride-2 convolution exactly halves an even size."""
    return (kernel_size - 1) // 2, (kernel_size - 2) // 2


# Networks -----------------------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """z (and a label) -> image: a dense layer to 4x4, then stride-2 transposed convolutions. Paper, figure 1."""

    config: DCGANConfig

    @nn.compact
    def __call__(self, latents: Latents, labels: Labels | None = None, *, train: bool) -> Images:
        """Images in [-1, 1]; the label vectors are appended to the latents (Mirza and Osindero 2014)."""
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
        for level in range(1, cfg.levels):
            x = Up(features >> level, cfg.kernel_size, name=f"up{level}")(x)
            x = nn.relu(norm(name=f"norm{level}")(x, train=train))
        x = Up(cfg.channels, cfg.kernel_size, name=f"up{cfg.levels}")(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Image (and a label) -> logit: stride-2 convolutions to 4x4, then one dense unit; no pooling.

    A label enters by projection: the inner product of its embedding with the summed last features is added to the
    logit (Miyato and Koyama 2018, arXiv:1802.05637, figure 1d).
    """

    config: DCGANConfig

    @nn.compact
    def __call__(self, images: Images, labels: Labels | None = None, *, train: bool) -> Logits:
        """Logits [N]; in training the statistics are those of this batch, so give reals and fakes separately."""
        cfg = self.config
        norm = batch_norm(cfg)
        x = jnp.asarray(images, cfg.dtype)
        for level in range(cfg.levels):
            x = Down(cfg.discriminator_features << level, cfg.kernel_size, name=f"down{level}")(x)
            if level > 0:
                x = norm(name=f"norm{level}")(x, train=train)
            x = nn.leaky_relu(x, 0.2)
        x = x.astype(jnp.float32)
        head = self.param("head", _near(0), (BASE_SIZE, BASE_SIZE, x.shape[-1]))
        logits = jnp.einsum("nhwc,hwc->n", x, head)
        if labels is not None:
            embedding = self.param("embedding", _near(0), (labels.shape[-1], x.shape[-1]))
            logits += jnp.einsum("nhwc,nk,kc->n", x, labels, embedding)
        return logits


# Objective ----------------------------------------------------------------------------------------------------------


def draw_latents(config: DCGANConfig, key: Key, indices: Int[Array, " n"]) -> Latents:
    """Latents [N, z]; the one with index i depends on the key and i alone."""
    shape = (config.latent_size,)
    draws = {
        "normal": lambda key: jax.random.normal(key, shape),
        "uniform": lambda key: jax.random.uniform(key, shape, minval=-1, maxval=1),
    }
    return random.for_indices(draws[config.latent_distribution], key, indices)


@dataclass(frozen=True)
class Game:
    """The two networks and their losses: what a minibatch means for each player."""

    config: DCGANConfig
    generator: Generator
    discriminator: Discriminator
    loss: AdversarialLoss

    def fakes(self, params: Params, variables: PyTree, batch: Batch, key: Key) -> tuple[Images, PyTree]:
        """As many fakes as the batch has images, with its labels, and the generator's renewed statistics."""
        latents = draw_latents(self.config, key, collective.global_indices(batch["image"].shape[0]))
        return _train(self.generator, params, variables, latents, batch.get("label"))

    def augmented(self, images: Images, kind: str, state: TrainState, key: Key) -> Images:
        """The "real" or "fake" images as the discriminator is to see them."""
        drawn = augment.draw(self.config, kind, jax.random.fold_in(key, 6), images.shape)
        return augment.augmented(self.config, images, drawn, state.augment)

    def discriminator_loss(
        self, params: Params, state: TrainState, batch: Batch, key: Key
    ) -> tuple[Scalar, tuple[TrainState, Metrics]]:
        """The discriminator's loss on the batch and on as many fakes. The generator and its statistics stay."""
        labels, network = batch.get("label"), state.discriminator
        fakes, _ = self.fakes(state.generator.params, state.generator.variables, batch, key)
        fakes = self.augmented(fakes, "fake", state, key)
        reals = self.augmented(pixels.scaled(batch["image"]), "real", state, key)
        real, variables = _train(self.discriminator, params, network.variables, reals, labels)
        fake, variables = _train(self.discriminator, params, variables, fakes, labels)
        losses = self.loss.discriminator(real, fake)
        metrics = {
            "discriminator/loss": Average.of(losses),
            "discriminator/real": Average.of(nn.sigmoid(real)),
            "discriminator/fake": Average.of(nn.sigmoid(fake)),
        }
        state = replace(state, discriminator=replace(network, variables=variables))
        return losses.mean(), (augment.heard(state, real), metrics)

    def generator_loss(
        self, params: Params, state: TrainState, batch: Batch, key: Key
    ) -> tuple[Scalar, tuple[TrainState, Metrics]]:
        """The generator's loss on its fakes. The discriminator stays, but for its running statistics."""
        labels, judge = batch.get("label"), state.discriminator
        fakes, renewed = self.fakes(params, state.generator.variables, batch, key)
        fakes = self.augmented(fakes, "fake", state, key)
        fake, variables = _train(self.discriminator, judge.params, judge.variables, fakes, labels)
        real = fake
        if self.loss.generator_sees_reals:
            reals = self.augmented(pixels.scaled(batch["image"]), "real", state, key)
            real, variables = _train(self.discriminator, judge.params, variables, reals, labels)
        losses = self.loss.generator(real, fake)
        state = replace(
            state,
            generator=replace(state.generator, variables=renewed),
            discriminator=replace(judge, variables=variables),
        )
        return losses.mean(), (state, {"generator/loss": Average.of(losses)})


def _train(
    network: nn.Module, params: Params, variables: PyTree, inputs: AnyArray, labels: Labels | None
) -> tuple[Array, PyTree]:
    """The network's output in training, and its renewed statistics."""
    return network.apply({"params": params, **variables}, inputs, labels, train=True, mutable=["batch_stats"])


# Recipe -------------------------------------------------------------------------------------------------------------


def optimizer(config: DCGANConfig) -> optax.GradientTransformation:
    """Adam, after the L2 penalty's gradient where there is one."""
    adam = optax.adam(config.learning_rate, config.adam_beta1, config.adam_beta2, config.adam_epsilon)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), adam) if config.weight_decay else adam


def train_step(game: Game) -> Step:
    """``same-fakes``: D, then G through the new D on the same fakes (pytorch/examples, dcgan/main.py:223-264).
    ``alternate``: G in even steps and D in odd ones, each with images and latents of its own (Newmu/dcgan_code,
    faces/train_uncond_dcgan.py:203-206)."""
    discriminator = minimize("discriminator", game.discriminator_loss, optimizer(game.config))
    generator = minimize("generator", game.generator_loss, optimizer(game.config))
    players = {
        "same-fakes": same_draws(discriminator, generator),
        "alternate": chain(every(2, generator), every(2, discriminator, offset=1)),
    }[game.config.update]
    average = average_generator(half_life=game.config.average_half_life)
    adapt = control_augmentation(augment.control(game.config), interval=game.config.augment_interval)
    return counted(chain(players, average, adapt))


def dcgan(config: DCGANConfig) -> GAN:
    """The DCGAN of that config, as a record of pure functions."""
    game = Game(config, Generator(config), Discriminator(config), LOSSES[config.loss])
    shape = (config.image_size, config.image_size, config.channels)
    return GAN(
        name="dcgan",
        config=config,
        image_shape=shape,
        label_size=config.label_size,
        generator=game.generator,
        discriminator=game.discriminator,
        init=partial(init, game),
        step=fitted(train_step(game), image_shape=shape, label_size=config.label_size),
        generate=partial(generate, game),
        latents=partial(draw_latents, config),
    )


def init(game: Game, key: Key) -> TrainState:
    """Fresh networks and optimizers; one key gives one state."""
    cfg = game.config
    labels = jnp.zeros((2, cfg.label_size)) if cfg.label_size else None
    latents, images = jnp.zeros((2, cfg.latent_size)), jnp.zeros((2, cfg.image_size, cfg.image_size, cfg.channels))

    def network(module: nn.Module, key: Key, inputs: Array) -> NetworkState:
        return NetworkState.fresh(module.init(key, inputs, labels, train=True), optimizer(cfg).init)

    generator = network(game.generator, jax.random.fold_in(key, 0), latents)
    return TrainState(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=generator,
        discriminator=network(game.discriminator, jax.random.fold_in(key, 1), images),
        average=jax.tree.map(jnp.copy, generator.weights),
        augment=augment.start(cfg),
    )


def generate(
    game: Game, state: TrainState, latents: Latents, labels: Labels | None = None, *, averaged: bool = True
) -> Images:
    """Images from latents [N, z], with the statistics that the config names, by the averaged or the newest weights."""
    network = state.average if averaged else state.generator.weights
    variables = network["variables"]
    if game.config.sample_statistics == "batch":
        variables = reference_statistics(game, network["params"], variables)
    images = game.generator.apply({"params": network["params"], **variables}, latents, labels, train=False)
    return cast("Array", images)  # apply returns a pair only where collections are mutable


def reference_statistics(game: Game, params: Params, variables: PyTree) -> PyTree:
    """The statistics of one fixed batch of 256 latents, in place of the running ones."""
    cfg = game.config
    indices = jnp.arange(REFERENCE_BATCH)
    labels = jax.nn.one_hot(indices % cfg.label_size, cfg.label_size) if cfg.label_size else None
    latents = draw_latents(cfg, jax.random.fold_in(jax.random.key(0), REFERENCE_BATCH), indices)
    generator = Generator(replace(cfg, norm_momentum=1.0))
    return _train(generator, params, variables, latents, labels)[1]
