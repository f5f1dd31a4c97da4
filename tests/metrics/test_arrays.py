"""Metrics of two arrays are those of the engine, and need what they say."""

import jax
import numpy as np
import pytest

import ganzoo
from ganzoo.errors import UserError
from ganzoo.metrics import Extractor, arrays, inception
from ganzoo.metrics.kernel import kernel_distance
from ganzoo.metrics.neighbours import manifolds
from ganzoo.metrics.resize import filtered
from ganzoo.metrics.statistics import Statistics, frechet_distance

SMALL = Extractor("small", lambda weights, images: filtered(images, (2, 2), "box").reshape(len(images), -1) / 255)
RANDOM = np.random.default_rng(0)
REAL = RANDOM.integers(0, 256, (40, 12, 10, 3), np.uint8)
FAKE = RANDOM.normal(0.2, 0.3, (30, 12, 10, 3)).clip(-1, 1)


@pytest.fixture(scope="module")
def features():
    return [arrays._features(images, SMALL, 64) for images in (REAL, FAKE)]


def test_frechet(features) -> None:
    expected = frechet_distance(*map(Statistics.of, features))
    np.testing.assert_allclose(ganzoo.metrics.frechet(REAL, FAKE, SMALL), expected, rtol=1e-6)
    np.testing.assert_allclose(ganzoo.metrics.frechet(REAL, FAKE, SMALL, batch_size=7), expected, rtol=1e-6)
    with pytest.warns(UserWarning, match="uncertain"):
        assert ganzoo.metrics.frechet(REAL, REAL) < 1e-6 < ganzoo.metrics.frechet(REAL, FAKE, "random-conv")


def test_precision_recall(features) -> None:
    (expected,) = manifolds(*features, (3,))
    assert ganzoo.metrics.precision_recall(REAL, FAKE, SMALL) == (expected.precision, expected.recall)
    assert ganzoo.metrics.precision_recall(REAL, REAL, "pixels") == (1.0, 1.0)


def test_of_inception_features(features) -> None:
    """By a small network in the place of Inception, with classes."""
    classifier = RANDOM.normal(size=(12, 5)).astype(np.float32)
    small = Extractor("inception", SMALL.function, classifier=classifier)
    found = ganzoo.metrics.fid(REAL, FAKE, weights=small)
    np.testing.assert_allclose(found, ganzoo.metrics.frechet(REAL, FAKE, SMALL), rtol=1e-6)
    expected = kernel_distance(*features, jax.random.key(3))[0]
    np.testing.assert_allclose(ganzoo.metrics.kid(REAL, FAKE, seed=3, weights=small), expected, rtol=1e-6)
    assert 1 <= ganzoo.metrics.inception_score(FAKE, weights=small) <= 5
    with pytest.raises(UserError, match="weights = 'small': must be a file, or the extractor of Inception features"):
        ganzoo.metrics.fid(REAL, FAKE, weights=SMALL)


def test_a_file_of_weights(tmp_path, random_inception) -> None:
    """The file is found, and read once for all calls."""
    path = tmp_path / "weights.safetensors"
    ganzoo.interop.write_arrays(path, random_inception)
    first, again = (arrays.inception_of(path, "clean") for _ in range(2))
    assert first is again
    assert first.about["resize"] == "clean"
    assert len(first.about["sha256"]) == 64
    jax.tree.map(np.testing.assert_array_equal, first.weights, inception.parameters(random_inception))


KINDS = {"texts": "U8", "complex numbers": np.complex64, "truth values": np.bool_}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_are_no_weights(kind, random_inception) -> None:
    tensors = random_inception | {"fc.bias": random_inception["fc.bias"].astype(KINDS[kind])}
    with pytest.raises(UserError, match=r"fc\.bias is of type \S+; weights must be real numbers"):
        inception.parameters(tensors)


def test_weights_that_are_not_finite(random_inception) -> None:
    tensors = random_inception | {"fc.bias": random_inception["fc.bias"] + np.nan}
    with pytest.raises(UserError, match=r"fc\.bias has values that are not finite; the file is damaged"):
        inception.parameters(tensors)


def test_too_few_images() -> None:
    with pytest.raises(UserError, match="inception_score needs at least 20 generated images, not 19; take more"):
        ganzoo.metrics.inception_score(FAKE[:19])
    with pytest.raises(UserError, match="precision_recall needs at least 4 real images, not 3; take more"):
        ganzoo.metrics.precision_recall(REAL[:3], FAKE, SMALL)
    with pytest.raises(UserError, match="kid needs at least 2 real images, not 1; take more"):
        ganzoo.metrics.kid(REAL[:1], FAKE)


def test_fewer_images_than_features() -> None:
    with pytest.warns(UserWarning, match=r"random-conv/frechet of 40 real images is far too uncertain .* 224 images"):
        ganzoo.metrics.frechet(REAL, RANDOM.integers(0, 256, (225, 8, 8, 3), np.uint8))


@pytest.fixture(scope="module")
def random_inception():
    """Random weights by the names of the PyTorch file."""
    image = jax.ShapeDtypeStruct((1, *inception.IMAGE_SIZE, 3), np.float32)
    shapes = jax.eval_shape(inception.Inception().init, jax.random.key(0), image)["params"]
    random, tensors = np.random.default_rng(1), {}

    def add(name, kernel) -> None:
        fan_in = kernel[0] * kernel[1] * kernel[2]
        shape = (kernel[3], kernel[2], kernel[0], kernel[1])
        tensors[f"{name}.conv.weight"] = random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        for part, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            tensors[f"{name}.bn.{part}"] = np.full(kernel[3], value, np.float32)

    def walk(tree, path) -> None:
        if "kernel" not in tree:
            for name, sub in tree.items():
                walk(sub, (*path, name))
        elif path == ("fc",):
            tensors["fc.weight"] = random.normal(size=tree["kernel"].shape[::-1]).astype(np.float32)
            tensors["fc.bias"] = np.zeros(tree["bias"].shape, np.float32)
        elif path[-1] == "heads":
            for head, width in zip(inception.HEADS[path[0]], _widths(path[0], tree["kernel"].shape[-1]), strict=True):
                add(f"{path[0]}.{head}", (*tree["kernel"].shape[:3], width))
        else:
            add(".".join(path), tree["kernel"].shape)

    walk(shapes, ())
    return tensors


def _widths(block, total):
    """Any split will do: the heads are put together again."""
    count = len(inception.HEADS[block])
    return [total - (count - 1) * (total // count), *[total // count] * (count - 1)]


@pytest.mark.parametrize("images", [REAL[0], REAL[:1], REAL.astype(np.int32)])
def test_arrays_that_hold_no_images(images) -> None:
    with pytest.raises(UserError, match=r"must be two or more \[N, H, W, C\], uint8 or float in \[-1, 1\]"):
        arrays._feature_set.__wrapped__(images, SMALL, 64, keep=False)


def test_fid_without_weights() -> None:
    with pytest.raises(UserError, match="Inception features need weights; get https://"):
        ganzoo.metrics.fid(REAL, FAKE)
    with pytest.raises(UserError, match="unknown extractor 'pixel'; did you mean 'pixels'"):
        ganzoo.metrics.frechet(REAL, FAKE, "pixel")
