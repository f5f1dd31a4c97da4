"""An exported generator runs without this library, and makes the same images."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo import interop
from ganzoo.latent import Sampler

RUNNER = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "ganzoo", "optax", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import jax, jax.export, numpy as np
folder = sys.argv[1]
generate = jax.export.deserialize(bytearray(open(folder + "/generator.jax", "rb").read()))
assert generate.platforms == ("cpu", "cuda", "tpu")
given = np.load(folder + "/given.npz")
inputs = [given[name] for name in ("latents", "labels") if name in given.files]
for count in (1, 3):
    np.testing.assert_allclose(generate.call(*[x[:count] for x in inputs]), given["images"][:count], atol=1e-4)
"""


@pytest.mark.parametrize("kind", ["stylegan2", "dcgan", "stylegan"])
def test_an_export_runs_without_this_library(kind: str, tmp_path: Path) -> None:
    """A StyleGAN is exported in the middle of growing."""
    gan = ganzoo.create(kind, "tiny", label_size=3 if kind == "stylegan2" else 0)
    state = drawn_state(gan)
    if kind == "stylegan":
        state = dataclasses.replace(state, level_of_detail=jnp.float32(0.4))
    options, sampler = {} if gan.styles is None else {"psi": 0.7}, Sampler(gan, state)
    (tmp_path / "generator.jax").write_bytes(interop.export(gan, state, **options))
    latents, labels = sampler.latents(range(3)), sampler.labels(3)
    expected = gan.generate(state, jnp.asarray(latents), None if labels is None else jnp.asarray(labels), **options)
    given = {"latents": latents, "images": np.asarray(expected)}
    np.savez(tmp_path / "given.npz", **given, **({} if labels is None else {"labels": labels}))
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
