"""Dragging: the two equations against loops, a handle that arrives, and what is refused."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.latent import dragging
from ganzoo.latent.dragging import DragConfig, drag
from ganzoo.latent.sampler import Sampler

DIGITS16 = Path(__file__).parents[2] / "notebooks" / "digits16.safetensors"
SIZE = (12, 16)
"""Of an image whose feature maps are half as large."""
CONFIG = DragConfig(motion_radius=1.5, tracking_radius=2.5)
HANDLES, TARGETS = np.float32([[4, 5], [11, 9], [0, 0]]), np.float32([[10, 5], [8, 5], [0, 0]])
USED = np.array([True, True, False])


def maps(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(6, 8, 3)).astype(np.float32)


def looked_up(features: np.ndarray, x: float, y: float) -> np.ndarray:
    """Features at a point of an image of twice their size: pixel i of the image is at (i + 0.5) / 2 - 0.5."""
    height, width, _ = features.shape
    x, y = np.clip((x + 0.5) / 2 - 0.5, 0, width - 1), np.clip((y + 0.5) / 2 - 0.5, 0, height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = (left + 1 - x) * features[top, left] + (x - left) * features[top, right]
    lower = (left + 1 - x) * features[bottom, left] + (x - left) * features[bottom, right]
    return (top + 1 - y) * upper + (y - top) * lower


def test_motion_supervision_is_the_equation_of_the_paper() -> None:
    """And its gradient that of features at q + d alone, by differences: those at q are constants."""

    def by_loops(moved: np.ndarray, known: np.ndarray) -> float:
        total = 0.0
        for (x, y), target, used in zip(HANDLES, TARGETS, USED, strict=True):
            way = target - (x, y)
            dx, dy = way / np.linalg.norm(way) if way.any() else way
            near = [(i, j) for i in range(-3, 4) for j in range(-3, 4) if i * i + j * j < 1.5**2]
            apart = [looked_up(known, x + i, y + j) - looked_up(moved, x + i + dx, y + j + dy) for i, j in near]
            total += used * np.abs(apart).mean()
        return total

    def loss(features: jax.Array) -> jax.Array:
        return dragging.motion_loss(
            features, handles=jnp.asarray(HANDLES), targets=jnp.asarray(TARGETS), used=jnp.asarray(USED),
            config=CONFIG, size=SIZE,
        )  # fmt: skip

    features, way = maps(0), maps(1)
    value, gradient = jax.jit(jax.value_and_grad(loss))(features)
    np.testing.assert_allclose(value, by_loops(features, features), rtol=1e-5)
    exact, step = features.astype(np.float64), 1e-6 * way.astype(np.float64)
    slope = (by_loops(exact + step, exact) - by_loops(exact - step, exact)) / 2e-6
    np.testing.assert_allclose(np.sum(np.asarray(gradient) * way), slope, rtol=1e-4)


def test_handles_are_tracked_by_the_equation_of_the_paper() -> None:
    """Nearest neighbours in the feature maps, pixel by pixel in a square that ends at the border of the image."""
    features, marks = maps(2), np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    expected = []
    for (x, y), mark in zip(HANDLES, marks, strict=True):
        around = [(x + i, y + j) for i in range(-2, 3) for j in range(-2, 3)]
        inside = [(a, b) for a, b in around if 0 <= a < SIZE[1] and 0 <= b < SIZE[0]]
        expected.append(min(inside, key=lambda at: np.abs(looked_up(features, *at) - mark).sum()))
    found = dragging.track(jnp.asarray(features), jnp.asarray(marks), jnp.asarray(HANDLES), CONFIG, SIZE)
    np.testing.assert_array_equal(found, expected)
    flat = jnp.zeros((6, 8, 3))
    stay = dragging.track(flat, jnp.asarray(marks), jnp.asarray(HANDLES), CONFIG, SIZE)
    np.testing.assert_array_equal(stay, HANDLES)


def test_what_is_masked_counts_by_its_share() -> None:
    mask = np.zeros((6, 8), np.float32)
    mask[:, :4] = 1
    lost = dragging.mask_loss(jnp.asarray(maps(0)), jnp.asarray(maps(1)), jnp.asarray(mask))
    np.testing.assert_allclose(lost, np.abs(maps(0) - maps(1))[:, 4:].mean() / 2, rtol=1e-5)


def test_levels_and_radii_of_the_paper() -> None:
    """The 6th block from 256 pixels on; half of the size below; radii as published at 512 pixels."""
    sizes = tuple((4 * 2**i, 4 * 2**i) for i in range(9))
    for size, level in ((16, 1), (64, 3), (256, 5), (512, 5), (1024, 5)):
        known = tuple(each for each in sizes if each[0] <= size)
        assert dragging.feature_level(known, (size, size)) == level
    space = dataclasses.replace(ganzoo.create("stylegan2", "tiny").styles, feature_sizes=sizes, count=18)
    filled = DragConfig().filled(space, (512, 512))
    assert (filled.level, filled.motion_radius, filled.tracking_radius) == (5, 3, 12)
    assert len(dragging.disk(3)) == 25
    assert len(dragging.square(12)) == 23**2


def test_a_handle_arrives_at_its_target() -> None:
    """On the digits of the notebooks: the upper end of a seven."""
    sampler = Sampler(*ganzoo.load(DIGITS16))
    ws = sampler.styles(sampler.latents([3]), sampler.labels(1, 7))
    config = DragConfig(steps=100, learning_rate=1e-2)
    handles, targets = [(8, 3)], [(11, 3)]
    moments = list(drag(sampler, ws, handles, targets, config))
    first, last = moments[0], moments[-1]
    assert first.step == 0
    np.testing.assert_array_equal(first.handles, handles)
    np.testing.assert_allclose(first.image, sampler.synthesise(ws)[0], atol=1e-5)
    np.testing.assert_allclose(last.image, sampler.synthesise(last.ws)[0], atol=1e-5)
    assert last.is_done
    assert last.distances.max() < 2 < first.distances.min()


def test_dragging_what_does_not_fit() -> None:
    """All at once, before the first step."""
    gan = ganzoo.create("stylegan2", "tiny")
    sampler, ws = Sampler(gan, drawn_state(gan)), np.zeros((1, gan.styles.count, 8), np.float32)
    for handles, targets, message in (
        ([(1, 2)], [(1, 2), (3, 4)], "targets = 2: must be as many as the handles, 1"),
        ([(1, 8)], [(1, 2)], "handles = "),
        ([(1, float("nan"))], [(1, 2)], "handles = "),
        ([], [], "handles = "),
        (17 * [(1, 2)], 17 * [(1, 2)], "be 1 to 16 points"),
    ):
        with pytest.raises(UserError, match=message):
            drag(sampler, ws, handles, targets)
    with pytest.raises(UserError, match="ws = "):
        drag(sampler, ws[:, 1:], [(1, 2)], [(3, 4)])
    with pytest.raises(UserError, match="mask = "):
        drag(sampler, ws, [(1, 2)], [(3, 4)], mask=np.ones((4, 4), bool))
    with pytest.raises(UserError, match="noise = "):
        drag(sampler, ws, [(1, 2)], [(3, 4)], noise={"b4": np.zeros((1, 4, 4), np.float32)})
    with pytest.raises(UserError, match="layers = 9"):
        drag(sampler, ws, [(1, 2)], [(3, 4)], DragConfig(layers=9))
    with pytest.raises(UserError, match="level = 7"):
        drag(sampler, ws, [(1, 2)], [(3, 4)], DragConfig(level=7))
    without = dataclasses.replace(gan, styles=dataclasses.replace(gan.styles, feature_sizes=()))
    with pytest.raises(UserError, match="dragging: stylegan2 gives no feature maps"):
        drag(Sampler(without, sampler.state), ws, [(1, 2)], [(3, 4)])
    plain = ganzoo.create("dcgan", "tiny")
    with pytest.raises(UserError, match="dragging: dcgan has no styles"):
        drag(Sampler(plain, None), ws, [(1, 2)], [(3, 4)])
