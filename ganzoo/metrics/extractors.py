"""Feature extractors: functions from images to vectors, with the facts that a result must state about the features.

Only features of the Inception network with its published weights yield an FID. The other extractors are small, need no
file and are named in every result: their distances compare runs with each other, never with a paper.
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
"""Images in 0..255 with any number of channels; whole numbers, except for path lengths."""
INCEPTION = "inception"


@dataclass(frozen=True)
class Extractor:
    """Function from images to features, with its weights.

    Example::

        means = Extractor("mean-colour", lambda weights, images: images.mean((1, 2)))
    """

    name: str
    """Name of the extractor in results; metrics of "inception" have the names of the literature."""
    function: Callable[[PyTree, Pixels], Float[Array, "n d"]]
    """Pure function ``function(weights, images [n, h, w, c]) -> features [n, d]`` that treats each image separately."""
    weights: PyTree = ()
    classifier: np.ndarray | None = None
    """[d, k]: matrix from features to the class scores of the Inception score; None without classes."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Other facts that determine the features (resize, hash of the weights), for results and for the cache."""
    compiler_options: Mapping[str, Any] = field(default_factory=dict)
    """Options with which the compiler makes the function faster; they change the features by rounding alone."""

    @property
    def facts(self) -> dict[str, str]:
        """All that determines the features, as JSON types."""
        return {"name": self.name, **self.about}

    def length(self, image_shape: tuple[int, int, int]) -> int:
        """Return d, the number of features of an image [H, W, C], without computing any; raises as ``function``."""
        image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        return jax.eval_shape(self.function, self.weights, image).shape[1]


def inception_extractor(params: Mapping[str, Any], resize: Resize = "tensorflow", sha256: str = "") -> Extractor:
    """Return the extractor of the 2048 features of FID.

    Args:
      params: parameters, as returned by ``inception.parameters``.
      resize: rule for resizing images to 299x299, which also selects their scaling: (x - 128) / 128, as in the
        TensorFlow graph and clean-fid, or for "pytorch" x / 127.5 - 1, as in pytorch-fid.
      sha256: SHA-256 of the file of the weights.
    """
    network = inception.Inception()

    def features(weights: PyTree, images: Pixels) -> Float[Array, "n d"]:
        with jax.default_matmul_precision("highest"):  # TF32 changes the third digit
            return network.apply({"params": weights}, inception_input(images, resize))[0]

    # the scores have no bias, as in the Inception score of NVlabs and torch-fidelity
    classifier = np.asarray(params["fc"]["kernel"])
    about = {"resize": resize, "sha256": sha256}
    return Extractor(INCEPTION, features, params, classifier, about, inception.compiler_options())


def inception_input(images: Pixels, resize: Resize) -> Float[Array, "n 299 299 3"]:
    """Convert images [N, H, W, C] in 0..255 to the input of the Inception network, [N, 299, 299, 3]."""
    images = resized(rgb(images), inception.IMAGE_SIZE, resize)
    return images / 127.5 - 1 if resize == "pytorch" else (images - 128) / 128


# Small extractors ---------------------------------------------------------------------------------------------------

THUMBNAIL = (8, 8)


def pixels() -> Extractor:
    """Return the extractor of the 192 values in [-1, 1] of the image at 8x8 pixels: layout and palette, no detail."""

    def features(weights: PyTree, images: Pixels) -> Float[Array, "n d"]:
        del weights
        small = filtered(rgb(images), THUMBNAIL, "box") / 127.5 - 1
        return small.reshape(len(small), -1)

    return Extractor("pixels", features)


CONV_SIZE, CONV_WIDTHS = (32, 32), (16, 32, 64)


def random_conv() -> Extractor:
    """Return the extractor of 224 channel means and deviations of three random convolutions at 32x32 pixels.

    Random features distinguish distributions by texture and colour, though not as people do (Naeem et al. 2020,
    arXiv:2002.09797, section 3.2). A generator with a frozen bit stream makes the weights equal on every machine.
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
"""Extractors that need no file, by name."""
