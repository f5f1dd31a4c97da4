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
# # Augmentation for limited data
#
# With a few thousand images or fewer, a discriminator knows them by heart after a while, and the generator learns
# nothing more from it. Adaptive discriminator augmentation (ADA, **[1]**) shows the discriminator only transformed
# images, real and fake, and lets the gradients go through the transforms to the generator. Each transform fires with
# probability `p`. As long as `p` is small enough, the generator still learns what untransformed images look like. ADA
# adapts `p` during training to the overfitting of the discriminator. DiffAugment (**[2]**) is a simpler set of
# transforms that are always on.
#
# This notebook shows each transform at several strengths, the pipelines at several `p`, and the controller. It trains
# nothing and takes half a minute.
#
# - **[1]** Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data",
#   [arXiv:2006.06676](https://arxiv.org/abs/2006.06676);
# - **[2]** Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training",
#   [arXiv:2006.10738](https://arxiv.org/abs/2006.10738).

# %%
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import ganzoo
from ganzoo.augment import ada, controller, diffaugment
from ganzoo.augment.ada import PIPELINES, Transforms
from ganzoo.data import DataConfig, open_dataset

show = partial(ganzoo.show, smallest=500)

# %% [markdown]
# ## A test card
#
# The test images have colours and a direction: digits of the package on coloured grounds.

# %%
digits = open_dataset(DataConfig(data="digits"), (32, 32, 1)).read(np.arange(8))["image"] / 255
height, width = np.mgrid[0:32, 0:32] / 31
angles = np.arange(8)[:, None, None, None] * 0.8 + np.asarray([0, 2.1, 4.2])
ground = 0.5 * np.sin(angles + 2 * height[None, :, :, None]) * (0.4 + 0.6 * width[None, :, :, None])
cards = np.clip(ground - 0.2 + 1.3 * digits * np.asarray([1, 0.95, 0.8]), -1, 1).astype(np.float32)
show(cards, columns=8)

# %% [markdown]
# ## Each transform at several strengths
#
# Drawing is separate from applying. `Transforms` holds one value per image for every transform, and `apply` carries
# them out. Here the values are filled in by hand. A row is one transform: first pixel blitting, then the general
# geometric transforms. The last column of a row is at about two standard deviations, or at the end of the range.

# %%
COLUMNS = 7
one_card = np.repeat(cards[2:3], COLUMNS, axis=0)
steps = np.linspace(-1, 1, COLUMNS, dtype=np.float32)
both = np.stack([steps, steps / 2], axis=1)
zero = np.zeros(COLUMNS, np.float32)

geometric = {
    "xflip": Transforms(xflip=(steps > 0).astype(np.float32)),
    "rotate90": Transforms(rotate90=np.arange(COLUMNS, dtype=np.float32) % 4),
    "xint": Transforms(xint=np.round(4 * both)),
    "scale": Transforms(scale=2 ** (0.4 * steps)),
    "rotate": Transforms(pre_rotation=np.pi * steps),
    "aniso": Transforms(aniso=2 ** (0.4 * steps)),
    "xfrac": Transforms(xfrac=8 * both),
}
apply = jax.jit(ada.apply)
show(np.concatenate([apply(one_card, made) for made in geometric.values()]), COLUMNS)

# %% [markdown]
# Borders are mirrors. All geometric transforms of an image are one matrix, and the image is resampled once: enlarged by
# an orthogonal low-pass filter, interpolated between its pixels, and reduced by the transposed filter. This avoids
# aliasing and keeps shifts by whole pixels exact:

# %%
shifted = np.asarray(apply(one_card, geometric["xint"]))
difference = np.abs(shifted[-1, 2:, 4:] - one_card[-1, :-2, :-4]).max()
print(f"largest difference from a shift of the array: {difference:.0e}")

# %% [markdown]
# Colour transforms: brightness, contrast, luma flip (the colour stays), hue and saturation.

# %%
colours = {
    "brightness": Transforms(brightness=0.4 * steps),
    "contrast": Transforms(contrast=2**steps),
    "lumaflip": Transforms(lumaflip=(steps > 0).astype(np.float32)),
    "hue": Transforms(hue=np.pi * steps),
    "saturation": Transforms(saturation=2 ** (2 * steps)),
}
show(np.concatenate([apply(one_card, made) for made in colours.values()]), COLUMNS)

# %% [markdown]
# The usual pipeline leaves out filtering and corruptions: four frequency bands from low to high, one per row, each
# multiplied by 1/4 to 4; noise; and a square cut out.

# %%
bands = [np.where(np.arange(4) == band, 4 ** steps[:, None], 1).astype(np.float32) for band in range(4)]
noise = np.random.default_rng(0).normal(size=one_card.shape).astype(np.float32)
corruptions = [
    *(Transforms(imgfilter=factors) for factors in bands),
    Transforms(noise=0.1 * (1 + steps)[:, None, None, None] * noise),
    Transforms(cutout=np.stack([0.5 + 0.4 * steps, 0.5 + zero, 0.5 + zero], axis=1)),
]
show(np.concatenate([apply(one_card, made) for made in corruptions]), COLUMNS)

# %% [markdown]
# ## Pipelines and p
#
# `draw` makes random transforms. The draws of an image depend on the key and on its position alone. With one key, the
# values are the same at every `p`, and more of them fire at a larger `p`. The rows are `p` = 0, 0.2, 0.4, 0.6, 0.8 and
# 1 in the usual pipeline, `bgc`; the columns are images.

# %%
key = jax.random.key(0)
draw = jax.jit(lambda p: ada.draw(key, PIPELINES["bgc"], cards.shape, p))
show(np.concatenate([apply(cards, draw(p)) for p in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]), columns=8)
print("p = 0 changes nothing:", np.array_equal(apply(cards, draw(0.0)), cards))

# %% [markdown]
# Some of the named pipelines at `p` = 1, one per row: `blit`, `geom`, `color`, and all transforms together, `bgcfnc`.

# %%
names = ("blit", "geom", "color", "bgcfnc")
show(np.concatenate([apply(cards, ada.draw(key, PIPELINES[name], cards.shape)) for name in names]), columns=8)

# %% [markdown]
# Each transform has a multiplier of `p` and a range. Take a pipeline for images that are never upside down:

# %%
upright = replace(PIPELINES["bgc"], rotate90=0.0, rotate_max=0.1)
show(apply(cards, ada.draw(key, upright, cards.shape)), columns=8)

# %% [markdown]
# DiffAugment changes colours, shifts in zeros, and cuts out a square. It is always on. The first row has only the
# colours, the second all of it:

# %%
policies = (diffaugment.Policy(translation=0, cutout=0), diffaugment.Policy())
made = [diffaugment.draw(key, policy, cards.shape) for policy in policies]
show(np.concatenate([diffaugment.apply(cards, each) for each in made]), columns=8)

# %% [markdown]
# ## Gradients go through it
#
# The generator learns through the transforms. Below, gradient descent pulls each image towards the first card, but the
# loss sees only augmented versions of both. The resulting images are not augmented: this is what "the augmentation does
# not leak" means.


# %%
def distance(images, key):
    """Return the distance of images from the target, both seen through the same random transforms."""
    made = ada.draw(key, PIPELINES["bgc"], images.shape, 0.6)
    target = jnp.broadcast_to(cards[:1], images.shape)
    return jnp.sum(jnp.square(ada.apply(images, made) - ada.apply(target, made)))


descend = jax.jit(lambda images, key: images - 0.05 * jax.grad(distance)(images, key))
images, film = cards[:8], [cards[:8]]
for i in range(90):
    images = descend(images, jax.random.fold_in(key, i))
    if i in (2, 9, 29, 89):
        film.append(np.clip(images, -1, 1))
show(np.concatenate(film), columns=8)

# %% [markdown]
# ## How strong? The controller
#
# `r_t` measures the overfitting of the discriminator: it is the mean sign of the logits of real images, 0 where the
# discriminator cannot tell them from fakes, 1 where it is sure of all. Every 4 steps `p` goes up a little if `r_t` is
# above the target of 0.6, and down if it is below.
#
# Here is a toy discriminator that overfits more the longer it trains, and less the larger `p` is:

# %%
control = controller.adaptive(images_per_unit=20_000)
augment, batch, interval = controller.init(control), 64, 4
count_signs = jax.jit(controller.count_signs)
adapt = jax.jit(lambda augment, images: controller.adapt(augment, control, images, batch * interval))
rng, seen = np.random.default_rng(0), 0
print(" images   r_t without   r_t     p")
for i in range(1_201):
    memory = 1.5 * min(seen / 40_000, 1)
    for _ in range(interval):
        logits = memory - 2 * float(augment.p) + rng.normal(size=batch)
        augment, seen = count_signs(augment, jnp.asarray(logits, jnp.float32)), seen + batch
    augment = adapt(augment, jnp.uint32(seen))
    if i % 100 == 0:
        alone = np.sign(memory + rng.normal(size=4000)).mean()
        print(f"{seen:7} {alone:13.2f} {float(augment.r_t):5.2f} {float(augment.p):5.2f}")

# %% [markdown]
# ## In a model
#
# One field of the config, `augment`, turns it on. The train state holds `p` and the signs counted since `p` last
# changed, so a resumed run continues exactly. `augment/p` and `augment/r_t` are among the metrics. `augment_p` fixes
# `p`; `augment_ramp` makes it rise linearly to that value. DiffAugment has no `p`.

# %%
gan = ganzoo.create("stylegan2", "faces64", augment="bgc")
state = jax.eval_shape(gan.init, key)
print(gan, "remembers", ", ".join(vars(state.augment)))
for name, value in vars(gan.config).items():
    if name.startswith("augment"):
        print(f"  {name:17}{value}")
