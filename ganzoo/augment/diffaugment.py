"""DiffAugment: a few simple differentiable transforms that are always applied to all images before the discriminator.

Zhao, Liu, Lin, Zhu, Han 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738;
constants follow mit-han-lab/data-efficient-gans, DiffAugment_pytorch.py. Drawing the transforms is separate from
applying them::

    transforms = diffaugment.draw(key, diffaugment.Policy(), images.shape)
    augmented = diffaugment.apply(images, transforms)
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ganzoo.config import NonNegative, check_fields
from ganzoo.ops import random
from ganzoo.typing import Images, Key


@dataclass(frozen=True)
class Policy:
    """Ranges of the transforms, by default the published ranges; 0 leaves a transform out."""

    brightness: NonNegative = 0.5
    """Largest number that is added to pixels in [-1, 1]."""
    saturation: NonNegative = 1.0
    """The distance to grey is multiplied by 1 +- at most this."""
    contrast: NonNegative = 0.5
    """The distance to the image's mean is multiplied by 1 +- at most this."""
    translation: NonNegative = 0.125
    """Largest shift in image sizes; zeros come in."""
    cutout: NonNegative = 0.5
    """Side of a square of zeros, in image sizes."""

    def __post_init__(self) -> None:
        check_fields(self)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transforms:
    """Parameters of the transforms of each image, in order of application; None if the policy lacks the transform."""

    brightness: Any = None
    """[N]: added to the pixels."""
    saturation: Any = None
    """[N]: factor of the distance to grey."""
    contrast: Any = None
    """[N]: factor of the distance to the image's mean."""
    translation: Any = None
    """int32 [N, 2]: pixels down and to the right."""
    cutout: Any = None
    """int32 [N, 4]: first row, end row, first column, end column of the rectangle, which may be partly outside."""


def draw(key: Key, policy: Policy, shape: tuple[int, ...]) -> Transforms:
    """Draw random transforms for a batch; the transforms of an image depend only on the key and its position.

    Args:
      key: random key of all transforms.
      policy: ranges of the transforms.
      shape: (N, H, W, C) of the images; under ``pmap`` and ``shard_map`` of this device's images.
    """
    size = jnp.asarray(shape[1:3])

    def one(key: Key) -> Transforms:
        uniform = random.uniform(key, (7,))
        colour = 2 * uniform[:3] - 1
        shift = (size * policy.translation + 0.5).astype(jnp.int32)
        side = (size * policy.cutout + 0.5).astype(jnp.int32)
        first = _whole(uniform[5:], size + 1 - side % 2) - side // 2
        return Transforms(
            brightness=colour[0] * policy.brightness if policy.brightness else None,
            saturation=1 + colour[1] * policy.saturation if policy.saturation else None,
            contrast=1 + colour[2] * policy.contrast if policy.contrast else None,
            translation=_whole(uniform[3:5], 2 * shift + 1) - shift if policy.translation else None,
            cutout=jnp.stack([first, first + side], axis=1).reshape(4) if policy.cutout else None,
        )

    return random.for_batch(one, key, shape[0])


def _whole(uniform: Float[Array, " k"], count: Int[Array, " k"]) -> Int[Array, " k"]:
    """Map uniform numbers in [0, 1) to whole numbers from 0 to count - 1."""
    return jnp.minimum((uniform * count).astype(jnp.int32), count - 1)


def apply(images: Images, transforms: Transforms) -> Images:
    """Transform images: brightness, saturation, contrast, translation, cutout, in this order.

    Args:
      images: [N, H, W, C] in [-1, 1]; colours are the first three channels, or the first of one or two channels.
      transforms: transforms from ``draw`` for the same shape.

    Returns:
      [N, H, W, C] in the same dtype, not clipped to [-1, 1].
    """
    t = transforms
    x = jnp.asarray(images, jnp.promote_types(images.dtype, jnp.float32))
    count = 3 if images.shape[3] >= 3 else 1
    colours = x[..., :count]
    if t.brightness is not None:
        colours = colours + _per_image(t.brightness)
    if t.saturation is not None:
        colours = _spread(colours, t.saturation, axes=(3,))
    if t.contrast is not None:
        colours = _spread(colours, t.contrast, axes=(1, 2, 3))
    x = jnp.concatenate([colours, x[..., count:]], axis=3)
    if t.translation is not None:
        x = _shifted(_shifted(x, t.translation[:, 0], 1), t.translation[:, 1], 2)
    if t.cutout is not None:
        down, across = (_between(t.cutout[:, 2 * i : 2 * i + 2], images.shape[1 + i]) for i in (0, 1))
        x = jnp.where((down[:, :, None] & across[:, None, :])[..., None], 0, x)
    return x.astype(images.dtype)


def _spread(x: Images, factor: Float[Array, " n"], axes: tuple[int, ...]) -> Images:
    """Multiply the distance to the mean over some axes."""
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return mean + (x - mean) * _per_image(factor)


def _shifted(x: Images, shift: Int[Array, " n"], axis: int) -> Images:
    """Translate each image by whole pixels along the height (axis 1) or the width (axis 2), with zero padding."""
    places = jnp.arange(x.shape[axis])[None] - shift[:, None]
    is_inside = (places >= 0) & (places < x.shape[axis])
    shape = [x.shape[0], 1, 1, 1]
    shape[axis] = x.shape[axis]
    index = jnp.where(is_inside, places, 0).reshape(shape)
    return jnp.where(is_inside.reshape(shape), jnp.take_along_axis(x, index, axis=axis), 0)


def _between(ends: Int[Array, "n 2"], size: int) -> Any:
    places = jnp.arange(size)[None]
    return (places >= ends[:, :1]) & (places < ends[:, 1:])


def _per_image(values: Float[Array, " n"]) -> Float[Array, "n 1 1 1"]:
    return values[:, None, None, None]
