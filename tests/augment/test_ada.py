"""ADA's transforms: records of NVlabs/stylegan2-ada-pytorch, statistics of draws, and truths of what they do."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from augment.ada_records import NAMES, percentile_numbers, pipeline, recorded_numbers
from golden_cases import Case, draw, nhwc, run
from jax.sharding import NamedSharding, PartitionSpec

from ganzoo.augment import ada, bands, geometry
from ganzoo.augment.ada import PIPELINES, Pipeline, Transforms
from ganzoo.errors import UserError
from ganzoo.training import parallel


def applied(config: Pipeline, images: Any, numbers: Any, p: Any = 1.0) -> jax.Array:
    return ada.apply(images, ada.transforms(config, numbers, images.shape, p))


def stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


# Records ------------------------------------------------------------------------------------------------------------


def percentiles(case: Case, spec: str) -> tuple[Pipeline, Any]:
    """The pipeline of a record, and the numbers of all its percentiles, stacked."""
    multipliers, n = case.options["specs"][spec], len(case["in/images"])
    numbers = [percentile_numbers(percentile, n, multipliers) for percentile in case.options["percentiles"]]
    if "in/pixel_noise" in case.arrays:
        numbers = [{**each, "pixels": nhwc(case["in/pixel_noise"])} for each in numbers]
    return pipeline(multipliers, case.options["extra_kwargs"]), stacked(numbers)


def recorded_outputs(case: Case, spec: str, suffix: str = "") -> np.ndarray:
    return np.stack([nhwc(case[f"out/{spec}/p{percentile}{suffix}"]) for percentile in case.options["percentiles"]])


SPECS = [
    (case, spec)
    for name in ("custom_ranges", "grayscale", "nonsquare")
    for case in golden_cases.files(f"ada/percentile_{name}")
    for spec in case.options["specs"]
]


@pytest.mark.parametrize(("case", "spec"), SPECS, ids=lambda part: getattr(part, "name", part))
def test_percentiles_of_pipelines(case: Case, spec: str) -> None:
    config, numbers = percentiles(case, spec)
    images = nhwc(case["in/images"])
    ours = run(jax.vmap(partial(applied, config, images)), numbers)
    for image, recorded in zip(ours, recorded_outputs(case, spec), strict=True):
        golden_cases.assert_near(image, recorded)


def test_percentiles_of_every_transform_alone() -> None:
    """In the pipeline of all transforms, of which one fires at a time."""
    case = golden_cases.case("ada/percentile_singles")
    specs = list(case.options["specs"])
    numbers = stacked([percentiles(case, spec)[1] for spec in specs])
    images = nhwc(case["in/images"])
    ours = run(jax.vmap(jax.vmap(partial(applied, PIPELINES["bgcfnc"], images))), numbers)
    for spec, percentile_images in zip(specs, ours, strict=True):
        golden_cases.assert_near(percentile_images, recorded_outputs(case, spec))


@pytest.mark.parametrize("spec", ["bgc", "bgcfnc"])
def test_gradients_at_percentiles(spec: str) -> None:
    case = golden_cases.case("ada/percentile_specs_grad")
    config, numbers = percentiles(case, spec)
    images, cot = (nhwc(case[f"in/{name}"]) for name in ("images", "cot"))

    def gradient(numbers: Any) -> jax.Array:
        return jax.grad(lambda images: jnp.sum(applied(config, images, numbers) * cot))(images)

    ours = run(jax.vmap(gradient), numbers)
    for image, recorded in zip(ours, recorded_outputs(case, spec, "_dimages"), strict=True):
        golden_cases.assert_near(image, recorded)


@golden_cases.over(golden_cases.files("ada/recorded_*"))
def test_recorded_draws(case: Case) -> None:
    config = pipeline(case.options["spec"], case.options["extra_kwargs"])
    images, cot = (nhwc(case[f"in/{name}"]) for name in ("images", "cot"))

    def value_and_gradient(images: jax.Array, numbers: Any, p: Any) -> dict[str, jax.Array]:
        y, back = jax.vjp(lambda images: applied(config, images, numbers, p), images)
        return {"images": y, "dimages": back(jnp.asarray(cot))[0]}

    ours = run(value_and_gradient, images, recorded_numbers(case), np.float32(case.options["p"]))
    for name, array in ours.items():
        golden_cases.assert_near(array, nhwc(case[f"out/{name}"]))


def test_recorded_filters() -> None:
    case = golden_cases.case("ada/percentile_grayscale")
    bank = bands.filters()
    np.testing.assert_allclose(bank, case["const/Hz_fbank"], atol=1e-7)
    np.testing.assert_allclose(geometry.SYM6, case["const/Hz_geom"], atol=1e-7)
    np.testing.assert_allclose(bank.sum(axis=0), np.eye(43)[21], atol=1e-12)  # together the identity


@golden_cases.over(golden_cases.files("ada/stats_*"))
def test_statistics_of_two_thousand_draws(case: Case) -> None:
    """Means and variances of pixels within the errors of both sides, of which one in a million is off by 5."""
    draws, part = case.options["draws"], 100
    config, image = pipeline(case.options["spec"], {}), nhwc(case["in/image"])

    def batch(key: Any) -> jax.Array:
        images = jnp.broadcast_to(image, (part, *image.shape[1:]))
        return ada.apply(images, ada.draw(key, config, images.shape, case.options["p"]))

    keys = jax.random.split(jax.random.key(0), draws // part)
    images = np.concatenate(jax.jit(partial(jax.lax.map, batch))(keys)).astype(np.float64)
    squares = np.square(images - images.mean(axis=0))
    for name, ours, error in (
        ("mean", images.mean(axis=0), images.std(axis=0) / draws**0.5),
        ("var", squares.mean(axis=0), squares.std(axis=0) / draws**0.5),
    ):
        theirs, their_error = (case[f"out/{kind}"].transpose(1, 2, 0) for kind in (name, f"stderr_of_{name}"))
        assert np.all(np.abs(ours - theirs) < 5 * np.hypot(error, their_error) + 1e-6), name
    same = np.mean(np.square(images - image).mean(axis=(1, 2, 3)) < 1e-8)
    share = float(case["out/fraction_mse_below_1e-8"])
    assert abs(same - share) < 5 * (2 * max(share * (1 - share), 1e-3) / draws) ** 0.5


# Draws --------------------------------------------------------------------------------------------------------------

MANY = 4000


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_transform_fires_with_its_probability(p: float) -> None:
    config = PIPELINES["bgcfnc"]
    made = run(lambda p: ada.draw(jax.random.key(1), config, (MANY, 1, 64, 1), p), np.float32(p))
    once = 1 - (1 - p) ** 0.5
    expected = {"xflip": p / 2, "rotate90": p * 3 / 4, "lumaflip": p / 2, "xint": p * 15 / 16}
    expected |= {"pre_rotation": once, "post_rotation": once}
    neutral = dict.fromkeys(("scale", "aniso", "contrast", "saturation", "imgfilter"), 1)
    for name in NAMES:
        values = np.asarray(getattr(made, name)).reshape(MANY, -1)
        values = values[:, -1:] if name == "cutout" else values[:, :1]
        share = np.mean(values != neutral.get(name, 0))
        chance = expected.get(name, p)
        assert abs(share - chance) <= 4 * (chance * (1 - chance) / MANY) ** 0.5, name


def test_multipliers_scale_p_and_a_traced_p_is_no_other() -> None:
    config = Pipeline(xflip=1.0, scale=0.5, imgfilter=1.0, imgfilter_bands=(1, 0, 0.5, 1))
    key, shape = jax.random.key(1), (MANY, 4, 4, 3)
    made = run(lambda p: ada.draw(key, config, shape, p), np.float32(0.6))
    shares = [np.mean(made.scale != 1), *np.mean(made.imgfilter != 1, axis=0)]
    np.testing.assert_allclose(shares, [0.3, 0.6, 0, 0.3, 0.6], atol=0.035)
    assert [name for name in NAMES if getattr(made, name) is not None] == ["xflip", "scale", "imgfilter"]
    given = ada.draw(key, config, (8, 4, 4, 3), 0.6)
    np.testing.assert_allclose(given.scale, made.scale[:8], rtol=1e-6)


def test_draws_depend_on_the_key_and_the_position_alone() -> None:
    key = jax.random.key(2)
    few, many = (ada.draw(key, PIPELINES["bgcfnc"], (n, 16, 16, 1)) for n in (3, 5))
    for ours, theirs in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(ours, theirs[:3], rtol=1e-6)
        if len(np.unique(theirs)) > 2:
            assert len(np.unique(np.asarray(theirs).reshape(5, -1)[:, 0])) > 1  # and images differ
    alone = ada.draw(key, PIPELINES["color"], (3, 16, 16, 1))  # those of a transform do not depend on the others
    np.testing.assert_allclose(alone.hue, few.hue, rtol=1e-6)


# What they do -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_with_p_0_images_pass_bit_for_bit(channels: int) -> None:
    images = draw(0, 3, 6, 10, channels)
    images[0, 0, 0] = -0.0
    shape = images.shape
    same = run(lambda p: ada.apply(images, ada.draw(jax.random.key(0), PIPELINES["bgcfnc"], shape, p)), np.float32(0))
    np.testing.assert_array_equal(np.asarray(same).view(np.uint32), images.view(np.uint32))


def test_blitting_moves_pixels_and_spares_the_image_beside_it() -> None:
    places = np.arange(12, dtype=np.float32)
    smooth = np.sin(0.4 * places[:, None, None] + 0.3 * places[None, :, None] ** np.asarray([1, 0.5], np.float32))
    images = np.stack([draw(0, 12, 12, 2), smooth, smooth, draw(1, 12, 12, 2)])
    made = Transforms(
        xflip=jnp.asarray([0, 1.0, 0, 0]),
        rotate90=jnp.asarray([0, 0, 1.0, 0]),
        xint=jnp.asarray([[0, 0], [0, 0], [0, 0], [3.0, -2.0]]),
    )
    ours = np.asarray(run(ada.apply, images, made))
    np.testing.assert_array_equal(ours[0], images[0])
    np.testing.assert_allclose(ours[1], smooth[:, ::-1], atol=0.05)  # the filter is not quite symmetric
    np.testing.assert_allclose(ours[2], np.rot90(smooth), atol=0.05)
    moved = np.pad(images[3], ((0, 2), (3, 0), (0, 0)), mode="reflect")[2:, :12]
    np.testing.assert_allclose(ours[3], moved, atol=1e-5)


def test_colours_turn_about_grey_and_other_channels_stay() -> None:
    images, made = draw(0, 1, 3, 3, 4), Transforms(hue=jnp.asarray([2 * np.pi / 3], jnp.float32))
    turned = np.asarray(run(ada.apply, images, made))
    np.testing.assert_allclose(turned[..., :3], np.roll(images[..., :3], 1, axis=3), atol=1e-5)
    np.testing.assert_array_equal(turned[..., 3], images[..., 3])
    grey = np.asarray(ada.apply(images, Transforms(saturation=jnp.zeros(1))))
    np.testing.assert_allclose(grey[..., :3], images[..., :3].mean(axis=3, keepdims=True).repeat(3, 3), atol=1e-6)
    both = Transforms(contrast=jnp.full(1, 2.0), brightness=jnp.full(1, 0.5), lumaflip=jnp.ones(1))
    pair = np.asarray(ada.apply(images[..., :2], both))  # grey and alpha
    np.testing.assert_allclose(pair, np.stack([-2 * (images[..., 0] + 0.5), images[..., 1]], axis=-1), atol=1e-5)


def test_all_of_it_is_linear_in_the_image_and_has_its_second_derivative(doubles: None) -> None:
    """R1 goes through it: the gradient of a gradient is that of the matrix which the transforms are."""
    images, config = jnp.asarray(draw(0, 2, 5, 6, 3)), Pipeline(scale=1.0, rotate=1.0, contrast=1.0, imgfilter=1.0)
    made = ada.draw(jax.random.key(3), config, images.shape)

    def cubes(f: Any, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(f(x) ** 3))(x)

    def penalty(f: Any, x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.sum(cubes(f, x) ** 2))(x)

    def both(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        apply = partial(ada.apply, transforms=made)
        matrix = jax.jacobian(apply)(jnp.zeros_like(images))
        return penalty(apply, images), penalty(lambda x: jnp.tensordot(matrix, x, 4), images)

    golden_cases.assert_near(*run(both, images), relative=1e-12)


@pytest.mark.parametrize("mode", ["jit", "shard_map", "pmap"])
def test_eight_devices_augment_as_one(mode: str, whole: tuple) -> None:
    """Draws go by the position in the global batch, and the margin of reflection is that of the whole batch."""
    mesh, images, split = parallel.data_mesh(8), draw(0, 16, 8, 8, 3), PartitionSpec("data")
    if mode == "shard_map":
        ours = run(jax.shard_map(augmented, mesh=mesh, in_specs=split, out_specs=split), images)
    elif mode == "pmap":
        parts = jax.pmap(augmented, axis_name="data")(images.reshape(8, 2, 8, 8, 3))
        ours = jax.tree.map(lambda part: part.reshape(images.shape), parts)
    else:

        def over_mesh(images: jax.Array) -> tuple[jax.Array, jax.Array]:
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return augmented(images)

        ours = run(over_mesh, jax.device_put(images, NamedSharding(mesh, split)))
    golden_cases.assert_near(ours, whole)


def augmented(images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Images at p = 1, and the gradient of the sum of their squares."""

    def forward(images: jax.Array) -> jax.Array:
        return ada.apply(images, ada.draw(jax.random.key(4), PIPELINES["bgcfnc"], images.shape))

    y, back = jax.vjp(forward, images)
    return y, back(2 * y)[0]


@pytest.fixture(scope="module")
def whole() -> tuple:
    """That of one device."""
    return run(augmented, draw(0, 16, 8, 8, 3))


def test_pipelines_that_cannot_be() -> None:
    for fields, words in (
        ({"scale": -1.0}, "scale = -1.0: must be 0 or more"),
        ({"imgfilter_bands": (1, 1)}, "four numbers"),
        ({"hue_max": float("nan")}, "must be a number"),
    ):
        with pytest.raises(UserError, match=words):
            Pipeline(**fields)
