"""FLOPs against hand counts, memory against what a program holds, and the remedy where it does not fit."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import ganzoo
from ganzoo.ops.conv import conv, conv_transpose
from ganzoo.training.parallel import data_mesh
from ganzoo.training.report import Memory, flops, program_report


def count(function, *args):
    """The FLOPs of a function of these arguments."""
    return flops(jax.make_jaxpr(function)(*args))


X, K = jnp.ones((2, 8, 8, 3)), jnp.ones((4, 4, 3, 5))


def test_products_and_convolutions_count_two_for_every_pair() -> None:
    assert count(lambda a, b: a @ b, jnp.ones((3, 4)), jnp.ones((4, 5))).least == 2 * 3 * 4 * 5
    forward = count(lambda x, k: conv(x, k, stride=2, padding=(1, 1)), X, K)
    assert forward.least == forward.most == 2 * (2 * 4 * 4) * (4 * 4 * 3) * 5
    back = count(lambda y, k: conv_transpose(y, k, stride=2, padding=(1, 1), size=(8, 8)), jnp.ones((2, 4, 4, 5)), K)
    assert back.least == forward.least


def test_a_scan_counts_every_turn_and_a_branch_counts_its_least_and_most() -> None:
    a = jnp.ones((4, 4))
    product = 2 * 4**3
    assert count(lambda a: lax.scan(lambda c, _: (c @ a, None), a, None, length=7)[0], a).least == 7 * product
    either = count(lambda p, a: lax.cond(p, lambda: a @ a, lambda: a), True, a)
    assert (either.least, either.most) == (0, product)


def test_what_no_result_needs_does_not_count() -> None:
    a = jnp.ones((4, 4))

    assert count(lambda a: jax.vjp(jnp.matmul, a, a)[1](a)[0], a).most == 2 * 4**3  # of a product and two gradients


def test_the_lazy_phases_are_reported_apart() -> None:
    gan = ganzoo.create("stylegan2", "tiny")
    state = jax.eval_shape(gan.init, jax.random.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, *gan.image_shape), jnp.uint8)}
    cost = count(gan.step, state, batch, jax.random.key(0))
    assert 0 < cost.least < cost.most
    assert "an image; " in cost.line(8)
    assert "with the lazy phases" in cost.line(8)


def test_the_largest_micro_batch_that_fits() -> None:
    memory = Memory(fixed=20, working=160, limit=100)
    assert not memory.fits
    assert memory.largest_micro_batch(32, 1) == 8  # 20 + 160 * 8 / 32 = 60; 16 would need 100
    assert memory.largest_micro_batch(32, 16) is None
    assert Memory(fixed=200, working=160, limit=100).largest_micro_batch(32, 1) is None
    assert Memory(20, 60, None).fits


def test_a_program_that_does_not_fit_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    gan, mesh = ganzoo.create("stylegan2", "tiny"), data_mesh(1)
    program = jax.jit(lambda x: jnp.sum(jnp.sin(x[:, None] * x[None]) @ x))
    monkeypatch.setattr("ganzoo.training.report.memory_limit", lambda device: 3_000_000)
    lines = program_report(program, (jnp.ones(1000),), gan.config, 64, mesh, steps=2)
    assert lines[0] == f"a step: {2 * 1000 * 1000 / 128 / 1e6:.3g} MFLOPs an image"
    assert "compiled in" in lines[1]
    assert "of 3.0 MB" in lines[1]
    assert "--micro-batch" in lines[2]
