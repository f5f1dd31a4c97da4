"""DiffAugment: its published distributions, and what each transform does, written out in NumPy."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import assert_near, draw, run

from ganzoo.augment import diffaugment
from ganzoo.augment.diffaugment import Policy, Transforms
from ganzoo.errors import UserError

NOTHING = Transforms()
MANY = 2000


@pytest.fixture(scope="module")
def many() -> Transforms:
    return jax.device_get(run(lambda: diffaugment.draw(jax.random.key(0), Policy(), (MANY, 16, 20, 3))))


def test_ranges_are_the_published_ones(many: Transforms) -> None:
    for values, low, high in ((many.brightness, -0.5, 0.5), (many.saturation, 0, 2), (many.contrast, 0.5, 1.5)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))


def test_whole_numbers_are_uniform(many: Transforms) -> None:
    """Shifts up to an eighth, rounded: 2 of 16 and 3 of 20; rectangles of half the size, partly outside too."""
    for axis, shift in enumerate((2, 3)):
        values, counts = np.unique(many.translation[:, axis], return_counts=True)
        np.testing.assert_array_equal(values, np.arange(-shift, shift + 1))
        assert np.all(np.abs(counts - MANY / len(values)) < 5 * (MANY / len(values)) ** 0.5)
    for axis, (side, size) in enumerate(((8, 16), (10, 20))):
        first, end = many.cutout[:, 2 * axis], many.cutout[:, 2 * axis + 1]
        np.testing.assert_array_equal(end - first, side)
        values, counts = np.unique(first, return_counts=True)
        np.testing.assert_array_equal(values, np.arange(-side // 2, size - side // 2 + 1))
        assert np.all(np.abs(counts - MANY / len(values)) < 5 * (MANY / len(values)) ** 0.5)


def test_an_odd_rectangle_is_centred_on_a_pixel() -> None:
    made = jax.device_get(diffaugment.draw(jax.random.key(0), Policy(), (500, 9, 9, 1)))
    assert set(made.cutout[:, 1] - made.cutout[:, 0]) == {5}
    assert set(made.cutout[:, 0]) == set(range(-2, 7))


def by_hand(image: np.ndarray, made: dict[str, Any]) -> np.ndarray:
    """One image [H, W, C], as the paper's code has it."""
    x = image.copy()
    colours = x[..., :3] if x.shape[2] >= 3 else x[..., :1]
    colours += made["brightness"]
    grey = colours.mean(axis=2, keepdims=True)
    colours[:] = (colours - grey) * made["saturation"] + grey
    colours[:] = (colours - colours.mean()) * made["contrast"] + colours.mean()
    (down, right), (height, width) = made["translation"], image.shape[:2]
    y = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            if 0 <= i - down < height and 0 <= j - right < width:
                y[i, j] = x[i - down, j - right]
    top, bottom, left, end = np.maximum(made["cutout"], 0)
    y[top:bottom, left:end] = 0
    return y


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_they_do(channels: int) -> None:
    images, key = draw(0, 5, 9, 12, channels), jax.random.key(1)

    def augmented(images: jax.Array) -> tuple[jax.Array, Transforms]:
        made = diffaugment.draw(key, Policy(translation=0.4), images.shape)
        return diffaugment.apply(images, made), made

    ours, made = run(augmented, images)
    for i, image in enumerate(images):
        theirs = by_hand(image, {name: np.asarray(value)[i] for name, value in vars(made).items()})
        np.testing.assert_allclose(ours[i], theirs, atol=1e-5)


def test_parts_of_the_policy_and_none_of_it() -> None:
    images = draw(0, 2, 6, 6, 3)
    made = diffaugment.draw(jax.random.key(0), Policy(brightness=0, saturation=0, contrast=0), images.shape)
    assert [name for name, value in vars(made).items() if value is not None] == ["translation", "cutout"]
    np.testing.assert_array_equal(diffaugment.apply(images, NOTHING), images)
    with pytest.raises(UserError, match=r"cutout = -0.5: must be 0 or more"):
        Policy(cutout=-0.5)


def test_the_second_derivative_is_that_of_the_matrix_which_it_is(doubles: None) -> None:
    images = jnp.asarray(draw(0, 2, 5, 6, 3))
    apply = partial(diffaugment.apply, transforms=diffaugment.draw(jax.random.key(3), Policy(), images.shape))

    def penalty(f: Any, x: jax.Array) -> jax.Array:
        cubes = jax.grad(lambda x: jnp.sum(f(x) ** 3))
        return jax.grad(lambda x: jnp.sum(cubes(x) ** 2))(x)

    def both(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        nothing = jnp.zeros_like(images)
        matrix = jax.jacobian(apply)(nothing)
        return penalty(apply, images), penalty(lambda x: jnp.tensordot(matrix, x, 4) + apply(nothing), images)

    assert_near(*run(both, images), relative=1e-12)
