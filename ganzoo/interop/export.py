"""A generator as one file that needs neither this library nor Flax: a ``jax.export`` artefact, weights included."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganzoo.errors import UserError
from ganzoo.gan import GAN
from ganzoo.typing import State

PLATFORMS = ("cpu", "cuda", "tpu")


def export(gan: GAN, state: State, *, ema: bool = True, psi: float = 1.0, cutoff: int | None = None) -> bytes:
    """Serialise ``latents [N, z] (, labels [N, k]) -> images [N, H, W, C]`` in [-1, 1], for any N and platform.

    Example, in a program with nothing but JAX::

        generate = jax.export.deserialize(bytearray(open("generator.jax", "rb").read())).call
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

    options: dict[str, Any] = {"psi": psi, "cutoff": cutoff} if gan.styles is not None else {}
    if gan.styles is None and (psi != 1 or cutoff is not None):
        raise UserError(f"psi and cutoff: {gan.name} has no styles to truncate; leave them out")
    generate = partial(gan.generate, state, ema=ema, **options)
    count = jax_export.symbolic_shape("n")[0]
    size = jax.eval_shape(lambda: gan.latents(jax.random.key(0), jnp.zeros(1, jnp.int32))).shape[1]
    inputs = [jax.ShapeDtypeStruct((count, size), jnp.float32)]
    if gan.label_size:
        inputs.append(jax.ShapeDtypeStruct((count, gan.label_size), jnp.float32))
    program = jax.jit(lambda *arrays: generate(*arrays))
    return bytes(jax_export.export(program, platforms=PLATFORMS)(*inputs).serialize())
