"""The generator of StyleGAN, and with other settings of ProGAN: mapping, styles, noise, growing synthesis.

Karras, Laine, Aila 2018, arXiv:1812.04948, section 2 and figure 1; numbers of NVlabs/stylegan,
training/networks_stylegan.py. The discriminator is ``ganzoo.models.stylegan.discriminator.GrowingDiscriminator``.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.gan import NoiseInput
from ganzoo.models.stylegan.config import StyleGANConfig
from ganzoo.nn.equalized import EqualizedConv, EqualizedDense, normal_init
from ganzoo.nn.mapping import track_average
from ganzoo.nn.pyramid import Level
from ganzoo.nn.remat import apply_block
from ganzoo.nn.styles import StyleGenerator, check_styles, keep_features, layer_noises
from ganzoo.ops import fir
from ganzoo.ops.pixels import at_least_float32
from ganzoo.ops.resample import avg_pool, upsample_nearest
from ganzoo.ops.statistics import instance_norm, minibatch_stddev, pixel_norm
from ganzoo.typing import Images, Labels, Latents, Logits, Styles

GAIN = 2**0.5
"""Of the weights before an activation."""
SLOPE = 0.2
LOW_PRECISION = jnp.bfloat16
"""Type of the activations in the largest ``low_precision_levels`` sizes: one with the range of float32, as nothing here
limits activations."""
BOX = (1, 1)
"""2-tap box filter: nearest upsampling, 2x average pooling."""


def activated(x: Array, activation: str = "lrelu") -> Array:
    """Apply ReLU or leaky ReLU, without a gain."""
    return jax.nn.relu(x) if activation == "relu" else jax.nn.leaky_relu(x, SLOPE)


def blend(fine: Array, coarse: Array, coarseness: Any) -> Array:
    """Blend features: ``fine`` at 0, ``coarse`` at 1, a mixture between; ``coarseness`` is clipped."""
    return fine + (coarse - fine) * jnp.clip(jnp.asarray(coarseness, fine.dtype), 0, 1)


def blurred(x: Array, taps: tuple[float, ...]) -> Array:
    """Low-pass filter features [N, H, W, C] at the same size; return them as they are where there are no taps.

    The taps are correlated with the features under TensorFlow's "SAME" padding, as the original's
    ``depthwise_conv2d`` does: asymmetric taps are not turned around, and an even number of them reaches to the right.
    NVlabs/stylegan, training/networks_stylegan.py:23-49.
    """
    if not taps:
        return x
    around = (len(taps) - 1) // 2, len(taps) // 2
    return fir.upfirdn(x, fir.setup_filter(taps), padding=(around, around), correlate=True)


# Generator ------------------------------------------------------------------------------------------------------------


class MappingNetwork(nn.Module):
    """z, with the label or a linear embedding of the label beside it, -> w. Section 2 of the paper."""

    config: StyleGANConfig

    @nn.compact
    def __call__(
        self, latents: Latents, labels: Labels | None = None, *, update_average: bool = False
    ) -> Float[Array, "n l w_dim"]:
        """Return styles [N, L, w]; ``update_average`` moves the running mean of w in the collection ``statistics``."""
        cfg, x = self.config, at_least_float32(latents)
        if labels is not None:
            beside = at_least_float32(labels)
            if cfg.embed_labels:
                beside = beside @ jnp.asarray(self.param("label_kernel", normal_init, (labels.shape[1], x.shape[1])))
            x = jnp.concatenate([x, beside], axis=1)
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
        """Apply to features one style [N, w] for each image, and "const", "none" or noise [N, H, W, 1]."""
        cfg, features = self.config, x.shape[-1]
        if cfg.use_noise:
            x = self._noisy(x, noise)
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (features,)), x.dtype).reshape(1, 1, 1, -1)
        if self.follows_constant and cfg.instance_norm:
            bias = _without_rounding(bias, x)
        x = activated(x + bias, cfg.activation)
        x = pixel_norm(x) if cfg.pixel_norm else x
        x = instance_norm(x) if cfg.instance_norm else x
        if not cfg.use_styles:
            return x
        style = EqualizedDense(2 * features, name="affine")(w)[:, None, None].astype(x.dtype)
        scale, shift = jnp.split(style, 2, axis=-1)
        return x * (scale + 1) + shift

    def _noisy(self, x: Array, noise: str | Array) -> Array:
        constant = self.variable("noise", "constant", lambda: normal_init(self.make_rng("params"), x.shape[1:3]))
        strength = jnp.asarray(self.param("noise_strength", nn.initializers.zeros, x.shape[-1:]))
        if isinstance(noise, str):
            if noise == "none":
                return x
            noise = constant.value.reshape(-1, *x.shape[1:3], 1)
        return x + (noise * strength.reshape(1, 1, 1, -1)).astype(x.dtype)


def _without_rounding(bias: Array, x: Float[Array, "n h w c"]) -> Array:
    """Zero the bias gradient of channels with one sign everywhere: lrelu is linear there and instance norm cancels it.

    Adam would turn what rounding leaves of such a gradient, divided by a deviation near 0, into steps of the learning
    rate, different ones on every number of devices. All channels start like that, since the constant is 1 and noise has
    no strength yet.
    """
    is_positive = x + bias > 0
    is_linear = jnp.all(is_positive, axis=(1, 2), keepdims=True) | ~jnp.any(is_positive, axis=(1, 2), keepdims=True)
    return jnp.where(is_linear, jax.lax.stop_gradient(bias), bias)


class GrowingBlock(nn.Module):
    """The two layers of one size; from the second block on, the first of them doubles it and blurs."""

    config: StyleGANConfig
    level: Level
    is_first: bool
    dtype: Any = jnp.float32
    """Type of the activations; float32 at least in the first block."""

    @nn.compact
    def __call__(self, x: Array | None, ws: Styles, noise: list[Any]) -> Float[Array, "n h w c"]:
        """Double features of half the size (None in the first block), by two styles [N, 2, w] and two noises."""
        cfg, features = self.config, self.level.features
        conv = partial(EqualizedConv, features, 3, use_bias=False, kernel_gain=GAIN, taps=BOX)
        epilogue = partial(Epilogue, cfg)
        if self.is_first:
            x = self._input(ws)
        else:
            fused = {"always": True, "never": False, "auto": min(self.level.height, self.level.width) >= 128}
            x = cast("Array", x).astype(self.dtype)
            x = conv(up=2, correlate=not fused[cfg.fused_scale], name="conv0")(x)
            x = blurred(x, cfg.blur_filter)
        x = epilogue(self.is_first and cfg.constant_input, name="epilogue0")(x, ws[:, 0], noise[0])
        return epilogue(name="epilogue1")(conv(name="conv1")(x), ws[:, 1], noise[1])

    def _input(self, ws: Styles) -> Array:
        """Return the learned constant, or the traditional input: a dense layer, whose gain the code divides by 4."""
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
        self, ws: Styles, lod: Any = 0.0, *, noise: NoiseInput = "const", halvings: int | None = None
    ) -> Float[Array, "n h w c"]:
        """Return images of styles, nominally in [-1, 1] but not bounded.

        Args:
          ws: [N, L, w], two for every size, the coarsest first.
          lod: level of detail, 0 for the full size; may be traced. With ``halvings``, lod must be in
            [halvings, halvings + 1].
          noise: "const", "none", or keys [N].
          halvings: leaves out the layers of the finer sizes and gives images halved so many times; None gives images
            of the full size, in which coarser ones are enlarged.
        """
        cfg = self.config
        check_styles(ws, cfg.style_count)
        ws = at_least_float32(ws)
        top = len(cfg.levels) - 1
        levels = cfg.levels[: top + 1 - (halvings or 0)]
        added = layer_noises(noise, [(level.height, level.width) for level in levels for _ in range(2)])
        x, images = None, None
        for i, level in enumerate(levels):
            two = slice(2 * i, 2 * i + 2)
            is_low = i > 0 and i > top - cfg.low_precision_levels
            block = GrowingBlock(cfg, level, i == 0, LOW_PRECISION if is_low else ws.dtype, name=f"b{level.resolution}")
            x = apply_block(block, x, ws[:, two], added[two], remat=cfg.remat)
            keep_features(self, x, level.size)
            shown_from = 0 if halvings is None else len(levels) - 2  # coarser colours have no weight
            if i >= shown_from if cfg.progressive else i == top:
                colours = at_least_float32(EqualizedConv(cfg.channels, 1, name=f"to_rgb{level.resolution}")(x))
                images = colours if images is None else blend(colours, upsample_nearest(images, 2), lod - (top - i))
        return cast("Array", images)  # there is at least one size


class Generator(StyleGenerator):
    """z (and a label) -> image, through w: ``mapping`` and ``synthesis`` are its two networks."""

    config: StyleGANConfig

    def setup(self) -> None:
        self.mapping = MappingNetwork(self.config)
        self.synthesis = Synthesis(self.config)

    def __call__(
        self,
        latents: Latents,
        labels: Labels | None = None,
        *,
        lod: Any = 0.0,
        psi: Any = 1.0,
        cutoff: int | None = None,
        noise: NoiseInput = "const",
    ) -> Images:
        """Return images [N, H, W, C] of full size at a level of detail; otherwise as ``StyleGenerator``."""
        return self.synthesise(self.styles(latents, labels, psi=psi, cutoff=cutoff), lod=lod, noise=noise)

    def synthesise(
        self, ws: Styles, *, lod: Any = 0.0, noise: NoiseInput = "const", halvings: int | None = None
    ) -> Float[Array, "n h w c"]:
        """Return the images [N, H, W, C] of styles [N, L, w] at a level of detail: see ``Synthesis``."""
        return self.synthesis(ws, lod, noise=noise, halvings=halvings)


# Discriminator --------------------------------------------------------------------------------------------------------


class ShrinkingBlock(nn.Module):
    """Two 3x3 convolutions, the second of which blurs and halves the size; H x W -> H/2 x W/2."""

    features: int
    """Of the block's own size."""
    features_out: int
    taps: tuple[float, ...]
    activation: str
    halves_last: bool
    """Whether the size is halved after the activation."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Return features of half the size, in the type of ``x``."""
        conv = partial(EqualizedConv, kernel_size=3, taps=BOX, kernel_gain=GAIN)
        x = activated(conv(self.features, name="conv0")(x), self.activation)
        x = blurred(x, self.taps)
        x = activated(conv(self.features_out, down=1 if self.halves_last else 2, name="conv1")(x), self.activation)
        return avg_pool(x, 2) if self.halves_last else x


class GrowingDiscriminator(nn.Module):
    """Images (and labels) -> logits, at a level of detail."""

    levels: tuple[Level, ...]
    """From the smallest feature map to the images' full size."""
    taps: tuple[float, ...] = (1, 2, 1)
    """Of the blur before each halving; () for none."""
    growing: bool = True
    """Whether images enter at every size; otherwise at the full one only."""
    group_size: int | None = 4
    """Images of one minibatch standard deviation; None for all of the batch."""
    group_channels: int = 1
    activation: str = "lrelu"
    halves_last: bool = False
    """Whether a size is halved after its activation, as in ProGAN where scaling is not fused; otherwise before."""
    use_labels: bool = True
    """Whether labels choose among k outputs; otherwise they are ignored."""
    hidden_features: int = 0
    """Outputs of the dense layer before the last one; 0: as many as channels at the smallest size. Those of half that
    size in NVlabs/stylegan, training/networks_stylegan.py: D_basic."""
    low_precision_levels: int = 0
    """Number of the largest sizes, of all levels, whose activations are of ``LOW_PRECISION``."""
    remat: bool = False
    """Whether activations within a size are computed again for the gradient."""

    @nn.compact
    def __call__(
        self, images: Images, labels: Labels | None = None, lod: Any = 0.0, *, halvings: int | None = None
    ) -> Logits:
        """Return logits [N]; with labels, the inner product of k outputs and the label.

        Args:
          images: of the full size, or with ``halvings`` of a size halved so many times.
          labels: [N, k].
          lod: level of detail, 0 for the full size; may be traced. With ``halvings``, lod must be in
            [halvings, halvings + 1].
          halvings: leaves out the layers of the finer sizes.
        """
        labels = labels if self.use_labels else None
        finest = len(self.levels) - 1 - (halvings or 0)
        images = at_least_float32(images)
        x = self._from_rgb(finest, images)
        for i in range(finest, 0, -1):
            level, below = self.levels[i], self.levels[i - 1]
            how = self.taps, self.activation, self.halves_last
            block = ShrinkingBlock(level.features, below.features, *how, name=f"b{level.resolution}")
            x = apply_block(block, x, remat=self.remat).astype(self._dtype(i - 1, images))
            if self.growing and (halvings is None or i == finest):
                images = avg_pool(images, 2)
                x = blend(x, self._from_rgb(i - 1, images), lod - (len(self.levels) - 1 - i))
        y = self._outputs(x, 1 if labels is None else labels.shape[1])
        return y[:, 0] if labels is None else jnp.sum(y * labels, axis=1)

    def _from_rgb(self, i: int, images: Array) -> Array:
        level = self.levels[i]
        conv = EqualizedConv(level.features, 1, kernel_gain=GAIN, name=f"from_rgb{level.resolution}")
        return activated(conv(images.astype(self._dtype(i, images))), self.activation)

    def _dtype(self, i: int, images: Array) -> Any:
        """Return the type of the activations of level ``i``, that of the images where it is not low."""
        is_low = i > 0 and i >= len(self.levels) - self.low_precision_levels
        return LOW_PRECISION if is_low else images.dtype

    def _outputs(self, x: Array, outputs: int) -> Float[Array, "n o"]:
        """Apply the last layers, at the smallest size."""
        features = self.levels[0].features
        hidden = self.hidden_features or features
        if self.group_channels:
            x = minibatch_stddev(x, group_size=self.group_size, channels=self.group_channels)
        x = activated(EqualizedConv(features, 3, kernel_gain=GAIN, name="conv")(x), self.activation)
        x = EqualizedDense(hidden, kernel_gain=GAIN, name="dense")(x.reshape(x.shape[0], -1))
        x = activated(x, self.activation)
        return EqualizedDense(outputs, name="out")(x)


def discriminator(config: StyleGANConfig) -> GrowingDiscriminator:
    """Return the discriminator of a config."""
    return GrowingDiscriminator(
        config.levels,
        taps=config.blur_filter,
        growing=config.progressive,
        group_size=config.minibatch_std_group or None,
        group_channels=config.minibatch_std_channels,
        activation=config.activation,
        halves_last=config.halves_last,
        use_labels=config.discriminator_labels,
        low_precision_levels=config.low_precision_levels,
        remat=config.remat,
        hidden_features=min(2 * config.channel_base // config.levels[0].resolution, config.channel_max),
    )
