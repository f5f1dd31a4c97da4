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
# NVlabs/stylegan2). This notebook loads one and uses it: samples, truncation, mixing, interpolation, projection,
# directions, export. Each part is a subcommand of `ganzoo` as well.
#
# The model is a small StyleGAN2 of handwritten digits that lies beside this notebook. Set `GANZOO_NOTEBOOK_MODEL` to
# the path of another one; then leave out the label where it has none.

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from PIL import Image

import ganzoo
from ganzoo import interop
from ganzoo.grids import enlarged, grid
from ganzoo.latent.directions import edited, factorised, principal_components
from ganzoo.interop.export import exported
from ganzoo.latent.mixing import mixed, mixing_table
from ganzoo.latent.paths import path
from ganzoo.latent.projection import ProjectionConfig, project
from ganzoo.latent.sampler import Sampler
from ganzoo.ops.pixels import to_uint8

STEPS = int(os.environ.get("GANZOO_NOTEBOOK_STEPS", "300"))
BESIDE = Path(ganzoo.__file__).parent.parent / "notebooks" / "digits16.safetensors"
MODEL = Path(os.environ.get("GANZOO_NOTEBOOK_MODEL", BESIDE))


def show(images, columns):
    """Shows images, uint8 or in [-1, 1], as a grid; outside of Jupyter, says how large it is."""
    images = np.asarray(images)
    pixels = enlarged(grid(images if images.dtype == np.uint8 else to_uint8(images), columns), 680)
    try:
        from IPython.display import display
    except ImportError:
        print(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} pixels")
    else:
        display(
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), include=["image/png", "text/plain"]
        )


# %% [markdown]
# ## What is in the file
#
# To read a file does not run it. A pickle, too, is read by a machine that can build arrays and plain collections and
# nothing else; a file that asks for more is refused, and the refusal says what it asked for.

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
# `Sampler` is a model at work: latents of seeds, their styles, their images, in batches of one size. The image of a
# seed depends on that seed alone. The rows are `psi` = 1, 0.7 and 0.4.

# %%
gan, state = ganzoo.load(MODEL)
sampler = Sampler(gan, state)
seeds = range(10)
latents, labels = sampler.latents(seeds), sampler.labels(len(seeds))
show(np.concatenate([sampler.images(latents, labels, psi=psi) for psi in (1, 0.7, 0.4)]), columns=10)

# %% [markdown]
# `draws="numpy"` gives the latents of the originals' tools for the same seeds, to compare with published pictures.

# %%
show(sampler.images(sampler.latents(seeds, "numpy"), labels), columns=10)

# %% [markdown]
# ## Mixing
#
# The rows keep their coarse styles and take the fine ones, here from input 2 to 3, from the columns.

# %%
rows = sampler.styles(sampler.latents(range(3)), sampler.labels(3, 3))
columns = sampler.styles(sampler.latents(range(10, 18)), sampler.labels(8, 3))
inside = mixed(rows, columns, layers=[2, 3])
images = sampler.synthesised(inside.reshape(-1, *rows.shape[1:])).reshape(3, 8, *gan.image_shape)
show(mixing_table(sampler.synthesised(rows), sampler.synthesised(columns), images), columns=9)

# %% [markdown]
# ## Interpolation
#
# A closed curve through the styles of five seeds, a row for each segment: smooth (`"cubic"`) also where it passes through
# them. As a film: `ganzoo interpolate`.

# %%
points = sampler.styles(sampler.latents(range(5)), sampler.labels(5))
show(sampler.synthesised(path(points, 10, "cubic")), columns=10)

# %% [markdown]
# ## Projection
#
# The styles of given pictures are sought by Adam, for all of them at once. Here the pictures are the generator's own,
# so we know that there is something to find. Above the targets, below what was found.

# %%
targets = sampler.images(sampler.latents(range(100, 108)), sampler.labels(8))
found = project(sampler, targets, ProjectionConfig(steps=STEPS, style_samples=500), labels=sampler.labels(8))
show(np.concatenate([targets, found.images]), columns=8)
error = np.square(found.images - targets).mean(axis=(1, 2, 3))
print("PSNR in dB:", (10 * np.log10(4 / error)).round(1))

# %% [markdown]
# ## Directions
#
# The principal components of many styles (GANSpace, arXiv:2004.02546), of one digit here: a row for each of the first
# three, from -3 to 3 standard deviations.

# %%
many = Sampler(gan, state, batch=500)
ws = np.asarray(many.styles(many.latents(range(2000)), many.labels(2000, 2)))
axes, deviations = principal_components(ws[:, 0], 3)
strengths = np.linspace(-3, 3, 9).tolist()
moved = [edited(ws[:1], axis * deviation, strengths, None)[0] for axis, deviation in zip(axes, deviations, strict=True)]
show(sampler.synthesised(np.concatenate(moved)), columns=9)

# %% [markdown]
# And without any sample, from the weights alone: the directions that change the modulation most (SeFa,
# arXiv:2007.06600).

# %%
moved = [edited(ws[:1], axis, strengths, None)[0] for axis in factorised(sampler, 3)]
show(sampler.synthesised(np.concatenate(moved)), columns=9)

# %% [markdown]
# ## Handing it on
#
# `interop.save` and `ganzoo convert` write `.safetensors`, for this library or under the originals' names. `exported`
# makes one file that any program with JAX can run, without this library, for any batch size, on CPU, GPU and TPU.

# %%
artefact = exported(sampler, psi=0.7)
generate = jax.export.deserialize(bytearray(artefact))
print(f"{len(artefact):,} bytes for {', '.join(generate.platforms)}")
images = generate.call(jnp.asarray(latents[:3]), *([] if labels is None else [jnp.asarray(labels[:3])]))
same = np.abs(images - sampler.images(latents[:3], None if labels is None else labels[:3], psi=0.7)).max()
print(f"largest difference: {same:.0e}")
