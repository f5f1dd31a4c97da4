"""StyleGAN of the original: images and scores of the recorded pickle, the config, and the way back."""

from functools import partial
from pathlib import Path

import golden_cases
import numpy as np
import pickles
import pytest
from golden_cases import nchw, nhwc

import ganzoo
from ganzoo import interop

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
