"""LPIPS: perceptual distance of two images in the features of a classifier, calibrated on human judgements.

Zhang et al. 2018, arXiv:1801.03924, section 3 and figure 3; the published version 0.1 on VGG16 (Simonyan and Zisserman
2014, arXiv:1409.1556, table 1, column D). With features y of the levels l, normalised to length 1 at every pixel:

    d(a, b) = sum_l 1 / (H_l W_l) sum_hw sum_c w_lc (y_l(a) - y_l(b))^2

The distance d is the squared Euclidean distance of features that are scaled by the root of ``w_lc / (H_l W_l)``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ganzoo import interop
from ganzoo.disk import kind_of, user_path
from ganzoo.errors import UserError
from ganzoo.interop.reading.machine import named
from ganzoo.metrics.extractors import Extractor
from ganzoo.metrics.path_length import shrunk
from ganzoo.metrics.preprocessing import rgb
from ganzoo.metrics.weights import numeric
from ganzoo.ops.conv import conv
from ganzoo.typing import AnyArray, Images, PerExample

Activations: TypeAlias = Float[Array, "n _h _w _c"]

LPIPS = "lpips"
"""Name of the extractor in results."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Shift and scale of the colours in [-1, 1] before the first layer."""
EPSILON = 1e-10
SMALLEST = 16
"""Smallest side of an image in pixels, for which the last level has one pixel."""
LEVELS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions of each level, by their numbers in torchvision's ``features``."""
REMEDY = (
    "LPIPS takes vgg16-397923af.pth, which is torchvision's VGG16_Weights.IMAGENET1K_V1, and lpips/weights/v0.1/vgg.pth"
    " of https://github.com/richzhang/PerceptualSimilarity, or one file with the arrays of both"
)


class Weights(NamedTuple):
    """Weights of the network and of the distance; the shapes determine the widths of the layers."""

    levels: Sequence[Sequence[tuple[AnyArray, AnyArray]]]
    """Kernels [3, 3, I, O] and biases [O] of the convolutions of each level."""
    channels: Sequence[AnyArray]
    """Square roots of ``w`` [C] of each level."""


@dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS distance with its weights.

    Example::

        distance = lpips(["vgg16-397923af.pth", "vgg.pth"])
        distance(images, targets)  # [N]
    """

    weights: Weights

    def __call__(self, images: Images, targets: Images) -> PerExample:
        """Return the distances [N] of images and targets [N, H, W, C] in [-1, 1]; differentiable in both."""
        return _distance(self.weights, images, targets)

    def to(self, targets: Images) -> jax.tree_util.Partial:
        """Return a function ``images [N, H, W, C] -> [N]``, the distance to ``targets``, whose features are cached."""
        weights = jax.device_put(self.weights)
        return jax.tree_util.Partial(_distance_to, weights, jax.jit(features)(weights, targets))

    def between(self) -> jax.tree_util.Partial:
        """Return a function ``(images, others) -> [N]`` of images [N, H, W, C], whose weights are on the device."""
        return jax.tree_util.Partial(_distance, jax.device_put(self.weights))


def lpips(files: Sequence[Path | str]) -> Lpips:
    """Load the LPIPS distance from files of weights.

    Nothing in the files is executed. The hashes of the files are not checked: any weights of the architecture are
    accepted, such as weights tuned for other images.

    Args:
      files: files of ``torch.save``, ``.safetensors`` or ``.npz``, whose arrays are merged by name.

    Raises:
      UserError: a file cannot be read, or an array is missing or has another shape.
    """
    arrays: dict[str, np.ndarray] = {}
    for path in map(user_path, files):
        if kind_of(path) != "file":
            raise UserError(f"no LPIPS weights at {path}; {REMEDY}")
        for network in interop.read(path).networks.values():
            twice = [name for name, array in network.arrays.items() if not _agrees(arrays.get(name), array)]
            if twice:
                raise UserError(f"{path}: {twice[0]} is in another of the files of LPIPS, too, and differs; give one")
            arrays |= network.arrays
    return Lpips(read_weights(arrays))


def lpips_extractor(files: Sequence[Path | str]) -> Extractor:
    """Return the extractor whose squared distances are LPIPS, for path lengths; the hash is of the weights' arrays."""
    weights = lpips(files).weights
    content = b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in jax.tree.leaves(weights))
    return Extractor(LPIPS, _flat_features, weights, about={"sha256": hashlib.sha256(content).hexdigest()})


# The distance -------------------------------------------------------------------------------------------------------


def features(weights: Weights, images: Images) -> list[Activations]:
    """Compute the scaled features of each level, [N, H / 2^l, W / 2^l, C_l].

    Args:
      weights: weights, as returned by ``read_weights``.
      images: [N, H, W, C] in [-1, 1], converted to three channels by ``rgb``; large images are shrunk to about 256
        pixels, as for path lengths.

    Raises:
      UserError: the images have fewer than ``SMALLEST`` pixels.
    """
    if min(images.shape[1:3]) < SMALLEST:
        raise UserError(f"LPIPS needs images of at least {SMALLEST} pixels, not {images.shape[1]}x{images.shape[2]}")
    colours = shrunk(rgb((jnp.asarray(images, jnp.float32) + 1) * 127.5)) / 127.5 - 1
    x, found = (colours - _per_channel(SHIFT)) / _per_channel(SCALE), []
    with jax.default_matmul_precision("highest"):
        for layers, channels in zip(weights.levels, weights.channels, strict=True):
            x = halved(x) if found else x
            for kernel, bias in layers:
                x = jax.nn.relu(conv(x, jnp.asarray(kernel), padding=(1, 1)) + _per_channel(bias))
            found.append(of_length_one(x) * _per_channel(channels) / np.sqrt(x.shape[1] * x.shape[2]))
    return found


def squared_distance(a: Sequence[Activations], b: Sequence[Activations]) -> Float[Array, " n"]:
    """Sum ``(a - b)^2`` over levels, pixels and channels: feature maps [N, H, W, C] of each level -> [N]."""
    return sum((jnp.sum(jnp.square(x - y), axis=(1, 2, 3)) for x, y in zip(a, b, strict=True)), jnp.zeros(len(a[0])))


def of_length_one(x: Activations) -> Activations:
    """Divide x [N, H, W, C] at each pixel by its norm plus ``EPSILON``; the gradient is 0 where all channels are 0."""
    total = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    length = jnp.where(total > 0, jnp.sqrt(jnp.where(total > 0, total, 1)), 0)
    return x / (length + EPSILON)


def halved(x: Activations) -> Activations:
    """Max-pool 2x2 pixels, [N, H, W, C] -> [N, H // 2, W // 2, C]; an odd last row or column is left out."""
    n, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))


def _distance(weights: Weights, images: Images, others: Images) -> PerExample:
    return squared_distance(features(weights, images), features(weights, others))


def _distance_to(weights: Weights, known: Sequence[Activations], images: Images) -> PerExample:
    return squared_distance(features(weights, images), known)


def _flat_features(weights: Weights, images: Float[AnyArray, "n h w c"]) -> Float[Array, "n d"]:
    """Flatten and concatenate the features of all levels: images [N, H, W, C] in 0..255 -> [N, d]."""
    return jnp.concatenate([level.reshape(len(level), -1) for level in features(weights, images / 127.5 - 1)], axis=1)


def _per_channel(values: Sequence[float] | AnyArray) -> Float[Array, "1 1 1 c"]:
    return jnp.expand_dims(jnp.asarray(values, jnp.float32), (0, 1, 2))


# Weights ------------------------------------------------------------------------------------------------------------


def read_weights(arrays: Mapping[str, np.ndarray]) -> Weights:
    """Select the weights from arrays by the names of torchvision and of the package lpips; ignore other arrays.

    Args:
      arrays: ``features.0.weight`` [O, I, 3, 3] and ``features.0.bias`` [O], or ``net.slice1.0.weight`` and so on;
        ``lin0.model.1.weight`` or ``lins.0.model.1.weight`` [1, C, 1, 1].

    Raises:
      UserError: an array is missing, has a shape that does not fit the others, or has negative weights of the distance.
    """
    named_here = _renamed(arrays)
    wanted = [f"features.{i}.{part}" for level in LEVELS for i in level for part in ("weight", "bias")]
    wanted += [f"lin{number}.model.1.weight" for number in range(len(LEVELS))]
    missing = [name for name in wanted if name not in named_here]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"the weights of LPIPS lack {missing[0]}{more}; {REMEDY}")
    width, levels, channels = 3, [], []
    for number, level in enumerate(LEVELS):
        layers = []
        for i in level:
            bias = named_here[f"features.{i}.bias"].reshape(-1)
            kernel = _shaped(named_here, f"features.{i}.weight", (len(bias), width, 3, 3))
            layers.append((kernel.transpose(2, 3, 1, 0), _shaped(named_here, f"features.{i}.bias", (len(bias),))))
            width = len(bias)
        name = f"lin{number}.model.1.weight"
        of_level = _shaped(named_here, name, (1, width, 1, 1)).reshape(-1)
        if not (of_level >= 0).all():
            raise UserError(f"not the weights of LPIPS: {name} has values below 0")
        levels.append(layers)
        channels.append(np.sqrt(of_level))
    return Weights(levels, channels)


def _agrees(known: np.ndarray | None, array: np.ndarray) -> bool:
    """Return whether an array is new or the same as before."""
    return known is None or (known.shape == array.shape and known.tobytes() == array.tobytes())


def _renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add torchvision's names of layers and the names ``lin<i>`` of distance weights, unless they exist already."""
    others = {f"lins.{number}.": f"lin{number}." for number in range(len(LEVELS))}
    others |= {f"net.slice{k}.{i}.": f"features.{i}." for k, level in enumerate(LEVELS, 1) for i in level}
    found = dict(arrays)
    for name, array in arrays.items():
        for theirs, ours in others.items():
            if name.startswith(theirs):
                found.setdefault(ours + name.removeprefix(theirs), array)
    return found


def _shaped(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = numeric(arrays, name)
    if array.shape != shape:
        raise UserError(f"not the weights of LPIPS: {name} is {named(array.shape)}, not {named(shape)}; {REMEDY}")
    return array.astype(np.float32)
