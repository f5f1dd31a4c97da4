"""Arguments of the original networks: used, refused by name with their value, or reported as unused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pickles
import pytest

from ganzoo import interop
from ganzoo.errors import UserError
from ganzoo.interop.families import stylegan2, stylegan2_settings, stylegan_settings
from ganzoo.interop.families.settings import Becomes, Must, Told, Unused, flat, interpret
from ganzoo.interop.reading.contents import Contents, Network

TORCH, TENSORFLOW, FIRST = "sg2_cond", "sg2_legacy_tf", "sg1_legacy_tf"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contents]:
    folder = tmp_path_factory.mktemp("pkl")
    return {name: interop.read(pickles.written(name, folder)) for name in (TORCH, TENSORFLOW, FIRST)}


def with_setting(contents: Contents, kind: str, path: str, value: Any) -> Contents:
    """The contents with an argument of all generators ("G") or of the discriminator ("D") changed."""
    networks = dict(contents.networks)
    for name in networks:
        if name.startswith(kind):
            settings = dict(networks[name].settings)
            outer, _, inner = path.partition(".")
            settings[outer] = {**settings.get(outer, {}), inner: value} if inner else value
            networks[name] = dataclasses.replace(networks[name], settings=settings)
    return dataclasses.replace(contents, networks=networks)


USED = [
    (TORCH, "G", "mapping_kwargs.w_avg_beta", 0.9, {"style_average_decay": 0.9}),
    (TORCH, "G", "mapping_kwargs.lr_multiplier", 1, {"mapping_lr_multiplier": 1.0}),
    (TORCH, "G", "synthesis_kwargs.conv_clamp", None, {"conv_clamp": 0.0}),
    (TORCH, "D", "block_kwargs.freeze_layers", 3, {"freeze_discriminator_layers": 3}),
    (TORCH, "D", "epilogue_kwargs.mbstd_group_size", None, {"minibatch_std_group": 0}),
    (TORCH, "D", "mapping_kwargs.lr_multiplier", 0.3, {"discriminator_mapping_lr_multiplier": 0.3}),
    (TORCH, "D", "conv_clamp", 8, {"discriminator_conv_clamp": 8.0, "conv_clamp": 256.0}),
    (TENSORFLOW, "G", "style_mixing_prob", None, {"style_mixing": 0.0}),
    (TENSORFLOW, "G", "dlatent_avg_beta", None, {"style_average_decay": 1.0}),
    (TENSORFLOW, "G", "dlatent_avg_beta", 0.0, {"style_average_decay": 0.0}),
    (TENSORFLOW, "G", "w_avg_beta", 0.9, {"style_average_decay": 0.9}),
    (TENSORFLOW, "D", "freeze_layers", 2, {"freeze_discriminator_layers": 2}),
    (TENSORFLOW, "D", "mbstd_group_size", None, {"minibatch_std_group": 0}),
    (FIRST, "G", "normalize_latents", False, {"normalize_latents": False}),
    (FIRST, "G", "dlatent_avg_beta", 0.0, {"style_average_decay": 0.0}),
    (FIRST, "G", "dlatent_avg_beta", None, {"style_average_decay": 1.0}),
    (FIRST, "G", "style_mixing_prob", 0.5, {"style_mixing": 0.5}),
    (FIRST, "G", "blur_filter", [], {"blur_filter": ()}),
    (FIRST, "G", "use_instance_norm", False, {"instance_norm": False}),
    (FIRST, "G", "use_pixel_norm", True, {"pixel_norm": True}),
    (FIRST, "G", "mapping_lrmul", 0.5, {"mapping_lr_multiplier": 0.5}),
    (FIRST, "D", "mbstd_group_size", 8, {"minibatch_std_group": 8}),
]


@pytest.mark.parametrize(("name", "kind", "path", "value", "fields"), USED)
def test_used(recorded, name: str, kind: str, path: str, value: Any, fields: dict) -> None:
    found = interop.convert(with_setting(recorded[name], kind, path, value)).fields
    assert {key: found[key] for key in fields} == fields


REFUSED = [
    (
        TORCH,
        "mapping_kwargs.activation",
        "relu",
        "synthesis_kwargs.activation = lrelu, but mapping_kwargs.activation =",
    ),
    (TORCH, "synthesis_kwargs.kernel_size", 5, "synthesis_kwargs.kernel_size = 5: must be 3"),
    (TORCH, "synthesis_kwargs.conv_clamp", -1, "conv_clamp = -1: must be None or positive"),
    (TORCH, "synthesis_kwargs.extra", True, "synthesis_kwargs.extra = True: unknown argument"),
    (TORCH, "mapping_kwargs", 3, "mapping_kwargs = 3: must be a dictionary"),
    (TORCH, "mapping_kwargs.w_avg_beta", None, "w_avg_beta = None: must be a number"),
    (TORCH, "synthesis_kwargs.resample_filter", [[1, 2]], "must be the taps of a separable filter"),
    (TENSORFLOW, "normalize_latents", False, "normalize_latents = False: must be True"),
    (TENSORFLOW, "mapping_nonlinearity", "relu", "mapping_nonlinearity = relu, but nonlinearity = lrelu"),
    (FIRST, "use_wscale", False, "use_wscale = False: must be True"),
    (FIRST, "mapping_nonlinearity", "relu", "mapping_nonlinearity = relu, but nonlinearity = lrelu"),
    (FIRST, "fused_scale", 3, "fused_scale = 3: must be True, False or auto"),
]


@pytest.mark.parametrize(("name", "path", "value", "words"), REFUSED)
def test_refused(recorded, name: str, path: str, value: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        interop.convert(with_setting(recorded[name], "G", path, value))
    assert words in str(error.value)
    assert str(error.value).isprintable()


LEFT_OUT = [
    (TORCH, "mapping_kwargs.activation", "relu", "mapping_kwargs.activation = relu: must be lrelu"),
    (TORCH, "block_kwargs.resample_filter", [1, 2, 1], ""),
    (TENSORFLOW, "use_spectral_norm", True, "use_spectral_norm = True: must be False"),
    (TENSORFLOW, "resample_kernel", None, "different from the generator in resample_filter"),
    (FIRST, "use_wscale", False, "use_wscale = False: must be True"),
    (FIRST, "fused_scale", True, "different from the generator in fused_scale"),
]


@pytest.mark.parametrize(("name", "path", "value", "words"), LEFT_OUT)
def test_a_discriminator_is_left_out(recorded, name: str, path: str, value: Any, words: str) -> None:
    converted = interop.convert(with_setting(recorded[name], "D", path, value))
    if words:
        assert converted.notes[0].startswith("the discriminator is left out: ")
        assert words in converted.notes[0]
    else:  # the constants in the file are what the network computes with
        assert converted.fields["resample_filter"] == (1, 3, 3, 1)
        assert any(key.startswith("discriminator") for key in converted.weights)


NOTED = [
    (TORCH, "G", "synthesis_kwargs.num_fp16_res", 4, "synthesis_kwargs.num_fp16_res = 4 is unused"),
    (TORCH, "G", "synthesis_kwargs.fp16_channels_last", True, "fp16_channels_last = True is unused"),
    (TENSORFLOW, "G", "truncation_psi", 0.5, "truncation_psi = 0.5 is unused: images are truncated by the psi"),
    (TENSORFLOW, "G", "fused_modconv", True, "fused_modconv = True is unused"),
    (TENSORFLOW, "G", "dtype", "float16", "dtype = float16 is unused: all layers are computed in float32"),
    (TENSORFLOW, "D", "num_fp16_res", 4, "num_fp16_res = 4 is unused"),
    (FIRST, "G", "truncation_psi", 0.7, "truncation_psi = 0.7 is unused"),
    (FIRST, "G", "structure", "fixed", "structure = fixed is unused"),
    (FIRST, "G", "of_a_fork", 1, "of_a_fork = 1 is unused: unknown to the original code, which ignores it"),
]


@pytest.mark.parametrize(("name", "kind", "path", "value", "words"), NOTED)
def test_noted(recorded, name: str, kind: str, path: str, value: Any, words: str) -> None:
    notes = interop.convert(with_setting(recorded[name], kind, path, value)).notes
    assert any(words in note for note in notes)
    assert len(set(notes)) == len(notes)
    assert all(note.isprintable() for note in notes)


def test_what_is_as_here_is_not_noted(recorded) -> None:
    for path, value in {"synthesis_kwargs.num_fp16_res": 0, "synthesis_kwargs.kernel_size": 3}.items():
        notes = interop.convert(with_setting(recorded[TORCH], "G", path, value)).notes
        assert not any(path in note for note in notes)


def test_notes_are_shown(tmp_path: Path, recorded) -> None:
    contents = with_setting(recorded[TENSORFLOW], "G", "dtype", "float16")
    assert any("note: dtype = float16 is unused" in line for line in interop.describe(contents))


# Other ways to name arguments ---------------------------------------------------------------------------------------


def test_arguments_without_names(recorded) -> None:
    """``Generator(512, 0, 512, ...)``: they are named by their positions."""
    networks, names = dict(recorded[TORCH].networks), stylegan2_settings.POSITIONS["Generator"]
    for key in ("G", "G_ema"):
        given = {**networks[key].settings, "synthesis_kwargs": {"conv_clamp": 7}}
        networks[key] = dataclasses.replace(networks[key], settings={"*": [given[name] for name in names]})
    converted = interop.convert(dataclasses.replace(recorded[TORCH], networks=networks))
    assert converted.fields["conv_clamp"] == 7


def test_modules_keep_what_their_arguments_were(recorded) -> None:
    """Where a file has modules but no arguments, such as of the code of another time with other defaults."""
    bare = {name: dataclasses.replace(network, settings={}) for name, network in recorded[TORCH].networks.items()}
    converted, expected = interop.convert(dataclasses.replace(recorded[TORCH], networks=bare)), recorded[TORCH]
    fields = interop.convert(expected).fields
    assert {**converted.fields, "style_mixing": 0} == {**fields, "style_mixing": 0}
    assert [note.partition(" is ")[0] for note in converted.notes] == ["freeze_discriminator_layers"]


def test_the_defaults_of_stylegan3_s_copy(recorded) -> None:
    """Its generator takes the arguments of the synthesis network beside the others, with other defaults."""
    networks = dict(recorded[TORCH].networks)
    for name, network in networks.items():
        settings = {
            key: value for key, value in network.settings.items() if key not in ("synthesis_kwargs", "conv_clamp")
        }
        own = {"channel_base": 512, "channel_max": 24, "fused_modconv_default": "inference_only"}
        given = {**settings, **own} if name != "D" else settings
        attributes = {"b4.conv.conv_clamp": 256} if name == "D" else {}
        networks[name] = dataclasses.replace(network, settings=given, attributes=attributes)
    converted = interop.convert(dataclasses.replace(recorded[TORCH], networks=networks))
    told = ("conv_clamp", "discriminator_conv_clamp", "style_average_decay")
    assert [converted.fields[name] for name in told] == [256, 256, 0.998]
    assert any("fused_modconv_default = inference_only is unused" in note for note in converted.notes)


@pytest.mark.parametrize(
    "rules",
    [stylegan2_settings.GENERATOR, stylegan2_settings.LATER_GENERATOR, stylegan2_settings.DISCRIMINATOR,
     stylegan2_settings.TENSORFLOW_GENERATOR, stylegan2_settings.TENSORFLOW_DISCRIMINATOR,
     stylegan_settings.GENERATOR, stylegan_settings.DISCRIMINATOR],
)  # fmt: skip
def test_tables_are_whole(rules) -> None:
    """The defaults of each table are consistent, and every line is of one of the four kinds."""
    fields, notes = interpret(rules, {})
    assert fields["activation"] == "lrelu"
    assert notes == []
    assert all(isinstance(rule, Told | Becomes | Must | Unused) for rule in rules.values())
    assert flat(rules, {"mapping_kwargs": None}) == (
        {} if any("." in name for name in rules) else {"mapping_kwargs": None}
    )


def test_variables_of_stylegan2_that_are_no_weights(recorded) -> None:
    """Its G_main has a level of detail, which the networks of config F never use; D_stylegan2 has labels of its own."""
    networks = dict(recorded[TENSORFLOW].networks)
    for name in ("G", "Gs"):
        networks[name] = dataclasses.replace(networks[name], arrays={**networks[name].arrays, "lod": np.float32(0)})
    networks["D"] = dataclasses.replace(networks["D"], kind="D_stylegan2", settings={"mbstd_group_size": 0})
    fields = interop.convert(dataclasses.replace(recorded[TENSORFLOW], networks=networks)).fields
    assert fields["minibatch_std_group"] == 1


def test_where_d_main_differs_from_pytorch_s() -> None:
    given = Network("D_main", {}, {"nonlinearity": "relu", "conv_clamp": 8})
    for fields, words in {
        ("resnet", 2): "nonlinearity = relu, also in the label mapping: must be lrelu there",
        ("skip", 0): "conv_clamp = 8, also of the smallest image in a skip architecture: must be None",
    }.items():
        with pytest.raises(UserError, match=words):
            stylegan2._check_tensorflow(
                given, {"discriminator_architecture": fields[0], "discriminator_mapping_layers": fields[1]}
            )
