"""Modulated convolutions against the records of the original, and against a kernel for every image."""

from functools import partial
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import Case, draw, hwio, hwoi, nchw, nhwc, run
from jax import lax

from ganzoo.ops import fir
from ganzoo.ops.modulation import modulated_conv, unit_power

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
            golden_cases.assert_recorded(case, run(partial(value_and_gradients, case), case.inputs(dtype)))


def stylegan3_value_and_gradients(case: Case, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """As a layer of StyleGAN3 has it: unit power before demodulation, and a gain of the input."""
    rows, columns = np.broadcast_to(case.options["padding"], 2).tolist()
    gain = jnp.broadcast_to(arrays.get("input_gain", 1), arrays["s"].shape)[:, None, None]

    def convolved(x: jax.Array, kernel: jax.Array, styles: jax.Array) -> jax.Array:
        kernel, demodulates = hwio(kernel), case.options["demodulate"]
        kernel, styles = unit_power(kernel, styles) if demodulates else (kernel, styles)
        padding = ((rows, rows), (columns, columns))
        return nchw(modulated_conv(nhwc(x) * gain, kernel, styles, padding=padding, demodulate=demodulates))

    y, back = jax.vjp(convolved, *(arrays[name] for name in ("x", "w", "s")))
    return {"y": y} | dict(zip(("dx", "dw", "ds"), back(arrays["cot"]), strict=True))


@golden_cases.over(golden_cases.cases("ops/modulated_conv2d_sg3"))
def test_records_of_stylegan3(case: Case) -> None:
    golden_cases.assert_recorded(case, run(partial(stylegan3_value_and_gradients, case), case.inputs()))


# Truths -------------------------------------------------------------------------------------------------------------


def operands(kernel_size: int = 3, up: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three images, a kernel and styles."""
    channels = (4, 5) if up > 1 else (5, 4)
    return draw(6, 3, 6, 7, 5), draw(7, kernel_size, kernel_size, *channels), draw(8, 3, 5)


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
    found = (run(partial(with_gradients, f), *operands(kernel_size)) for f in (ours, theirs))
    golden_cases.assert_near(*found, relative=1e-11)


@pytest.mark.parametrize("up", [1, 2])
def test_demodulation_undoes_the_scale_of_styles(up: int, doubles: None) -> None:
    def all_of(x: jax.Array, kernel: jax.Array, styles: jax.Array) -> tuple[jax.Array, ...]:
        convolve = partial(modulated_conv, f=FILTER, up=up, padding=(1, 1))
        scaled = styles * jnp.asarray([3.0, 100.0, -7.0])[:, None]
        return convolve(x, kernel, styles), convolve(x, 50 * kernel, styles), convolve(x, kernel, scaled)

    y, larger_kernel, larger_styles = map(np.asarray, run(all_of, *operands(up=up)))
    golden_cases.assert_near(larger_kernel, y, 1e-7)
    golden_cases.assert_near(larger_styles, y * np.asarray([1, 1, -1]).reshape(3, 1, 1, 1), 1e-7)


def test_demodulated_noise_has_unit_deviation() -> None:
    x, kernel, styles = draw(0, 2, 64, 64, 8), draw(1, 3, 3, 8, 6), draw(2, 2, 8)
    y = np.asarray(run(modulated_conv, x, kernel, styles))
    np.testing.assert_allclose(y.std(axis=(1, 2)), 1, atol=0.1)


def test_noise_is_added_after_demodulation() -> None:
    def added(x: jax.Array, kernel: jax.Array, styles: jax.Array, noise: jax.Array) -> jax.Array:
        convolve = partial(modulated_conv, x, kernel, styles, padding=(1, 1))
        return convolve(noise=noise) - convolve()

    noise = np.arange(42, dtype=np.float32).reshape(1, 6, 7, 1)
    np.testing.assert_allclose(run(added, *operands(), noise), np.broadcast_to(noise, (3, 6, 7, 4)), atol=1e-4)


@pytest.mark.parametrize("up", [1, 2])
def test_huge_styles_stay_finite_in_float16(up: int) -> None:
    x, kernel, styles = operands(up=up)
    convolve = partial(modulated_conv, f=FILTER, up=up, padding=(1, 1))

    def with_gradients(x: jax.Array, kernel: jax.Array, styles: jax.Array) -> tuple:
        y, back = jax.vjp(partial(convolve, x.astype(jnp.float16)), 1e3 * kernel, 1e5 * styles)
        return y, back(jnp.ones_like(y)), convolve(x, kernel, styles)

    y, gradients, exact = run(with_gradients, x, kernel, styles)
    assert y.dtype == jnp.float16
    assert all(gradient.dtype == jnp.float32 and np.isfinite(gradient).all() for gradient in gradients)
    golden_cases.assert_near(np.asarray(y, np.float32), exact, 0.01)
