"""An ONNX file runs in onnxruntime and makes the same images; every rule computes what JAX does."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from latent_states import drawn_state

import ganzoo
from ganzoo import UserError, interop
from ganzoo.interop import onnx
from ganzoo.interop.onnx.graph import Graph, axis_groups
from ganzoo.testing import quick_jit

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan by reference statistics": (
        "dcgan",
        {"sample_statistics": "batch", "first_norm": "unit", "kernel_size": 5, "channels": 4, "label_size": 3},
    ),
    "progan": (
        "stylegan",
        {"use_styles": False, "constant_input": False, "use_noise": False, "pixel_norm": True, "instance_norm": False,
         "blur_filter": (), "mapping_layers": 0, "style_size": 8},
    ),
    "stylegan": ("stylegan", {"image_size": (16, 24), "blur_filter": (1, 2, 3, 4), "fused_scale": "always"}),
    "stylegan2 skip": ("stylegan2", {"channels": 1, "label_size": 3}),
    "stylegan2 resnet": ("stylegan2", {"generator_architecture": "resnet", "resample_filter": (1, 2, 1)}),
    "stylegan2 orig": (
        "stylegan2",
        {"generator_architecture": "orig", "channels": 4, "image_size": (16, 24), "conv_clamp": 0.5,
         "activation": "swish"},
    ),
}  # fmt: skip
N = jax.export.symbolic_shape("n")[0]


def session(content: bytes) -> Any:
    """A file in onnxruntime, after the checker of ONNX has seen it."""
    library, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    library.checker.check_model(library.load_from_string(content), full_check=True)
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", MODELS)
def test_images_of_a_file(name: str) -> None:
    """For batches of any size, and for any truncation where there are styles; a StyleGAN is still growing."""
    kind, options = MODELS[name]
    gan = ganzoo.create(kind, "tiny", **options)
    state = drawn_state(gan)
    if kind == "stylegan":
        state = replace(state, level_of_detail=jnp.float32(0.4))
    cutoff = None if gan.styles is None else 2
    content, notes = interop.export_onnx(gan, state, cutoff=cutoff)
    runtime = session(content)
    assert notes == []
    for count, psi in ((1, 1.0), (3, 0.6)):
        latents = gan.latents(jax.random.key(count), jnp.arange(count))
        given, truncation = {"latents": np.asarray(latents)}, {}
        if gan.label_size:
            given["labels"] = np.eye(3, dtype=np.float32)[np.arange(count) % 3]
        if gan.styles is not None:
            given["psi"], truncation = np.array(psi, np.float32), {"psi": psi, "cutoff": cutoff}
        (found,) = runtime.run(["images"], given)
        generate = quick_jit(partial(gan.generate, **truncation))
        expected = generate(state, latents, given.get("labels"))
        assert np.std(expected) > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("kind", "half"), [("dcgan", "bfloat16"), ("stylegan2", "float16")])
def test_half_precision_is_computed_in_float32(kind: str, half: str) -> None:
    options = {"dcgan": {"dtype": half}, "stylegan2": {"low_precision": half, "low_precision_levels": 1}}[kind]
    gan = ganzoo.create(kind, "tiny", **options)
    content, notes = interop.export_onnx(gan, drawn_state(gan))
    assert [note.partition(" ")[0] for note in notes] == [half]
    assert {value.type for value in session(content).get_inputs()} == {"tensor(float)"}


def test_a_file_says_what_it_is() -> None:
    library = pytest.importorskip("onnx")
    gan = ganzoo.create("stylegan2", "tiny", label_size=3)
    model = library.load_from_string(interop.export_onnx(gan, drawn_state(gan))[0])
    assert model.producer_name == "ganzoo"
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "model": "stylegan2", "image_shape": "8x8x3", "latent_size": "8", "label_size": "3", "layout": "NHWC",
        "range": "-1 to 1",
    }  # fmt: skip
    sizes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert sizes == {"latents": ["n", 8], "labels": ["n", 3], "psi": [], "images": ["n", 8, 8, 3]}
    assert not {tensor.name for tensor in model.graph.initializer} & set(sizes)


# Graphs, without ONNX -----------------------------------------------------------------------------------------------


def graph_of(function: Callable[..., Any], *shapes: tuple[Any, ...]) -> Graph:
    """The graph of a function of inputs x0, x1 ..."""
    inputs = {f"x{i}": jax.ShapeDtypeStruct(shape, jnp.float32) for i, shape in enumerate(shapes)}
    return onnx.trace(function, inputs, "y")


def operators(graph: Graph) -> Counter:
    return Counter(node.operator for node in graph.nodes)


def test_a_grown_generator_has_no_coarser_images() -> None:
    """Colours of a weight that is 0 leave the graph, and images are transposed once, at the end."""
    gan = ganzoo.create("stylegan", "tiny")
    state = drawn_state(gan)

    def convolutions(state: Any) -> int:
        found = operators(graph_of(lambda z: gan.generate(state, z), (N, gan.config.latent_size)))
        return found["Conv"] + found["ConvTranspose"]

    growing = replace(state, level_of_detail=jnp.float32(0.4))
    assert convolutions(growing) == convolutions(state) + 1


def test_images_are_transposed_once() -> None:

    def conv(x: Any) -> Any:
        kernel = np.ones((3, 3, 2, 2), np.float32)
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def network(x: Any) -> Any:
        x = jax.nn.leaky_relu(conv(x) + np.ones((1, 1, 1, 2), np.float32), 0.2)
        x = jnp.stack([x, x], 3).reshape(-1, 4, 8, 2)
        return conv(x[:, ::2])

    graph = graph_of(network, (N, 4, 4, 2))
    assert operators(graph) == {
        "Transpose": 2, "Conv": 2, "Add": 1, "LeakyRelu": 1, "Concat": 1, "Reshape": 2, "Slice": 1
    }  # fmt: skip
    assert [graph.nodes[i].attributes["perm"] for i in (0, -1)] == [[0, 3, 1, 2], [0, 2, 3, 1]]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((N, 4, 6), (N, 24), [((0,), (0,)), ((1, 2), (1,))]),
        ((N, 24), (N, 2, 2, 6), [((0,), (0,)), ((1,), (1, 2, 3))]),
        ((N, 3), (N, 1, 1, 3), [((0,), (0,)), ((), (1,)), ((), (2,)), ((1,), (3,))]),
        ((N, 2, 5), (2 * N, 5), [((0, 1), (0,)), ((2,), (1,))]),
        ((1, 6), (2, 3), [((0,), ()), ((1,), (0, 1))]),
        ((2, 3, 4), (4, 6), [((0, 1, 2), (0, 1))]),
    ],
)
def test_axis_groups(old, new, expected) -> None:
    assert [(tuple(before), tuple(after)) for before, after in axis_groups(old, new)] == expected


class Foreign(nn.Module):
    """A generator of Flax's own layers: what a model of somebody else may be made of."""

    @nn.compact
    def __call__(self, z: Any) -> Any:
        x = nn.Dense(16 * 8)(z).reshape(-1, 16, 8)
        x = x + nn.MultiHeadDotProductAttention(2)(nn.LayerNorm()(x))
        x = nn.BatchNorm(use_running_average=True)(x.reshape(-1, 4, 4, 8))
        x = nn.swish(nn.GroupNorm(2)(nn.ConvTranspose(8, (4, 4), (2, 2))(x)))
        x = x.reshape(-1, 8, 8, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 16, 16, 2)  # sub-pixel upsampling
        x = jnp.pad(
            jax.image.resize(x, (x.shape[0], 24, 24, 2), "bilinear"), ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect"
        )
        return jnp.tanh(nn.Conv(3, (3, 3), padding="VALID")(x))


def test_a_network_of_other_layers() -> None:
    network, z = Foreign(), np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    with jax.numpy_rank_promotion("allow"):
        images, variables = network.init_with_output(jax.random.key(0), z)
        graph = graph_of(lambda z: network.apply(variables, z), (N, 5))
    content = onnx.to_bytes(
        graph, {"x0": jax.ShapeDtypeStruct((N, 5), jnp.float32)}, {"y": (N, 24, 24, 3)}, {"model": "foreign"}
    )
    np.testing.assert_allclose(session(content).run(None, {"x0": z})[0], images, atol=1e-5)


# Rules --------------------------------------------------------------------------------------------------------------

UNARY = (
    "abs", "neg", "sign", "floor", "ceil", "square", "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log1p",
    "logistic", "tanh", "sin", "cos", "erf", "erfc", "is_finite",
)  # fmt: skip


def grouped(x: Any) -> Any:
    kernel = np.arange(3 * 3 * 2 * 6, dtype=np.float32).reshape(3, 3, 2, 6) % 7
    return lax.conv_general_dilated(
        x, kernel, (2, 1), ((1, 0), (2, 1)), rhs_dilation=(1, 2), feature_group_count=2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


def transposed(padding: tuple[tuple[int, int], tuple[int, int]]) -> Callable[[Any], Any]:
    kernel = np.arange(3 * 4 * 2 * 6, dtype=np.float32).reshape(3, 4, 2, 6) % 7

    def function(x: Any) -> Any:
        return lax.conv_general_dilated(
            x, kernel, (1, 1), padding, lhs_dilation=(2, 3), feature_group_count=2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    return function


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: lambda x, name=name: getattr(lax, name)(x).astype(jnp.float32) for name in UNARY},
    "arithmetic": lambda x: lax.rem(x / 3 - x * 2 + x**3, np.float32(2)) + x**0.5 + 2**x,
    "zeros and ones": lambda x: x * 0 + (x + 0) * 1 + 0,
    "comparisons": lambda x: sum(
        jnp.where(a, 2.0**i, 0) for i, a in enumerate([x > 1, x >= 1, x < 1, x <= 1, x == 1, x != 1])
    ),
    "truth": lambda x: jnp.where(~((x > 1) & (x < 2)) | (x > 3), x, -x),
    "select": lambda x: lax.select_n(jnp.int32(x > 1), x, x + 1),
    "clamp": lambda x: lax.clamp(0.5, x, 1.5) + jnp.clip(x, 1, 2),
    "activations": lambda x: jax.nn.gelu(x) + jax.nn.softplus(x) + jax.nn.elu(-x) + jax.nn.leaky_relu(1 - x, 0.3),
    "broadcast": lambda x: jnp.concatenate([jnp.broadcast_to(x[:, :1, :1], x.shape), x], 1),
    "constant images": lambda x: jnp.broadcast_to(jnp.arange(12.0).reshape(1, 3, 4), (x.shape[0], 3, 4)),
    "pieces of constant images": lambda x: jnp.broadcast_to(jnp.arange(12.0).reshape(1, 3, 4), (x.shape[0], 3, 4))[
        :, 1:, ::-1
    ][:, :, np.array([1, 1, 3])],
    "transpose and merge": lambda x: x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1),
    "nearest": lambda x: jnp.repeat(jnp.repeat(x, 2, axis=1), 3, axis=2),
    "squeeze": lambda x: jnp.squeeze(x[:, :1, :, None], (1, 3)),
    "slices": lambda x: x[:, 1:3, ::2, None] + x[:, 1:2, 4::-2, None] + x[:, ::2, 1, 3][:, :, None, None, None],
    "reversed": lambda x: lax.rev(x, (1, 3)) + x[..., ::-1],
    "steps along two axes": lambda x: x[:, ::2, ::2],
    "split": lambda x: sum(jnp.split(x, 2, axis=3)),
    "stack": lambda x: jnp.stack([x, x * 2], axis=2),
    "pad": lambda x: lax.pad(x, np.float32(2), ((0, 0, 0), (1, 2, 0), (-1, 0, 0), (-1, 3, 0))),
    "take": lambda x: x[:, :, np.array([3, 0, 0, 1])] + x[:, 2, None, :4],
    "sums": lambda x: jnp.mean(x, (1, 2), keepdims=True) + jnp.max(x, 3, keepdims=True) - jnp.prod(x, 1)[:, None],
    "minimum": lambda x: jnp.min(x),
    "all and any": lambda x: jnp.where(jnp.all(x > 1, 3) | jnp.any(x > 3, 3), 1.0, 0),
    "matrix product": lambda x: x @ np.arange(12, dtype=np.float32).reshape(4, 3) + (x @ np.ones((1, 4), "f").T),
    "einsum": lambda x: jnp.einsum("nhwc,nhwd->ncd", x, x),
    "einsum with a constant": lambda x: jnp.einsum("nhwc,ch->nc", x, np.ones((4, 3), "f")),
    "grouped": grouped,
    "transposed": transposed(((2, 2), (3, 3))),
    "transposed and cropped": transposed(((0, 1), (2, 0))),
    "transposed and padded": transposed(((4, 2), (3, 5))),
    "chosen branch": lambda x: lax.platform_dependent(x, cpu=lambda x: x + 1, default=lambda x: x + 1),
    "random constants": lambda x: x + jax.random.normal(jax.random.key(0), (1, 3, 5, 4)),
    "an input": lambda x: x,
    "a constant": lambda x: jnp.ones(3),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rules(name: str) -> None:
    function, shape = FUNCTIONS[name], (N, 3, 5, 4)
    graph = graph_of(function, shape)
    inputs = {"x0": jax.ShapeDtypeStruct(shape, jnp.float32)}
    for count in (1, 2):
        x = np.random.default_rng(0).uniform(0.1, 4, (count, *shape[1:])).astype(np.float32)
        x[0, 0, 0] = [1, 2, 3, 1]
        expected = jax.jit(function)(x)
        sizes = tuple(f"d{axis}" for axis in range(expected.ndim))
        (found,) = session(onnx.to_bytes(graph, inputs, {"y": sizes}, {"model": "rule"})).run(None, {"x0": x})
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_padding_that_crops() -> None:
    """Which XLA computes wrongly on CPU, so the image is cropped beforehand here."""

    def convolve(x: Any, padding: Any) -> Any:
        kernel = np.ones((2, 2, 4, 1), np.float32)
        return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))

    shape = (N, 3, 5, 4)
    graph = graph_of(lambda x: convolve(x, ((-1, 1), (0, -1))), shape)
    content = onnx.to_bytes(
        graph, {"x0": jax.ShapeDtypeStruct(shape, jnp.float32)}, {"y": tuple("abcd")}, {"model": "m"}
    )
    x = np.random.default_rng(0).normal(size=(1, *shape[1:])).astype(np.float32)
    (found,) = session(content).run(None, {"x0": x})
    np.testing.assert_allclose(found, convolve(x[:, 1:, :-1], ((0, 1), (0, 0))), atol=1e-5)


UNWRITABLE = {
    "gather at places that are computed": lambda x: jnp.take(x, x[:, 0, 0, 0].astype(int), axis=1),
    "sort": lambda x: jnp.sort(x, 1),
    "cumsum": lambda x: lax.cumsum(x, 1),
    "conv_general_dilated of a dilated image": lambda x: lax.conv_general_dilated(
        x,
        np.ones((2, 2, 4, 1), "f"),
        (2, 2),
        ((0, 0), (0, 0)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ),
    "pad between elements": lambda x: lax.pad(x, np.float32(0), ((0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0))),
    "an axis of 2*n elements": lambda x: jnp.broadcast_to(jnp.ones(()), (2 * x.shape[0], 3)),
}


@pytest.mark.parametrize("named", UNWRITABLE)
def test_what_has_no_rule_is_named(named: str) -> None:
    with pytest.raises(UserError, match=named.replace("*", r"\*")) as caught:
        graph_of(UNWRITABLE[named], (N, 3, 5, 4))
    assert "--format jax" in str(caught.value)
