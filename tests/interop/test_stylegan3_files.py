"""StyleGAN3 of the original: images and logits of the recorded pickle, its config, and the way back."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import golden_cases
import jax.numpy as jnp
import numpy as np
import persistent_pickles
import pickles
import pytest
from drawn import assert_same, converted_of, weights_of
from golden_cases import nchw, nhwc

import ganzoo
from ganzoo import interop
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.interop.reading.contents import Contents


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The snapshot of a conditional configuration R."""
    return interop.read(pickles.written("sg3_r", tmp_path_factory.mktemp("pkl")))


def test_images_and_logits_are_the_recorded_ones(tmp_path: Path) -> None:
    gan, state = ganzoo.load(pickles.written("sg3_r", tmp_path))
    golden = pickles.recorded("sg3_r")
    apply = partial(gan.generator.apply, state.ema)

    def images_of(z: Any, labels: Any) -> Any:
        ws = [apply(z, labels, method="styles", **of) for of in ({}, {"psi": 0.7, "cutoff": 3})]
        return apply(jnp.concatenate(ws), method="synthesise")

    images = nchw(golden_cases.run(images_of, golden["in/z"], golden["in/c"]))
    recorded = [golden[f"out/G_ema/img_{options}"] for options in ("psi1", "psi0.7_cutoff3")]
    golden_cases.assert_near(images, np.concatenate(recorded))
    logits_of = partial(golden_cases.run, gan.discriminator.apply, state.discriminator.variables)
    logits = logits_of(nhwc(golden["out/G_ema/img_psi1"]), golden["in/c"])
    golden_cases.assert_near(logits, golden["out/D/logits_G_ema_img_psi1"][:, 0])


def test_the_config_of_a_snapshot(contents: Contents) -> None:
    converted = interop.convert(contents)
    told = {
        "image_size": 32, "channels": 3, "label_size": 6, "latent_size": 48, "style_size": 64, "mapping_layers": 2,
        "channel_base": 512, "channel_max": 32, "discriminator_channel_base": 512, "discriminator_channel_max": 24,
        "kernel_size": 1, "radial_filters": True, "layers": 14, "magnitude_decay": 0.5 ** (32 / 20_000),
        "conv_clamp": 256, "minibatch_std_group": 4,
    }  # fmt: skip
    assert converted.model == "stylegan3"
    assert {name: pytest.approx(converted.fields[name]) for name in told} == told
    assert not any("left out" in note for note in converted.notes)


def test_back_to_the_original_bit_for_bit(contents: Contents) -> None:
    back = interop.originals(interop.convert(contents))
    expected = {f"{net}.{key}": array for net, item in contents.networks.items() for key, array in item.arrays.items()}
    assert back.keys() == expected.keys()
    for key, array in back.items():
        if key.endswith("_filter"):  # designed by another version of SciPy
            np.testing.assert_allclose(array, expected[key], rtol=0, atol=1e-7, err_msg=key)
        else:
            np.testing.assert_array_equal(array, expected[key], err_msg=key)


def test_a_state_dict_without_arguments(contents: Contents) -> None:
    """Widths and filters follow from the arrays; what does not has the original's default, which is told."""
    bare = {name: replace(network, kind="", settings={}) for name, network in contents.networks.items()}
    with_arguments, without = interop.convert(contents), interop.convert(Contents("", bare))
    for name in ("radial_filters", "kernel_size", "layers", "channel_max", "discriminator_channel_max"):
        assert without.fields[name] == with_arguments.fields[name]
    assert any(note.startswith("first_cutoff is not in the file: 2.0 is assumed") for note in without.notes)


@pytest.mark.parametrize(
    ("arguments", "arrays", "words"),
    [
        ({"margin_size": 8}, {}, r"must be 'L0_36_32'|layers .*: must be"),
        ({"use_radial_filters": False}, {}, r"down_filter.*: must be what follows from the arguments"),
        ({"num_frobs": 1}, {}, "num_frobs.*unknown argument"),
        (
            {},
            {"synthesis.input.transform": np.diag([2, 2, 1]).astype(np.float32)},
            r"transform.*: must be what follows",
        ),
        ({}, {"synthesis.L0_36_32.bias": None}, "a layer without a bias"),
    ],
)
def test_what_is_no_stylegan3(contents: Contents, arguments: dict, arrays: dict, words: str) -> None:
    old = contents.networks["G_ema"]
    new = {name: array for name, array in {**old.arrays, **arrays}.items() if array is not None}
    changed = replace(old, arrays=new, settings={**old.settings, **arguments})
    with pytest.raises(UserError, match=words):
        interop.convert(Contents("", {"G_ema": changed}))


def test_a_state_dict_of_a_discriminator_has_the_clamp_of_the_repository(contents: Contents) -> None:
    bare = {"D": replace(contents.networks["D"], kind="", settings={}, attributes={})}
    found = interop.convert(Contents("", {"G_ema": contents.networks["G_ema"], **bare}))
    assert found.fields["discriminator_conv_clamp"] == 256
    assert "discriminator_conv_clamp is not in the file: 256.0 is assumed" in found.notes


# StyleGAN2 of the same repository -----------------------------------------------------------------------------------


def test_the_repository_s_stylegan2(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Its constructors have other arguments and defaults than those of stylegan2-ada-pytorch (train.py:233-241)."""
    gan = ganzoo.create(
        "stylegan2", "tiny", label_size=3, mapping_layers=8, style_average_decay=0.998, minibatch_std_group=2
    )
    converted = converted_of(gan)
    arrays = interop.originals(converted)
    shared = {"c_dim": 3, "img_resolution": 8, "img_channels": 3, "channel_base": 48, "channel_max": 8}
    of_g = {
        **shared, "z_dim": 8, "w_dim": 8, "mapping_kwargs": {"num_layers": 8}, "fused_modconv_default": "inference_only"
    }  # fmt: skip
    of_d = {**shared, "block_kwargs": {"freeze_layers": 0}, "mapping_kwargs": {"num_layers": 2},
            "epilogue_kwargs": {"mbstd_group_size": 2}}  # fmt: skip
    kept = {"mapping.w_avg_beta": 0.998, "synthesis.b4.conv1.conv_clamp": 256}

    def module(name: str) -> persistent_pickles.Module:
        own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
        if name == "D":
            return persistent_pickles.Module("Discriminator", of_d, own, {"b4.conv.conv_clamp": 256})
        return persistent_pickles.Module("Generator", of_g, own, kept)

    path = tmp_path / "sg2.pkl"
    path.write_bytes(persistent_pickles.snapshot({name: module(name) for name in ("G", "D", "G_ema")}))
    found = interop.convert(interop.read(path))
    assert_same(dict(found.weights), weights_of(gan))
    expected = {**converted.fields, "discriminator_conv_clamp": 256}
    told = {name: value for name, value in found.fields.items() if value is not None}
    assert told == {name: expected[name] for name in told}
    assert {"conv_clamp", "discriminator_conv_clamp", "style_average_decay", "minibatch_std_group"} <= set(told)
    assert main(["inspect", str(path)]) == 0
    assert "stylegan2" in capsys.readouterr().out
    assert main(["convert", str(path), str(tmp_path / "m.safetensors")]) == 0
    assert main(["sample", str(path), "--out", str(tmp_path / "m.png"), "--seeds", "0-1"]) == 0
    assert (tmp_path / "m.png").stat().st_size
    notes = [line for line in capsys.readouterr().out.splitlines() if "note" in line]
    assert all("fused_modconv_default = inference_only is unused" in note for note in notes)
