"""R3GAN's snapshots: images and logits of the recorded networks, configs, what goes on from them, other versions."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import r3gan_pickles
from golden_cases import assert_near, case, nhwc, run
from models.r3gan.r3gan_records import below

import ganzoo
from ganzoo import interop
from ganzoo.errors import UserError
from ganzoo.interop.families import r3gan as family
from ganzoo.runs.transfer import matches

CASE = case("r3gan/gan_r16_cond")


def networks() -> dict[str, dict[str, np.ndarray]]:
    generator, discriminator = below(CASE, "params/G/"), below(CASE, "params/D/")
    return {"G": generator, "D": discriminator, "G_ema": generator}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("r3gan") / "network-snapshot.pkl"
    path.write_bytes(r3gan_pickles.snapshot(networks(), training_set_kwargs={"resolution": 16}))
    return path


def test_images_and_logits_are_the_recorded_ones(snapshot: Path, tmp_path: Path) -> None:
    """In float32, to which the largest stage in bfloat16 can be set."""
    contents = interop.read(snapshot)
    assert contents.facts["cur_nimg"] == 4_000
    assert len([note for note in contents.notes if "optimizer" in note]) == 2
    gan, state = ganzoo.load(snapshot)
    config = gan.config
    assert (config.image_size, config.label_size, config.expansion, config.blocks) == (16, 10, 3, (1, 1, 2))
    assert (config.widths, config.groups) == ((16, 12, 12), (4, 3, 3))
    assert (config.label_features, config.projection_features, config.low_precision_levels) == (12, 14, 1)
    exact = ganzoo.create("r3gan", "cifar10", **{**vars(config), "low_precision_levels": 0})
    assert_near(run(exact.generator.apply, state.ema, CASE["in/z"], CASE["in/c"]), nhwc(CASE["out/img"]))
    logits = run(exact.discriminator.apply, state.discriminator.variables, nhwc(CASE["in/real_img"]), CASE["in/c"])
    assert_near(logits, CASE["out/logits_real"])


def test_a_run_goes_on_from_a_snapshot(snapshot: Path) -> None:
    gan, state = ganzoo.load(snapshot)
    weights = interop.convert(interop.read(snapshot)).weights
    assert {row.fate for row in matches(jax.eval_shape(gan.init, jax.random.key(0)), weights)} == {"copied"}
    assert state.images == 0


def test_back_to_the_originals_bit_for_bit(snapshot: Path) -> None:
    contents = interop.read(snapshot)
    converted = interop.convert(contents)
    fields: dict[str, Any] = {**vars(ganzoo.load(snapshot)[0].config), **converted.fields}
    for theirs, (kind, ours) in {"D": ("discriminator", "discriminator"), "G_ema": ("generator", "ema")}.items():
        own = {n.removeprefix(f"{ours}."): a for n, a in converted.weights.items() if n.startswith(f"{ours}.")}
        back = family.originals(kind, own, fields)
        expected = contents.networks[theirs].arrays
        assert back.keys() == expected.keys()
        assert all(np.array_equal(back[name], expected[name]) for name in back)
        arguments = family.ARGUMENTS[kind](fields)
        recorded = CASE.options["G_kwargs" if kind == "generator" else "D_kwargs"]
        names = {
            "WidthPerStage",
            "CardinalityPerStage",
            "BlocksPerStage",
            "ExpansionFactor",
            "ConditionEmbeddingDimension",
        }
        assert {name: arguments[name] for name in names} == {name: recorded[name] for name in names}
        assert (arguments["ResamplingFilter"], arguments["FP16Stages"]) == ([1, 2, 1], [0 if theirs == "D" else 2])


def changed(name: str, new: str) -> dict[str, dict[str, np.ndarray]]:
    return {
        network: {new if key == name else key: array for key, array in arrays.items()}
        for network, arrays in networks().items()
    }


def without(part: str) -> dict[str, dict[str, np.ndarray]]:
    return {name: {k: a for k, a in arrays.items() if part not in k} for name, arrays in networks().items()}


BIAS, BASIS = "MainLayers.1.Layers.1.NonLinearity1.Bias", "MainLayers.0.Layers.0.Basis"
OTHERS = {
    "Norm.Bias is not a weight of a R3GAN generator": lambda: (changed(BIAS, "MainLayers.1.Layers.1.Norm.Bias"), {}),
    f"missing weight {BASIS}": lambda: (changed(BASIS, "MainLayers.0.Layers.0.Constant"), {}),
    "residual blocks": lambda: (without("LinearLayer1"), {}),
    "activations of type torch.float16: must be torch.bfloat16": lambda: (networks(), {"low": "float16"}),
}


@pytest.mark.parametrize("message", OTHERS)
def test_other_versions_are_refused_in_one_line(message: str, tmp_path: Path) -> None:
    content, options = OTHERS[message]()
    (tmp_path / "x.pkl").write_bytes(r3gan_pickles.snapshot(content, **options))
    with pytest.raises(UserError, match=message):
        interop.convert(interop.read(tmp_path / "x.pkl"))
