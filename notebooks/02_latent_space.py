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
# # The latent space of StyleGAN2
#
# A StyleGAN2 does not make an image from a latent `z` directly. A mapping network turns `z` into a style `w`, and a
# synthesis network makes the image from copies of `w`, one for each of its layers. This notebook shows what one can do
# with `w`: truncation, style mixing and interpolation. It also shows what the noise does.
#
# First train a small StyleGAN2 on the digits of the package: about two minutes on two CPU cores, with half a minute of
# compilation.
#
# References:
#
# - **[1]** Karras, Laine, Aila 2018, "A Style-Based Generator Architecture for Generative Adversarial Networks",
#   [arXiv:1812.04948](https://arxiv.org/abs/1812.04948);
# - **[2]** Karras et al. 2019, "Analyzing and Improving the Image Quality of StyleGAN",
#   [arXiv:1912.04958](https://arxiv.org/abs/1912.04958).

# %%
import os
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import ganzoo
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.gan import named_leaves
from ganzoo.latent.mixing import mix, mixing_table
from ganzoo.latent.paths import interpolate
from ganzoo.training import parallel

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "1200"))
BATCH = 32

# %% [markdown]
# ## A model to look into
#
# Take the preset `faces64`, which is for small grey images, and make it smaller yet. The learning rates are higher,
# because the run is short. All else is as in the papers: style mixing in training ([1], section 3.1), lazy R1 and path
# length regularisation ([2], sections 3.1 and 3.2). The model is conditional: the mapping network takes a label beside
# `z`, so `w` holds both which digit to draw and how.

# %%
gan = ganzoo.create(
    "stylegan2",
    "faces64",
    image_size=16,
    label_size=10,
    channel_base=256,
    channel_max=32,
    latent_size=32,
    style_size=32,
    mapping_layers=2,
    discriminator_mapping_layers=2,
    r1_gamma=0.1,
    generator_learning_rate=4e-3,
    discriminator_learning_rate=4e-3,
    ema_half_life=2_000,
    ema_ramp=None,
)
dataset = open_dataset(DataConfig(data="digits"), gan.image_shape)
print(gan)
print(dataset.describe())

# %% [markdown]
# `parallel.jit_step` compiles the step, with its four phases (generator, path lengths, discriminator, R1), into one
# program. On a CPU, call this program once per step: XLA runs the loop of `parallel.scan_step` on fewer threads, so
# these small layers would take three times as long.

# %%
mesh = parallel.data_mesh(1)
init_key, run_key, sample_key = jax.random.split(jax.random.key(0), 3)
state = parallel.jit_init(gan.init, mesh)(init_key)
step = parallel.jit_step(gan.step, mesh)

film = []
start = time.perf_counter()
for i in range(STEPS):
    state, metrics = step(state, dataset.read(positions(0, len(dataset), i * BATCH, BATCH)), run_key)
    if i == 0:
        jax.block_until_ready(metrics)
        print(f"compiled in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
    if (i + 1) % (STEPS // 5) == 0:
        film.append(gan.sample(state, sample_key, 10))
        losses = (f"{name} loss {metrics[f'{name}/loss'].value:.3f}" for name in ("discriminator", "generator"))
        print(f"step {i + 1:5}   " + "   ".join(losses))
print(f"{1e3 * (time.perf_counter() - start) / STEPS:.0f} ms per step")
ganzoo.show(np.concatenate(film), columns=10)

# %% [markdown]
# The same ten latents over time, from top to bottom. Latent `i` gets the label `i` modulo 10, here and below. Now 60
# samples of the final model. They come from the moving average (EMA) of the weights; `ema=False` takes the newest.

# %%
latents, labels = gan.latents(sample_key, jnp.arange(2_000)), jnp.tile(jnp.eye(10), (200, 1))
ganzoo.show(gan.sample(state, sample_key, 60), columns=10)

# %% [markdown]
# ## From z to w to an image
#
# `gan.styles` is the style space. `map` runs the mapping network and returns `ws` `[N, L, w]`, the same `w` for each of
# the L style inputs; `synthesise` makes images of `ws`. Both take the train state and are compiled. `mean` returns the
# mean style, `modulations` and `noise_maps` return weights.

# %%
synthesise = partial(gan.styles.synthesise, state)

ws = gan.styles.map(state, latents, labels)
images = synthesise(ws[:60])
difference = jnp.abs(jnp.clip(images, -1, 1) - gan.sample(state, sample_key, 60)).max()
print("z", latents.shape, "-> ws", ws.shape, "-> images", images.shape)
print("largest difference from `sample`:", f"{difference:.0e}")

# %% [markdown]
# Under it is a plain Flax module. `state.ema` holds its variables, so `gan.generator.apply(state.ema, z, label)` makes
# an image as well, and `bind` gives the module its weights, so that you can call its methods:

# %%
generator = gan.generator.bind(state.ema)
print("largest difference from `map`:", f"{jnp.abs(generator.styles(latents, labels) - ws).max():.0e}")
print("networks:", ", ".join(state.ema["params"]))

# %% [markdown]
# Each size of the pyramid has its convolutions and a layer "to RGB", which adds its colours to the enlarged colours of
# the size below ([2], figure 7 b). The layer "to RGB" shares its style input with the first convolution of the next
# size.

# %%
first = 0
for i, level in enumerate(gan.config.levels):
    last = first + (1 if i == 0 else 2)
    inputs = ", ".join(str(j) for j in range(first, last + 1))
    print(f"{level.height:2} x {level.width:<2}   {level.features} features   style inputs {inputs}")
    first = last
print("L =", gan.styles.count)

# %% [markdown]
# ## Truncation
#
# Where the density of the training data is low, the generator has learned little. The truncation trick ([1], appendix
# B) pulls every style towards the mean style `w_avg` of the training: `w' = w_avg + psi (w - w_avg)`. Each column is
# one latent; the rows are `psi` = 1, 0.7, 0.5, 0 and -0.5.
#
# At `psi` = 0 all images are the mean image. A negative `psi` goes past it, to the opposite of the style ([1], figure
# 8).

# %%
psis = [1, 0.7, 0.5, 0, -0.5]
ganzoo.show(np.concatenate([gan.generate(state, latents[:10], labels[:10], psi=psi) for psi in psis]), columns=10)

# %% [markdown]
# `cutoff` truncates only the first style inputs, which belong to the coarse layers. Here `psi` is 0 in all rows, and
# `cutoff` is 0 (truncates nothing), 2, 3, 4 and 6 (truncates all).

# %%
cutoffs = [0, 2, 3, 4, gan.styles.count]
rows = [gan.generate(state, latents[:10], labels[:10], psi=0, cutoff=cutoff) for cutoff in cutoffs]
ganzoo.show(np.concatenate(rows), columns=10)

# %% [markdown]
# There is one `w_avg` for all labels, so strong truncation takes the digit away as well. Styles are arrays, so you can
# truncate towards the mean style of the digit instead. The rows are `psi` = 1, 0.7, 0.5, 0 and -0.5 again.

# %%
digit_means = ws.reshape(200, 10, *ws.shape[1:]).mean(axis=0)
rows = jnp.concatenate([digit_means + psi * (ws[:10] - digit_means) for psi in psis])
ganzoo.show(synthesise(rows), columns=10)

# %% [markdown]
# What truncation does, in numbers, over 2000 latents. The first column is the distance of the styles from `w_avg`. The
# second is variety: the standard deviation of a pixel over the images. The third is quality: the distance of an image
# to the nearest training image (root mean square over its pixels; lower is better). A little truncation costs little
# variety and brings the images no further from the data. Strong truncation leads away from the data: the mean of all
# digits is no digit.

# %%
w_average = gan.styles.mean(state)
reals = dataset.read(np.arange(len(dataset)))["image"].reshape(len(dataset), -1) / 127.5 - 1


def nearest(images):
    """Return for each image the root mean square distance to the nearest training image."""
    x = np.asarray(images).reshape(len(images), -1)
    squares = (x**2).sum(1)[:, None] + (reals**2).sum(1)[None] - 2 * x @ reals.T
    return np.sqrt(np.maximum(squares.min(1), 0) / x.shape[1])


print("  psi   |w - w_avg|   variety   distance to the data")
for psi in [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25, 0]:
    truncated = gan.styles.map(state, latents, labels, psi=psi)[:, 0]
    x = np.asarray(gan.generate(state, latents, labels, psi=psi))
    away = jnp.linalg.norm(truncated - w_average, axis=1).mean()
    print(f"{psi:5.2f}{away:14.2f}{x.std(axis=0).mean():10.3f}{nearest(x).mean():15.3f}")
print(f"\nthe data {reals.std(axis=0).mean():20.3f}")

# %% [markdown]
# `w_avg` is a running mean over the training, of the newest weights, while the samples come from the EMA. The two means
# are close all the same:

# %%
mean = ws[:, 0].mean(axis=0)
print(f"|w_avg|                      {jnp.linalg.norm(w_average):.3f}")
print(f"|mean of 2000 w - w_avg|     {jnp.linalg.norm(mean - w_average):.3f}")
print(f"mean of |w - w_avg|          {jnp.linalg.norm(ws[:, 0] - w_average, axis=1).mean():.3f}")

# %% [markdown]
# The image of the mean style is not the mean of the images. It is sharp, because it is the image of one style. From
# left to right: the image of `w_avg`, the mean of 2000 samples, and the mean of the data.

# %%
mean_image = gan.generate(state, latents[:1], labels[:1], psi=0)
mean_sample = gan.generate(state, latents, labels).mean(axis=0, keepdims=True)
ganzoo.show(np.concatenate([mean_image, mean_sample, reals.mean(axis=0).reshape(mean_image.shape)]), columns=3)

# %% [markdown]
# ## Style mixing
#
# The layers need not all get the same `w`. Below, as in [1], figure 3, an image in the table takes the styles of the
# first inputs from the image at the left of its row, and the others from the image at the top of its column. `mix` puts
# the styles together, `mixing_table` the images.


# %%
def mixed(rows, columns, cut):
    """Return a table of latents whose first ``cut`` style inputs come from the rows, the others from the columns."""
    between = mix(ws[rows], ws[columns], layers=range(cut, gan.styles.count))
    inside = synthesise(between.reshape(-1, *ws.shape[1:])).reshape(len(rows), len(columns), *gan.image_shape)
    return mixing_table(synthesise(ws[rows]), synthesise(ws[columns]), inside)


rows, columns = np.array([0, 1, 3, 4, 6]), np.arange(20, 30)
ganzoo.show(mixed(rows, columns, cut=2), columns=11)

# %% [markdown]
# With the cut at 2, the rows set the 4 x 4 layer and the first convolution to 8 x 8. With the cut at 4, the columns set
# only the last convolution and the last colours:

# %%
ganzoo.show(mixed(rows, columns, cut=4), columns=11)

# %% [markdown]
# ## Interpolation
#
# There are two ways from one image to another. In Z, go along the great circle, because the mapping network first
# normalises latents to one length, and let the label fade from one to the other. In W, go along the straight line. The
# pairs of rows have the same end points: Z above, W below.


# %%
def paths(starts, ends, points):
    """Return images [2, pairs, points, ...] on the paths from starts to ends: in Z and in W."""
    pairs = np.stack([starts, ends])
    z, c, in_w = (
        interpolate(np.asarray(x)[pairs], points - 1, way, closed=False).swapaxes(0, 1)  # [pairs, points, ...]
        for x, way in ((latents, "slerp"), (labels, "linear"), (ws, "linear"))
    )
    in_z = gan.styles.map(state, z.reshape(-1, z.shape[-1]), c.reshape(-1, c.shape[-1]))
    both = jnp.concatenate([in_z, in_w.reshape(in_z.shape)])
    return np.clip(synthesise(both), -1, 1).reshape(2, len(starts), points, *gan.image_shape)


strips = paths(np.array([0, 2, 3, 4]), np.array([1, 6, 8, 14]), points=11)
ganzoo.show(strips.swapaxes(0, 1).reshape(-1, *gan.image_shape), columns=11)

# %% [markdown]
# Which path is straighter? Cut the paths of 100 pairs into 16 pieces and add up the change of the image in each piece
# (root mean square), relative to the difference of the two ends. A path that wanders through other digits is longer.
# This is the idea of the perceptual path length ([1], section 4.1), with plain pixels in place of a network's features.
# Path length regularisation ([2], section 3.2) makes such steps equal in size.

# %%
for name, shift in {"the same digit": 100, "other digits": 103}.items():
    x = paths(np.arange(100), np.arange(100) + shift, points=17).reshape(2, 100, 17, -1)
    pieces = np.sqrt(np.square(np.diff(x, axis=2)).mean(-1))
    ends = np.sqrt(np.square(x[:, :, -1] - x[:, :, 0]).mean(-1))
    length, largest = (pieces.sum(2) / ends).mean(1), (pieces.max(2) / pieces.mean(2)).mean(1)
    print(f"to {name:15} length in Z {length[0]:.2f}, in W {length[1]:.2f}   ", end="")
    print(f"largest piece / mean piece in Z {largest[0]:.2f}, in W {largest[1]:.2f}")

# %% [markdown]
# ## Noise
#
# Each 3 x 3 convolution adds a noise map to its output, times a learned strength ([1], section 3.2; [2], figure 2). In
# training, every image has fresh noise. Samples take one fixed map by default (`"const"`), so that equal styles give
# equal images; `"none"` leaves the noise out, and keys `[N]` draw fresh noise, for image i from key i alone.
#
# The rows: const, none, three times random, and the standard deviation of each pixel over 64 draws. In the last row,
# black is 0 and white the largest.
#
# In this model the strengths went to about 0, and the noise has no visible effect: digits have no hair or freckles
# whose place is a matter of chance, so the styles hold all that varies. Look at the numbers before you believe the last
# row.

# %%
noisy = partial(gan.generate, state, latents[:10], labels[:10])
draws = [noisy(noise=jax.random.split(jax.random.key(i), 10)) for i in range(64)]
deviation = np.std(draws, axis=0)
rows = [noisy(noise="const"), noisy(noise="none"), *draws[:3], 2 * deviation / deviation.max() - 1]
ganzoo.show(np.concatenate(rows), columns=10)

for name, strength in named_leaves(state.ema["params"]):
    if name.endswith("noise_strength"):
        print(f"{name:38}{strength:6.3f}")
print(f"\nstandard deviation of a pixel over noise: {deviation.mean():.3f}, at most {deviation.max():.3f}")
print(f"                             over latents: {np.asarray(images).std(axis=0).mean():.3f}")

# %% [markdown]
# ## Sliders
#
# Try it by hand: with `ipywidgets` (in the extra `notebooks`) the sliders choose the latent, the digit, `psi` and the
# number of truncated style inputs.


# %%
def explore(seed=0, digit=3, psi=0.7, cutoff=gan.styles.count):
    """Show the image of one latent and digit, truncated at the first `cutoff` style inputs."""
    z = gan.latents(sample_key, jnp.array([seed]))
    ganzoo.show(gan.generate(state, z, jnp.eye(10)[jnp.array([digit])], psi=psi, cutoff=cutoff), columns=1)


try:
    from ipywidgets import interact
except ImportError:
    print("for sliders: pip install ipywidgets")
else:
    interact(explore, seed=(0, 999), digit=(0, 9), psi=(-1.0, 1.0, 0.05), cutoff=(0, gan.styles.count))
