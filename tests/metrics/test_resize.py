"""What the network is shown, against the pixels of pytorch-fid, clean-fid and the TensorFlow graph; any channels."""

import golden_cases as golden
import jax.numpy as jnp
import numpy as np
import pytest

from ganzoo.metrics.extractors import inception_input
from ganzoo.metrics.preprocessing import quantize, rgb
from ganzoo.metrics.resize import filtered, resized
from ganzoo.ops.pixels import to_uint8

RECORD = golden.case("metrics/preprocessing")
SIZE = (299, 299)
NAMES = {"tensorflow": "tf1_bilinear", "clean": "clean_fid_resized", "pytorch": "pytorch_fid"}


def parts(image: np.ndarray) -> dict[str, np.ndarray]:
    """Of [299, 299, 3] what was recorded of it, [3, ...]."""
    x = image.transpose(2, 0, 1)
    return {
        "grid11": x[:, ::11, ::11],
        "corner_tl8": x[:, :8, :8],
        "corner_br8": x[:, -8:, -8:],
        "center_crop24": x[:, 137:161, 137:161],
    }


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("resize", NAMES)
def test_recorded_pixels(number, resize) -> None:
    image = jnp.asarray(RECORD[f"in/img{number}_uint8_hwc"], jnp.float32)[None]
    if resize == "pytorch":
        ours, tolerance = inception_input(image, resize), 1e-5
    else:
        ours, tolerance = resized(image, SIZE, resize), 1e-3
    for name, part in parts(np.asarray(ours[0])).items():
        theirs = RECORD[f"out/img{number}/{NAMES[resize]}/{name}"]
        np.testing.assert_allclose(part, theirs, rtol=0, atol=tolerance, err_msg=name)
    statistics = RECORD[f"out/img{number}/{NAMES[resize]}/mean_std_absmean_per_channel"]
    flat = np.asarray(ours[0], np.float64).reshape(-1, 3)
    np.testing.assert_allclose([flat.mean(0), flat.std(0), np.abs(flat).mean(0)], statistics, atol=tolerance)


@pytest.mark.parametrize("name", ["box", "bilinear", "bicubic", "lanczos"])
def test_filters_of_pillow(name) -> None:
    ours = filtered(jnp.asarray(RECORD["in/img1_uint8_hwc"], jnp.float32)[None], (36, 40), name)[0]
    np.testing.assert_allclose(ours, RECORD[f"out/img1/clean_fid_PIL_{name}_to_40x36"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("resize", NAMES)
def test_flat_images_stay_flat(resize) -> None:
    image = jnp.full((1, 20, 401, 3), 77.0)
    np.testing.assert_allclose(resized(image, SIZE, resize), 77, atol=1e-4)


# Channels ---------------------------------------------------------------------------------------------------------


def pixel(*values: float) -> jnp.ndarray:
    return jnp.asarray(values, jnp.float32).reshape(1, 1, 1, -1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((50,), (50, 50, 50)),
        ((50, 255), (50, 50, 50)),
        ((50, 0), (255, 255, 255)),
        ((1, 2, 3), (1, 2, 3)),
        ((10, 20, 30, 255), (10, 20, 30)),
        ((10, 20, 30, 51), (206, 208, 210)),
        ((1, 2, 3, 4, 5), (1, 2, 3)),
    ],
)
def test_any_channels_become_three(values, expected) -> None:
    np.testing.assert_allclose(rgb(pixel(*values)).ravel(), expected, atol=1e-4)


def test_generated_images_are_rounded_as_they_are_stored() -> None:
    images = golden.draw(0, 2, 5, 5, 3).astype(np.float32)
    np.testing.assert_array_equal(quantize(images), to_uint8(images))
    whole = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(quantize(whole), whole)
