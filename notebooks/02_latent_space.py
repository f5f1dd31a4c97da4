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
# synthesis network makes the image from copies of `w`, one for each of its layers. What can be done with `w` is the
# subject of this notebook: truncation, style mixing and interpolation, and beside it the noise.
#
# It trains a small StyleGAN2 on the digits of the package first, which takes about two minutes on two CPU cores, with
# half a minute of compilation.
#
# The references are to
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
from PIL import Image

import ganzoo
from ganzoo.data import DataConfig, open_dataset, positions
from ganzoo.grids import enlarged, grid
from ganzoo.ops.pixels import to_uint8
from ganzoo.training import parallel

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "1200"))
BATCH = 32


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
# ## A model to look into
#
# We take the preset `faces64`, which is for small grey pictures, and make it smaller yet. The learning rates are
# raised, since the run is a short one. All else is as in the papers: style mixing in training ([1], section 3.1), lazy
# R1 and path length regularisation ([2], sections 3.1 and 3.2). The model is conditional: the mapping network takes a
# label beside `z`, so `w` holds both which digit to draw and how.

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
# program. On a CPU we call it once per step: XLA runs what is inside of a loop, as `parallel.scan_step` has it, on
# fewer threads, and these small layers then take three times as long.

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
        losses = (f"{player} loss {metrics[f'{player}/loss'].value:.3f}" for player in ("discriminator", "generator"))
        print(f"step {i + 1:5}   " + "   ".join(losses))
print(f"{1e3 * (time.perf_counter() - start) / STEPS:.0f} ms per step")
show(np.concatenate(film), columns=10)

# %% [markdown]
# From top to bottom, these were the same ten latents over time; latent `i` gets the label `i` modulo 10, here and in
# all that follows. Now 60 samples of the final model (the averaged weights, as always unless you ask for others):

# %%
latents, labels = gan.latents(sample_key, jnp.arange(2_000)), jnp.tile(jnp.eye(10), (200, 1))
show(gan.sample(state, sample_key, 60), columns=10)

# %% [markdown]
# ## From z to w to an image
#
# `generator` is a Flax module with two networks in it. `bind` gives it the weights, so that its methods can be called:
# `styles` is the mapping network and returns `ws` `[N, L, w]`, the same `w` for each of the L style inputs;
# `synthesis` makes images of them. Called like this, every operation is compiled on its own. That is all right for the
# few layers of the mapping network; for the synthesis network one program is much faster to compile, and the method
# `synthesise` is there to be named to `apply`.

# %%
variables = {"params": state.ema["params"], **state.ema["variables"]}
G = gan.generator.bind(variables)
synthesise = jax.jit(partial(gan.generator.apply, variables, method="synthesise"), static_argnames="noise")

ws = G.styles(latents, labels)
images = synthesise(ws[:60])
same = jnp.abs(jnp.clip(images, -1, 1) - gan.sample(state, sample_key, 60)).max()
print("z", latents.shape, "-> ws", ws.shape, "-> images", images.shape)
print("largest difference from `sample`:", f"{same:.0e}")

# %% [markdown]
# Each size of the pyramid has its convolutions and a layer "to RGB", which adds its colours to the enlarged ones of the
# size below ([2], figure 7 b). The last one of a size shares its style input with the first convolution of the next.

# %%
first = 0
for i, level in enumerate(gan.config.levels):
    last = first + (1 if i == 0 else 2)
    inputs = ", ".join(str(j) for j in range(first, last + 1))
    print(f"{level.height:2} x {level.width:<2}   {level.features} features   style inputs {inputs}")
    first = last
print("L =", gan.config.style_count)

# %% [markdown]
# ## Truncation
#
# Where the density of the training data is low, the generator has learned little. The truncation trick ([1], appendix
# B) pulls every style towards the mean style `w_avg`, which training keeps track of: `w' = w_avg + psi (w - w_avg)`.
# Each column is one latent; the rows are `psi` = 1, 0.7, 0.5, 0 and -0.5.
#
# At 0 all images are the mean image. A negative `psi` goes past it, to the opposite of the style ([1], figure 8).

# %%
psis = [1, 0.7, 0.5, 0, -0.5]
show(np.concatenate([gan.generate(state, latents[:10], labels[:10], psi=psi) for psi in psis]), columns=10)

# %% [markdown]
# `cutoff` truncates only the first style inputs, those of the coarse layers. Here `psi` is 0 in all rows, and `cutoff`
# is 0 (nothing is truncated), 2, 3, 4 and 6 (all is).

# %%
cutoffs = [0, 2, 3, 4, gan.config.style_count]
rows = [gan.generate(state, latents[:10], labels[:10], psi=0, cutoff=cutoff) for cutoff in cutoffs]
show(np.concatenate(rows), columns=10)

# %% [markdown]
# There is one `w_avg` for all labels, so strong truncation takes the digit away as well. Nothing keeps us from
# truncating to the mean style of the digit instead: styles are arrays. The rows are `psi` = 1, 0.7, 0.5, 0 and -0.5
# again.

# %%
digit_means = ws.reshape(200, 10, *ws.shape[1:]).mean(axis=0)
rows = jnp.concatenate([digit_means + psi * (ws[:10] - digit_means) for psi in psis])
show(np.clip(synthesise(rows), -1, 1), columns=10)

# %% [markdown]
# What truncation does, in numbers, over 2000 latents. The first column is how far the styles are from `w_avg`. The
# second is variety, the standard deviation of a pixel over the images, and the third is quality, the distance of an
# image to the nearest training image (root mean square over its pixels; lower is better). A little truncation costs
# little variety and brings the images no further from the data. Strong truncation leads away from it: the mean of all
# digits is no digit.

# %%
w_average = variables["statistics"]["mapping"]["w_average"]
reals = dataset.read(np.arange(len(dataset)))["image"].reshape(len(dataset), -1) / 127.5 - 1


def nearest(images):
    """For each image, the root mean square distance to the nearest training image."""
    x = np.asarray(images).reshape(len(images), -1)
    squares = (x**2).sum(1)[:, None] + (reals**2).sum(1)[None] - 2 * x @ reals.T
    return np.sqrt(np.maximum(squares.min(1), 0) / x.shape[1])


print("  psi   |w - w_avg|   variety   distance to the data")
for psi in [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25, 0]:
    truncated = G.styles(latents, labels, psi=psi)[:, 0]
    x = np.asarray(gan.generate(state, latents, labels, psi=psi))
    away = jnp.linalg.norm(truncated - w_average, axis=1).mean()
    print(f"{psi:5.2f}{away:14.2f}{x.std(axis=0).mean():10.3f}{nearest(x).mean():15.3f}")
print(f"\nthe data {reals.std(axis=0).mean():20.3f}")

# %% [markdown]
# `w_avg` is a running mean over the training, of the newest weights, while the samples are of the averaged weights. The
# two means are close all the same:

# %%
mean = ws[:, 0].mean(axis=0)
print(f"|w_avg|                      {jnp.linalg.norm(w_average):.3f}")
print(f"|mean of 2000 w - w_avg|     {jnp.linalg.norm(mean - w_average):.3f}")
print(f"mean of |w - w_avg|          {jnp.linalg.norm(ws[:, 0] - w_average, axis=1).mean():.3f}")

# %% [markdown]
# The mean image is not the mean of the images. It is sharp, because it is the image of one style. From left to right:
# the image of `w_avg`, the mean of 2000 samples, and the mean of the data.

# %%
mean_image = gan.generate(state, latents[:1], labels[:1], psi=0)
mean_sample = gan.generate(state, latents, labels).mean(axis=0, keepdims=True)
show(np.concatenate([mean_image, mean_sample, reals.mean(axis=0).reshape(mean_image.shape)]), columns=3)

# %% [markdown]
# ## Style mixing
#
# The layers need not all get the same `w`. Below, as in [1], figure 3, an image in the table takes the styles of the
# first inputs from the image at the left of its row, and the others from the image at the top of its column. All
# images of a table are made in one call.


# %%
def mixing_table(rows, columns, cut):
    """The table of latents: the style inputs before ``cut`` are those of the rows, the others those of the columns."""
    mixed = jnp.concatenate(
        [
            jnp.repeat(ws[rows][:, None, :cut], len(columns), axis=1),
            jnp.repeat(ws[columns][None, :, cut:], len(rows), axis=0),
        ],
        axis=2,
    )
    every = jnp.concatenate([ws[columns], ws[rows], mixed.reshape(-1, *ws.shape[1:])])
    top, left, inside = np.split(np.clip(synthesise(every), -1, 1), [len(columns), len(columns) + len(rows)])
    inside = inside.reshape(len(rows), len(columns), *top.shape[1:])
    table = [np.ones_like(top[:1]), top]  # a white corner, and the header
    for image, row in zip(left, inside, strict=True):
        table += [image[None], row]
    return np.concatenate(table)


rows, columns = np.array([0, 1, 3, 4, 6]), np.arange(20, 30)
show(mixing_table(rows, columns, cut=2), columns=11)

# %% [markdown]
# With the cut at 2, the rows decide on the 4 x 4 layer and the first convolution to 8 x 8. With the cut at 4, only the
# last convolution and the last colours are left to the columns:

# %%
show(mixing_table(rows, columns, cut=4), columns=11)

# %% [markdown]
# ## Interpolation
#
# Two ways from one image to another. In Z we go along the great circle, since latents are normalised to one length
# before the mapping network, while the label fades from the one to the other; in W along the straight line. The pairs
# of rows have the same end points: Z above, W below.


# %%
def slerp(z0, z1, t):
    """Points of the great circle from z0 to z1 at t."""
    z0, z1 = (z / np.linalg.norm(z, axis=-1, keepdims=True) for z in (z0, z1))
    angle = np.arccos(np.sum(z0 * z1, axis=-1, keepdims=True))
    return (np.sin((1 - t) * angle) * z0 + np.sin(t * angle) * z1) / np.sin(angle)


def paths(starts, ends, points):
    """Images [2, pairs, points, ...] on the paths from starts to ends: in Z and in W."""
    t = np.linspace(0, 1, points, dtype=np.float32)[:, None]
    z, c = np.asarray(latents), np.asarray(labels)
    z, c = slerp(z[starts, None], z[ends, None], t), c[starts, None] + t * (c[ends, None] - c[starts, None])
    in_z = G.styles(z.reshape(-1, z.shape[-1]), c.reshape(-1, c.shape[-1]))
    in_w = ws[starts, None] + t[..., None] * (ws[ends, None] - ws[starts, None])
    both = jnp.concatenate([in_z, in_w.reshape(in_z.shape)])
    return np.clip(synthesise(both), -1, 1).reshape(2, len(starts), points, *gan.image_shape)


strips = paths(np.array([0, 2, 3, 4]), np.array([1, 6, 8, 14]), points=11)
show(strips.swapaxes(0, 1).reshape(-1, *gan.image_shape), columns=11)

# %% [markdown]
# Which one is straighter? We cut the paths of 100 pairs into 16 pieces and add up how much the image changes in each
# (root mean square), relative to how much the two ends differ. A path that wanders through other digits is longer. This
# is the idea of the perceptual path length ([1], section 4.1), with plain pixels in place of a network's features; path
# length regularisation ([2], section 3.2) makes such steps of equal size.

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
# Each 3 x 3 convolution adds a map of noise to its output, times a strength that is learned ([1], section 3.2; [2],
# figure 2). In training the noise is fresh for each image. Samples take one fixed map by default (`"const"`), so that
# equal styles give equal images; `"none"` leaves it out, and keys `[N]` draw anew, image i from key i alone.
#
# The rows: const, none, three times random, and the standard deviation of each pixel over 64 draws. Black is 0 there,
# and white the largest.
#
# Here the strengths went to about 0, and the noise changes nothing that one could see: digits have no hair or freckles
# whose place is a matter of chance, so all that varies is in the styles. Look at the numbers before you believe the
# last row.

# %%
noisy = partial(gan.generate, state, latents[:10], labels[:10])
draws = [noisy(noise=jax.random.split(jax.random.key(i), 10)) for i in range(64)]
deviation = np.std(draws, axis=0)
rows = [noisy(noise="const"), noisy(noise="none"), *draws[:3], 2 * deviation / deviation.max() - 1]
show(np.concatenate(rows), columns=10)

for level in gan.config.levels:
    block = variables["params"]["synthesis"][f"b{level.resolution}"]
    for layer in ("conv0", "conv1"):
        if layer in block:
            size = f"{level.height} x {level.width}"
            print(f"{size:>7} {layer}   noise strength {block[layer]['noise_strength']:6.3f}")
print(f"\nstandard deviation of a pixel over noise: {deviation.mean():.3f}, at most {deviation.max():.3f}")
print(f"                             over latents: {np.asarray(images).std(axis=0).mean():.3f}")

# %% [markdown]
# ## Sliders
#
# All of this under your hands: with `ipywidgets` (in the extra `notebooks`) the sliders choose the latent, the digit,
# `psi` and how many of the style inputs are truncated.


# %%
def explore(seed=0, digit=3, psi=0.7, cutoff=gan.config.style_count):
    """Shows the image of one latent and digit, truncated at the first `cutoff` style inputs."""
    z = gan.latents(sample_key, jnp.array([seed]))
    show(gan.generate(state, z, jnp.eye(10)[jnp.array([digit])], psi=psi, cutoff=cutoff), columns=1)


try:
    from ipywidgets import interact
except ImportError:
    print("for sliders: pip install ipywidgets")
else:
    interact(explore, seed=(0, 999), digit=(0, 9), psi=(-1.0, 1.0, 0.05), cutoff=(0, gan.config.style_count))
