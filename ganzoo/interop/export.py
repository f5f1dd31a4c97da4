"""A generator as one file that needs neither this library nor Flax: a ``jax.export`` artefact, weights included."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganzoo.errors import UserError
from ganzoo.latent.sampler import Sampler

PLATFORMS = ("cpu", "cuda", "tpu")


def exported(sampler: Sampler, *, psi: float = 1.0, cutoff: int | None = None) -> bytes:
    """StableHLO of ``latents [N, z] (, labels [N, k]) -> images [N, H, W, C]`` in [-1, 1], for any N and platform.

    Example, in a program with nothing but JAX::

        generate = jax.export.deserialize(bytearray(open("generator.jax", "rb").read())).call
        images = generate(numpy.random.randn(4, 512).astype("float32"))

    Args:
      sampler: the generator.
      psi: truncation, which becomes part of it.
      cutoff: truncate the first so many style inputs only.
    """
    from jax import export

    gan, state = sampler.gan, sampler.state
    if sampler.has_styles:
        options: dict[str, Any] = {"psi": psi, "cutoff": cutoff}
    elif psi != 1 or cutoff is not None:
        raise UserError(f"psi and cutoff: {gan.name} has no styles to truncate")
    else:
        options = {}
    generate = partial(gan.generate, state, ema=sampler.averaged, **options)
    count = export.symbolic_shape("n")[0]
    size = jax.eval_shape(lambda: gan.latents(jax.random.key(0), jnp.zeros(1, jnp.int32))).shape[1]
    inputs = [jax.ShapeDtypeStruct((count, size), jnp.float32)]
    if gan.label_size:
        inputs.append(jax.ShapeDtypeStruct((count, gan.label_size), jnp.float32))
    return bytes(export.export(jax.jit(lambda *given: generate(*given)), platforms=PLATFORMS)(*inputs).serialize())
