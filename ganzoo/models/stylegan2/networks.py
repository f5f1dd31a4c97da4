"""The networks of StyleGAN2: mapping, synthesis by modulated convolutions from a learned constant, discriminator.

Karras et al. 2019, arXiv:1912.04958, figure 2 (d) and figure 7; numbers of NVlabs/stylegan2-ada-pytorch,
training/networks.py.
"""

from functools import partial
from typing import Any, cast

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from ganzoo.gan import NoiseInput
from ganzoo.models.stylegan2.config import StyleGAN2Config
from ganzoo.nn.equalized import EqualizedConv, EqualizedDense, normal_init, resampling
from ganzoo.nn.mapping import MappingNetwork
from ganzoo.nn.pyramid import Level
from ganzoo.nn.remat import apply_block
from ganzoo.nn.residual import ResidualDiscriminator
from ganzoo.nn.styles import StyleGenerator, check_styles, keep_features, layer_noises
from ganzoo.ops import fir
from ganzoo.ops.activations import ACTIVATIONS, bias_act
from ganzoo.ops.modulation import modulated_conv
from ganzoo.ops.pixels import at_least_float32
from ganzoo.typing import Images, PyTree, Styles

SQRT_HALF = 0.5**0.5


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise, bias and activation; doubles the size where ``up`` is 2."""

    features: int
    up: int
    activation: str
    taps: tuple[float, ...]
    clamp: float | None
    use_noise: bool
    gain: float = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], w: Float[Array, "n w_dim"], noise: str | Float[Array, "n h2 w2 1"]
    ) -> Float[Array, "n h2 w2 c2"]:
        """Apply to features one style for each image, and "const", "none" or noise [N, H up, W up, 1]."""
        inputs, up = x.shape[-1], self.up
        styles = EqualizedDense(inputs, bias_init=1.0, name="affine")(w)
        channels = (self.features, inputs) if up > 1 else (inputs, self.features)
        kernel = jnp.asarray(self.param("kernel", normal_init, (3, 3, *channels)))
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (self.features,)))
        added = self._noise(noise, (1, x.shape[1] * up, x.shape[2] * up, 1)) if self.use_noise else None
        f = resampling(self.taps, up)
        x = modulated_conv(x, kernel, styles, f, up=up, padding=(1, 1), noise=added)
        gain = ACTIVATIONS[self.activation].gain * self.gain
        clamp = None if self.clamp is None else self.clamp * self.gain
        return bias_act(x, bias, self.activation, gain=gain, clamp=clamp)

    def _noise(self, noise: str | Array, shape: tuple[int, int, int, int]) -> Array | None:
        """Return the noise times its learned strength; the network's map may be replaced by one for each image."""
        constant = self.variable("noise", "constant", lambda: normal_init(self.make_rng("params"), shape[1:3]))
        strength = jnp.asarray(self.param("noise_strength", nn.initializers.zeros, ()))
        if isinstance(noise, str):
            return None if noise == "none" else constant.value.reshape(-1, *shape[1:]) * strength
        return noise * strength


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to the colours, without demodulation or noise."""

    channels: int
    clamp: float | None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], w: Float[Array, "n w_dim"]) -> Float[Array, "n h w rgb"]:
        """Return the colours [N, H, W, C] of features, in float32."""
        inputs = x.shape[-1]
        styles = EqualizedDense(inputs, bias_init=1.0, name="affine")(w) / inputs**0.5
        kernel = jnp.asarray(self.param("kernel", normal_init, (1, 1, inputs, self.channels)))
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (self.channels,)))
        y = modulated_conv(x, kernel, styles, demodulate=False)
        return at_least_float32(bias_act(y, bias, clamp=self.clamp))


class SynthesisBlock(nn.Module):
    """All layers of one size; every block but the first doubles it."""

    level: Level
    channels: int
    is_last: bool
    architecture: str
    activation: str
    taps: tuple[float, ...]
    clamp: float | None
    use_noise: bool
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Array | None, images: Array | None, ws: Float[Array, "n l w_dim"], noises: list[str | Array]
    ) -> tuple[Float[Array, "n h w c"], Float[Array, "n h w rgb"] | None]:
        """Take features and the image so far (None at the start) to the size of this block.

        ``ws`` holds a style for each convolution and one for the colours, ``noises`` one for each convolution.
        """
        level = self.level
        layer = partial(
            StyledConv,
            level.features,
            activation=self.activation,
            taps=self.taps,
            clamp=self.clamp,
            use_noise=self.use_noise,
        )
        if x is None:
            constant = jnp.asarray(self.param("constant", normal_init, (level.height, level.width, level.features)))
            x = jnp.broadcast_to(constant.astype(self.dtype), (ws.shape[0], *constant.shape))
            x = layer(up=1, name="conv1")(x, ws[:, 0], noises[0])
        else:
            x, is_residual = x.astype(self.dtype), self.architecture == "resnet"
            y = layer(up=2, name="conv0")(x, ws[:, 0], noises[0])
            y = layer(up=1, gain=SQRT_HALF if is_residual else 1.0, name="conv1")(y, ws[:, 1], noises[1])
            x = self._shortcut(x) + y if is_residual else y
        if images is not None:
            images = fir.upsample(images, resampling(self.taps))
        if self.is_last or self.architecture == "skip":
            colours = ToRGB(self.channels, self.clamp, name="to_rgb")(x, ws[:, -1])
            images = colours if images is None else images + colours
        return x, images

    def _shortcut(self, x: Array) -> Array:
        """Return features of twice the size, around the convolutions."""
        shortcut = partial(EqualizedConv, use_bias=False, up=2, taps=self.taps, gain=SQRT_HALF)
        return shortcut(self.level.features, 1, name="skip")(x)


class Synthesis(nn.Module):
    """ws [N, L, w] -> images [N, H, W, C], nominally in [-1, 1] but not bounded."""

    levels: tuple[Level, ...]
    """From the smallest feature map to the images' own size."""
    channels: int
    architecture: str = "skip"
    """"skip" (colours of every size add up), "resnet" or "orig" (neither)."""
    activation: str = "lrelu"
    taps: tuple[float, ...] = (1, 3, 3, 1)
    clamp: float | None = None
    use_noise: bool = True
    low_precision: Any = jnp.float32
    """Type of the activations in the largest ``low_precision_levels`` sizes, but never in the smallest one."""
    low_precision_levels: int = 0
    remat: bool = False
    """Whether activations within a size are computed again for the gradient."""

    @property
    def style_count(self) -> int:
        """L, the number of style inputs: one for each convolution and one for the last colours."""
        return 2 * len(self.levels)

    @nn.compact
    def __call__(self, ws: Styles, *, noise: NoiseInput = "const") -> Images:
        """Return images of styles, one vector for every layer: two layers of the smallest size, then two for each size.

        Args:
          ws: [N, L, w]; the first ones decide on the coarse, the last ones on the fine.
          noise: "const", "none", or keys [N].

        Raises:
          UserError: ws of another depth, or an unknown ``noise``.
        """
        check_styles(ws, self.style_count)
        ws = at_least_float32(ws)
        sizes = [(level.height, level.width) for i, level in enumerate(self.levels) for _ in range(1 if i == 0 else 2)]
        x, images, added, first = None, None, layer_noises(noise, sizes), 0
        for i, level in enumerate(self.levels):
            convolutions = 1 if i == 0 else 2
            is_low = i > 0 and i >= len(self.levels) - self.low_precision_levels
            block = SynthesisBlock(
                level,
                self.channels,
                i == len(self.levels) - 1,
                self.architecture,
                self.activation,
                self.taps,
                self.clamp,
                self.use_noise,
                self.low_precision if is_low else ws.dtype,
                name=f"b{level.resolution}",
            )
            styles, noises = ws[:, first : first + convolutions + 1], added[first : first + convolutions]
            x, images = apply_block(block, x, images, styles, noises, remat=self.remat)
            keep_features(self, x, level.size)
            first += convolutions
        return cast("Array", images)  # there is at least one size


class Generator(StyleGenerator):
    """z (and a label) -> image, through w: ``mapping`` and ``synthesis`` are its two networks."""

    config: StyleGAN2Config

    def setup(self) -> None:
        cfg = self.config
        self.mapping = MappingNetwork(
            cfg.style_size,
            cfg.mapping_layers,
            activation=cfg.activation,
            lr_multiplier=cfg.mapping_lr_multiplier,
            average_decay=cfg.style_average_decay,
            copies=cfg.style_count,
        )
        self.synthesis = Synthesis(
            cfg.levels,
            cfg.channels,
            architecture=cfg.generator_architecture,
            activation=cfg.activation,
            taps=cfg.resample_filter,
            clamp=cfg.conv_clamp or None,
            use_noise=cfg.use_noise,
            low_precision=jnp.dtype(cfg.low_precision),
            low_precision_levels=cfg.low_precision_levels,
            remat=cfg.remat,
        )


def discriminator(config: StyleGAN2Config) -> ResidualDiscriminator:
    """Return the discriminator of a config."""
    own = config.discriminator_conv_clamp
    return ResidualDiscriminator(
        config.levels,
        architecture=config.discriminator_architecture,
        activation=config.activation,
        taps=config.resample_filter,
        clamp=(config.conv_clamp if own is None else own) or None,
        low_precision=jnp.dtype(config.low_precision),
        low_precision_levels=config.low_precision_levels,
        remat=config.remat,
        group_size=config.minibatch_std_group or None,
        group_channels=config.minibatch_std_channels,
        mapping_layers=config.discriminator_mapping_layers,
        mapping_lr_multiplier=config.discriminator_mapping_lr_multiplier,
    )


def modulation_kernels(variables: PyTree) -> list[Any]:
    """Return the kernels [w, C] from w to the styles of every convolution, coarse first, as the style inputs are."""
    synthesis = variables["params"]["synthesis"]
    blocks = sorted((name for name in synthesis if name[1:].isdigit()), key=lambda name: int(name[1:]))
    return [
        synthesis[block][layer]["affine"]["kernel"]
        for block in blocks
        for layer in ("conv0", "conv1")
        if layer in synthesis[block]
    ]
