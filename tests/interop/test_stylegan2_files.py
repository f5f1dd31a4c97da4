"""StyleGAN2 of the originals: images and logits of the recorded pickles, configs, all architectures, the way back."""

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
from ganzoo.errors import UserError
from ganzoo.interop.families import settings, stylegan2_settings
from ganzoo.interop.families.stylegan2_names import GENERATOR, TF_GENERATOR
from ganzoo.interop.reading.contents import Contents, Network

IMAGES, LOGITS = 1e-4, 1e-4
"""Of the largest value; the deviations are about 1e-6."""


@pytest.fixture(scope="module", params=pickles.STYLEGAN2)
def model(request, tmp_path_factory):
    name = request.param
    return name, *ganzoo.load(pickles.written(name, tmp_path_factory.mktemp("pkl")))


def test_images_and_logits_are_the_recorded_ones(model) -> None:
    name, gan, state = model
    golden = pickles.recorded(name)
    labels = golden["in/c"] if gan.label_size else None
    bound = gan.generator.bind(state.ema)
    both = [bound.styles(golden["in/z"], labels, **options) for options in ({}, {"psi": 0.7, "cutoff": 3})]
    apply = partial(gan.generator.apply, method="synthesise")
    images = nchw(golden_cases.run(apply, state.ema, np.concatenate(both)))
    recorded = [golden[f"out/G_ema/img_{options}"] for options in ("psi1", "psi0.7_cutoff3")]
    golden_cases.assert_near(images, np.concatenate(recorded), IMAGES)
    logits_of = partial(golden_cases.run, gan.discriminator.apply, state.discriminator.variables)
    logits = logits_of(nhwc(golden["out/G_ema/img_psi1"]), labels)
    golden_cases.assert_near(logits, golden["out/D/logits_G_ema_img_psi1"][:, 0], LOGITS)


def test_images_of_stylegan_human_are_the_recorded_ones(tmp_path: Path) -> None:
    """16 x 8 pixels from a constant of 4 x 2."""
    gan, state = ganzoo.load(pickles.written("sg2_human", tmp_path))
    assert (gan.image_shape, gan.config.smallest_size) == ((16, 8, 3), (4, 2))
    recorded, bound = pickles.recorded("sg2_human"), gan.generator.bind(state.ema)
    ws = np.concatenate([bound.styles(recorded["z"], psi=psi) for psi in (1.0, 0.7)])
    images = golden_cases.run(partial(gan.generator.apply, method="synthesise"), state.ema, ws)
    golden_cases.assert_near(nchw(images), np.concatenate([recorded["images_psi1"], recorded["images_psi0.7"]]), 1e-5)
    logits = golden_cases.run(gan.discriminator.apply, state.discriminator.variables, nhwc(recorded["images_psi1"]))
    golden_cases.assert_near(logits, recorded["logits"][:, 0], 1e-5)


@pytest.mark.parametrize("name", ["sg2_cond", "sg2_human"])
def test_back_to_the_originals_bit_for_bit(name: str, tmp_path: Path) -> None:
    contents = interop.read(pickles.written(name, tmp_path))
    converted = interop.convert(contents)
    back = interop.originals(converted)
    expected = {f"{net}.{key}": array for net, item in contents.networks.items() for key, array in item.arrays.items()}
    assert back.keys() == expected.keys()
    for key, array in back.items():
        assert array.dtype == expected[key].dtype
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


def test_the_last_generator_is_another_one(model) -> None:
    _, _, state = model
    last, ema = state.generator.params, state.ema["params"]
    assert jax.tree.structure(last) == jax.tree.structure(ema)
    for ours, other in zip(jax.tree.leaves(last), jax.tree.leaves(ema), strict=True):
        assert not np.array_equal(ours, other)


@pytest.mark.parametrize("name", ["gan_cond_resnet_skip_r16"])
def test_state_dicts_of_other_architectures(name: str) -> None:
    """From names and shapes alone, without any arguments, and back."""
    case = golden_cases.case(f"sg2/{name}")
    arrays = {key.removeprefix("params/"): array for key, array in case.arrays.items() if key.startswith("params/")}
    networks = {"G_ema": "G/", "D": "D/"}
    contents = Contents("", {
        net: Network("", {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)})
        for net, start in networks.items()
    })  # fmt: skip
    converted = interop.convert(contents)
    generator, discriminator, resolution = name.split("_")[-3:]
    assert converted.fields["generator_architecture"] == generator
    assert converted.fields["discriminator_architecture"] == discriminator
    assert converted.fields["image_size"] == int(resolution[1:])
    back = interop.originals(converted)
    for net, network in contents.networks.items():
        own = {key.removeprefix(f"{net}."): array for key, array in back.items() if key.startswith(f"{net}.")}
        assert own.keys() == network.arrays.keys()
        for key, array in own.items():
            np.testing.assert_array_equal(array, network.arrays[key], err_msg=key)


def test_the_config_of_a_snapshot(tmp_path: Path) -> None:
    fields = interop.convert(interop.read(pickles.written("sg2_cond", tmp_path))).fields
    told = {
        "image_size": 32, "channels": 3, "label_size": 10, "latent_size": 64, "style_size": 64, "mapping_layers": 2,
        "channel_base": 512, "channel_max": 24, "generator_architecture": "skip", "resample_filter": (1, 3, 3, 1),
        "discriminator_architecture": "resnet", "conv_clamp": 256, "minibatch_std_group": 4, "activation": "lrelu",
        "discriminator_mapping_layers": 8, "use_noise": True, "style_average_decay": 0.995,
    }  # fmt: skip
    assert {name: fields[name] for name in told} == told


def test_tables_are_one_to_one() -> None:
    for table in (GENERATOR, TF_GENERATOR):
        for side in ("theirs", "ours"):
            names = [getattr(rule, side) for rule in table.rules]
            assert len(set(names)) == len(names)
        assert all("{i}" in rule.ours or "{i}" not in rule.theirs for rule in table.rules)


# What cannot be loaded ----------------------------------------------------------------------------------------------


def changed(tmp_path: Path, network: str, **arrays: np.ndarray | None) -> Contents:
    """The recorded snapshot with some arrays of a network replaced, or left out."""
    contents = interop.read(pickles.written("sg2_uncond", tmp_path))
    old = contents.networks[network]
    new = {name: array for name, array in {**old.arrays, **arrays}.items() if array is not None}
    return Contents("", {**contents.networks, network: Network(old.kind, new, old.settings)})


@pytest.mark.parametrize(
    ("network", "arrays", "words"),
    [
        ("G_ema", {"synthesis.b8.conv9.scale": np.ones(1)}, "'?synthesis.b8.conv9.scale'? is not a weight"),
        ("G_ema", {"synthesis.b16.conv1.weight": None}, "resolutions of blocks"),
        ("G_ema", {"synthesis.b8.conv1.weight": np.ones((7, 7, 3, 3), np.float32)}, "channel counts"),
        ("G_ema", {"mapping.fc0.weight": np.ones((3, 64), np.float32)}, "mapping layers of"),
        ("G_ema", {"mapping.fc0.weight": np.ones(3, np.float32)}, "which is impossible for its layer"),
    ],
)
def test_what_is_no_stylegan2(tmp_path: Path, network, arrays, words) -> None:
    with pytest.raises(UserError, match=words):
        interop.convert(changed(tmp_path, network, **arrays))


def test_a_part_is_missing(tmp_path: Path) -> None:
    contents = changed(tmp_path, "G_ema", **{"synthesis.b8.conv1.bias": None})
    interop.save(tmp_path / "part.safetensors", interop.convert(contents))
    with pytest.raises(UserError, match=r"missing weight ema.*b8\.conv1\.bias: incomplete file, or another stylegan2"):
        ganzoo.load(tmp_path / "part.safetensors")


def test_other_models_are_read_but_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"blocks.0.0.bn1.gain.weight": np.ones((2, 3), np.float32)})
    with pytest.raises(UserError, match="a BigGAN of ajbrock/BigGAN-PyTorch: not supported"):
        ganzoo.load(tmp_path / "other.npz")


def test_a_discriminator_of_another_kind_is_left_out(tmp_path: Path) -> None:
    converted = interop.convert(changed(tmp_path, "D", **{"b4.out.weight": np.ones((5, 24), np.float32)}))
    assert "left out: a discriminator with 5 outputs" in converted.notes[0]
    assert any(name.startswith("generator") for name in converted.weights)


def test_a_discriminator_of_another_activation_is_left_out(tmp_path: Path) -> None:
    contents = interop.read(pickles.written("sg2_uncond", tmp_path))
    relu = {name: {"activation": "relu"} for name in ("block_kwargs", "mapping_kwargs", "epilogue_kwargs")}
    other = Network("", contents.networks["D"].arrays, relu)
    converted = interop.convert(Contents("", {**contents.networks, "D": other}))
    assert converted.notes[0] == "the discriminator is left out: different from the generator in activation"
    assert not any(name.startswith("discriminator") for name in converted.weights)


def test_a_discriminator_has_settings_of_its_own(tmp_path: Path) -> None:
    contents = interop.read(pickles.written("sg2_cond", tmp_path))
    given = {**contents.networks["D"].settings, "conv_clamp": 8, "mapping_kwargs": {"lr_multiplier": 0.3}}
    plain, own = contents.networks["D"], Network("", contents.networks["D"].arrays, given)
    converted = [interop.convert(Contents("", {**contents.networks, "D": each})) for each in (plain, own)]
    fields = [each.fields for each in converted]
    assert fields[1]["discriminator_conv_clamp"] == 8
    assert fields[1]["discriminator_mapping_lr_multiplier"] == 0.3
    assert all(fields[0][name] == fields[1][name] for name in ("conv_clamp", "mapping_lr_multiplier"))
    logits = []
    for each in converted:
        gan = ganzoo.pretrained.build(each)
        state = ganzoo.pretrained.state_of(gan, each.weights)
        images, labels = np.full((4, *gan.image_shape), 0.5, np.float32), np.eye(gan.label_size, dtype=np.float32)[:1]
        apply = ganzoo.testing.quick_jit(gan.discriminator.apply)
        logits.append(apply(state.discriminator.variables, images, labels.repeat(4, axis=0)))
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_the_defaults_of_tensorflow_discriminators() -> None:
    """D_main of stylegan2-ada, and D_stylegan2, where a pickle names no setting."""
    tables = (stylegan2_settings.TENSORFLOW_DISCRIMINATOR, stylegan2_settings.OLDER_DISCRIMINATOR)
    found = [settings.interpret(rules, {})[0] for rules in tables]
    assert [each["minibatch_std_group"] for each in found] == [0, 4]
    assert [each["discriminator_mapping_lr_multiplier"] for each in found] == [0.1, 0.1]
