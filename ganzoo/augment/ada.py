"""The augmentations of ADA: 18 random transforms that are applied to all images before the discriminator.

Karras, Aittala, Hellsten, Laine, Lehtinen, Aila 2020, "Training Generative Adversarial Networks with Limited Data",
arXiv:2006.06676, appendix B; constants and edge cases follow NVlabs/stylegan2-ada-pytorch, training/augment.py.
``controller`` adapts the probability p.

Each transform fires for each image with probability ``multiplier * p``, independently. Drawing the transforms is
separate from applying them::

    transforms = ada.draw(key, ada.PIPELINES["bgc"], images.shape, p=0.3)
    augmented = ada.apply(images, transforms)

Shapes are static. ``apply`` is differentiable in the images any number of times, and returns images for which no
transform fired bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ganzoo.augment import bands, geometry
from ganzoo.config import NonNegative, check_fields, require
from ganzoo.ops import affine, random
from ganzoo.ops.affine import Matrices
from ganzoo.typing import AnyArray, Images, Key

Shape: TypeAlias = tuple[int, ...]
"""(N, H, W, C) of this device's images."""

# Settings -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pipeline:
    """Multipliers and ranges of the transforms; a multiplier of 0 leaves a transform out."""

    # multipliers of p: pixel blitting
    xflip: NonNegative = 0.0
    """Left and right exchanged, for half of the images for which it fires."""
    rotate90: NonNegative = 0.0
    """Turns by 0, 90, 180 or 270 degrees."""
    xint: NonNegative = 0.0
    """Shifts by whole pixels."""

    # general geometric transforms
    scale: NonNegative = 0.0
    """Isotropic scaling."""
    rotate: NonNegative = 0.0
    """Turns by any angle, before and after ``aniso``; one of the two fires with the asked probability."""
    aniso: NonNegative = 0.0
    """Scaling of the axes against each other."""
    xfrac: NonNegative = 0.0
    """Shifts by fractions of pixels."""

    # colour transforms, of the first three channels, or the first one of an image with fewer
    brightness: NonNegative = 0.0
    """Adds a number."""
    contrast: NonNegative = 0.0
    """Multiplies by a number."""
    lumaflip: NonNegative = 0.0
    """The brightness of each pixel negated, for half of the images for which it fires; its colour stays."""
    hue: NonNegative = 0.0
    """Colours turned about the grey axis."""
    saturation: NonNegative = 0.0
    """Colours nearer to grey or farther from it."""

    # image-space filtering and corruptions
    imgfilter: NonNegative = 0.0
    """Four frequency bands, each amplified or damped, independently."""
    noise: NonNegative = 0.0
    """Gaussian noise of random strength."""
    cutout: NonNegative = 0.0
    """A square of zeros."""

    # ranges
    xint_max: NonNegative = 0.125
    """Largest whole-pixel shift, in image sizes."""
    scale_std: NonNegative = 0.2
    """Standard deviation of the binary logarithm of the scale."""
    rotate_max: NonNegative = 1.0
    """Largest angle, in half turns."""
    aniso_std: NonNegative = 0.2
    """Standard deviation of the binary logarithm of the scale of x, which is divided out of y."""
    xfrac_std: NonNegative = 0.125
    """Standard deviation of the shift, in image sizes."""
    brightness_std: NonNegative = 0.2
    """Standard deviation of what is added to pixels in [-1, 1]."""
    contrast_std: NonNegative = 0.5
    """Standard deviation of the binary logarithm of the factor."""
    hue_max: NonNegative = 1.0
    """Largest angle, in half turns."""
    saturation_std: NonNegative = 1.0
    """Standard deviation of the binary logarithm of the factor."""
    imgfilter_bands: tuple[float, ...] = (1, 1, 1, 1)
    """Multipliers of the four bands, from low to high frequencies."""
    imgfilter_std: NonNegative = 1.0
    """Standard deviation of the binary logarithm of a band's factor."""
    noise_std: NonNegative = 0.1
    """Standard deviation of the noise's own standard deviation."""
    cutout_size: NonNegative = 0.5
    """Side of the square, in image sizes."""

    def __post_init__(self) -> None:
        check_fields(self)
        factors = self.imgfilter_bands
        fits = len(factors) == 4 and all(isinstance(factor, int | float) and factor >= 0 for factor in factors)
        require(fits, "imgfilter_bands", factors, "be four numbers, 0 or more")


def _of(*transforms: str) -> Pipeline:
    return replace(Pipeline(), **dict.fromkeys(transforms, 1.0))


_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "xfrac")
_COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")

PIPELINES: Mapping[str, Pipeline] = {
    "blit": _of(*_BLIT),
    "geom": _of(*_GEOM),
    "color": _of(*_COLOR),
    "filter": _of("imgfilter"),
    "noise": _of("noise"),
    "cutout": _of("cutout"),
    "bg": _of(*_BLIT, *_GEOM),
    "bgc": _of(*_BLIT, *_GEOM, *_COLOR),
    "bgcf": _of(*_BLIT, *_GEOM, *_COLOR, "imgfilter"),
    "bgcfn": _of(*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise"),
    "bgcfnc": _of(*_BLIT, *_GEOM, *_COLOR, "imgfilter", "noise", "cutout"),
    "bgc-cutout": replace(_of(*_BLIT, *_GEOM, "cutout"), **dict.fromkeys(_COLOR, 0.5)),
}
"""Published sets of transforms (paper, figure 4); "bgc" (blitting, geometry and colour transforms) is the usual set;
"bgc-cutout", with colour transforms half as often, is that of R3GAN (brownvc/R3GAN, train.py:300)."""

# Draws --------------------------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chance:
    """Random numbers of a transform, independent of p; the transform fires where ``gate`` is below its probability."""

    value: Any
    """[N] or [N, k], uniform in [0, 1) or standard normal: determines the parameters of the transform."""
    gate: Any
    """[N], or [N, 4] for the four bands, uniform in [0, 1): determines whether the transform fires."""


Numbers: TypeAlias = Mapping[str, Any]
"""A ``Chance`` for every transform, by name; ``"pixels"`` [N, H, W, C] ~ N(0, 1) if the pipeline has noise."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Transforms:
    """Parameters of the transforms of each image, in order of application; None if the pipeline lacks the transform."""

    xflip: Any = None
    """[N]: 1 for images that are flipped horizontally, else 0."""
    rotate90: Any = None
    """[N]: quarter turns, counter-clockwise."""
    xint: Any = None
    """[N, 2]: whole pixels to the right and down."""
    scale: Any = None
    """[N]: factor of the size."""
    pre_rotation: Any = None
    """[N]: radians, counter-clockwise."""
    aniso: Any = None
    """[N]: factor of the width; the height is divided by it."""
    post_rotation: Any = None
    """[N]: radians, counter-clockwise."""
    xfrac: Any = None
    """[N, 2]: pixels to the right and down."""
    brightness: Any = None
    """[N]: added to the pixels."""
    contrast: Any = None
    """[N]: factor of the pixels."""
    lumaflip: Any = None
    """[N]: 1 for images whose luma is negated, else 0."""
    hue: Any = None
    """[N]: radians."""
    saturation: Any = None
    """[N]: factor of the distance to grey."""
    imgfilter: Any = None
    """[N, 4]: factor of each band, before normalisation of the total power."""
    noise: Any = None
    """[N, H, W, C]: added to the pixels."""
    cutout: Any = None
    """[N, 3]: the square's centre (x, y) and side, in image sizes; a side of 0 cuts nothing."""


_UNIFORM = {"xflip": 1, "rotate90": 1, "xint": 2, "pre_rotation": 1, "post_rotation": 1, "lumaflip": 1, "hue": 1}
_UNIFORM |= {"cutout": 2}
_NORMAL = {"scale": 1, "aniso": 1, "xfrac": 2, "brightness": 1, "contrast": 1, "saturation": 1, "imgfilter": 4}
_NORMAL |= {"noise": 1}
_GATES = {name: 4 if name == "imgfilter" else 1 for name in (*_UNIFORM, *_NORMAL)}
"""Numbers of uniform and normal values and of gates that each transform draws per image."""


def draw(key: Key, pipeline: Pipeline, shape: Shape, p: Any = 1.0) -> Transforms:
    """Draw random transforms for a batch; the transforms of an image depend only on the key and its position.

    Args:
      key: random key of all transforms.
      pipeline: value of ``PIPELINES``, or any other pipeline.
      shape: (N, H, W, C) of the images; under ``pmap`` and ``shard_map`` of this device's images.
      p: number or array [] in [0, 1], may be traced; a transform fires with probability p times its multiplier.
    """
    return transforms(pipeline, draw_numbers(key, pipeline, shape), shape, p)


def draw_numbers(key: Key, pipeline: Pipeline, shape: Shape) -> Numbers:
    """Draw the random numbers of ``draw`` for images (N, H, W, C); only ``"pixels"`` depends on the pipeline.

    None of the random numbers depend on p.
    """

    def one(key: Key) -> dict[str, Any]:
        uniform = random.uniform(jax.random.fold_in(key, 0), (sum(_UNIFORM.values()) + sum(_GATES.values()),))
        normal = random.normal(jax.random.fold_in(key, 1), (sum(_NORMAL.values()),))
        values, gates = jnp.split(uniform, [sum(_UNIFORM.values())])
        values, gates = _dealt(values, _UNIFORM) | _dealt(normal, _NORMAL), _dealt(gates, _GATES)
        numbers: dict[str, Any] = {name: Chance(values[name], gates[name]) for name in _GATES}
        if pipeline.noise:
            numbers["pixels"] = random.normal(jax.random.fold_in(key, 2), shape[1:])
        return numbers

    return random.for_batch(one, key, shape[0])


def _dealt(numbers: Array, counts: Mapping[str, int]) -> dict[str, Array]:
    """Split a vector by name into parts of the given sizes; a part of size 1 becomes a scalar."""
    parts = jnp.split(numbers, np.cumsum(list(counts.values()))[:-1])
    return {name: part[0] if counts[name] == 1 else part for name, part in zip(counts, parts, strict=True)}


def transforms(pipeline: Pipeline, numbers: Numbers, shape: Shape, p: Any = 1.0) -> Transforms:
    """Map random numbers to the published distributions of the transforms at probability p. Paper, appendix B.

    Args:
      pipeline: multipliers and ranges.
      numbers: random numbers from ``draw_numbers``.
      shape: (N, H, W, C) of the images.
      p: number or array [] in [0, 1].
    """
    cfg, size = pipeline, jnp.asarray([[shape[2], shape[1]]], jnp.float32)  # (x, y)
    value = {name: numbers[name].value for name in _GATES}

    def power(name: str, std: float) -> Array:
        return jnp.exp2(std * value[name])

    def centred(name: str, largest: float) -> Array:
        return (2 * value[name] - 1) * largest

    def fired(name: str, made: Array, neutral: float, multiplier: Any = None) -> Array | None:
        multiplier = getattr(cfg, name) if multiplier is None else multiplier
        if not np.any(multiplier):
            return None
        return jnp.where(_like(numbers[name].gate < jnp.asarray(multiplier, jnp.float32) * p, made), made, neutral)

    def turned(name: str) -> Array | None:
        """Return angles [N]; at least one of two independent rotations fires with probability ``cfg.rotate * p``."""
        once = 1 - jnp.sqrt(1 - jnp.clip(cfg.rotate * jnp.asarray(p, jnp.float32), 0, 1))
        angle = centred(name, cfg.rotate_max * np.pi)
        return jnp.where(numbers[name].gate < once, angle, 0.0) if cfg.rotate else None

    square = jnp.concatenate([value["cutout"], jnp.full_like(value["cutout"][:, :1], cfg.cutout_size)], axis=1)
    noise = fired("noise", jnp.abs(cfg.noise_std * value["noise"]), 0)
    return Transforms(
        xflip=fired("xflip", jnp.floor(2 * value["xflip"]), 0),
        rotate90=fired("rotate90", jnp.floor(4 * value["rotate90"]), 0),
        xint=fired("xint", jnp.round(centred("xint", cfg.xint_max) * size), 0),
        scale=fired("scale", power("scale", cfg.scale_std), 1),
        pre_rotation=turned("pre_rotation"),
        aniso=fired("aniso", power("aniso", cfg.aniso_std), 1),
        post_rotation=turned("post_rotation"),
        xfrac=fired("xfrac", cfg.xfrac_std * value["xfrac"] * size, 0),
        brightness=fired("brightness", cfg.brightness_std * value["brightness"], 0),
        contrast=fired("contrast", power("contrast", cfg.contrast_std), 1),
        lumaflip=fired("lumaflip", jnp.floor(2 * value["lumaflip"]), 0),
        hue=fired("hue", centred("hue", cfg.hue_max * np.pi), 0),
        saturation=fired("saturation", power("saturation", cfg.saturation_std), 1),
        imgfilter=fired(
            "imgfilter", power("imgfilter", cfg.imgfilter_std), 1, cfg.imgfilter * np.asarray([cfg.imgfilter_bands])
        ),
        noise=None if noise is None else _like(noise, numbers["pixels"]) * numbers["pixels"],
        cutout=fired("cutout", square, 0),
    )


def _like(x: Array, other: AnyArray) -> Array:
    """Append axes of size 1 until ``x`` has as many axes as ``other``."""
    return x.reshape(*x.shape, *(1,) * (other.ndim - x.ndim))


# Application --------------------------------------------------------------------------------------------------------


def apply(images: Images, transforms: Transforms) -> Images:
    """Transform images: geometry, colour, frequency bands, noise, cutout, in this order.

    Args:
      images: [N, H, W, C] in [-1, 1], of any size and number of channels.
      transforms: transforms from ``draw`` for the same shape.

    Returns:
      [N, H, W, C] in the same dtype, not clipped to [-1, 1]. Images for which no transform fired are unchanged.
    """
    x = jnp.asarray(images, jnp.promote_types(images.dtype, jnp.float32))
    for stage in (moved, recoloured, filtered, corrupted):
        x = stage(x, transforms)
    return x.astype(images.dtype)


def moved(images: Images, transforms: Transforms) -> Images:
    """Apply all geometric transforms to images [N, H, W, C] at once, without aliasing (``geometry.resampled``)."""
    one = jnp.ones(images.shape[0], jnp.float32)
    inverses: Mapping[str, Callable[[Array], Matrices]] = {
        "xflip": lambda flip: affine.scaling(1 - 2 * flip, one),
        "rotate90": lambda turns: affine.rotation(np.pi / 2 * turns),
        "xint": lambda shift: affine.translation(-shift[:, 0], -shift[:, 1]),
        "scale": lambda scale: affine.scaling(1 / scale, 1 / scale),
        "pre_rotation": affine.rotation,
        "aniso": lambda scale: affine.scaling(1 / scale, scale),
        "post_rotation": affine.rotation,
        "xfrac": lambda shift: affine.translation(-shift[:, 0], -shift[:, 1]),
    }
    given = {name: getattr(transforms, name) for name in inverses}
    matrices = [inverse(given[name]) for name, inverse in inverses.items() if given[name] is not None]
    if not matrices:
        return images
    inverse = affine.product(*matrices)
    is_moved = jnp.any(inverse != jnp.eye(3)[None], axis=(1, 2))
    return _where(is_moved, geometry.resampled(images, inverse), images)


def recoloured(images: Images, transforms: Transforms) -> Images:
    """Apply brightness, contrast, luma flip, hue and saturation to images [N, H, W, C] at once.

    All transforms rotate about or scale along the grey axis v = (1, 1, 1) / sqrt(3) of colour space. Each pixel x is
    split into its mean l = v (v . x) and the rest u = x - l, which are transformed separately: with i the flip and s
    the saturation, ``contrast * ((1 - 2 i) (l + brightness) + s (u cos(hue) + v x u sin(hue)))``. With one channel,
    u is 0.
    """
    t, n = transforms, images.shape[0]
    given = [t.brightness, t.contrast, t.lumaflip, t.hue, t.saturation]
    if all(value is None for value in given):
        return images
    neutral = [0.0, 1.0, 0.0, 0.0, 1.0]
    values = [jnp.full(n, rest) if value is None else value for value, rest in zip(given, neutral, strict=True)]
    is_changed = sum((v != rest for v, rest in zip(values, neutral, strict=True)), jnp.zeros(n, bool))
    brightness, contrast, flip, hue, saturation = (_like(value, images) for value in values)

    count = 3 if images.shape[3] >= 3 else 1
    colours = images[..., :count]
    mean = jnp.mean(colours, axis=3, keepdims=True)
    rest = colours - mean
    across = (jnp.roll(colours, 1, axis=3) - jnp.roll(colours, -1, axis=3)) / 3**0.5  # v x u
    rest = saturation * (rest * jnp.cos(hue) + across * jnp.sin(hue))
    result = contrast * ((1 - 2 * flip) * (mean + brightness) + rest)
    return _where(is_changed, jnp.concatenate([result, images[..., count:]], axis=3), images)


def filtered(images: Images, transforms: Transforms) -> Images:
    """Scale the four frequency bands of images [N, H, W, C] and preserve the expected power of an image.

    All gains are divided by sqrt(1 + a (t^2 - 1)) for each band of factor t and expected power a, which is the root of
    the factor by which this band alone changes the total power.
    """
    factors = transforms.imgfilter
    if factors is None:
        return images
    power = jnp.asarray([bands.EXPECTED_POWER])
    gains = factors / jnp.prod(jnp.sqrt(1 + power * (jnp.square(factors) - 1)), axis=1, keepdims=True)
    x = images
    for axis in (1, 2):
        matrices = jnp.asarray(bands.reflected(images.shape[axis]), x.dtype)
        kernel = jnp.einsum("nb,bij->nij", gains.astype(x.dtype), matrices, precision=lax.Precision.HIGHEST)
        form = "nij,njwc->niwc" if axis == 1 else "nij,nhjc->nhic"
        x = jnp.einsum(form, kernel, x, precision=lax.Precision.HIGHEST)
    return _where(jnp.any(factors != 1, axis=1), x, images)


def corrupted(images: Images, transforms: Transforms) -> Images:
    """Add noise to images [N, H, W, C], then set a square to 0."""
    x = images
    if transforms.noise is not None:
        x = _where(jnp.any(transforms.noise != 0, axis=(1, 2, 3)), x + transforms.noise, x)
    if transforms.cutout is not None:
        height, width = images.shape[1:3]
        centre_x, centre_y, side = (transforms.cutout[:, i, None] for i in range(3))
        column, row = ((jnp.arange(size)[None] + 0.5) / size for size in (width, height))
        across, down = jnp.abs(column - centre_x) < side / 2, jnp.abs(row - centre_y) < side / 2
        x = jnp.where((down[:, :, None] & across[:, None, :])[..., None], 0, x)
    return x


def _where(chosen: Array, yes: Images, no: Images) -> Images:
    """Select whole images: booleans [N] choose between images ``yes`` and ``no`` [N, H, W, C]."""
    return jnp.where(_like(chosen, yes), yes, no)
