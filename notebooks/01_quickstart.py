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
# # Quickstart: train a GAN on handwritten digits
#
# This notebook trains a small conditional DCGAN from scratch, with a training loop that you can read in full. It needs
# nothing but ganzoo itself: the digits are part of the package, and two CPU cores are enough. On them the whole
# notebook takes a few minutes.
#
# You will see what a GAN is to this library (a record of pure functions), how images go in and come out, how to sample
# and to interpolate, how a run is saved and resumed exactly, and how to put a piece of your own into the training step.

# %%
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import ganzoo
from ganzoo import phases
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.grids import enlarged, grid
from ganzoo.ops.pixels import to_uint8
from ganzoo.runs.config import experiments
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "1500"))  # of the training below
BATCH = 32
K = 25  # steps per dispatch, once we come to that


def show(images, columns):
    """Shows images, uint8 or in [-1, 1], as a grid; outside of Jupyter, says how large it is."""
    images = np.asarray(images)
    pixels = enlarged(grid(images if images.dtype == np.uint8 else to_uint8(images), columns), 680)
    try:
        from IPython.display import display
    except ImportError:
        print(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels")
    else:
        display(Image.fromarray(pixels[..., 0]), include=["image/png", "text/plain"])


# %% [markdown]
# ## A GAN is a record of pure functions
#
# `create` takes the name of a model, the name of one of its presets, and config fields that shall differ from the
# preset. Here we make the networks narrower and the learning rate higher than the preset `digits` has them, because
# this run is a short one.

# %%
gan = ganzoo.create(
    "dcgan",
    "digits",
    generator_features=16,
    discriminator_features=16,
    learning_rate=5e-4,
    ema_half_life=2_000,
)
print(gan)
print("fields:", ", ".join(field.name for field in dataclasses.fields(gan)))

# %% [markdown]
# There is no trainer object and nothing hidden in the record. The functions are
#
# - `init(key) -> state`
# - `step(state, batch, key) -> (state, metrics)`
# - `sample(state, key, count) -> images`
#
# and two finer ones for sampling: `latents(key, indices)` and `generate(state, latents, labels)`. `generator` and
# `discriminator` are ordinary Flax modules. The config is a frozen dataclass, and a value that it cannot take is
# refused at once, with a message that says what is wrong.

# %%
for name, value in dataclasses.asdict(gan.config).items():
    print(f"{name:24}{value}")

try:
    ganzoo.create("dcgan", "digits", image_size=48)
except ganzoo.UserError as error:
    print("\nrefused:", error)

# %% [markdown]
# ## The data
#
# A data set is opened for the shape of images that the model takes, and read by index. The digits are 8 x 8 scans;
# they are resized to 32 x 32 here. Images are `uint8` `[N, H, W, C]`, labels are one-hot rows.

# %%
dataset = open_dataset(DataConfig(data="digits"), gan.image_shape)
print(dataset.describe())

first_fifty = dataset.read(np.arange(50))
print({name: (leaf.shape, leaf.dtype.name) for name, leaf in first_fifty.items()})
show(first_fifty["image"], columns=10)

# %% [markdown]
# Inside the step, `uint8` becomes numbers in [-1, 1] by `x / 127.5 - 1`; generated images are brought back by
# `x * 127.5 + 128`, clipped to 0..255 and truncated (`ganzoo.ops.pixels.to_uint8`). Pictures are never stretched to
# their own minimum and maximum, so grey in a grid means grey in the model's output.
#
# The order of the data is arithmetic. `positions` says which images stand at given places of an endless sequence of
# shuffled epochs, from a seed alone. There is no iterator whose state could be lost: the batch of step `i` can be
# computed at any time, from `i`.


# %%
def batch(step):
    """The images and labels of one step."""
    return dataset.read(positions(seed=0, size=len(dataset), start=step * BATCH, count=BATCH))


print("images of step 0:   ", positions(seed=0, size=len(dataset), start=0, count=BATCH)[:6], "...")
print("images of step 1000:", positions(seed=0, size=len(dataset), start=1000 * BATCH, count=BATCH)[:6], "...")

# %% [markdown]
# ## Training by hand
#
# The state holds everything that changes: parameters, batch statistics, optimizer moments, the averaged generator and
# two counters. All of it is arrays, so `jax.jit` and the other transformations apply without adapters.
#
# `donate_argnums=0` lets the step write the new state into the memory of the old one. A state that was given to the
# step must therefore not be used again. The key is that of the whole run and never changes: the step folds its own
# number into it.

# %%
init_key, run_key, sample_key = jax.random.split(jax.random.key(0), 3)
state = jax.jit(gan.init)(init_key)
step = jax.jit(gan.step, donate_argnums=0)

state, metrics = step(state, batch(0), run_key)  # the first call compiles
jax.block_until_ready(metrics)

start = time.perf_counter()
for i in range(1, K):
    state, metrics = step(state, batch(i), run_key)
for name, metric in metrics.items():
    print(f"{name:30}{metric.value:9.4f}")
print(f"{1e3 * (time.perf_counter() - start) / (K - 1):.1f} ms per step")

# %% [markdown]
# The metrics stay on the device until `.value` asks for one, which waits for all steps before it. Read them now and
# then, not in every step: the host can then prepare the next batch while the device works.
#
# Each metric is a sum and a count (`ganzoo.Average`), so those of many steps can be added and the mean stays exact.
# This is what happens when several steps are compiled into one call: `phases.scanned(step)` takes a stack of batches
# `[K, N, ...]` and returns the summed metrics, and `parallel.scan_step` compiles that for the devices of a mesh, of
# which there is one here. It computes the same numbers with one dispatch in place of K. On a CPU a step is so
# long that this makes no difference; the faster the device, the more it saves.

# %%
mesh = parallel.data_mesh(1)
state = parallel.replicate(state, mesh)
steps = parallel.scan_step(gan.step, mesh)


def batches(first):
    """The batches of the steps ``first`` .. ``first + K - 1``, stacked."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[batch(first + i) for i in range(K)])


@jax.jit
def preview(state):
    """The first ten samples with the averaged weights, and with the newest ones."""
    return gan.sample(state, sample_key, 10), gan.sample(state, sample_key, 10, ema=False)


film = [preview(state)]
start = None
for i in range(K, STEPS, K):
    state, metrics = steps(state, batches(i), run_key)
    if start is None:  # compiled now
        jax.block_until_ready(metrics)
        start, from_step = time.perf_counter(), i + K
    if (i + K) % (STEPS // 10) < K:
        film.append(preview(state))
        losses = (f"{player} loss {metrics[f'{player}/loss'].value:.3f}" for player in ("discriminator", "generator"))
        print(f"step {i + K:5}   " + "   ".join(losses))
print(f"{1e3 * (time.perf_counter() - start) / max(1, i + K - from_step):.1f} ms per step")

# %% [markdown]
# ## Samples
#
# These are the same ten samples over time, from top to bottom. Sample `i` of a conditional model is of class `i`
# modulo the number of classes, unless you give labels.

# %%
show(np.concatenate([averaged for averaged, _ in film]), columns=10)

# %% [markdown]
# By default `sample` uses the moving average of the generator's weights, which changes slowly and is usually the
# better generator. `ema=False` takes the newest weights. The same samples over time with those take shape sooner,
# because the average still remembers the beginning; later on, their strokes are less even.

# %%
show(np.concatenate([newest for _, newest in film]), columns=10)

# %% [markdown]
# The final model, with a row for each class:

# %%
sample = jax.jit(gan.sample, static_argnames=("count", "averaged"))

images = sample(state, sample_key, count=100)
by_class = np.arange(100).reshape(10, 10).T.reshape(-1)
show(np.asarray(images)[by_class], columns=10)

# %% [markdown]
# Sample `i` depends on the key and on `i` alone, not on how many are sampled beside it. The latents are equal bit for
# bit; the images are equal up to rounding, because another batch size may be summed in another order. So a large
# number of samples can be made in parts, on any number of machines, and be the same set.

# %%
alone = sample(state, sample_key, first=37, count=1)
latents = gan.latents(sample_key, jnp.arange(100))
print("latents equal:", bool(jnp.array_equal(gan.latents(sample_key, jnp.array([37])), latents[37:38])))
print(f"largest difference of the images: {float(jnp.abs(alone - images[37]).max()):.1e}")

# %% [markdown]
# `generate` takes latents of your own. The latents are normal, so we go from one to another along
# `cos(a) z0 + sin(a) z1`: every point on this path is again distributed as the generator knows it, while the middle of
# a straight line would be too close to the origin. Every row is the same path, with another label.

# %%
generate = jax.jit(gan.generate, static_argnames="averaged")

classes, points = [0, 2, 3, 6, 7], 10
angle = np.linspace(0, np.pi / 2, points, dtype=np.float32)[:, None]
path = np.cos(angle) * latents[0] + np.sin(angle) * latents[8]
labels = np.eye(gan.label_size, dtype=np.float32)[np.repeat(classes, points)]
show(generate(state, jnp.tile(path, (len(classes), 1)), labels), columns=points)

# %% [markdown]
# ## Stop and resume, exactly
#
# A checkpoint is the whole state. With it, the run's key and the arithmetic order of the data, a resumed run is the
# run that was not interrupted, bit for bit. To see it, we save, restore, and go on from both.


# %%
def equal(a, b):
    """Whether all leaves of two states are equal bit for bit."""
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder)) as checkpoints:
    checkpoints.save(int(state.images), state)  # in the background
    checkpoints.wait()
    restored = checkpoints.restore(jax.eval_shape(gan.init, init_key), mesh)
print("restored as it was saved:", equal(state, restored))

done = int(restored.step)
state, _ = steps(state, batches(done), run_key)
restored, _ = steps(restored, batches(done), run_key)
print(f"equal after {K} more steps:", equal(state, restored))

# %% [markdown]
# ## Swap a piece
#
# What is a choice in the literature is a config field here. Another adversarial loss, for instance, is one word:

# %%
hinge = ganzoo.create("dcgan", **{**dataclasses.asdict(gan.config), "loss": "hinge"})
print(hinge.config.loss, "instead of", gan.config.loss)

# %% [markdown]
# What is not a config field can be a function. Every part of a step has the type of the step itself,
# `(state, batch, key) -> (state, metrics)`, and so has whatever you write. The combinators in `ganzoo.phases` put such
# functions together: `chain` runs them one after the other, `every(n, phase)` runs one in each n-th step only.
#
# As an example, this phase watches for mode collapse. It compares how much the samples vary with how much the real
# images do; a ratio near 1 is healthy and one near 0 means that all samples look alike. It only looks, but a phase
# may just as well return a changed state.


# %%
def variety(state, batch, key):
    """The mean standard deviation of the pixels over the samples, relative to that over the real images."""
    samples = hinge.generate(state, hinge.latents(key, jnp.arange(BATCH)), batch["label"], ema=False)
    reals = batch["image"] / 127.5 - 1
    ratio = jnp.std(samples, axis=0).mean() / jnp.std(reals, axis=0).mean()
    return state, {"variety": ganzoo.Average.of(ratio)}


count_signs = parallel.scan_step(phases.chain(hinge.step, phases.every(K, variety)), mesh)

hinge_state = jax.jit(hinge.init)(init_key)
for i in range(0, STEPS // 2, K):
    hinge_state, metrics = count_signs(hinge_state, batches(i), run_key)
    if i // K % 6 == 5:
        loss = metrics["discriminator/loss"].value
        print(f"step {i + K:5}   discriminator loss {loss:.3f}   variety {metrics['variety'].value:.2f}")
show(sample(hinge_state, sample_key, count=100)[:20], columns=10)  # the networks are the same: it is compiled already

# %% [markdown]
# `variety` ran inside the compiled loop, once in 25 steps, and its metric came out beside the model's own. Nothing had
# to be registered and nothing was subclassed.
#
# ## Where to go from here
#
# The `ganzoo` command does what was done by hand above, and also logs, draws sample grids, saves checkpoints and uses
# all devices of the machine:
#
# ```
# ganzoo train dcgan-digits --out runs/digits             train into a new folder
# ganzoo train dcgan-digits --out runs/digits --resume    go on after an interruption
# ganzoo train dcgan-digits --help                        every field of the config
# ganzoo train dcgan-cifar10 --data pictures/             the same for a folder of your own pictures
# ```
#
# Experiments are frozen dataclasses as well: a model's config, the data, and the training. You can take one, replace
# what you like, and hand it to `ganzoo.runs.run.run`.

# %%
for name, experiment in experiments().items():
    size, images = experiment.gan.image_size, experiment.training.images
    print(f"{name:16}{size:4} x {size:<4}{images:>10,} images, in batches of {experiment.training.batch_size}")
