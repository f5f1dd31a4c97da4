"""Projections in files: what was found is there again, image for image, and another model's is refused."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.gan import named_leaves
from ganzoo.latent import load_projection, save_projection
from ganzoo.latent.projection import Projection, ProjectionConfig, project
from ganzoo.latent.sampler import Sampler
from ganzoo.latent.saved import file_stems

NAMES = ["a/one.png", "b/one.png", "ünï code?.jpg"]


def sampler_of(name: str = "stylegan2", **fields) -> Sampler:
    gan = ganzoo.create(name, "tiny", **fields)
    return Sampler(gan, drawn_state(gan))


def drawn(sampler: Sampler, count: int = 3) -> Projection:
    """Styles of seeds with noise maps of their own, as a search could have found them."""
    draws = np.random.default_rng(0)
    maps = sampler.require_styles("test").noise_maps(sampler.state)
    noise = jax.tree.map(lambda leaf: draws.normal(size=(count, *leaf.shape)).astype(np.float32), maps)
    ws = np.asarray(sampler.styles(sampler.latents(range(count))))
    return Projection(ws, noise, sampler.synthesise(ws, noise=noise), draws.random((5, count), np.float32))


@pytest.mark.parametrize("name", [pytest.param("stylegan", marks=pytest.mark.slow), "stylegan2"])
def test_what_was_found_is_there_again(name: str, tmp_path: Path) -> None:
    sampler, path = sampler_of(name), tmp_path / "projection.npz"
    targets = sampler.images(sampler.latents([1, 2, 3]))
    found = project(sampler, targets, ProjectionConfig(steps=4, style_samples=50))
    save_projection(path, sampler, found, NAMES)
    saved = load_projection(path)
    assert saved.names == tuple(NAMES)
    assert saved.fits(sampler)
    assert saved.about["model"] == name
    np.testing.assert_array_equal(saved.ws, found.ws)
    np.testing.assert_array_equal(saved.distances, found.distances)
    for key, maps in named_leaves(found.noise):
        np.testing.assert_array_equal(saved.noise[key], maps)
    images = sampler.synthesise(saved.ws, noise=saved.noise_for(sampler))
    np.testing.assert_allclose(images, found.images, atol=1e-5)
    assert np.abs(sampler.synthesise(saved.ws) - found.images).max() > 1e-3  # the noise maps are part of it
    last = saved.take([2])
    assert (len(last), last.names, last.stems) == (1, (NAMES[2],), ("0002-ünï_code_",))
    np.testing.assert_allclose(sampler.synthesise(last.ws, noise=last.noise_for(sampler)), found.images[2:], atol=1e-5)


def test_numpy_reads_the_file(tmp_path: Path) -> None:
    sampler = sampler_of()
    save_projection(tmp_path / "p.npz", sampler, drawn(sampler), NAMES)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert json.loads(str(arrays["about"]))["names"] == NAMES
        assert arrays["ws"].shape == (3, 4, 8)
        assert arrays["noise.synthesis.b8.conv0.constant"].shape == (3, 8, 8)


def test_without_sought_noise_maps_the_networks_own_are_meant(tmp_path: Path) -> None:
    sampler = sampler_of()
    found = dataclasses.replace(drawn(sampler), noise={})
    save_projection(tmp_path / "p.npz", sampler, found, NAMES)
    saved = load_projection(tmp_path / "p.npz")
    assert saved.noise == {}
    assert saved.noise_for(sampler) is None


def test_styles_of_another_projector(tmp_path: Path) -> None:
    """The one array that NVIDIA's writes."""
    sampler = sampler_of()
    ws = np.asarray(sampler.styles(sampler.latents([4])))
    np.savez(tmp_path / "projected_w.npz", w=ws)
    saved = load_projection(tmp_path / "projected_w.npz")
    np.testing.assert_array_equal(saved.ws, ws)
    assert (saved.names, saved.about, saved.distances.shape) == (("0000",), {}, (0, 1))
    assert not saved.fits(sampler)  # it cannot be known
    assert saved.noise_for(sampler) is None


def test_more_training_is_noticed(tmp_path: Path) -> None:
    sampler = sampler_of()
    save_projection(tmp_path / "p.npz", sampler, drawn(sampler), NAMES)
    moved = jax.tree.map(lambda leaf: leaf + jnp.ones((), leaf.dtype), sampler.state.ema)
    later = Sampler(sampler.gan, dataclasses.replace(sampler.state, ema=moved))
    assert not load_projection(tmp_path / "p.npz").fits(later)


def test_another_model_is_refused_in_one_line(tmp_path: Path) -> None:
    sampler, path = sampler_of(), tmp_path / "p.npz"
    save_projection(path, sampler, drawn(sampler), NAMES)
    refused = {
        "holds styles of stylegan2, not of stylegan; use": sampler_of("stylegan"),
        r"holds styles of \(4, 8\), where stylegan2 has \(6, 8\)": sampler_of(image_size=16, channel_base=48),
        "has no styles": Sampler(ganzoo.create("dcgan", "tiny"), None),
        "holds other noise maps": sampler_of(image_size=(8, 16)),
    }
    for words, other in refused.items():
        with pytest.raises(UserError, match=words) as caught:
            load_projection(path).noise_for(other)
        assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_projection_is_refused(tmp_path: Path) -> None:
    ws, about = np.ones((2, 4, 8), np.float32), np.asarray('{"version": 1}')
    files = {
        "text": (None, "neither a pickle, nor"),
        "nothing": ({"a": ws}, "holds no styles"),
        "flat": ({"ws": ws[0]}, "holds no styles"),
        "whole": ({"ws": ws.astype(int)}, "holds no styles"),
        "nan": ({"ws": ws * np.nan}, "holds no styles"),
        "more": ({"ws": ws, "zs": ws}, "also holds zs"),
        "texts": ({"ws": ws, "words": np.asarray("a")}, "also holds words"),
        "short": ({"ws": ws, "about": np.asarray('{"version": 1, "names": ["a"]}')}, "is damaged"),
        "maps": ({"ws": ws, "about": about, "noise.b4": np.ones((1, 4, 4))}, "is damaged"),
        "json": ({"ws": ws, "about": np.asarray("{")}, "not JSON"),
        "later": ({"ws": ws, "about": np.asarray('{"version": 9}')}, "of version 9"),
        "list": ({"ws": ws, "about": np.asarray("[1]")}, "where a JSON object should be"),
        "twice": ({"ws": ws, "about": np.asarray('{"version": 1, "version": 1}')}, "two values of the name 'version'"),
        "numbers": ({"ws": ws, "about": np.asarray('{"version": 1, "names": [1, 2]}')}, "is damaged"),
        "complex": ({"ws": ws, "about": about, "noise.b4": np.ones((2, 4, 4), complex)}, "is damaged"),
        "huge": ({"ws": ws.astype(float) * 1e300}, "holds no styles"),
    }
    for name, (arrays, words) in files.items():
        path = tmp_path / f"{name}.npz"
        if arrays is None:
            path.write_text("hello")
        else:
            np.savez(path, **arrays)
        with pytest.raises(UserError, match=words) as caught:
            load_projection(path)
        assert len(str(caught.value).splitlines()) == 1


def test_names_of_files_are_safe_and_distinct() -> None:
    stems = file_stems(["../../x.png", "x.jpg", "..", "", "a\\b\n.png", "y" * 300])
    assert stems == ["0000-x", "0001-x", "0002-..", "0003", "0004-a_b_", "0005-" + "y" * 50]
