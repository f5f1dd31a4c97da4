"""A trained generator at work: seeds, batches, styles, noise; its export; projection of what it made itself."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import draw

import ganzoo
from ganzoo.errors import UserError
from ganzoo.gan import Network, TrainState
from ganzoo.latent.directions import factorised, modulation_kernels
from ganzoo.interop.export import exported
from ganzoo.latent.projection import ProjectionConfig, noise_regularity, pixel_distance, project
from ganzoo.latent.sampler import Sampler


def drawn_state(gan: ganzoo.GAN, noise_strength: float = 0.5) -> TrainState:
    """Fresh weights by NumPy, since to initialise takes long to compile; but noise and the average of w are not 0."""

    def fresh(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name, seed = jax.tree_util.keystr(path), sum(map(ord, jax.tree_util.keystr(path)))
        if "bias" in name:
            return jnp.full(leaf.shape, 1.0 if "affine" in name else 0.0)
        if "noise_strength" in name:
            return jnp.float32(noise_strength)
        return jnp.asarray(draw(seed, *leaf.shape) * (100 if "mapping" in name and "kernel" in name else 1))

    shapes = jax.eval_shape(gan.init, jax.random.key(0)).average
    drawn = jax.tree_util.tree_map_with_path(fresh, shapes)
    network = Network(drawn["params"], drawn["variables"], ())
    return TrainState(jnp.int32(0), jnp.uint32(0), network, Network({}, {}, ()), drawn)


@pytest.fixture(scope="module")
def trained() -> Sampler:
    """A conditional StyleGAN2 whose noise and average of w are not zero."""
    gan = ganzoo.create("stylegan2", "tiny", label_size=3)
    return Sampler(gan, drawn_state(gan))


@pytest.fixture(scope="module")
def plain() -> Sampler:
    """A model without styles."""
    gan = ganzoo.create("dcgan", "tiny")
    return Sampler(gan, jax.jit(gan.init)(jax.random.key(0)))


def test_an_image_depends_on_its_seed_alone(sampler: Sampler) -> None:
    seeds = [5, 2**32 - 1, 7, 0, 9]
    latents, labels = sampler.latents(seeds), sampler.labels(5, 1)
    options = {"psi": 0.7, "cutoff": 2, "noise": "random"}
    together = sampler.images(latents, labels, **options, seeds=seeds)
    assert together.shape == (5, 8, 8, 3)
    by_two = Sampler(sampler.gan, sampler.state, batch=2)
    split = by_two.images(latents, labels, **options, seeds=seeds)
    np.testing.assert_allclose(together, split, atol=1e-5)
    pair = by_two.images(sampler.latents([7, 5]), by_two.labels(2, 1), **options, seeds=[7, 5])
    np.testing.assert_allclose(together[[2, 0]], pair, atol=1e-5)


def test_images_are_those_of_the_gan(sampler: Sampler, plain: Sampler) -> None:
    latents, labels = sampler.latents(range(3)), sampler.labels(3)
    expected = sampler.gan.generate(sampler.state, jnp.asarray(latents), jnp.asarray(labels), psi=0.5)
    np.testing.assert_allclose(sampler.images(latents, labels, psi=0.5), expected, atol=1e-6)
    expected = plain.gan.sample(plain.state, jax.random.key(0), 3)
    np.testing.assert_allclose(plain.images(plain.latents(range(3))), expected, atol=1e-6)


def test_latents_of_the_originals_tools(sampler: Sampler) -> None:
    expected = np.random.RandomState(85).randn(1, 8)
    np.testing.assert_array_equal(sampler.latents([3, 85], "numpy")[1], expected[0].astype(np.float32))


def test_labels(sampler: Sampler, plain: Sampler) -> None:
    np.testing.assert_array_equal(sampler.labels(4), np.eye(3)[[0, 1, 2, 0]])
    np.testing.assert_array_equal(sampler.labels(2, 2), np.eye(3)[[2, 2]])
    assert plain.labels(2) is None
    with pytest.raises(UserError, match="class = 3: must be 0 to 2"):
        sampler.labels(1, 3)
    with pytest.raises(UserError, match="has no classes"):
        plain.labels(1, 0)


def test_a_model_without_styles_says_so(plain: Sampler) -> None:
    latents = plain.latents([0])
    for use in (
        lambda: plain.styles(latents),
        lambda: plain.images(latents, psi=0.5),
        lambda: project(plain, np.zeros((1, 16, 16, 3), np.float32)),
        lambda: factorised(plain, 1),
        lambda: exported(plain, psi=0.5),
    ):
        with pytest.raises(UserError, match="no styles"):
            use()


def test_factorised_directions_are_those_of_the_modulation(sampler: Sampler) -> None:
    kernels = modulation_kernels(sampler)
    assert [kernel.shape[0] for kernel in kernels] == [8, 8, 8]
    found = factorised(sampler, 8)
    np.testing.assert_allclose(found @ found.T, np.eye(8), atol=1e-5)
    together = np.concatenate([kernel / np.linalg.norm(kernel, axis=0) for kernel in kernels], axis=1)
    power = np.linalg.norm(found @ together, axis=1)
    assert (np.diff(power) <= 1e-6).all()


# Export -------------------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("kind", ["trained", "plain"])
def test_an_export_runs_without_this_library(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Sampler = request.getfixturevalue(kind)
    options = {"psi": 0.7} if model.has_styles else {}
    (tmp_path / "generator.jax").write_bytes(exported(model, **options))
    latents, labels = model.latents(range(3)), model.labels(3)
    given = {"latents": latents, "images": model.images(latents, labels, **options)}
    np.savez(tmp_path / "given.npz", **given, **({} if labels is None else {"labels": labels}))
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


# Projection ---------------------------------------------------------------------------------------------------------


def test_projection_recovers_images_of_the_generator_itself() -> None:
    """At 16 x 16 pixels, so that it is quick; each target is sought by itself."""
    gan = ganzoo.create("stylegan2", "tiny", image_size=16, channel_base=256, channel_max=32, style_size=32)
    sampler = Sampler(gan, drawn_state(gan, noise_strength=0.01))
    targets = sampler.images(sampler.latents([1, 2, 3]))
    config = ProjectionConfig(steps=400, style_samples=500)
    found = project(sampler, targets, config)
    assert found.ws.shape == (3, gan.config.style_count, 32)
    assert found.distances.shape == (400, 3)
    error = np.square(found.images - targets).mean(axis=(1, 2, 3))
    assert (10 * np.log10(4 / error) > 27).all()
    maps = jax.tree.leaves(found.noise)
    np.testing.assert_allclose([map_.mean() for map_ in maps], 0, atol=1e-3)
    np.testing.assert_allclose([map_.std() for map_ in maps], 1, atol=1e-3)


def test_projection_of_what_does_not_fit(sampler: Sampler) -> None:
    with pytest.raises(UserError, match="targets = "):
        project(sampler, np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(UserError, match="steps = 0"):
        ProjectionConfig(steps=0)


def test_distances_and_the_regularity_of_noise() -> None:
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    assert np.asarray(pixel_distance(images, images)).tolist() == [0, 0]
    far = np.asarray(pixel_distance(images, images + 1))
    np.testing.assert_allclose(far, 3, rtol=1e-5)  # 32, 16 and 8 pixels
    noise, stripes = images[..., 0], np.tile([1.0, -1.0], (2, 32, 16)).astype(np.float32)
    assert float(noise_regularity([noise])) < 0.1 * float(noise_regularity([stripes]))
