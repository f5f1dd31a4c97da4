"""The generator of StyleGAN, and with other settings of ProGAN: mapping, styles, noise, growing synthesis.

Karras, Laine, Aila 2018, arXiv:1812.04948, section 2 and figure 1; numbers of NVlabs/stylegan,
training/networks_stylegan.py. The discriminator is ``ganzoo.nn.progressive.GrowingDiscriminator``.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.models.stylegan_config import StyleGANConfig
from ganzoo.nn.equalized import EqualizedConv, EqualizedDense, normal_init
from ganzoo.nn.mapping import at_least_float32, track_average, truncate
from ganzoo.nn.progressive import BOX, GAIN, activated, blend, blurred
from ganzoo.nn.pyramid import Level
from ganzoo.nn.synthesis import Noise, check_styles, noises
from ganzoo.ops.resample import repeated
from ganzoo.ops.statistics import instance_norm, pixel_norm
from ganzoo.typing import Images, Labels, Latents, Styles


class MappingNetwork(nn.Module):
    """z, with a linear embedding of the label beside it, -> w. Section 2 of the paper."""

    config: StyleGANConfig

    @nn.compact
    def __call__(
        self, latents: Latents, labels: Labels | None = None, *, update_average: bool = False
    ) -> Float[Array, "n l w_dim"]:
        """Styles [N, L, w]; ``update_average`` moves the running mean of w in the collection ``statistics``."""
        cfg, x = self.config, at_least_float32(latents)
        if labels is not None:
            kernel = jnp.asarray(self.param("label_kernel", normal_init, (labels.shape[1], x.shape[1])))
            x = jnp.concatenate([x, at_least_float32(labels) @ kernel], axis=1)
        if cfg.normalize_latents:
            x = pixel_norm(x)
        for i in range(cfg.mapping_layers):
            dense = partial(EqualizedDense, lr_multiplier=cfg.mapping_lr_multiplier, kernel_gain=GAIN)
            features = cfg.style_size if i == cfg.mapping_layers - 1 else cfg.mapping_features
            x = activated(dense(features, name=f"dense{i}")(x), cfg.activation)
        track_average(self, x, cfg.style_average_decay, update=update_average)
        return jnp.repeat(x[:, None], cfg.style_count, axis=1)


class Epilogue(nn.Module):
    """What follows each convolution: noise, bias, activation, normalisation and the style.

    The style is ``x (scale + 1) + shift`` with an affine function of w for the two: AdaIN, equation 1 of the paper.
    """

    config: StyleGANConfig
    follows_constant: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], w: Array, noise: str | Array) -> Float[Array, "n h w c"]:
        """Features, one style [N, w] for each image, and "const", "none" or noise [N, H, W, 1]."""
        cfg, features = self.config, x.shape[-1]
        if cfg.use_noise:
            x = self._noisy(x, noise)
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (features,))).reshape(1, 1, 1, -1)
        if self.follows_constant and cfg.instance_norm:
            bias = _without_noise(bias, x)
        x = activated(x + bias, cfg.activation)
        x = pixel_norm(x) if cfg.pixel_norm else x
        x = instance_norm(x) if cfg.instance_norm else x
        if not cfg.use_styles:
            return x
        scale, shift = jnp.split(EqualizedDense(2 * features, name="affine")(w)[:, None, None], 2, axis=-1)
        return x * (scale + 1) + shift

    def _noisy(self, x: Array, noise: str | Array) -> Array:
        constant = self.variable("noise", "constant", lambda: normal_init(self.make_rng("params"), x.shape[1:3]))
        strength = jnp.asarray(self.param("noise_strength", nn.initializers.zeros, x.shape[-1:]))
        if isinstance(noise, str):
            if noise == "none":
                return x
            noise = constant.value.reshape(1, *x.shape[1:3], 1)
        return x + noise * strength.reshape(1, 1, 1, -1)


def _without_noise(bias: Array, x: Float[Array, "n h w c"]) -> Array:
    """The bias of features, with the gradient exactly 0 where it is: for those of one sign in all places.

    There the activation is linear and normalisation takes the bias away again; but of what rounding leaves of the
    gradient, divided by a deviation near 0, Adam would make steps of the learning rate, different ones on every number
    of devices. All features are like that at first, when the constant is 1 and noise has no strength.
    """
    is_positive = x + bias > 0
    is_linear = jnp.all(is_positive, axis=(1, 2), keepdims=True) | ~jnp.any(is_positive, axis=(1, 2), keepdims=True)
    return jnp.where(is_linear, jax.lax.stop_gradient(bias), bias)


class GrowingBlock(nn.Module):
    """The two layers of one size; from the second block on, the first of them doubles it and blurs."""

    config: StyleGANConfig
    level: Level
    is_first: bool

    @nn.compact
    def __call__(self, x: Array | None, ws: Styles, noise: list[Any]) -> Float[Array, "n h w c"]:
        """Features of half the size (None in the first block), two styles [N, 2, w] and two noises."""
        cfg, features = self.config, self.level.features
        conv = partial(EqualizedConv, features, 3, use_bias=False, kernel_gain=GAIN, taps=BOX)
        epilogue = partial(Epilogue, cfg)
        if self.is_first:
            x = self._input(ws)
        else:
            fused = {"always": True, "never": False, "auto": min(self.level.height, self.level.width) >= 128}
            x = conv(up=2, correlate=not fused[cfg.fused_scale], name="conv0")(cast("Array", x))
            x = blurred(x, cfg.blur_filter)
        x = epilogue(self.is_first and cfg.constant_input, name="epilogue0")(x, ws[:, 0], noise[0])
        return epilogue(name="epilogue1")(conv(name="conv1")(x), ws[:, 1], noise[1])

    def _input(self, ws: Styles) -> Array:
        """The learned constant, or the traditional input: a dense layer, whose gain the code divides by 4."""
        height, width, features = self.level.height, self.level.width, self.level.features
        if self.config.constant_input:
            constant = jnp.asarray(self.param("constant", nn.initializers.ones, (height, width, features)))
            return jnp.broadcast_to(constant, (ws.shape[0], *constant.shape))
        dense = EqualizedDense(height * width * features, use_bias=False, kernel_gain=GAIN / 4, name="input")
        return dense(jnp.asarray(ws[:, 0])).reshape(-1, height, width, features)


class Synthesis(nn.Module):
    """ws [N, L, w] -> images at a level of detail. Figure 1 (b) of the paper."""

    config: StyleGANConfig

    @nn.compact
    def __call__(
        self, ws: Styles, lod: Any = 0.0, *, noise: Noise = "const", halvings: int | None = None
    ) -> Float[Array, "n h w c"]:
        """Images of styles, nominally in [-1, 1] but not bounded.

        Args:
          ws: [N, L, w], two for every size, the coarsest first.
          lod: level of detail, 0 for the full size; may be traced. With ``halvings`` it is from that to one more.
          noise: "const", "none", or keys [N].
          halvings: leaves out the layers of the finer sizes and gives images halved so many times; None gives images
            of the full size, in which coarser ones are enlarged.
        """
        cfg = self.config
        check_styles(ws, cfg.style_count)
        ws = at_least_float32(ws)
        top = len(cfg.levels) - 1
        levels = cfg.levels[: top + 1 - (halvings or 0)]
        added = noises(noise, [(level.height, level.width) for level in levels for _ in range(2)])
        x, images = None, None
        for i, level in enumerate(levels):
            two = slice(2 * i, 2 * i + 2)
            x = GrowingBlock(cfg, level, i == 0, name=f"b{level.resolution}")(x, ws[:, two], added[two])
            shown_from = 0 if halvings is None else len(levels) - 2  # coarser colours have no weight
            if i >= shown_from if cfg.progressive else i == top:
                colours = EqualizedConv(cfg.channels, 1, name=f"to_rgb{level.resolution}")(x)
                images = colours if images is None else blend(colours, repeated(images, 2), lod - (top - i))
        return cast("Array", images)  # there is at least one size


class Generator(nn.Module):
    """z (and a label) -> image, through w: ``mapping`` and ``synthesis`` are its two networks."""

    config: StyleGANConfig

    def setup(self) -> None:
        self.mapping = MappingNetwork(self.config)
        self.synthesis = Synthesis(self.config)

    def __call__(
        self,
        latents: Latents,
        labels: Labels | None = None,
        lod: Any = 0.0,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
    ) -> Images:
        """Images [N, H, W, C] of the full size at a level of detail; ``psi`` and ``cutoff`` as in ``truncate``."""
        return self.synthesis(self.styles(latents, labels, psi=psi, cutoff=cutoff), lod, noise=noise)

    def styles(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        psi: Any = 1.0,
        cutoff: int | None = None,
        update_average: bool = False,
    ) -> Styles:
        """The styles [N, L, w] of latents, truncated; in training, the average of w moves towards their mean."""
        ws = self.mapping(latents, labels, update_average=update_average)
        if isinstance(psi, int | float) and psi == 1:
            return ws
        return truncate(ws, self.mapping.get_variable("statistics", "w_average"), psi, cutoff=cutoff)

    def synthesise(
        self, ws: Styles, lod: Any = 0.0, *, noise: Noise = "const", halvings: int | None = None
    ) -> Float[Array, "n h w c"]:
        """The images of styles [N, L, w]: ``synthesis``, by a name that ``apply`` can call."""
        return self.synthesis(ws, lod, noise=noise, halvings=halvings)
