"""The discriminator against the records of the original; its penalty, shapes and precision."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stylegan2_names
from golden_cases import GRADIENTS, Case, draw, filled, nchw, nhwc, run

from ganzoo import penalties
from ganzoo.nn.pyramid import pyramid
from ganzoo.nn.residual import DiscriminatorBlock, ResidualDiscriminator

ARCHITECTURES = ["resnet", "skip", "orig"]

# Records ------------------------------------------------------------------------------------------------------------


def network(kwargs: dict[str, Any]) -> ResidualDiscriminator:
    """The network of the original's arguments; all of it in float32, as it was recorded."""
    epilogue = kwargs.get("epilogue_kwargs", {})
    return ResidualDiscriminator(
        pyramid(kwargs["img_resolution"], kwargs["channel_base"], kwargs["channel_max"]),
        architecture=kwargs.get("architecture", "resnet"),
        clamp=kwargs.get("conv_clamp"),
        group_size=epilogue.get("mbstd_group_size", 4),
        group_channels=epilogue.get("mbstd_num_channels", 1),
        mapping_layers=kwargs.get("mapping_kwargs", {}).get("num_layers", 8),
        projection_size=kwargs.get("cmap_dim"),
    )


@golden_cases.over(golden_cases.files("sg2/discriminator_*"))
def test_records(case: Case) -> None:
    module, params = network(case.options["kwargs"]), stylegan2_names.tree(case.group("params/"))["params"]
    labels = case["in/c"] if case["in/c"].size else None

    def loss(params: dict, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = module.apply({"params": params}, images, labels)
        return jnp.mean(jax.nn.softplus(-logits)), logits

    def penalty(params: dict, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        r1 = penalties.r1(lambda x: module.apply({"params": params}, x, labels), images)
        return jnp.mean(r1), r1

    def all_of(params: dict, images: jax.Array) -> tuple:
        (mean, logits), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(params, images)
        r1_gradients, r1 = jax.grad(penalty, has_aux=True)(params, images)
        return {"logits": logits[:, None], "softplus_neg_mean": mean, "r1_penalty": r1}, gradients, r1_gradients

    found, (gradients, back), r1_gradients = run(all_of, params, nhwc(case["in/img"]))
    golden_cases.assert_near(found, {name: case.most_exact(name) for name in case.group("out/")})
    of = "grad/softplus(-logits).mean/"
    golden_cases.assert_near(nchw(back), case[f"{of}__in__/img"], GRADIENTS)
    frozen = frozen_layers(case)
    recorded = stylegan2_names.tree(case.group(of))["params"]
    assert golden_cases.unrecorded(gradients, recorded, GRADIENTS).keys() == frozen
    recorded = stylegan2_names.tree(case.group("grad/r1_penalty.mean/"))["params"]
    rest = golden_cases.unrecorded(r1_gradients, recorded, GRADIENTS)
    assert rest.keys() == frozen | {"b4.out.bias"}
    assert not rest["b4.out.bias"].any()


def frozen_layers(case: Case) -> set[str]:
    """Those without recorded gradients, by our names: the original freezes the first convolutions it makes."""
    if not case.options["kwargs"].get("block_kwargs"):
        return set()
    return {f"b16.{layer}.{leaf}" for layer in ("from_rgb", "conv0", "conv1") for leaf in ("kernel", "bias")}


# Truths -------------------------------------------------------------------------------------------------------------


def small(architecture: str = "resnet", size: Any = (12, 16), **options: Any) -> ResidualDiscriminator:
    """Two to three levels of a few channels."""
    return ResidualDiscriminator(pyramid(size, 64, 8), architecture=architecture, **options)


def pictures(size: tuple[int, int] = (12, 16), n: int = 4, channels: int = 3) -> np.ndarray:
    return draw(1, n, *size, channels)


LABELS = np.eye(4, dtype=np.float32)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fresh_network_has_the_recorded_names(architecture: str) -> None:
    case = next(case for case in golden_cases.files("sg2/discriminator_*") if architecture in case.name)
    labels = case["in/c"] if case["in/c"].size else None
    fresh = jax.eval_shape(
        network(case.options["kwargs"]).init, jax.random.key(0), nhwc(case["in/img"]), labels
    )  # fmt: skip
    recorded = stylegan2_names.tree(case.group("params/"))
    assert jax.tree.map(np.shape, fresh) == jax.tree.map(np.shape, recorded)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(fresh))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("size", "channels"), [((12, 16), 1), ((16, 12), 2), ((16, 16), 4), ((8, 32), 5), ((4, 4), 3), ((6, 4), 1)]
)
def test_shapes(architecture: str, size: tuple[int, int], channels: int) -> None:
    for labels in (None, LABELS):
        module = small(architecture, size)
        images = pictures(size, channels=channels)
        logits, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), images, labels)
        assert logits.shape == (4,)
        assert logits.dtype == jnp.float32
        assert ("mapping" in variables["params"]) == (labels is not None)
        colours = {name for name, block in variables["params"].items() if "from_rgb" in block}
        levels = module.levels if architecture == "skip" else module.levels[-1:]
        assert colours == {f"b{level.resolution}" for level in levels}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_height_and_width_are_alike(architecture: str) -> None:
    wide, high = small(architecture, (12, 16)), small(architecture, (16, 12))
    images = pictures()
    variables = filled(wide, images)
    height, width = wide.levels[0].height, wide.levels[0].width

    def turned(path: Any, leaf: jax.Array) -> jax.Array:
        if leaf.ndim == 4:
            return np.swapaxes(leaf, 0, 1)
        if "['dense']['kernel']" in jax.tree_util.keystr(path):  # [h w c, O]
            return np.swapaxes(leaf.reshape(height, width, -1, leaf.shape[1]), 0, 1).reshape(leaf.shape)
        return leaf

    logits = run(high.apply, jax.tree.map_with_path(turned, variables), np.swapaxes(images, 1, 2))
    golden_cases.assert_near(logits, run(wide.apply, variables, images))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_level(architecture: str) -> None:
    module, images = small(architecture, 4), pictures((4, 4))
    logits = run(module.apply, filled(module, images), images)
    assert logits.shape == (4,)
    assert np.unique(logits).size == 4


def test_without_group_statistics_images_are_judged_alone() -> None:
    images = pictures((8, 8))
    for channels, alone in ((0, True), (1, False)):
        module = small(size=8, group_channels=channels, group_size=None)
        judge = partial(module.apply, filled(module, images))
        together, one = run(lambda images, judge=judge: (judge(images), judge(images[:1])), images)
        assert np.allclose(together[0], one[0], atol=1e-5) == alone


def test_labels_project() -> None:
    images = pictures((4, 4))
    module = small(size=4, mapping_layers=2, projection_size=6)
    variables = filled(module, images, LABELS)
    assert variables["params"]["b4"]["out"]["kernel"].shape == (8, 6)
    mapping = jax.tree.map(lambda leaf: 100 * leaf, variables["params"]["mapping"])  # learns slowly, so is large
    variables = {"params": {**variables["params"], "mapping": mapping}}
    one, other = (np.asarray(run(module.apply, variables, images, labels)) for labels in (LABELS, LABELS[::-1]))
    assert np.abs(one - other).min() > 0.01


# Precision ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "share"), [(jnp.bfloat16, 0.05), (jnp.float16, 0.005)])
@pytest.mark.parametrize("architecture", ["resnet", "skip"])
def test_low_precision_stays_near_float32(architecture: str, dtype: jnp.dtype, share: float) -> None:
    exact, images = small(architecture, 8, clamp=256.0), pictures((8, 8))
    low = small(architecture, 8, clamp=256.0, low_precision=dtype, low_precision_levels=1)
    variables = filled(exact, images)
    rough, logits = (np.asarray(run(module.apply, variables, images)) for module in (low, exact))
    assert rough.dtype == jnp.float32
    assert not np.array_equal(rough, logits)
    golden_cases.assert_near(rough, logits, share)


@pytest.mark.parametrize(("levels", "expected"), [(0, ""), (1, "b16"), (2, "b16 b8"), (9, "b16 b8")])
def test_the_smallest_level_and_the_parameters_stay_of_float32(levels: int, expected: str) -> None:
    module, images = small(size=16, low_precision=jnp.bfloat16, low_precision_levels=levels), pictures((16, 16))
    variables = jax.eval_shape(module.init, jax.random.key(0), images)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))

    def features(variables: dict) -> dict:
        blocks = {"capture_intermediates": lambda module, _: isinstance(module, DiscriminatorBlock)}
        _, seen = module.apply(variables, images, **blocks, mutable="intermediates")
        return {name: block["__call__"][0][0] for name, block in seen["intermediates"].items()}

    low = {name for name, x in jax.eval_shape(features, variables).items() if x.dtype == jnp.bfloat16}
    assert low == set(expected.split())


# Mistakes -----------------------------------------------------------------------------------------------------------


def test_a_batch_of_half_a_group_is_named() -> None:
    images = pictures((4, 4), n=6)
    with pytest.raises(ValueError, match="groups of 4 in a batch of 6"):
        jax.eval_shape(small(size=4).init, jax.random.key(0), images)
