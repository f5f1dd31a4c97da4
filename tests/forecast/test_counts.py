"""Counts of programs compiled here: FLOPs by hand, layout changes, collectives, gathers."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ganzoo.forecast import Counts, compiled_counts
from ganzoo.training.parallel import data_mesh


def counts(function: Callable[..., Any], *shapes: tuple[int, ...], devices: int = 1, kind: str = "float32") -> Counts:
    """Counts of a function of arrays, of which the first is divided over the devices."""
    mesh = data_mesh(devices)
    placed = [NamedSharding(mesh, PartitionSpec("data" if i == 0 else None)) for i in range(len(shapes))]
    compiled = jax.jit(function, in_shardings=placed).lower(*(jax.ShapeDtypeStruct(s, kind) for s in shapes)).compile()
    return compiled_counts(compiled)


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def test_flops_of_products_and_convolutions() -> None:
    assert counts(lambda a, b: a @ b, (64, 96), (96, 160)).flops == 2 * 64 * 96 * 160
    found = counts(convolve, (2, 8, 8, 16), (3, 3, 16, 24))
    assert found.flops == 2 * (2 * 8 * 8) * (3 * 3 * 16) * 24
    assert found.convolutions + found.products >= 1


def test_flops_of_a_batch_are_divided_over_the_devices() -> None:
    whole, part = (counts(lambda a, b: a @ b, (64, 96), (96, 160), devices=n) for n in (1, 8))
    assert part.flops * 8 == whole.flops


def test_a_transpose_that_somebody_adds_is_seen() -> None:
    def plain(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sin(x) * y + 1

    def turned(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sin(x).swapaxes(1, 3) * y + 1

    shapes = (8, 64, 32, 64), (8, 64, 32, 64)
    before, after = counts(plain, *shapes), counts(turned, *shapes)
    assert (before.layout_changes, before.layout_bytes) == (0, 0)
    assert after.layout_changes >= 1
    assert after.layout_bytes >= 8 * 64 * 32 * 64 * 4


def test_collectives_with_their_bytes() -> None:
    found = counts(lambda x: jnp.sum(x, axis=0), (64, 4096), devices=8)
    assert (found.collectives, found.collective_bytes) == (1, 4096 * 4)


@pytest.mark.parametrize("field", ["gathers", "loops"])
def test_gathers_and_loops(field: str) -> None:
    functions = {
        "gathers": lambda x: x[jnp.argmax(x, axis=1)],
        "loops": lambda x: jax.lax.scan(lambda c, row: (jnp.sin(c @ c) + row[None], None), x, x[:7])[0],
    }
    found = counts(functions[field], (64, 64))
    assert getattr(found, field) == 1
    if field == "loops":
        assert found.flops == 7 * 2 * 64**3
