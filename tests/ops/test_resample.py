"""Convolutions that resample, against the records of the original, and step by step."""

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
from ganzoo.ops.resample import conv_resample

# Records ------------------------------------------------------------------------------------------------------------


def convolved(case: Case, x: jax.Array, w: jax.Array) -> jax.Array:
    """The case's convolution in the original's layouts, one group after the other."""
    options, layout = case.options, hwoi if case.options["up"] > 1 else hwio
    padding = options["padding"]
    left, right, top, bottom = padding if isinstance(padding, list) else [padding] * 4
    one = partial(
        conv_resample,
        f=case.get("in/f"),
        up=options["up"],
        down=options["down"],
        padding=((top, bottom), (left, right)),
        correlate=options["flip_weight"],
        correlate_filter=options["flip_filter"],
    )
    groups = options["groups"]
    parts = zip(jnp.split(x, groups, axis=1), jnp.split(w, groups), strict=True)
    return nchw(jnp.concatenate([one(nhwc(x), layout(w)) for x, w in parts], axis=3))


def value_and_gradients(case: Case, x: jax.Array, w: jax.Array, cot: jax.Array) -> dict[str, jax.Array]:
    y, back = jax.vjp(partial(convolved, case), x, w)
    dx, dw = back(cot)
    return {"y": y, "dx": dx, "dw": dw}


@golden_cases.over(golden_cases.cases("ops/conv2d_resample"))
def test_records(case: Case) -> None:
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            arrays = case.inputs(dtype)
            found = run(partial(value_and_gradients, case), arrays["x"], arrays["w"], arrays["cot"])
            golden_cases.assert_recorded(case, found)


# Truths -------------------------------------------------------------------------------------------------------------

SETTINGS = [
    # kernel, taps, up, down, padding
    ((3, 3), (1, 3, 3, 1), 1, 1, ((1, 1), (1, 1))),
    ((3, 2), (1, 3, 3, 1), 2, 1, ((1, 1), (1, 0))),
    ((3, 3), (1, 4, 6, 3), 1, 2, ((1, 1), (1, 1))),
    ((1, 1), (1, 2, 1), 2, 1, ((0, 0), (0, 0))),
    ((1, 1), (1, 2, 1), 1, 2, ((0, 0), (1, 0))),
    ((2, 4), (1, 2, 3, 2, 1), 3, 1, ((0, 1), (2, 1))),
    ((3, 3), (1, 3, 3, 1), 2, 2, ((1, 1), (1, 1))),
    ((3, 3), (1, 2, 2), 2, 3, ((2, 1), (0, -1))),
    ((3, 1), None, 1, 1, ((-1, 2), (1, -2))),
    ((2, 2), None, 1, 2, ((1, 0), (0, 1))),
]


def step_by_step(
    x: jax.Array, kernel: jax.Array, f: fir.Filter, up: int, down: int, padding: Any, correlate: bool
) -> jax.Array:
    """Upsample, pad for everything that follows, convolve, downsample; the kernel is [h, w, I, O]."""
    if up > 1:
        padding = fir.add_padding(padding, fir.upsampling_padding(f, (up, up)))
    if down > 1:
        padding = fir.add_padding(padding, fir.downsampling_padding(f, (down, down)))
    x = fir.upfirdn(x, f if up > 1 else None, up=up, padding=padding, gain=up * up)
    kernel = kernel if correlate else kernel[::-1, ::-1]
    x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return fir.upfirdn(x, f, down=down) if down > 1 else x


@pytest.mark.parametrize("correlate", [True, False])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: "-".join(map(str, setting)).replace(" ", ""))
def test_one_convolution_is_its_steps(setting: tuple, correlate: bool, doubles: None) -> None:
    size, taps, up, down, padding = setting
    x, kernel = draw(5, 2, 8, 9, 3), draw(6, *size, 3, 4)
    f = fir.setup_filter(taps)

    def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
        kernel = jnp.swapaxes(kernel, 2, 3) if up > 1 else kernel
        return conv_resample(x, kernel, f, up=up, down=down, padding=padding, correlate=correlate)

    def theirs(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return step_by_step(x, kernel, f, up, down, padding, correlate)

    def with_gradients(function: Any, x: jax.Array, kernel: jax.Array) -> tuple:
        y, back = jax.vjp(function, x, kernel)
        return y, back(jnp.sin(y))

    golden_cases.assert_near(*(run(partial(with_gradients, f), x, kernel) for f in (ours, theirs)), relative=1e-12)


def test_the_size_is_doubled_or_halved() -> None:
    for size in ((8, 8), (6, 10)):
        x = jax.ShapeDtypeStruct((2, *size, 3), jnp.bfloat16)
        for kernel in (1, 3):
            pad, f = (kernel // 2,) * 2, fir.setup_filter([1, 3, 3, 1])
            into = jax.ShapeDtypeStruct((kernel, kernel, 3, 5), jnp.bfloat16)
            out_of = jax.ShapeDtypeStruct((kernel, kernel, 5, 3), jnp.bfloat16)
            up = jax.eval_shape(partial(conv_resample, f=f, up=2, padding=pad), x, out_of)
            down = jax.eval_shape(partial(conv_resample, f=f, down=2, padding=pad), x, into)
            assert up.shape == (2, 2 * size[0], 2 * size[1], 5)
            assert down.shape == (2, size[0] // 2, size[1] // 2, 5)
            assert up.dtype == down.dtype == jnp.bfloat16
