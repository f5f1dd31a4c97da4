"""Layers with equalised learning rate: the records of the original, their speed of learning, their start."""

from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from golden_cases import Case, draw, filled, hwio, hwoi, nchw, nhwc, run

from ganzoo.nn.equalized import EqualizedConv, EqualizedDense

# Records ------------------------------------------------------------------------------------------------------------


def layer(options: dict[str, Any]) -> nn.Module:
    """The layer of a case."""
    get = options.get
    activation, use_bias = get("activation", "linear"), get("bias", True)
    if options["layer"] == "FullyConnectedLayer":
        rest = {"bias_init": get("bias_init", 0), "lr_multiplier": get("lr_multiplier", 1)}
        return EqualizedDense(options["out_features"], activation, use_bias, **rest)
    rest = {"up": get("up", 1), "down": get("down", 1), "gain": options["gain"], "clamp": get("conv_clamp")}
    return EqualizedConv(options["out_channels"], options["kernel_size"], activation, use_bias, **rest)


def ours(case: Case, arrays: dict[str, np.ndarray], dtype: type) -> dict[str, np.ndarray]:
    """Parameters or gradients by our names, in our layouts."""
    swap = np.transpose if case.name.startswith("fc") else hwoi if case.options.get("up", 1) > 1 else hwio
    converted = {"kernel": swap(arrays["weight"]).astype(dtype)}
    return converted | ({"bias": arrays["bias"].astype(dtype)} if "bias" in arrays else {})


@golden_cases.over(golden_cases.cases("ops/layers_sg2", layer=("FullyConnectedLayer", "Conv2dLayer")))
def test_records(case: Case) -> None:
    module, is_conv = layer(case.options), case.options["layer"] == "Conv2dLayer"

    def apply(params: dict, x: jax.Array) -> jax.Array:
        y = module.apply({"params": params}, nhwc(x) if is_conv else x)
        return nchw(y) if is_conv else y

    def value_and_gradients(params: dict, x: jax.Array, cot: jax.Array) -> tuple[jax.Array, tuple]:
        y, back = jax.vjp(apply, params, x)
        return y, back(cot)

    gradients = ours(case, case.group("grad/sum(y*cot)/"), np.float32), case["grad/sum(y*cot)/__in__/x"]
    for x64, dtype in ((False, np.float32), (True, np.float64)):
        with jax.enable_x64(x64):
            params = ours(case, case.group("params/"), dtype)
            x, cot = (case[f"in/{name}"].astype(dtype) for name in ("x", "cot"))
            y, found = run(value_and_gradients, params, x, cot)
            golden_cases.assert_recorded(case, {"y": y})
            golden_cases.assert_near(found, gradients)


# Truths -------------------------------------------------------------------------------------------------------------


def start(module: nn.Module, x: np.ndarray) -> tuple[np.ndarray, dict]:
    """The output and the parameters of a fresh layer."""
    y, variables = run(module.init_with_output, jax.random.key(1), x)
    return np.asarray(y), variables["params"]


def test_a_multiplier_slows_learning_by_itself() -> None:
    """The same step of a parameter moves the output so much less; the output itself is the same."""
    x, outputs, moves = draw(0, 5, 16), [], []
    for multiplier in (1.0, 0.01):
        module = EqualizedDense(8, bias_init=0.5, lr_multiplier=multiplier)
        y, params = start(module, x)
        stepped = jax.tree.map(lambda leaf: np.asarray(leaf) + 1, params)  # Adam steps by the learning rate everywhere
        outputs.append(y)
        moves.append(np.asarray(run(module.apply, {"params": stepped}, x)) - y)
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5)
    np.testing.assert_allclose(moves[1], 0.01 * moves[0], atol=1e-5)
    np.testing.assert_allclose(moves[0], np.broadcast_to(x.sum(1, keepdims=True) / 4 + 1, (5, 8)), rtol=1e-4)


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_dense_layers_start_with_unit_variance(multiplier: float) -> None:
    y, params = start(EqualizedDense(256, bias_init=2.0, lr_multiplier=multiplier), draw(0, 256, 512))
    kernel, bias = (np.asarray(params[name]) * multiplier for name in ("kernel", "bias"))
    assert kernel.std() == pytest.approx(1, rel=0.01)
    assert abs(kernel.mean()) < 0.01
    np.testing.assert_allclose(bias, 2.0, rtol=1e-6)
    assert y.std() == pytest.approx(1, rel=0.05)
    assert y.mean() == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_start_with_unit_variance(up: int, down: int) -> None:
    pixel = draw(0, 1, 1, 1, 64)
    x = np.broadcast_to(pixel, (1, 16, 16, 64))  # which filters do not change
    y, params = start(EqualizedConv(512, 3, up=up, down=down), x)
    kernel = np.asarray(params["kernel"])
    assert kernel.shape == ((3, 3, 512, 64) if up > 1 else (3, 3, 64, 512))
    assert kernel.std() == pytest.approx(1, rel=0.01)
    assert not np.any(params["bias"])
    assert y.shape == (1, 16 * up // down, 16 * up // down, 512)
    assert y[:, 2:-2, 2:-2].std() == pytest.approx(np.sqrt(np.mean(np.square(pixel))), rel=0.1)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    ("module", "shape"), [(EqualizedDense(4, "lrelu"), (3, 8)), (EqualizedConv(4, 3, "lrelu", up=2), (1, 6, 6, 3))]
)
def test_parameters_stay_of_float32(module: nn.Module, shape: tuple[int, ...], dtype: jnp.dtype) -> None:
    x = draw(0, *shape)
    fresh = jax.eval_shape(module.init, jax.random.key(0), x.astype(dtype))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(fresh))
    rough, exact = (run(module.apply, filled(module, x), x.astype(t)) for t in (dtype, np.float32))
    assert rough.dtype == dtype
    golden_cases.assert_near(np.asarray(rough, np.float32), exact, 0.02)


def test_the_clamp_scales_with_the_gain() -> None:
    x = 100 * draw(0, 1, 8, 8, 3)
    module = EqualizedConv(4, 1, gain=0.5, clamp=0.8)
    y = run(module.apply, filled(module, x), x)
    assert np.abs(y).max() == pytest.approx(0.4)
