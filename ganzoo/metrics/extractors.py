"""Feature extractors: functions from images to vectors, with what a result has to say of them.

Only the features of the Inception network, with its published weights, make an FID. The others are small, need no file
and are named in every result: distances between them compare runs with each other, never with a paper.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ganzoo.metrics import inception
from ganzoo.metrics.preprocessing import rgb
from ganzoo.metrics.resize import Resize, filtered, resized
from ganzoo.typing import PyTree

Pixels: TypeAlias = Float[Array, "n h w c"]
"""Images in 0..255 with any number of channels; whole numbers but for path lengths."""
INCEPTION = "inception"


@dataclass(frozen=True)
class Extractor:
    """A function images -> features.

    Example::

        means = Extractor("mean-colour", lambda weights, images: images.mean((1, 2)))
    """

    name: str
    """As results name it; metrics of "inception" have the names of the literature."""
    function: Callable[[PyTree, Pixels], Float[Array, "n d"]]
    """``function(weights, images) -> features``; pure, each image for itself."""
    weights: PyTree = ()
    classifier: np.ndarray | None = None
    """[d, k]: features times this are the class scores of the Inception score; None where there are no classes."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What else decides on the features (resize, hash of the weights), for results and for the cache."""


def inception_extractor(params: Mapping[str, Any], resize: Resize = "tensorflow", sha256: str = "") -> Extractor:
    """The 2048 features of FID.

    Args:
      params: as ``inception.parameters`` makes them.
      resize: how images are brought to 299x299, and how they are scaled: by (x - 128) / 128, as in the TensorFlow
        graph and clean-fid, or for "pytorch" by x / 127.5 - 1, as in pytorch-fid.
      sha256: of the file of the weights.
    """
    network = inception.Inception()

    def features(weights: PyTree, images: Pixels) -> Float[Array, "n d"]:
        with jax.default_matmul_precision("highest"):  # TF32 changes the third digit
            return network.apply({"params": weights}, inception_input(images, resize))[0]

    # the scores have no bias, as in the Inception score of NVlabs and torch-fidelity
    classifier = np.asarray(params["fc"]["kernel"])
    return Extractor(INCEPTION, features, params, classifier, {"resize": resize, "sha256": sha256})


def inception_input(images: Pixels, resize: Resize) -> Float[Array, "n 299 299 3"]:
    """What the network sees of images in 0..255."""
    images = resized(rgb(images), inception.IMAGE_SIZE, resize)
    return images / 127.5 - 1 if resize == "pytorch" else (images - 128) / 128


# Small ones ---------------------------------------------------------------------------------------------------------

THUMBNAIL = (8, 8)


def pixels() -> Extractor:
    """The 192 colours of the image at 8x8 pixels, in [-1, 1]: layout and palette, nothing finer."""

    def features(weights: PyTree, images: Pixels) -> Float[Array, "n d"]:
        del weights
        small = filtered(rgb(images), THUMBNAIL, "box") / 127.5 - 1
        return small.reshape(len(small), -1)

    return Extractor("pixels", features)


CONV_SIZE, CONV_WIDTHS = (32, 32), (16, 32, 64)


def random_conv() -> Extractor:
    """224 means and deviations of what three random convolutions see at 32x32 pixels: texture as well as colour.

    Random features tell distributions apart, if not as people do (Naeem et al. 2020, arXiv:2002.09797, section 3.2).
    The weights are the same on every machine: those of a frozen generator.
    """
    random, channels, kernels = np.random.RandomState(0), 3, []
    for width in CONV_WIDTHS:
        kernels.append((random.normal(size=(3, 3, channels, width)) * np.sqrt(2 / (9 * channels))).astype(np.float32))
        channels = width

    def features(weights: PyTree, images: Pixels) -> Float[Array, "n d"]:
        x, found = filtered(rgb(images), CONV_SIZE, "bilinear") / 127.5 - 1, []
        for stride, kernel in zip((1, 2, 2), weights, strict=True):
            x = jax.lax.conv_general_dilated(
                x,
                kernel,
                (stride, stride),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                precision=jax.lax.Precision.HIGHEST,
            )
            x = jax.nn.relu(x)
            mean = x.mean((1, 2))
            deviation = jnp.sqrt(jnp.square(x - jnp.expand_dims(mean, (1, 2))).mean((1, 2)) + 1e-8)
            found += [mean, deviation]
        return jnp.concatenate(found, axis=-1)

    return Extractor("random-conv", features, tuple(kernels))


OFFLINE: Mapping[str, Callable[[], Extractor]] = {"random-conv": random_conv, "pixels": pixels}
"""Those that need no file, by name."""
