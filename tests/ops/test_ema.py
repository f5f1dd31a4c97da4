"""The half-life is what its name says, whatever the batch size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.ops import ema

SEEN = jnp.uint32(1_000_000)


def share_left(images: int, batch_size: int, half_life: float) -> float:
    """What of the old average is left after so many images, all newest values being 0."""
    decay = ema.decay(half_life, batch_size, SEEN)
    average = {"w": jnp.ones(3)}
    for _ in range(images // batch_size):
        average = ema.update(average, {"w": jnp.zeros(3)}, decay)
    return float(average["w"][0])


@pytest.mark.parametrize("batch_size", [8, 50, 200, 400])
def test_after_a_half_life_the_old_counts_half_for_any_batch_size(batch_size) -> None:
    assert share_left(400, batch_size, half_life=400) == pytest.approx(0.5, rel=1e-5)
    assert share_left(1200, batch_size, half_life=400) == pytest.approx(0.125, rel=1e-5)


def test_a_batch_of_one_half_life_halves_exactly() -> None:
    assert float(ema.decay(10_000, 10_000, SEEN)) == 0.5
    assert float(ema.decay(10_000, 20_000, SEEN)) == 0.25


def test_a_half_life_of_0_is_exactly_the_newest() -> None:
    decay = ema.decay(0, 16, SEEN)
    newest = jnp.asarray([0.1, -3e20, 7e-20])
    assert float(decay) == 0
    np.testing.assert_array_equal(ema.update(jnp.asarray([1e-3, 1e20, -5.0]), newest, decay), newest)


def test_a_constant_is_its_own_average() -> None:
    same = {"w": jnp.asarray([0.1, 0.7]), "b": jnp.asarray(3.0)}
    for decay in (0.0, 0.3, 0.999):
        jax.tree.map(np.testing.assert_array_equal, ema.update(same, same, jnp.float32(decay)), same)


def test_the_ramp_shortens_the_half_life_while_few_images_are_seen() -> None:
    def half_life(images: int) -> float:
        return -64 / np.log2(float(ema.decay(10_000, 64, jnp.uint32(images), ramp=0.05)))

    assert half_life(40_000) == pytest.approx(0.05 * 40_000, rel=1e-3)
    assert half_life(100_000) == pytest.approx(0.05 * 100_000, rel=1e-3)
    assert half_life(200_000) == pytest.approx(10_000, rel=1e-3)
    assert half_life(4_000_000_000) == pytest.approx(10_000, rel=1e-3)
    assert float(ema.decay(10_000, 64, jnp.uint32(0), ramp=0.05)) == 0  # nothing seen: nothing old to keep


def test_leaves_keep_their_types() -> None:
    tree = {"high": jnp.ones(2), "low": jnp.ones(2, jnp.bfloat16)}
    updated = ema.update(tree, tree, jnp.float32(0.5))
    assert {name: leaf.dtype for name, leaf in updated.items()} == {"high": jnp.float32, "low": jnp.bfloat16}
