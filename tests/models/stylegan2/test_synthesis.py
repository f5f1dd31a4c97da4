"""The synthesis network against the records of the original; its noise, shapes and precision."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stylegan2_names
from golden_cases import Case, draw, filled, nchw, nhwc, run

from ganzoo.errors import UserError
from ganzoo.models.stylegan2.networks import Synthesis, SynthesisBlock
from ganzoo.nn.pyramid import pyramid

ARCHITECTURES = ["skip", "resnet", "orig"]

# Records ------------------------------------------------------------------------------------------------------------


def network(kwargs: dict[str, Any]) -> Synthesis:
    """The network of the original's arguments; all of it in float32, as it was recorded."""
    return Synthesis(
        pyramid(kwargs["img_resolution"], kwargs["channel_base"], kwargs["channel_max"]),
        kwargs["img_channels"],
        kwargs.get("architecture", "skip"),
        activation=kwargs.get("activation", "lrelu"),
        taps=tuple(kwargs.get("resample_filter", (1, 3, 3, 1))),
        clamp=kwargs.get("conv_clamp"),
        use_noise=kwargs.get("use_noise", True),
    )


def is_block(module: Any, _: str) -> bool:
    return isinstance(module, SynthesisBlock)


@golden_cases.over(golden_cases.files("sg2/synthesis_*"))
def test_records(case: Case) -> None:
    module, variables = network(case.options["kwargs"]), stylegan2_names.tree(case.group("params/"))
    assert module.style_count == case.options["num_ws"]

    def images(params: dict, ws: jax.Array) -> tuple[jax.Array, dict]:
        bound = {**variables, "params": params}
        image, seen = module.apply(bound, ws, capture_intermediates=is_block, mutable="intermediates")
        return image, {name: block["__call__"][0][0] for name, block in seen["intermediates"].items()}

    def all_of(params: dict, ws: jax.Array, cot: jax.Array) -> tuple[dict, tuple]:
        constant, back, blocks = jax.vjp(images, params, ws, has_aux=True)
        none = module.apply({**variables, "params": params}, ws, noise="none")
        found = {"img_noise_const": nchw(constant), "img_noise_none": nchw(none)}
        return found | {f"block_{name}_x": nchw(x) for name, x in blocks.items()}, back(nhwc(cot))

    found, (gradients, dws) = run(all_of, variables["params"], case["in/ws"], case["in/cot"])
    for name in case.group("out/"):
        golden_cases.assert_near(found[name], case.most_exact(name))
    of = "grad/sum(img_noise_const*cot)/"
    recorded = stylegan2_names.tree(case.group(of))["params"]
    golden_cases.assert_near(gradients, recorded, golden_cases.GRADIENTS)
    golden_cases.assert_near(dws, case[f"{of}__in__/ws"], golden_cases.GRADIENTS)


# Truths -------------------------------------------------------------------------------------------------------------


def small(architecture: str = "skip", size: Any = (12, 16), channels: int = 3, **options: Any) -> Synthesis:
    """Two to three levels of a few channels."""
    return Synthesis(pyramid(size, 64, 8), channels, architecture, **options)


def styles(module: Synthesis, n: int = 3) -> np.ndarray:
    return draw(1, n, module.style_count, 5)


def variables_of(module: Synthesis) -> dict:
    """With noise that can be seen."""
    return filled(module, styles(module))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fresh_network_has_the_recorded_names(architecture: str) -> None:
    case = next(case for case in golden_cases.files("sg2/synthesis_*") if architecture in case.name)
    module = network(case.options["kwargs"])
    fresh = jax.eval_shape(module.init, jax.random.key(0), case["in/ws"])
    recorded = stylegan2_names.tree(case.group("params/"))
    assert jax.tree.map(np.shape, fresh) == jax.tree.map(np.shape, recorded)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(fresh))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("size", "channels"), [((12, 16), 1), ((16, 12), 2), (16, 4), ((8, 32), 5), (4, 3), ((6, 4), 1)]
)
def test_shapes(architecture: str, size: Any, channels: int) -> None:
    module = small(architecture, size, channels)
    images, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), styles(module))
    assert images.shape == (3, *(size if isinstance(size, tuple) else (size, size)), channels)
    assert images.dtype == jnp.float32
    with_colours = {name for name, block in variables["params"].items() if "to_rgb" in block}
    assert with_colours == {f"b{level.resolution}" for level in module.levels[0 if architecture == "skip" else -1 :]}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_height_and_width_are_alike(architecture: str) -> None:
    def turned(path: Any, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        return leaf if "affine" in name or leaf.ndim < 2 else np.swapaxes(leaf, 0, 1)

    wide, high = small(architecture, (12, 16)), small(architecture, (16, 12))
    ws, variables = styles(wide), variables_of(wide)
    images = run(high.apply, jax.tree.map_with_path(turned, variables), ws)
    golden_cases.assert_near(images, np.swapaxes(run(wide.apply, variables, ws), 1, 2))


def test_every_style_input_is_used() -> None:
    module = small()
    gradient = jax.grad(lambda ws: jnp.sum(module.apply(variables_of(module), ws) ** 2))
    assert np.all(np.abs(run(gradient, styles(module))).max(axis=(0, 2)) > 1e-3)


# Noise --------------------------------------------------------------------------------------------------------------


def test_noise_of_keys_belongs_to_the_image() -> None:
    module = small(size=8)
    ws, keys = styles(module, 4), jax.random.split(jax.random.key(2), 4)

    def all_of(ws: jax.Array, keys: jax.Array) -> tuple[jax.Array, ...]:
        render = partial(module.apply, variables_of(module))
        other = keys.at[1].set(jax.random.key(3))
        return render(ws, noise=keys), render(ws[::-1], noise=keys[::-1]), render(ws, noise=other)

    images, reverse, other = map(np.asarray, run(all_of, ws, keys))
    np.testing.assert_allclose(reverse[::-1], images, atol=1e-4)
    alone = run(lambda ws, key: module.apply(variables_of(module), ws, noise=key), ws[2:3], keys[2:3])
    np.testing.assert_allclose(alone, images[2:3], atol=1e-4)
    changed = np.abs(other - images).max(axis=(1, 2, 3)) > 0.01
    assert changed.tolist() == [False, True, False, False]


def test_kinds_of_noise() -> None:
    module, silent = small(size=4), small(size=4, use_noise=False)
    ws = np.broadcast_to(styles(module, 1), (2, module.style_count, 5))

    def all_of(variables: dict, ws: jax.Array, keys: jax.Array) -> list[jax.Array]:
        images = [module.apply(variables, ws, noise=noise) for noise in ("const", "none", keys)]
        return [*images, silent.apply({"params": variables["params"]}, ws)]

    found = run(all_of, variables_of(module), ws, jax.random.split(jax.random.key(2)))
    constant, none, fresh, without = map(np.asarray, found)
    np.testing.assert_allclose(constant[0], constant[1], atol=1e-5)  # one buffer for all images
    assert np.abs(fresh[0] - fresh[1]).max() > 0.1
    assert np.abs(constant - none).max() > 0.1
    np.testing.assert_allclose(without, none, atol=1e-5)
    assert "noise" not in variables_of(silent)


def test_fresh_networks_have_noise_but_do_not_use_it() -> None:
    module = small(size=15)
    variables = run(module.init, jax.random.key(0), styles(module))
    buffers = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(variables["noise"])])
    assert buffers.size == 15 * 15
    assert buffers.std() == pytest.approx(1, rel=0.1)
    blocks = variables["params"].values()
    strengths = [block[name]["noise_strength"] for block in blocks for name in block if name.startswith("conv")]
    assert strengths == [0]


# Precision ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "share"), [(jnp.bfloat16, 0.05), (jnp.float16, 0.005)])
@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_low_precision_stays_near_float32(architecture: str, dtype: jnp.dtype, share: float) -> None:
    exact = small(architecture, 8, clamp=256.0)
    low = small(architecture, 8, clamp=256.0, low_precision=dtype, low_precision_levels=1)
    ws, variables = styles(exact), variables_of(exact)
    rough, image = (np.asarray(run(module.apply, variables, ws)) for module in (low, exact))
    assert rough.dtype == jnp.float32
    assert not np.array_equal(rough, image)
    golden_cases.assert_near(rough, image, share)


@pytest.mark.parametrize(("levels", "expected"), [(0, ""), (1, "b16"), (2, "b16 b8"), (3, "b16 b8"), (9, "b16 b8")])
def test_the_smallest_level_and_the_parameters_stay_of_float32(levels: int, expected: str) -> None:
    module = small(size=16, low_precision=jnp.bfloat16, low_precision_levels=levels)
    variables = jax.eval_shape(module.init, jax.random.key(0), styles(module))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))

    def features(variables: dict, ws: jax.Array) -> dict:
        _, seen = module.apply(variables, ws, capture_intermediates=is_block, mutable="intermediates")
        return {name: block["__call__"][0][0] for name, block in seen["intermediates"].items()}

    low = {name for name, x in jax.eval_shape(features, variables, styles(module)).items() if x.dtype == jnp.bfloat16}
    assert low == set(expected.split())


# Mistakes -----------------------------------------------------------------------------------------------------------


def test_mistakes_are_named() -> None:
    module = small()
    ws, variables = styles(module), variables_of(module)
    for wrong in (ws[:, :-1], ws[:, :1]):
        with pytest.raises(UserError, match=r"ws of shape \(3, \d, 5\): this network takes \[N, 4, w\]"):
            module.apply(variables, wrong)
    for noise in ("random", "fresh", ""):
        with pytest.raises(UserError, match=f'noise = {noise!r}: must be "const", "none" or keys'):
            module.apply(variables, ws, noise=noise)
