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
# Train a small conditional DCGAN from scratch, with a training loop that you can read in full. The notebook needs
# nothing but ganzoo: the digits are part of the package. On two CPU cores it takes a few minutes.
#
# You will see what a GAN is to this library (a record of pure functions), how images go in and come out, how to sample
# and interpolate, how to save a run and resume it exactly, and how to put a piece of your own into the training step.

# %%
import dataclasses
import os
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ganzoo
from ganzoo import phases
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.runs.config import experiments
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "1500"))  # of the training below
BATCH = 32
K = 25  # steps per dispatch

# %% [markdown]
# ## A GAN is a record of pure functions
#
# `create` takes the name of a model, the name of one of its presets, and the config fields that differ from the preset.
# This run is short, so the networks are narrower and the learning rate is higher than in the preset `digits`.

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
# There is no trainer object and no hidden state. The main functions are
#
# - `init(key) -> state`
# - `step(state, batch, key) -> (state, metrics)`
# - `sample(state, key, count) -> images`
#
# and `sample` is made of two finer ones: `latents(key, indices)` and `generate(state, latents, labels)`. `generator`
# and `discriminator` are ordinary Flax modules. `styles` is for models with a style space, which a DCGAN has not.
# The config is a frozen dataclass that checks its values and says what is wrong with one.

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
# Open a data set for the image shape of the model, then read it by index. The digits are 8 x 8 scans, resized here to
# 32 x 32. Images are `uint8` `[N, H, W, C]`; labels are one-hot rows.

# %%
dataset = open_dataset(DataConfig(data="digits"), gan.image_shape)
print(dataset.describe())

first_fifty = dataset.read(np.arange(50))
print({name: (leaf.shape, leaf.dtype.name) for name, leaf in first_fifty.items()})
ganzoo.show(first_fifty["image"], columns=10)

# %% [markdown]
# The step converts `uint8` to [-1, 1] by `x / 127.5 - 1`. `show` converts generated images back by `x * 127.5 + 128`,
# clipped to 0..255 and truncated. No image is stretched to its own minimum and maximum, so grey in a grid is grey in
# the model's output.
#
# The order of the data is arithmetic: from a seed alone, `positions` computes which images stand at given places of an
# endless sequence of shuffled epochs. There is no iterator with a state to lose: the batch of step `i` follows from
# `i`.


# %%
def batch(step):
    """Return the images and labels of one step."""
    return dataset.read(positions(seed=0, size=len(dataset), start=step * BATCH, count=BATCH))


print("images of step 0:   ", positions(seed=0, size=len(dataset), start=0, count=BATCH)[:6], "...")
print("images of step 1000:", positions(seed=0, size=len(dataset), start=1000 * BATCH, count=BATCH)[:6], "...")

# %% [markdown]
# ## Training by hand
#
# The state holds everything that changes: parameters, batch statistics, optimizer moments, the moving average (EMA) of
# the generator and two counters. All of it is arrays, so `jax.jit` and the other transformations apply directly.
#
# `donate_argnums=0` lets the step write the new state into the memory of the old one, so do not use the old state
# again. The key is the key of the whole run and never changes: the step folds its own number into it.

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
# A metric stays on the device until you read its `.value`, which waits for all steps before it. Read metrics now and
# then, not in every step, so that the host can prepare the next batch while the device works.
#
# Each metric is a sum and a count (`ganzoo.Average`), so metrics of many steps can be added and their mean stays exact.
# `phases.scanned(step)` uses this to put K steps into one program: it takes a stack of batches `[K, N, ...]` and
# returns the summed metrics. `parallel.scan_step` compiles that program for the devices of a mesh. The numbers are the
# same, with one dispatch in place of K. On a CPU a step takes so long that this makes no difference; the faster the
# device, the more it saves.

# %%
mesh = parallel.data_mesh(1)
state = parallel.replicate(state, mesh)
steps = parallel.scan_step(gan.step, mesh)


def batches(first):
    """Return the batches of the steps `first` .. `first + K - 1`, stacked."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *[batch(first + i) for i in range(K)])


@jax.jit
def preview(state):
    """Return the first ten samples of the EMA of the weights, and of the newest weights."""
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
        losses = (f"{name} loss {metrics[f'{name}/loss'].value:.3f}" for name in ("discriminator", "generator"))
        print(f"step {i + K:5}   " + "   ".join(losses))
print(f"{1e3 * (time.perf_counter() - start) / max(1, i + K - from_step):.1f} ms per step")

# %% [markdown]
# ## Samples
#
# The same ten samples over time, from top to bottom. Without labels, sample `i` of a conditional model is of class `i`
# modulo the number of classes.

# %%
ganzoo.show(np.concatenate([images for images, _ in film]), columns=10)

# %% [markdown]
# By default `sample` uses the EMA of the generator's weights, which changes slowly and is usually the better generator.
# `ema=False` takes the newest weights. Their samples, below, take shape sooner, because the EMA still remembers the
# beginning; later on, their strokes are less even.

# %%
ganzoo.show(np.concatenate([images for _, images in film]), columns=10)

# %% [markdown]
# The final model, one row per class:

# %%
sample = jax.jit(gan.sample, static_argnames=("count", "ema"))

images = sample(state, sample_key, count=100)
by_class = np.arange(100).reshape(10, 10).T.reshape(-1)
ganzoo.show(np.asarray(images)[by_class], columns=10)

# %% [markdown]
# Sample `i` depends on the key and on `i` alone, not on the samples beside it. The latents are equal bit for bit; the
# images are equal up to rounding, because another batch size may be summed in another order. So you can make a large
# set of samples in parts, on any number of machines.

# %%
alone = sample(state, sample_key, first=37, count=1)
latents = gan.latents(sample_key, jnp.arange(100))
print("latents equal:", bool(jnp.array_equal(gan.latents(sample_key, jnp.array([37])), latents[37:38])))
print(f"largest difference of the images: {float(jnp.abs(alone - images[37]).max()):.1e}")

# %% [markdown]
# `generate` takes latents of your own. The latents are normal, so go from one to another along
# `cos(a) z0 + sin(a) z1`: every point on this path has the distribution that the generator was trained on, while the
# middle of a straight line is too close to the origin. Every row is the same path with another label.

# %%
generate = jax.jit(gan.generate, static_argnames="ema")

classes, points = [0, 2, 3, 6, 7], 10
angle = np.linspace(0, np.pi / 2, points, dtype=np.float32)[:, None]
path = np.cos(angle) * latents[0] + np.sin(angle) * latents[8]
labels = np.eye(gan.label_size, dtype=np.float32)[np.repeat(classes, points)]
ganzoo.show(generate(state, jnp.tile(path, (len(classes), 1)), labels), columns=points)

# %% [markdown]
# ## Stop and resume, exactly
#
# A checkpoint is the whole state. With the state, the run's key and the arithmetic order of the data, a resumed run
# equals an uninterrupted one bit for bit. Save, restore, and go on from both:


# %%
def equal(a, b):
    """Return whether all leaves of two states are equal bit for bit."""
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
# What the literature chooses between is a config field. Another adversarial loss, for instance, is one word:

# %%
hinge = ganzoo.MODELS["dcgan"].build(dataclasses.replace(gan.config, loss="hinge"))
print(hinge.config.loss, "instead of", gan.config.loss)

# %% [markdown]
# Anything else can be a function. Every part of a step has the type of the step itself,
# `(state, batch, key) -> (state, metrics)`, and so has a part that you write. The combinators in `ganzoo.phases` put
# such functions together: `chain` runs them in turn, `every(n, phase)` runs one in each n-th step only.
#
# As an example, this phase watches for mode collapse: it compares the variation of the samples with the variation of
# the real images. A ratio near 1 is healthy; near 0 all samples look alike. This phase only measures; a phase may also
# return a changed state.


# %%
def variety(state, batch, key):
    """Measure the mean standard deviation of a pixel over the samples, relative to the real images."""
    samples = hinge.generate(state, hinge.latents(key, jnp.arange(BATCH)), batch["label"], ema=False)
    reals = batch["image"] / 127.5 - 1
    ratio = jnp.std(samples, axis=0).mean() / jnp.std(reals, axis=0).mean()
    return state, {"variety": ganzoo.Average.of(ratio)}


watched_steps = parallel.scan_step(phases.chain(hinge.step, phases.every(K, variety)), mesh)

hinge_state = jax.jit(hinge.init)(init_key)
for i in range(0, STEPS // 2, K):
    hinge_state, metrics = watched_steps(hinge_state, batches(i), run_key)
    if i // K % 6 == 5:
        loss = metrics["discriminator/loss"].value
        print(f"step {i + K:5}   discriminator loss {loss:.3f}   variety {metrics['variety'].value:.2f}")
ganzoo.show(sample(hinge_state, sample_key, count=100)[:20], columns=10)  # compiled already: the networks are the same

# %% [markdown]
# `variety` ran inside the compiled loop, once in 25 steps, and its metric came out beside those of the model. There is
# nothing to register and nothing to subclass.
#
# ## Where to go from here
#
# The `ganzoo` command trains as the cells above do; it also logs, draws sample grids, saves checkpoints and uses all
# devices of the machine:
#
# ```
# ganzoo train dcgan-digits --out runs/digits             train into a new folder
# ganzoo train dcgan-digits --out runs/digits --resume    continue after an interruption
# ganzoo train dcgan-digits --help                        every field of the config
# ganzoo train dcgan-cifar10 --data images/               train on a folder of your own images
# ```
#
# `ganzoo.train` is the same in Python, with config fields by name:
#
# ```python
# state, folder = ganzoo.train("dcgan-digits", out="runs/digits", loss="hinge")
# gan, state = ganzoo.load(folder)
# ```
#
# These are the names that both take:

# %%
for name, experiment in experiments().items():
    size = experiment.gan.image_size
    print(f"{name:24}{size:4} x {size:<4}{experiment.training.images:>12,} images")
