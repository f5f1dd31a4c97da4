"""FIR resampling against the records of the original, and against a convolution of the image with its zeros."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, nchw, nhwc, run
from jax import lax

from ganzoo.ops import fir

# Records ------------------------------------------------------------------------------------------------------------

WRAPPERS = {"filter2d": fir.blur, "upsample2d": fir.upsample, "downsample2d": fir.downsample}


def geometry(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the original, which gives [x, y] and [x before, x after, y before, y after]."""
    padding = options["padding"]
    left, right, top, bottom = padding if isinstance(padding, list) else [padding] * 4
    ours = {"padding": ((top, bottom), (left, right)), "gain": options["gain"], "correlate": options["flip_filter"]}
    for name in ("up", "down"):
        if name in options:
            factor = options[name]
            ours[name] = (factor[1], factor[0]) if isinstance(factor, list) else factor
    return ours


def value_and_gradient(resample: Any, x: np.ndarray, cot: np.ndarray) -> dict[str, jax.Array]:
    y, back = jax.vjp(resample, jnp.asarray(nhwc(x)))
    return {"y": nchw(y), "dx": nchw(back(jnp.asarray(nhwc(cot)))[0])}


def assert_as_recorded(case: Case, resample: Any, dtype: type) -> None:
    x, cot = (case[f"in/{name}"].astype(dtype) for name in ("x", "cot"))
    resample = partial(resample, f=case.get("in/f"), **geometry(case.options))
    golden_cases.assert_recorded(case, run(partial(value_and_gradient, resample), x, cot))


@golden_cases.over(golden_cases.cases("ops/upfirdn2d", op=("upfirdn2d", *WRAPPERS)))
def test_records(case: Case) -> None:
    resample = WRAPPERS.get(case.options["op"], fir.upfirdn)
    assert_as_recorded(case, resample, np.float32)
    with jax.enable_x64(True):
        assert_as_recorded(case, resample, np.float64)


@golden_cases.over(golden_cases.cases("ops/upfirdn2d", op="setup_filter"))
def test_recorded_filters(case: Case) -> None:
    options = {name: case.options[name] for name in ("gain", "normalize") if name in case.options}
    taps = case.options["f"]
    f = fir.setup_filter(np.asarray(taps) if taps else None, flip=case.options.get("flip_filter", False), **options)
    theirs = case["out64/f"]
    assert f.ndim == np.ndim(taps or [1])
    if f.ndim < theirs.ndim:  # the original multiplies short sequences out
        f = np.outer(f, f)
    np.testing.assert_allclose(f, theirs, rtol=1e-12)


# Truths -------------------------------------------------------------------------------------------------------------

GEOMETRIES = [
    # size, taps, up, down, ((top, bottom), (left, right))
    ((6, 5), (4, 4), (1, 1), (1, 1), ((2, 1), (2, 1))),
    ((5, 7), (4, 4), (2, 2), (1, 1), ((2, 1), (2, 1))),
    ((8, 6), (4, 4), (1, 1), (2, 2), ((1, 1), (1, 1))),
    ((7, 9), (3, 5), (1, 1), (2, 2), ((0, 3), (1, 2))),
    ((5, 6), (6, 6), (2, 3), (3, 2), ((3, 1), (2, 4))),
    ((8, 7), (5, 3), (2, 2), (2, 2), ((-1, 3), (2, -2))),
    ((4, 5), (1, 1), (3, 2), (1, 1), ((0, 2), (1, 0))),
    ((9, 8), (2, 3), (1, 2), (2, 1), ((1, 1), (2, 0))),
    ((6, 6), (3, 4), (2, 2), (3, 3), ((-2, 1), (0, -1))),
    ((5, 5), (2, 2), (4, 4), (1, 1), ((0, 0), (1, 1))),
    ((9, 7), (2, 1), (1, 1), (3, 4), ((0, 0), (0, 0))),
    ((3, 4), (7, 5), (1, 1), (1, 1), ((6, 6), (4, 4))),
    ((4, 4), (3, 3), (3, 3), (2, 2), ((1, 4), (5, -3))),
]

SEPARABLE = [
    # size, up, down, ((top, bottom), (left, right))
    ((5, 7), (2, 2), (1, 1), ((2, 1), (2, 1))),
    ((8, 6), (1, 1), (2, 2), ((1, 1), (1, 1))),
    ((6, 5), (1, 1), (1, 1), ((2, 1), (0, 3))),
    ((8, 9), (3, 1), (2, 2), ((-1, 3), (4, -2))),
]
"""Resamplings by four taps along each axis, which a GPU does in one pass."""

Operation = Any
"""A linear function of images."""


@pytest.fixture(params=GEOMETRIES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def geometry_case(request: pytest.FixtureRequest, doubles: None) -> tuple[Operation, Operation, jax.Array]:
    """Ours, the library's and an image, in float64."""
    size, taps, up, down, padding = request.param
    f, x = draw(3, *taps), jnp.asarray(draw(4, 2, *size, 3))
    ours = partial(fir.upfirdn, f=f, up=up, down=down, padding=padding, gain=1.5)
    return ours, partial(plain, 1.5 * f, up, down, padding), x


def plain(f: np.ndarray, up: fir.Pair, down: fir.Pair, padding: tuple[fir.Pair, fir.Pair], x: jax.Array) -> jax.Array:
    """The definition: zeros between the pixels and around them, a convolution proper, and every ``down``-th of it."""
    n, height, width, channels = x.shape
    spread = jnp.zeros((n, height * up[0], width * up[1], channels), x.dtype).at[:, :: up[0], :: up[1]].set(x)
    padded = lax.pad(spread, jnp.zeros((), x.dtype), ((0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)))
    kernel = jnp.tile(jnp.asarray(f[::-1, ::-1, None, None], x.dtype), (1, 1, 1, channels))
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        padded, kernel, down, "VALID", dimension_numbers=layout, feature_group_count=channels
    )


def penalty(resample: Operation, x: jax.Array) -> jax.Array:
    """R1 of a cubed resampling: no second derivative vanishes."""
    gradient = jax.grad(lambda x: jnp.sum(resample(x=x) ** 3))(x)
    return jnp.sum(gradient**2)


def test_value_gradient_and_gradient_of_a_gradient(geometry_case: tuple) -> None:
    def all_of(resample: Operation, x: jax.Array) -> tuple:
        cubes = jax.grad(lambda x: jnp.sum(resample(x=x) ** 3))
        return resample(x=x), cubes(x), jax.grad(partial(penalty, resample))(x)

    ours, theirs, x = geometry_case
    golden_cases.assert_near(*(run(partial(all_of, f), x) for f in (ours, theirs)), relative=1e-12)


def test_the_way_back_is_the_adjoint(geometry_case: tuple) -> None:
    resample, _, x = geometry_case
    y = draw(5, *jax.eval_shape(lambda x: resample(x=x), x).shape)

    def there_and_back(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        forward, back = jax.vjp(lambda x: resample(x=x), x)
        return forward, back(y)[0]

    forward, backward = run(there_and_back, x, y)
    assert np.vdot(forward, y) == pytest.approx(np.vdot(x, backward), rel=1e-12)


def test_the_size_of_the_result_is_the_documented_one() -> None:
    for size, taps, up, down, padding in GEOMETRIES:
        x = jax.ShapeDtypeStruct((1, *size, 2), jnp.float32)
        resampled = partial(fir.upfirdn, f=np.ones(taps), up=up, down=down, padding=padding)
        expected = [(size[i] * up[i] + sum(padding[i]) - taps[i]) // down[i] + 1 for i in (0, 1)]
        assert jax.eval_shape(resampled, x).shape == (1, *expected, 2)


@pytest.mark.parametrize("resample", [fir.blur, fir.upsample, fir.downsample])
def test_a_sequence_of_taps_is_the_outer_product_with_itself(resample: Operation, doubles: None) -> None:
    x, f = draw(0, 2, 7, 9, 3), fir.setup_filter([1, 4, 6, 3], gain=3)
    assert np.outer(f, f).sum() == pytest.approx(3)
    one, two = run(lambda x: (resample(x, f), resample(x, np.outer(f, f))), x)
    np.testing.assert_allclose(one, two, atol=1e-12)


@pytest.mark.parametrize("geometry", SEPARABLE, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_one_pass_and_two_are_one_function(geometry: tuple, doubles: None) -> None:
    """In value, first and second derivative, whichever the platform takes."""
    size, up, down, padding = geometry
    f, x = np.asarray([1.0, 4.0, 6.0, 3.0]), draw(4, 2, *size, 3)
    options = {"up": up, "down": down, "padding": padding}
    passes = fir.windows(f, **options)
    resamplings = (
        lambda x: fir.upfirdn(x, f, **options),
        lambda x: fir._in_turn(passes, x),
        lambda x: fir._at_once(passes, x),
        lambda x: fir._at_once(passes[::-1], x),
    )

    def all_of(resample: Operation, x: jax.Array) -> tuple:
        cubes = jax.grad(lambda x: jnp.sum(resample(x) ** 3))
        return resample(x), cubes(x), jax.grad(lambda x: jnp.sum(cubes(x) ** 2))(x)

    first, *others = run(lambda x: [all_of(resample, x) for resample in resamplings], x)
    for other in others:
        golden_cases.assert_near(other, first, relative=1e-12)


@pytest.mark.parametrize(("platform", "passes"), [("cpu", 2), ("tpu", 2), ("cuda", 1), ("rocm", 1)])
def test_a_gpu_takes_one_pass(platform: str, passes: int) -> None:
    """There and back; a filter of many taps takes two passes everywhere."""

    def there_and_back(f: np.ndarray, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, back = jax.vjp(partial(fir.downsample, f=f), x)
        return y, back(y)[0]

    def padded(taps: int) -> int:
        """Number of paddings in the program: one of each pass."""
        traced = jax.jit(partial(there_and_back, fir.setup_filter(np.ones(taps)))).trace(jnp.ones((1, 8, 8, 1)))
        return traced.lower(lowering_platforms=(platform,)).as_text().count("stablehlo.pad")

    assert padded(4) == 2 * passes
    assert padded(6) == 4


@pytest.mark.parametrize(("taps", "factor"), [((1, 3, 3, 1), 2), ((1, 2, 3, 2, 1), 3), ((1, 1, 1), 3)])
def test_constant_images_stay_constant_in_the_interior(taps: tuple, factor: int) -> None:
    f = fir.setup_filter(taps)

    def all_of(x: jax.Array) -> tuple[jax.Array, ...]:
        return fir.upsample(x, f, up=factor), fir.blur(x, f), fir.downsample(x, f, down=factor)

    for y, side in zip(
        run(all_of, np.full((1, 12, 12, 1), 0.7, np.float32)), (12 * factor, 12, 12 // factor), strict=True
    ):
        assert y.shape == (1, side, side, 1)
        edge = 3 if side >= 12 else 1
        np.testing.assert_allclose(y[:, edge:-edge, edge:-edge], 0.7, rtol=1e-6)


def test_the_identity_changes_nothing() -> None:
    def all_of(x: jax.Array) -> tuple[jax.Array, ...]:
        cropped = fir.upfirdn(x, None, padding=((1, -1), (0, 2)))
        return fir.upfirdn(x, None), fir.upsample(x, None, up=2), cropped

    x = draw(0, 1, 3, 4, 2).astype(jnp.bfloat16)
    same, larger, cropped = run(all_of, x)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(np.asarray(larger)[:, 1::2, 1::2], 4 * x)
    np.testing.assert_array_equal(cropped, np.pad(x[:, :-1], ((0, 0), (1, 0), (0, 2), (0, 0))))


def test_vmap_and_scan_change_nothing(doubles: None) -> None:
    x = draw(0, 3, 2, 6, 5, 2)
    gradient = jax.grad(partial(penalty, partial(fir.downsample, f=fir.setup_filter([1, 3, 3, 1]))))
    each = np.stack([run(gradient, image) for image in x])
    np.testing.assert_allclose(run(jax.vmap(gradient), x), each, atol=1e-12)
    np.testing.assert_allclose(run(partial(lax.map, gradient), x), each, atol=1e-12)


@pytest.mark.parametrize(("dtype", "big"), [(jnp.bfloat16, 256), (jnp.float16, 2048)])
def test_half_precision_is_summed_in_float32(dtype: jnp.dtype, big: int) -> None:
    def there_and_back(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, back = jax.vjp(lambda x: fir.upfirdn(x, np.ones((1, 17))), x)
        return y, back(y)[0]

    x = np.ones((1, 1, 17, 1), dtype)
    x[0, 0, 0] = big  # one more is lost in half precision
    y, dx = run(there_and_back, x)
    assert y.dtype == dx.dtype == dtype
    assert float(y[0, 0, 0, 0]) == big + 16


def test_mistakes_are_named() -> None:
    x = jnp.ones((1, 4, 5, 2))
    with pytest.raises(ValueError, match=r"\(4, 5\) pixels is too small"):
        fir.upfirdn(x, np.ones((5, 5)))
    with pytest.raises(ValueError, match="too small"):
        fir.upfirdn(x, None, padding=(-3, -2))
    with pytest.raises(ValueError, match="sum to 0"):
        fir.setup_filter([1, -1])
    for shapeless in ([], np.ones((1, 1, 1)), np.ones(())):
        with pytest.raises(ValueError, match="filter of shape"):
            fir.setup_filter(shapeless)
    for factor in (0, (2, 0), -1):
        with pytest.raises(ValueError, match="resampling factor of"):
            fir.upfirdn(x, None, up=factor)
        with pytest.raises(ValueError, match="resampling factor of"):
            fir.downsample(x, None, down=factor)
