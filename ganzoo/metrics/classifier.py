"""A small classifier of grey images, by which modes of stacked images are counted: one channel, one class.

The classifier of the embedded digits ships with the package (`digit_classifier`, trained by
``experiments/train_digit_classifier.py``); for other sets, `fit` trains one on their images and classes.
"""

import io
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.resize import filtered
from ganzoo.ops.conv import conv
from ganzoo.typing import AnyArray, Key, PyTree

Params = PyTree
"""Kernels and biases of two convolutions and two dense layers: a dict of arrays by name."""

SIZE = 16
"""Height and width in pixels at which images are classified."""
WIDTHS, HIDDEN = (16, 32), 64
"""Channels of the two convolutions, and units of the hidden layer."""
HELD_OUT = 5
"""One image of so many is held out of training, to measure the accuracy."""
BATCH, STEPS, LEARNING_RATE = 128, 1500, 2e-3
SHIFT, NOISE = 2, 0.1
"""Largest random shift in pixels, and deviation of the noise on a scale of 0 to 1, in training."""
RECIPE = (SIZE, WIDTHS, HIDDEN, HELD_OUT, BATCH, LEARNING_RATE, SHIFT, NOISE)
"""All that decides on a classifier besides the images, their classes, the seed and the steps."""
_FILE = "digit_classifier.npz"


@dataclass(frozen=True, eq=False)
class Classifier:
    """Classifier of grey images, applied to each channel of stacked ones."""

    name: str
    """The set whose classes it knows."""
    params: Params
    accuracy: float
    """Share of the held-out images that it classifies rightly, 0 to 1."""
    held_out: int
    """Number of images that it was not trained on."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.params["dense1.bias"].shape[0]

    @property
    def extractor(self) -> Extractor:
        """Extractor of the class of each channel, [N, C] of images [N, H, W, C]."""
        about = {"of": self.name, "accuracy": f"{self.accuracy:.4f} of {self.held_out} held-out images"}
        return Extractor("channel-classes", channel_classes, dict(self.params), about=about)

    def to_bytes(self) -> bytes:
        """Return the content of an ``.npz`` file."""
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(value, np.float32) for name, value in self.params.items()}
        np.savez_compressed(content, accuracy=self.accuracy, held_out=self.held_out, **arrays)
        return content.getvalue()

    @property
    def hidden_extractor(self) -> Extractor:
        """Extractor of the hidden layer for each channel, [N, C * HIDDEN] of images [N, H, W, C]."""
        return Extractor("digit-classifier", channel_features, dict(self.params), about={"of": self.name})

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> "Classifier":
        """Return what ``to_bytes`` wrote, as the classifier of the set ``name``."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        return cls(name, found, float(found.pop("accuracy")), int(found.pop("held_out")))


@cache
def digit_classifier() -> Classifier:
    """Return the classifier of the embedded digits; its model card is ``digit_classifier.md``."""
    return Classifier.from_bytes(files("ganzoo.metrics").joinpath(_FILE).read_bytes(), "digits (built in)")


# The network --------------------------------------------------------------------------------------------------------


def init(key: Key, classes: int) -> Params:
    """Return the initial parameters for a number of classes (He et al. 2015, arXiv:1502.01852, eq. 10)."""
    side = SIZE // 2 ** len(WIDTHS)
    shapes = {
        "conv0": (3, 3, 1, WIDTHS[0]),
        "conv1": (3, 3, *WIDTHS),
        "dense0": (side * side * WIDTHS[1], HIDDEN),
        "dense1": (HIDDEN, classes),
    }
    params = {}
    for (name, shape), each in zip(shapes.items(), jax.random.split(key, len(shapes)), strict=True):
        params[f"{name}.kernel"] = jax.random.normal(each, shape) * np.sqrt(2 / np.prod(shape[:-1]))
        params[f"{name}.bias"] = jnp.zeros(shape[-1])
    return params


def logits(params: Params, images: Float[Array, "n h w 1"]) -> Float[Array, "n k"]:
    """Return the logits of K classes of grey images [N, SIZE, SIZE, 1] in 0..1."""
    return hidden(params, images) @ params["dense1.kernel"] + jnp.expand_dims(params["dense1.bias"], 0)


def hidden(params: Params, images: Float[Array, "n h w 1"]) -> Float[Array, "n d"]:
    """Return the hidden layer [N, HIDDEN] of grey images [N, SIZE, SIZE, 1] in 0..1."""
    x = images - 0.5
    for name in ("conv0", "conv1"):
        x = jax.nn.relu(
            conv(x, params[f"{name}.kernel"], padding=(1, 1)) + jnp.expand_dims(params[f"{name}.bias"], (0, 1, 2))
        )
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
    x = x.reshape(len(x), -1) @ params["dense0.kernel"] + jnp.expand_dims(params["dense0.bias"], 0)
    return jax.nn.relu(x)


def channel_classes(params: Params, images: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """Return the most likely class of each channel of images [N, H, W, C] in 0..255, as whole numbers."""
    n, _, _, channels = images.shape
    with jax.default_matmul_precision("highest"):
        return logits(params, _channels(images)).argmax(-1).reshape(n, channels).astype(jnp.float32)


def channel_features(params: Params, images: Float[Array, "n h w c"]) -> Float[Array, "n d"]:
    """Return the hidden layers [N, C * HIDDEN] of the channels of images [N, H, W, C] in 0..255."""
    with jax.default_matmul_precision("highest"):
        return hidden(params, _channels(images)).reshape(len(images), -1)


def _channels(images: Float[Array, "n h w c"]) -> Float[Array, "m h2 w2 1"]:
    """Return each channel of images in 0..255 as the network takes it: [N * C, SIZE, SIZE, 1]."""
    return jnp.moveaxis(_resized(images), -1, 1).reshape(-1, SIZE, SIZE, 1)


def _resized(images: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Return images in 0..255 of any size as the network takes them, in 0..1."""
    return filtered(images, (SIZE, SIZE), "bilinear") / 255


# Training -----------------------------------------------------------------------------------------------------------


def fit(
    name: str,
    images: AnyArray,
    classes: AnyArray,
    count: int,
    *,
    seed: int = 0,
    steps: int = STEPS,
) -> Classifier:
    """Train a classifier on four fifths of labelled images, and measure it on the others.

    Args:
      name: of the set.
      images: grey, uint8 [N, H, W, 1], at least two.
      classes: int [N], 0 .. count - 1.
      count: of classes.
      seed: of the parameters, the order and the part that is held out.
      steps: of Adam with ``BATCH`` images, at a rate that falls from ``LEARNING_RATE`` to 0 along a cosine.
    """
    small = np.concatenate([np.asarray(_shrink(part)) for part in np.array_split(images, -(-len(images) // 4096))])
    classes = np.asarray(classes, np.int32)
    order = np.random.RandomState(seed).permutation(len(small))
    held = order[: max(1, len(order) // HELD_OUT)]
    rest = order[len(held) :]
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps))
    key = jax.random.key(seed)
    params = init(jax.random.fold_in(key, steps), count)
    state = optimizer.init(params)
    data = jnp.asarray(small[rest]), jnp.asarray(classes[rest])
    step = jax.jit(partial(_step, optimizer), donate_argnums=(0, 1))
    for i in range(steps):
        params, state = step(params, state, *data, jax.random.fold_in(key, i))
    predict = jax.jit(logits)
    parts = np.array_split(held, -(-len(held) // 1024))
    right = sum(int((np.asarray(predict(params, small[part])).argmax(-1) == classes[part]).sum()) for part in parts)
    return Classifier(name, jax.device_get(params), right / len(held), len(held))


@jax.jit
def _shrink(images: AnyArray) -> Float[Array, "n h w 1"]:
    return _resized(jnp.asarray(images, jnp.float32))


def _step(
    optimizer: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    images: Float[Array, "n h w 1"],
    classes: Int[Array, " n"],
    key: Key,
) -> tuple[Params, optax.OptState]:
    """Do one step of Adam on ``BATCH`` random images, each shifted and with noise."""
    pick, shift, noise = jax.random.split(key, 3)
    chosen = jax.random.randint(pick, (BATCH,), 0, len(images))
    margin = jnp.pad(images[chosen], ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    corners = jax.random.randint(shift, (BATCH, 2), 0, 2 * SHIFT + 1)
    moved = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (SIZE, SIZE, 1)))(
        margin, corners
    )
    noisy = moved + NOISE * jax.random.normal(noise, moved.shape)

    def loss(params: Params) -> Float[Array, ""]:
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, noisy), classes[chosen]).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, updates), state
