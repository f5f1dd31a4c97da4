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
# # Networks that somebody else trained
#
# `ganzoo.load` takes a run folder, a `.safetensors` file, or a pickle of the originals (NVlabs/stylegan2-ada-pytorch,
# NVlabs/stylegan2, NVlabs/stylegan). This notebook loads a model and uses it: samples, truncation, mixing,
# interpolation, projection, directions, export. Each part is also a command of `ganzoo`.
#
# The model is a small StyleGAN2 of handwritten digits, in the folder of this notebook. Set `GANZOO_NOTEBOOK_MODEL` to
# the path of another conditional model with styles to use that one.

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

import ganzoo
from ganzoo import interop
from ganzoo.latent import (
    ProjectionConfig,
    Sampler,
    edit,
    factorise,
    interpolate,
    mix,
    principal_components,
    project,
)
from ganzoo.latent.mixing import mixing_table

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "300"))
BESIDE = Path(ganzoo.__file__).parent.parent / "notebooks" / "digits16.safetensors"
MODEL = Path(os.environ.get("GANZOO_NOTEBOOK_MODEL", BESIDE))

# %% [markdown]
# ## What is in the file
#
# Reading a file runs nothing in it. A pickle is read by a machine that can build arrays and plain collections and
# nothing else. A file that asks for more is refused, in one line that says what it asked for.

# %%
print("\n".join(interop.describe(interop.read(MODEL))[:12]))

# %%
with tempfile.TemporaryDirectory() as folder:
    hostile = Path(folder) / "hostile.pkl"
    hostile.write_bytes(b"cos\nsystem\n(X\x04\x00\x00\x00echotR.")
    hostile.write_bytes(b"\x80\x02" + hostile.read_bytes())
    try:
        ganzoo.load(hostile)
    except ganzoo.UserError as error:
        print(str(error).removeprefix(folder).lstrip("/"))

# %% [markdown]
# ## Samples
#
# `gan.sample` makes images of a key in one batch. `Sampler` makes latents of seeds, their styles and their images, in
# batches of one size. The image of a seed depends on that seed alone. The rows are `psi` = 1, 0.7 and 0.4.

# %%
gan, state = ganzoo.load(MODEL)
sampler = Sampler(gan, state)
seeds = range(10)
latents, labels = sampler.latents(seeds), sampler.labels(len(seeds))
ganzoo.show(np.concatenate([sampler.images(latents, labels, psi=psi) for psi in (1, 0.7, 0.4)]), columns=10)

# %% [markdown]
# `draws="numpy"` draws the latents as the tools of the originals do for these seeds, to compare with published images.

# %%
ganzoo.show(sampler.images(sampler.latents(seeds, "numpy"), labels), columns=10)

# %% [markdown]
# ## Mixing
#
# Each image in the table has the styles of its row, except at the style inputs 2 and 3, which come from its column.

# %%
rows = sampler.styles(sampler.latents(range(3)), sampler.labels(3, 3))
columns = sampler.styles(sampler.latents(range(10, 18)), sampler.labels(8, 3))
inside = mix(rows, columns, layers=[2, 3])
images = sampler.synthesise(inside.reshape(-1, *rows.shape[1:])).reshape(3, 8, *gan.image_shape)
ganzoo.show(mixing_table(sampler.synthesise(rows), sampler.synthesise(columns), images), columns=9)

# %% [markdown]
# ## Interpolation
#
# A closed curve through the styles of five seeds, one row per segment. `"cubic"` makes it smooth at the seeds, too. The
# command `ganzoo interpolate` makes a film of it.

# %%
points = sampler.styles(sampler.latents(range(5)), sampler.labels(5))
ganzoo.show(sampler.synthesise(interpolate(points, 10, "cubic")), columns=10)

# %% [markdown]
# ## Projection
#
# `project` seeks the styles of given images by Adam, for all images at once. The targets here are images of the
# generator itself, so their styles exist. Above the targets, below their projections.

# %%
targets = sampler.images(sampler.latents(range(100, 108)), sampler.labels(8))
found = project(sampler, targets, ProjectionConfig(steps=STEPS, style_samples=500), labels=sampler.labels(8))
ganzoo.show(np.concatenate([targets, found.images]), columns=8)
error = np.square(found.images - targets).mean(axis=(1, 2, 3))
print("PSNR in dB:", (10 * np.log10(4 / error)).round(1))

# %% [markdown]
# ## Directions
#
# Good directions are the principal components of many styles (GANSpace, arXiv:2004.02546), here of one digit. Each row
# is one of the first three components, from -3 to 3 standard deviations.

# %%
many = Sampler(gan, state, batch=500)
ws = np.asarray(many.styles(many.latents(range(2000)), many.labels(2000, 2)))
axes, deviations = principal_components(ws[:, 0], 3)
strengths = np.linspace(-3, 3, 9).tolist()
moved = [edit(ws[:1], axis * deviation, strengths, None)[0] for axis, deviation in zip(axes, deviations, strict=True)]
ganzoo.show(sampler.synthesise(np.concatenate(moved)), columns=9)

# %% [markdown]
# The weights alone give directions as well: those that change the modulation most (SeFa, arXiv:2007.06600).

# %%
moved = [edit(ws[:1], axis, strengths, None)[0] for axis in factorise(sampler, 3)]
ganzoo.show(sampler.synthesise(np.concatenate(moved)), columns=9)

# %% [markdown]
# ## Export
#
# `ganzoo convert` writes `.safetensors`, for this library or under the names of the originals. `interop.export` makes
# one file that any program with JAX and flatbuffers can run, without this library, for any batch size, on CPU, GPU and
# TPU; `interop.export_onnx` makes one for ONNX runtimes.

# %%
artefact = interop.export(gan, state, psi=0.7)
generate = jax.export.deserialize(bytearray(artefact)).call
print(f"{len(artefact):,} bytes")
images = generate(jnp.asarray(latents[:3]), jnp.asarray(labels[:3]))
difference = np.abs(images - sampler.images(latents[:3], labels[:3], psi=0.7)).max()
print(f"largest difference: {difference:.0e}")
