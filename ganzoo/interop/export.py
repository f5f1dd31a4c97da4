"""A generator as one file that runs without this library and Flax, weights included: for JAX, or for ONNX runtimes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganzoo.errors import UserError
from ganzoo.gan import GAN
from ganzoo.interop import onnx
from ganzoo.typing import State

PLATFORMS = ("cpu", "cuda", "tpu")


def export(gan: GAN, state: State, *, ema: bool = True, psi: float = 1.0, cutoff: int | None = None) -> bytes:
    """Serialise ``latents [N, z] (, labels [N, k]) -> images [N, H, W, C]`` in [-1, 1], for any N and platform.

    Example, in a program with nothing but JAX and flatbuffers, with which ``jax.export`` reads::

        generate = jax.export.deserialize(bytearray(pathlib.Path("generator.jax").read_bytes())).call
        images = generate(numpy.random.randn(4, 512).astype("float32"))

    Args:
      gan: the model.
      state: its train state, which becomes part of the program.
      ema: use the EMA of the generator rather than the weights of the last step.
      psi: truncation, in [-1, 1], which becomes part of the program; 1 does not truncate.
      cutoff: truncate only the first ``cutoff`` style inputs.

    Raises:
      UserError: truncation is asked of a model without styles.
    """
    from jax import export as jax_export

    generate = _generator(gan, state, ema, psi, cutoff)
    program = jax.jit(lambda *arrays: generate(*arrays))
    return bytes(jax_export.export(program, platforms=PLATFORMS)(*_inputs(gan).values()).serialize())


def export_onnx(gan: GAN, state: State, *, ema: bool = True, cutoff: int | None = None) -> tuple[bytes, list[str]]:
    """Return an ONNX file ``latents [n, z] (, labels [n, k]) (, psi []) -> images [n, H, W, C]``, and notes.

    The images are in [-1, 1], all numbers are float32, and n may be any number. The axes of the images are those of
    pictures and of ``export``, while the convolutions inside are NCHW, as ONNX has them. Half precision is computed in
    float32, which a note says. Example, with nothing but onnxruntime::

        session = onnxruntime.InferenceSession("generator.onnx")
        latents, psi = numpy.random.randn(4, 512).astype("float32"), numpy.array(0.7, "float32")
        (images,) = session.run(["images"], {"latents": latents, "psi": psi})

    Args:
      gan: the model. Truncation psi is an input where it has styles; 1 does not truncate.
      state: its train state, whose weights become constants of the graph.
      ema: use the EMA of the generator rather than the weights of the last step.
      cutoff: truncate only the first ``cutoff`` style inputs.

    Raises:
      UserError: the extra ``onnx`` is not installed, truncation is asked of a model without styles, the generator has
        an operation without a rule in ``ganzoo.interop.onnx``, or the file would be larger than 2 GB.
    """
    onnx.library()
    generate, inputs = _generator(gan, state, ema, cutoff=cutoff), _inputs(gan)
    if gan.styles is not None:
        inputs["psi"] = jax.ShapeDtypeStruct((), jnp.float32)

    def program(*arrays: jax.Array) -> jax.Array:
        given = dict(zip(inputs, arrays, strict=True))
        truncation = {"psi": given["psi"]} if "psi" in given else {}
        return generate(given["latents"], given.get("labels"), **truncation)

    properties = {
        "model": gan.name,
        "image_shape": "x".join(map(str, gan.image_shape)),
        "latent_size": str(inputs["latents"].shape[1]),
        "label_size": str(gan.label_size),
        "layout": "NHWC",
        "range": "-1 to 1",
    }
    outputs = {"images": (inputs["latents"].shape[0], *gan.image_shape)}
    graph = onnx.trace(program, inputs, "images")
    notes = [
        f"{name} is computed in float32, so images differ from the model's own by its rounding"
        for name in sorted(graph.widened)
    ]
    return onnx.to_bytes(graph, inputs, outputs, properties), notes


def _generator(gan: GAN, state: State, ema: bool, psi: float = 1.0, cutoff: int | None = None) -> Callable[..., Any]:
    """Return ``generate`` of a state and options; ``UserError`` where truncation is asked of a model without styles."""
    if gan.styles is None and (psi != 1 or cutoff is not None):
        raise UserError(f"psi and cutoff: {gan.name} has no styles to truncate; leave them out")
    options: dict[str, Any] = {"psi": psi, "cutoff": cutoff} if gan.styles is not None else {}
    return partial(gan.generate, state, ema=ema, **options)


def _inputs(gan: GAN) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shape and type of the inputs by name, for any number of images."""
    from jax import export as jax_export

    count = jax_export.symbolic_shape("n")[0]
    size = jax.eval_shape(lambda: gan.latents(jax.random.key(0), jnp.zeros(1, jnp.int32))).shape[1]
    inputs = {"latents": jax.ShapeDtypeStruct((count, size), jnp.float32)}
    if gan.label_size:
        inputs["labels"] = jax.ShapeDtypeStruct((count, gan.label_size), jnp.float32)
    return inputs
