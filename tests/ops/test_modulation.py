"""Modulated convolutions against the records of the original, and against a kernel for every image."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, hwio, hwoi, nchw, nhwc
from jax import lax

from ganzoo.ops import fir
from ganzoo.ops.modulation import modulated_conv

FILTER = fir.setup_filter([1, 3, 3, 1])

# Records ------------------------------------------------------------------------------------------------------------


def value_and_gradients(case: Case, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    options, layout = case.options, hwoi if case.options["up"] > 1 else hwio
    noise = arrays.get("noise")  # [H, W] or [N, 1, H, W]
    noise = None if noise is None else nhwc(noise.reshape(-1, 1, *noise.shape[-2:]))

    def convolved(x: jax.Array, weight: jax.Array, styles: jax.Array) -> jax.Array:
        return nchw(
            modulated_conv(
                nhwc(x),
                layout(weight),
                styles,
                fir.setup_filter(options["resample_filter"]),
                up=options["up"],
                down=options["down"],
                padding=(options["padding"],) * 2,
                demodulate=options["demodulate"],
                correlate=options["flip_weight"],
                noise=noise,
            )
        )

    y, back = jax.vjp(convolved, *(arrays[name] for name in ("x", "weight", "styles")))
    return {"y": y} | dict(zip(("dx", "dweight", "dstyles"), back(arrays["cot"]), strict=True))


@golden_cases.over(golden_cases.cases("ops/modulated_conv2d"))
def test_records(case: Case) -> None:
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            golden_cases.assert_recorded(case, jax.jit(partial(value_and_gradients, case))(case.inputs(dtype)))


# Truths -------------------------------------------------------------------------------------------------------------


def operands(kernel_size: int = 3, up: int = 1) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Three images, a kernel and styles."""
    draw = np.random.default_rng(6).normal
    channels = (4, 5) if up > 1 else (5, 4)
    shapes = (3, 6, 7, 5), (kernel_size, kernel_size, *channels), (3, 5)
    return tuple(jnp.asarray(draw(size=shape)) for shape in shapes)


def kernel_for_each(x: jax.Array, kernel: jax.Array, styles: jax.Array, demodulate: bool) -> jax.Array:
    """The definition: ``k' = s k / sqrt(sum (s k)^2)``, one convolution per image."""

    def one(image: jax.Array, style: jax.Array) -> jax.Array:
        own = kernel * style[None, None, :, None]
        if demodulate:
            own = own / jnp.sqrt(jnp.sum(own**2, axis=(0, 1, 2), keepdims=True) + 1e-8)
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(image[None], own, (1, 1), "SAME", dimension_numbers=layout)

    return jnp.concatenate([one(image, style) for image, style in zip(x, styles, strict=True)])


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_every_image_has_its_kernel(kernel_size: int, demodulate: bool, doubles: None) -> None:
    def with_gradients(convolve: Any, *args: jax.Array) -> tuple:
        y, back = jax.vjp(convolve, *args)
        return y, back(jnp.sin(y))

    ours = partial(modulated_conv, padding=(kernel_size // 2,) * 2, demodulate=demodulate)
    theirs = partial(kernel_for_each, demodulate=demodulate)
    found = (jax.jit(partial(with_gradients, f))(*operands(kernel_size)) for f in (ours, theirs))
    golden_cases.assert_near(*found, relative=1e-11)


@pytest.mark.parametrize("up", [1, 2])
def test_demodulation_undoes_the_scale_of_styles(up: int, doubles: None) -> None:
    x, kernel, styles = operands(up=up)
    convolve = jax.jit(partial(modulated_conv, f=FILTER, up=up, padding=(1, 1)))
    scaled = styles * jnp.asarray([3.0, 100.0, -7.0])[:, None]
    signs = jnp.asarray([1.0, 1.0, -1.0])[:, None, None, None]
    golden_cases.assert_near(convolve(x, kernel, scaled), signs * convolve(x, kernel, styles), 1e-7)
    golden_cases.assert_near(convolve(x, 50 * kernel, styles), convolve(x, kernel, styles), 1e-7)


def test_demodulated_noise_has_unit_deviation() -> None:
    draw = np.random.default_rng(7).normal
    x, kernel = jnp.asarray(draw(size=(2, 64, 64, 8)), jnp.float32), jnp.asarray(draw(size=(3, 3, 8, 6)), jnp.float32)
    styles = jnp.asarray(draw(size=(2, 8)), jnp.float32)
    y = modulated_conv(styles[:, None, None] * 0 + x, kernel, styles)
    np.testing.assert_allclose(jnp.std(y, axis=(1, 2)), 1, atol=0.1)


def test_noise_is_added_after_demodulation() -> None:
    x, kernel, styles = operands()
    noise = jnp.arange(42.0).reshape(1, 6, 7, 1)
    convolve = jax.jit(partial(modulated_conv, padding=(1, 1)))
    added = convolve(x, kernel, styles, noise=noise) - convolve(x, kernel, styles)
    np.testing.assert_allclose(added, np.broadcast_to(noise, added.shape), atol=1e-4)


@pytest.mark.parametrize("up", [1, 2])
def test_huge_styles_stay_finite_in_float16(up: int) -> None:
    x, kernel, styles = (array.astype(jnp.float32) for array in operands(up=up))
    convolve = partial(modulated_conv, f=FILTER, up=up, padding=(1, 1))

    @jax.jit
    def with_gradients(x: jax.Array, kernel: jax.Array, styles: jax.Array) -> tuple:
        y, back = jax.vjp(lambda kernel, styles: convolve(x, kernel, styles), kernel, styles)
        return y, back(jnp.ones_like(y))

    y, gradients = with_gradients(x.astype(jnp.float16), 1e3 * kernel, 1e5 * styles)
    assert y.dtype == jnp.float16
    assert all(gradient.dtype == jnp.float32 and np.isfinite(gradient).all() for gradient in gradients)
    golden_cases.assert_near(y.astype(jnp.float32), convolve(x, kernel, styles), 1e-2)
