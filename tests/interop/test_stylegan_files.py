"""StyleGAN of the original: images and scores of the recorded pickle, the config, and the way back."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import golden_cases
import jax
import numpy as np
import pickles
import pytest
from golden_cases import nchw, nhwc

import ganzoo
from ganzoo import interop
from ganzoo.interop.families import stylegan_settings

NAME = "sg1_legacy_tf"
TRUNCATIONS = {"psi1": {}, "psi0.7_cutoff8": {"psi": 0.7, "cutoff": 8}, "psi0.5_cutoff2": {"psi": 0.5, "cutoff": 2}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    return ganzoo.load(pickles.written(NAME, tmp_path_factory.mktemp("pkl")))


def test_images_and_scores_are_the_recorded_ones(model: tuple) -> None:
    gan, state = model
    golden = pickles.recorded(NAME)
    bound = gan.generator.bind(state.ema)
    ws = np.concatenate([bound.styles(golden["in/z"], **options) for options in TRUNCATIONS.values()])
    images = golden_cases.run(partial(gan.generator.apply, method="synthesise"), state.ema, ws)
    recorded = np.concatenate([golden[f"out/Gs/img_{name}"] for name in TRUNCATIONS])
    golden_cases.assert_near(nchw(images), recorded, 1e-4)
    judged = nhwc(golden["out/Gs/img_psi1"])
    scores = golden_cases.run(gan.discriminator.apply, {"params": state.discriminator.params}, judged)
    golden_cases.assert_near(scores, golden["out/D/scores_Gs_img_psi1"].reshape(-1), 1e-4)


def test_the_config_is_told_by_the_file(model: tuple) -> None:
    config = model[0].config
    assert (config.image_size, config.channels, config.channel_base, config.channel_max) == (32, 3, 256, 16)
    assert (config.latent_size, config.style_size, config.mapping_layers, config.mapping_features) == (32, 32, 4, 32)
    assert (config.progressive, config.constant_input, config.use_noise, config.blur_filter) == (
        True,
        True,
        True,
        (1, 2, 1),
    )


def test_samples_have_all_their_detail(model: tuple) -> None:
    assert float(model[1].level_of_detail) == 0


def test_back_to_the_original_s_names(tmp_path: Path) -> None:
    contents = interop.read(pickles.written(NAME, tmp_path))
    back = interop.originals(interop.convert(contents))
    for net, network in contents.networks.items():
        for name, array in network.arrays.items():
            if name.rpartition("/")[2] != "lod":
                ours = back[f"{'G_ema' if net == 'Gs' else net}.{name}"]
                np.testing.assert_array_equal(ours, array, err_msg=name)


def with_arrays(contents: interop.Contents, kind: str, changed: dict, **settings: object) -> interop.Contents:
    """The contents with other arrays and settings in networks whose names begin with ``kind``."""
    networks = {
        name: replace(part, arrays={**part.arrays, **changed}, settings={**part.settings, **settings})
        if name.startswith(kind)
        else part
        for name, part in contents.networks.items()
    }
    return replace(contents, networks=networks)


def test_a_network_that_grows_has_its_level_of_detail(tmp_path: Path) -> None:
    contents = with_arrays(interop.read(pickles.written(NAME, tmp_path)), "", {"lod": np.float32(1.3)})
    converted = interop.convert(contents)
    assert any(note.startswith("lod = 1.3: a network that still grows") for note in converted.notes)
    interop.save(tmp_path / "m.safetensors", converted)
    interop.save_originals(tmp_path / "m.npz", converted)
    for name in ("m.safetensors", "m.npz"):
        gan, state = ganzoo.load(tmp_path / name, log=lambda _: None)
        assert float(state.level_of_detail) == np.float32(1.3)
    z = gan.latents(jax.random.key(0), jax.numpy.arange(2))
    sampled = gan.styles.synthesise(state, gan.styles.map(state, z))
    images = golden_cases.run(partial(gan.generator.apply, lod=1.3), state.ema, z)
    golden_cases.assert_near(sampled, images, 1e-5)


def test_one_label_is_a_label(tmp_path: Path) -> None:
    contents = interop.read(pickles.written(NAME, tmp_path))
    label = {"G_mapping/LabelConcat/weight": np.ones((1, 32), np.float32)}
    label["G_mapping/Dense0/weight"] = np.ones((64, 32), np.float32)
    labelled = with_arrays(with_arrays(contents, "G", label, label_size=1), "D", {}, label_size=1)
    converted = interop.convert(labelled)
    assert converted.fields["label_size"] == 1
    assert any(name.startswith("discriminator.") for name in converted.weights)


def test_the_last_dense_layer_has_the_channels_of_half_the_smallest_size() -> None:
    base, most = stylegan_settings.told_widths({"fmap_base": 16, "fmap_max": 12})
    gan = ganzoo.create("stylegan", "tiny", channel_base=base, channel_max=most)
    params = jax.eval_shape(gan.init, jax.random.key(0)).discriminator.params
    assert (params["conv"]["kernel"].shape[-1], params["dense"]["kernel"].shape) == (8, (128, 12))
