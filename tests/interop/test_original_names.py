"""Files of original names: every config survives them, and what a file does not tell is reported."""

import dataclasses
import json
import pickle
from pathlib import Path

import golden_cases
import numpy as np
import pytest
from drawn import assert_same, converted_of, weights_of
from stand_ins import stand_ins

import ganzoo
from ganzoo import interop, pretrained
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.interop.convert import SETTINGS
from ganzoo.interop.reading.contents import Contents, Network
from ganzoo.models.stylegan2.config import StyleGAN2Networks
from ganzoo.models.stylegan3.config import StyleGAN3Networks

CASES = {
    "plain": {},
    "grey": {
        "channels": 1, "label_size": 3, "activation": "swish", "resample_filter": (1, 2, 1), "conv_clamp": 256.0,
        "discriminator_conv_clamp": 8.0, "style_average_decay": 0.9, "mapping_lr_multiplier": 0.1,
        "discriminator_mapping_lr_multiplier": 0.2, "minibatch_std_group": 2, "training_noise": "none",
        "r1_gamma": None,
    },
    "rgba": {
        "channels": 4, "generator_architecture": "resnet", "discriminator_architecture": "skip",
        "resample_filter": (1, 4, 6, 4, 1), "freeze_discriminator_layers": 2, "minibatch_std_group": 0,
    },
    "orig": {
        "image_size": 16, "generator_architecture": "orig", "discriminator_architecture": "orig", "use_noise": False,
        "resample_filter": (1, 2, 3, 4, 4, 3, 2, 1), "minibatch_std_channels": 0, "conv_clamp": 0.0,
    },
    "without-mapping": {"label_size": 2, "discriminator_mapping_layers": 0},
}  # fmt: skip
"""Changes of the preset ``tiny``."""
STYLEGAN3_CASES = {
    "t": {},
    "r": {
        "kernel_size": 1, "radial_filters": True, "image_size": 16, "channels": 1, "label_size": 3, "channel_base": 96,
        "channel_max": 12, "discriminator_channel_max": 10, "conv_clamp": 0.0, "discriminator_conv_clamp": 8.0,
        "magnitude_decay": 0.9, "style_average_decay": 0.99, "mapping_lr_multiplier": 0.1, "mapping_layers": 3,
        "discriminator_mapping_layers": 0, "minibatch_std_group": 0, "freeze_discriminator_layers": 2,
    },
    "filters": {
        "layers": 5, "critical_layers": 2, "filter_taps": 4, "activation_upsampling": 3, "margin": 4, "channels": 4,
        "first_cutoff": 1.5, "first_stopband": 3.0, "last_stopband": 1.5, "output_scale": 0.5, "label_size": 2,
        "discriminator_mapping_lr_multiplier": 0.2, "minibatch_std_channels": 0, "style_size": 6, "latent_size": 5,
    },
}  # fmt: skip
ONLY_HERE = {"training_noise", "remat", "low_precision", "low_precision_levels", "style_mixing"}
"""Fields of the networks that no argument of the originals tells."""


def create(case: str, **changes) -> ganzoo.GAN:
    """A StyleGAN2, or a StyleGAN3 of a name such as "stylegan3-t"."""
    if case.startswith("stylegan3-"):
        return ganzoo.create("stylegan3", "tiny", **STYLEGAN3_CASES[case.removeprefix("stylegan3-")], **changes)
    return ganzoo.create("stylegan2", "tiny", **CASES[case], **changes)


of_every_case = pytest.mark.parametrize("case", [*CASES, *(f"stylegan3-{name}" for name in STYLEGAN3_CASES)])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pkl"])
@of_every_case
def test_a_model_survives(case: str, suffix: str, tmp_path: Path) -> None:
    gan, path = create(case), tmp_path / f"model{suffix}"
    facts = {"augment_p": 0.5, "training_set_kwargs": {"path": "a.zip", "xflip": True}}
    assert interop.save_originals(path, dataclasses.replace(converted_of(gan), facts=facts)) == ()
    back = pretrained.read_model(path)
    assert {name: back.facts[name] for name in facts} == facts
    assert pretrained.build(back).config == gan.config
    assert back.notes == ()
    assert_same(dict(back.weights), weights_of(gan))


@of_every_case
def test_the_arguments_tell_the_networks(case: str, tmp_path: Path) -> None:
    """Without the config that a file has beside the arrays."""
    gan, path = create(case, style_mixing=0.9), tmp_path / "model.pkl"
    interop.save_originals(path, converted_of(gan))
    contents = interop.read(path)
    again = pretrained.build(interop.convert(dataclasses.replace(contents, facts={}))).config
    own = StyleGAN3Networks if gan.name == "stylegan3" else StyleGAN2Networks
    names = {field.name for field in dataclasses.fields(own)} - ONLY_HERE
    expected = dataclasses.replace(
        gan.config, discriminator_conv_clamp=gan.config.discriminator_conv_clamp or gan.config.conv_clamp
    )
    if gan.name == "stylegan3":
        most = gan.config.discriminator_channel_max or gan.config.channel_max
        expected = dataclasses.replace(expected, discriminator_channel_max=most)
    for name in names:
        assert getattr(again, name) == getattr(expected, name), name


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "changes",
    [
        {"label_size": 2, "blur_filter": (1, 3, 3, 1), "activation": "relu", "fused_scale": "always", "channels": 1},
        {"pixel_norm": True, "instance_norm": False, "normalize_latents": False, "style_mixing": 0.0, "channels": 4},
        {"progressive": False, "mapping_lr_multiplier": 0.5, "style_average_decay": 0.0, "blur_filter": ()},
    ],
)
def test_a_stylegan_survives(changes: dict, suffix: str, tmp_path: Path) -> None:
    gan, path = ganzoo.create("stylegan", "tiny", **changes), tmp_path / f"model{suffix}"
    interop.save_originals(path, converted_of(gan))
    back = pretrained.read_model(path)
    assert pretrained.build(back).config == gan.config
    assert_same(dict(back.weights), weights_of(gan))
    contents = interop.read(path)
    arguments = json.loads(contents.metadata[SETTINGS])["networks"]
    networks = {name: dataclasses.replace(net, settings=arguments[name]) for name, net in contents.networks.items()}
    told = pretrained.build(interop.convert(Contents("", networks))).config
    for name in (*changes, "mapping_features", "minibatch_std_group", "image_size", "channel_base"):
        assert getattr(told, name) == getattr(gan.config, name), name


def test_other_sizes_survive(tmp_path: Path) -> None:
    cases = (
        ("stylegan2", {"image_size": (16, 8), "smallest_size": (4, 2), "label_size": 2}),
        ("stylegan2", {"image_size": (8, 12)}),
        ("stylegan2", {"image_size": 12}),
        ("stylegan3", {"image_size": (12, 8)}),
        ("stylegan3", {"image_size": 12, "kernel_size": 1, "radial_filters": True}),
    )
    for i, (model, changes) in enumerate(cases):
        gan, path = ganzoo.create(model, "tiny", **changes), tmp_path / f"{i}.npz"
        interop.save_originals(path, converted_of(gan))
        back = pretrained.read_model(path)
        assert pretrained.build(back).config == gan.config
        assert_same(dict(back.weights), weights_of(gan))
        with pytest.raises(UserError, match="must be square and a power of two in original pickles"):
            interop.save_originals(tmp_path / "no.pkl", converted_of(gan))


def test_numpy_reads_the_settings_without_pickle(tmp_path: Path) -> None:
    interop.save_originals(tmp_path / "m.npz", converted_of(create("grey")))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        assert '"class_name": "training.networks.Generator"' in str(arrays[SETTINGS])
        assert arrays["G_ema.mapping.fc0.weight"].shape == (8, 16)


def test_what_a_plain_file_does_not_tell_is_noted(tmp_path: Path) -> None:
    interop.write_arrays(tmp_path / "m.npz", interop.originals(converted_of(create("grey"))))
    notes = pretrained.read_model(tmp_path / "m.npz").notes
    assert "activation is not in the file: lrelu is assumed" in notes
    assert "conv_clamp is not in the file: 0.0 is assumed" in notes
    assert "minibatch_std_group is not in the file: 4 is assumed" in notes
    assert not any("resample_filter" in note for note in notes)  # which the constants tell
    assert len(set(notes)) == len(notes)


def test_a_constant_of_another_size_than_its_block_is_refused() -> None:
    arrays = interop.originals(converted_of(create("plain")))
    own = {name.removeprefix("G_ema."): array for name, array in arrays.items() if name.startswith("G_ema.")}
    own["synthesis.b4.const"] = np.ones((8, 8, 8), np.float32)
    with pytest.raises(UserError, match="a block b4 of 8 x 8 pixels: must be named b8"):
        interop.convert(Contents("", {"G_ema": Network("", own)}))


@pytest.mark.parametrize("text", ["{", "[]", '{"networks": 3, "config": {}, "facts": {}}'])
def test_damaged_settings_are_refused(text: str, tmp_path: Path) -> None:
    interop.write_arrays(tmp_path / "m.npz", interop.originals(converted_of(create("plain"))), {SETTINGS: text})
    with pytest.raises(UserError, match=r"damaged: ganzoo\.original"):
        pretrained.read_model(tmp_path / "m.npz")


# Filters ------------------------------------------------------------------------------------------------------------


def test_each_layer_has_the_recorded_filter() -> None:
    """Only layers that change the size have the filter of the config."""
    case = golden_cases.case("sg2/synthesis_skip_r16_c3_filter")
    arrays = {f"synthesis.{key[7:]}": array for key, array in case.arrays.items() if key.startswith("params/")}
    gan = ganzoo.create(
        "stylegan2", "tiny", image_size=16, channel_base=96, channel_max=12, style_size=24, resample_filter=(1, 4, 6, 3)
    )
    back = interop.originals(converted_of(gan))
    filters = {name: array for name, array in arrays.items() if name.endswith("resample_filter")}
    assert filters
    assert {name for name in back if name.startswith("G_ema.") and name.endswith("resample_filter")} == {
        f"G_ema.{name}" for name in filters
    }
    for name, array in filters.items():
        np.testing.assert_array_equal(back[f"G_ema.{name}"], array, err_msg=name)


def test_filters_that_no_config_has_are_refused() -> None:
    arrays = interop.originals(converted_of(create("plain")))
    own = {name.removeprefix("G_ema."): array for name, array in arrays.items() if name.startswith("G_ema.")}
    for change, words in {
        "synthesis.b8.resample_filter": (np.eye(4, dtype=np.float32), "must be an outer product"),
        "synthesis.b8.conv0.resample_filter": (np.full((2, 2), 0.25, np.float32), "must be the same"),
    }.items():
        with pytest.raises(UserError, match=words[1]):
            interop.convert(Contents("", {"G_ema": Network("", {**own, change: words[0]})}))


# The pickle ---------------------------------------------------------------------------------------------------------


class Module:
    """Stand-in of ``torch.nn.Module``."""

    def __init__(self, **arguments) -> None:
        self.arguments = arguments

    def load_state_dict(self, arrays: dict) -> str:
        self.arrays = arrays
        return "keys"

    def requires_grad_(self, requires_grad: bool) -> "Module":
        self.requires_grad = requires_grad
        return self

    def eval(self) -> "Module":
        self.training = False
        return self


HOMES = {
    "stylegan2": ("training.networks", "training.networks"),
    "stylegan3": ("training.networks_stylegan3", "training.networks_stylegan2"),
}
"""Modules of the original repositories that hold the generator and the discriminator."""


@pytest.mark.parametrize("case", ["grey", "stylegan3-r"])
def test_a_pickle_builds_modules_of_the_original_classes(case: str, tmp_path: Path) -> None:
    """Python's own machine runs it, with stand-ins for PyTorch and their repository."""
    gan = create(case)
    converted, homes = converted_of(gan), HOMES[gan.name]
    interop.save_originals(tmp_path / "m.pkl", converted)
    with stand_ins({"torch.nn": (), **dict.fromkeys(homes, ())}) as made:
        made["torch.nn"].Module, made["torch"].nn, made["torch"].from_numpy = Module, made["torch.nn"], np.copy
        for home, name in zip(homes, ("Generator", "Discriminator"), strict=True):
            setattr(made[home], name, type(name, (Module,), {"home": home}))
        content = pickle.loads((tmp_path / "m.pkl").read_bytes())
    assert list(content) == ["training_set_kwargs", "G", "D", "G_ema", "augment_pipe", SETTINGS]
    arrays = interop.originals(converted)
    for name in ("G", "D", "G_ema"):
        module = content[name]
        assert type(module).__name__ == ("Discriminator" if name == "D" else "Generator")
        assert module.home == homes[name == "D"]
        assert not module.training
        assert not module.requires_grad
        assert_same(
            module.arrays, {k.removeprefix(f"{name}."): a for k, a in arrays.items() if k.startswith(f"{name}.")}
        )
    assert content["D"].arguments["conv_clamp"] == 8
    told = content["G"].arguments
    if gan.name == "stylegan2":
        assert told["synthesis_kwargs"]["activation"] == "swish"
    else:
        assert (told["conv_kernel"], told["use_radial_filters"], told["magnitude_ema_beta"]) == (1, True, 0.9)


@pytest.mark.parametrize("case", ["grey", "stylegan3-r"])
def test_a_pickle_is_converted_and_sampled(case: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    gan = create(case)
    interop.save(tmp_path / "m.safetensors", converted_of(gan))
    source, out = str(tmp_path / "m.safetensors"), tmp_path / "x.pkl"
    assert main(["convert", source, str(out), "--names", "original"]) == 0
    assert "note" not in capsys.readouterr().out
    images = [ganzoo.load(path)[0].config for path in (source, out)]
    assert images[0] == images[1]
    assert main(["inspect", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Generator" in printed
    assert SETTINGS not in printed
    assert main(["convert", source, str(out), "--names", "original", "--generator-only"]) == 0
    assert "note: the file has no discriminator" in capsys.readouterr().out
    assert list(interop.read(out).networks) == ["G", "G_ema"]
    assert main(["convert", source, str(tmp_path / "y.npz")]) == 2
    assert "--names original" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"Module.eval", b"Module.cuda", "the name 'torch.nn.Module.cuda'|the name torch.nn.Module.cuda"),
        (b"training.networks", b"training.netwarks", "training.netwarks.Generator"),
        (b"partial", b"cmp_key", "functools.cmp_key"),
        (b"from_numpy", b"from_humpy", "torch.from_humpy"),
    ],
)
def test_such_a_pickle_names_nothing_else(old: bytes, new: bytes, words: str, tmp_path: Path) -> None:
    interop.save_originals(tmp_path / "m.pkl", converted_of(create("plain")))
    (tmp_path / "m.pkl").write_bytes((tmp_path / "m.pkl").read_bytes().replace(old, new))
    with pytest.raises(UserError, match=words):
        interop.read(tmp_path / "m.pkl")


def test_only_some_models_have_pickles(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pickles of original stylegan are not written"):
        interop.save_originals(tmp_path / "m.pkl", converted_of(ganzoo.create("stylegan", "tiny")))
