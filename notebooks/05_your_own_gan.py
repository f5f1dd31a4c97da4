# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Add your own GAN
#
# A model is one value, `ganzoo.Model`, that any file or package can define. This notebook writes a small conditional
# WGAN-GP of handwritten digits, trains it, and runs the tests of the library on it. It takes about three minutes on two
# CPU cores.
#
# The critic of a Wasserstein GAN (**[1]**) estimates how far the generated images are from the real ones. It must not
# be steeper than 1 anywhere, and a penalty on its gradient between real and generated images sees to that (**[2]**).
#
# - **[1]** Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", [arXiv:1701.07875](https://arxiv.org/abs/1701.07875);
# - **[2]** Gulrajani et al. 2017, "Improved Training of Wasserstein GANs",
#   [arXiv:1704.00028](https://arxiv.org/abs/1704.00028).

# %%
import json
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import ganzoo
from ganzoo import draws, losses, objectives, phases
from ganzoo.config import Count, NonNegative, Positive, check_fields, require
from ganzoo.gan import generator_variables
from ganzoo.models.config import ImageConfig, init_networks
from ganzoo.nn.equalized import EqualizedConv, EqualizedDense

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "4000"))

# %% [markdown]
# ## The config
#
# A config is a frozen dataclass. `ImageConfig` brings the fields that all models share: `image_size`, `channels`,
# `label_size` and `latent_size`. The annotations hold the limits, which `check_fields` enforces; the docstrings become
# the help texts of the command line.


# %%
@dataclass(frozen=True)
class Config(ImageConfig):
    """A small WGAN-GP."""

    image_size: Count = 16
    """Height and width in pixels, a multiple of 4."""
    features: Count = 32
    """Channels of the finest layers."""
    learning_rate: Positive = 2e-3
    """Adam's step size, of both networks."""
    critic_steps: Count = 2
    """Updates of the critic in one step."""
    gradient_penalty: NonNegative = 10.0
    """Weight (lambda) of the gradient penalty."""
    ema_half_life: NonNegative = 5_000
    """Half-life in images of the generator's moving average."""

    def __post_init__(self):
        check_fields(self)
        require(self.image_size % 4 == 0, "image_size", self.image_size, "be a multiple of 4")


# %% [markdown]
# ## The networks
#
# The networks are plain Flax modules: `generator(latents, labels)` returns images `[N, H, W, C]`, and
# `discriminator(images, labels)` returns logits `[N]`. Labels are one-hot rows, or `None` if `label_size` is 0. Any
# layer will do. These come from the library, and their second derivatives, which the penalty needs, are fast on CPUs.
#
# The critic has one output for each class. Its last layer has no bias, because a bias cancels in the Wasserstein loss.


# %%
class Generator(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, latents, labels=None):
        features, size = self.config.features, self.config.image_size // 4
        x = latents if labels is None else jnp.concatenate([latents, labels], axis=-1)
        x = EqualizedDense(size * size * 2 * features, "lrelu")(x).reshape(-1, size, size, 2 * features)
        x = EqualizedConv(2 * features, 3, "lrelu", up=2)(x)
        x = EqualizedConv(features, 3, "lrelu", up=2)(x)
        return jnp.tanh(EqualizedConv(self.config.channels, 3)(x))


class Critic(nn.Module):
    config: Config

    @nn.compact
    def __call__(self, images, labels=None):
        x = EqualizedConv(self.config.features, 3, "lrelu", down=2)(images)
        x = EqualizedConv(2 * self.config.features, 3, "lrelu", down=2)(x)
        x = EqualizedDense(4 * self.config.features, "lrelu")(x.reshape(x.shape[0], -1))
        logits = EqualizedDense(max(1, self.config.label_size), use_bias=False)(x)
        return jnp.sum(logits if labels is None else logits * labels, axis=1)


# %% [markdown]
# ## The objective and the step
#
# `objectives.networks` is what losses need to know of the two modules. An objective is a loss with its random draws;
# `total` adds objectives. `minimize` turns an objective into a phase, a function
# `(state, batch, key) -> (state, metrics)`, and `train_step` puts phases together. A list of phases is plain Python:
# here the critic moves `critic_steps` times, each time on other fakes, and then the generator moves once.
#
# `build` returns the record `ganzoo.GAN`. Nothing in it knows of devices, loops or files.


# %%
def train_step(config, nets, adam):
    penalty = objectives.wgan_gp(nets, config.gradient_penalty)
    critic = objectives.total(objectives.discriminator(nets, losses.wasserstein), penalty)
    return phases.train_step(
        *[phases.minimize("discriminator", critic, adam)] * config.critic_steps,
        phases.minimize("generator", objectives.generator(nets, losses.wasserstein), adam),
        phases.update_ema(half_life=config.ema_half_life),
    )


def build(config):
    generator, critic = Generator(config), Critic(config)
    latents = partial(draws.normal_latents, size=config.latent_size)
    nets = objectives.networks(generator, critic, draws.FakeDraws(latents), config.image_shape)
    adam = optax.adam(config.learning_rate, b1=0.0, b2=0.99)

    def init(key):
        return ganzoo.TrainState(**init_networks(config, generator, critic, lambda network: adam, key))

    def generate(state, latents, labels=None, *, ema=True):
        return generator.apply(generator_variables(state, ema=ema), latents, labels)

    shapes = {"image_shape": config.image_shape, "label_size": config.label_size}
    return ganzoo.GAN(
        name="my_gan",
        config=config,
        generator=generator,
        discriminator=critic,
        init=init,
        step=phases.checked(train_step(config, nets, adam), **shapes),
        generate=generate,
        latents=latents,
        **shapes,
    )


# %% [markdown]
# ## The model
#
# A preset is a config with the data and the run settings that belong to it. `tiny` is small enough for tests.

# %%
PRESETS = {
    "digits": ganzoo.Preset(
        Config(channels=1, label_size=10, latent_size=32),
        data={"data": "digits"},
        training={"images": 128_000, "batch_size": 32, "log_every": 16_000, "sample_every": 16_000},
    ),
    "tiny": ganzoo.Preset(
        Config(image_size=8, channels=1, label_size=10, latent_size=8, features=4),
        data={"data": "digits"},
        training={"images": 640, "batch_size": 16},
    ),
}
MODEL = ganzoo.Model("my_gan", Config, build, PRESETS, default="digits")

print(ganzoo.create(MODEL))
try:
    ganzoo.create(MODEL, image_size=18)
except ganzoo.UserError as error:
    print("refused:", error)

# %% [markdown]
# ## Train it
#
# `ganzoo.train` takes the model in place of a name. It checks the data, writes checkpoints, sample grids and metrics
# into the run folder, and resumes an interrupted run exactly (`resume=True`). Further arguments are fields of the
# model's config or of the run. `ganzoo.load` needs `model=`, because a run folder never makes the library import a
# file.

# %%
with tempfile.TemporaryDirectory() as folder:
    _, run = ganzoo.train(MODEL, out=Path(folder) / "run", images=STEPS * 32, checkpoint_every=64_000)
    print("\n" + ", ".join(sorted(path.name for path in run.iterdir())))
    gan, state = ganzoo.load(run, model=MODEL)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]

# %% [markdown]
# One row per class:

# %%
images = gan.sample(state, jax.random.key(0), 100)
by_class = np.arange(100).reshape(10, 10).T.reshape(-1)
ganzoo.show(images[by_class], columns=10)

# %% [markdown]
# Real minus generated logits estimate the Wasserstein distance, so this loss says how far the training has come:

# %%
print(" images   estimated distance   gradient penalty")
for row in rows:
    print(f"{row['images']:7}{-row['discriminator/loss']:21.2f}{row['discriminator/gradient_penalty']:19.3f}")

# %% [markdown]
# ## Test it
#
# `check_model` runs the contract tests of the library on the preset `tiny` and raises `AssertionError` where one fails.
# They check shapes, finite steps, that every parameter is trained, that samples depend on their number alone, and that
# `jit` over devices, `pmap`, `shard_map`, `scan` and `vmap` all train the same weights. It takes less than a minute. In
# a test of your own, `jax.config.update("jax_num_cpu_devices", 8)` at the start makes eight devices of a CPU.

# %%
ganzoo.testing.check_model(MODEL)
print(f"{len(ganzoo.testing.CHECKS)} checks passed")

# %% [markdown]
# ## Use it from the command line
#
# Put the imports and the cells from `Config` to `MODEL` into a file, `my_gan.py`. Then every command knows the model:
#
# ```
# ganzoo train my_gan.py:MODEL --out runs/mine                        the default preset
# ganzoo train my_gan.py:MODEL:tiny --features 8                      another preset, another field
# ganzoo train my_gan.py:MODEL --help                                 every field with its docstring
# ganzoo sample runs/mine --model-file my_gan.py:MODEL
# ```
#
# An installed package can give its model a name. Then `ganzoo train my_gan`, `ganzoo.create("my_gan")` and
# `ganzoo.load(folder)` work as for the models of the library. In the `pyproject.toml` of the package:
#
# ```
# [project.entry-points."ganzoo.models"]
# my_gan = "my_package.my_gan:MODEL"
# ```
