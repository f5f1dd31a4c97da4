"""The generator of StyleGAN3: mapping, Fourier features, and layers that are blind to the grid of pixels.

Karras et al. 2021, "Alias-Free Generative Adversarial Networks", arXiv:2106.12423, section 3 and appendix D; numbers of
NVlabs/stylegan3, training/networks_stylegan3.py. The discriminator is StyleGAN2's.
"""

from typing import Any, cast

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from ganzoo.config import require
from ganzoo.gan import NoiseInput
from ganzoo.models.stylegan3.config import StyleGAN3Config
from ganzoo.nn.equalized import EqualizedDense, normal_init
from ganzoo.nn.mapping import MappingNetwork
from ganzoo.nn.remat import apply_block
from ganzoo.nn.residual import ResidualDiscriminator
from ganzoo.nn.schedule import Layer, Schedule, Signal
from ganzoo.nn.styles import StyleGenerator, check_styles, keep_features, mix_styles
from ganzoo.ops import affine, collective, random
from ganzoo.ops.lowpass import filtered_lrelu
from ganzoo.ops.modulation import modulated_conv, unit_power
from ganzoo.ops.pixels import at_least_float32
from ganzoo.typing import AnyArray, Images, Labels, Latents, PyTree, Styles


class FourierFeatures(nn.Module):
    """Waves over the plane, moved and turned by w and by the user, and a learned mixture of them.

    Frequencies and phases are drawn once, in the collection ``constants``. Karras et al. 2021, arXiv:2106.12423,
    section 3.2 (Fourier features, transformed Fourier features) and appendix F.
    """

    signal: Signal

    @nn.compact
    def __call__(
        self, w: Float[Array, "n w_dim"], transform: Float[AnyArray, "*_m 3 3"] | None = None
    ) -> Float[Array, "n h w c"]:
        """Return features of styles [N, w]; ``transform`` as in ``Synthesis``."""
        signal, features = self.signal, self.signal.features

        def draw_frequencies() -> Array:
            drawn = random.normal(self.make_rng("params"), (features, 2))
            radius = jnp.linalg.norm(drawn, axis=1, keepdims=True)
            return drawn / (radius * jnp.exp(jnp.square(radius) / 4)) * signal.cutoff

        def draw_phases() -> Array:
            return random.uniform(self.make_rng("params"), (features,), -0.5, 0.5)

        frequencies = jnp.asarray(self.variable("constants", "frequencies", draw_frequencies).value)
        phases = jnp.asarray(self.variable("constants", "phases", draw_phases).value)
        kernel = jnp.asarray(self.param("kernel", normal_init, (features, features)))
        moves = EqualizedDense(4, bias_init=(1.0, 0.0, 0.0, 0.0), kernel_init=0.0, name="affine")(w)

        # the map from points of the result to points of the waves
        cosine, sine, x, y = jnp.moveaxis(moves / jnp.linalg.norm(moves[:, :2], axis=1, keepdims=True), 1, 0)
        maps = affine.product(affine.rotation(jnp.arctan2(sine, cosine)), affine.translation(-x, -y))
        if transform is not None:
            maps = affine.product(maps, jnp.broadcast_to(jnp.asarray(transform, maps.dtype), maps.shape))
        exact = lax.Precision.HIGHEST
        phases = phases[None] + jnp.einsum("cj,nj->nc", frequencies, maps[:, :2, 2], precision=exact)
        frequencies = jnp.einsum("cj,njk->nck", frequencies, maps[:, :2, :2], precision=exact)

        # waves that the sampling rate cannot hold fade out
        excess = jnp.linalg.norm(frequencies, axis=2) - signal.cutoff
        amplitudes = jnp.clip(1 - excess / (signal.rate / 2 - signal.cutoff), 0, 1)
        rows, columns = ((jnp.arange(size) + 0.5 - size / 2) / signal.rate for size in signal.size)
        along_x = columns[None, None, :, None] * frequencies[:, None, None, :, 0]
        along_y = rows[None, :, None, None] * frequencies[:, None, None, :, 1]
        waves = jnp.sin(2 * jnp.pi * (along_x + along_y + phases[:, None, None, :]))
        return (waves * amplitudes[:, None, None, :]) @ (kernel / features**0.5)


class SynthesisLayer(nn.Module):
    """A modulated convolution of an input of unit power, then bias, upsampling, leaky ReLU and downsampling.

    The collection ``statistics`` holds ``magnitude``, the running mean square of the input over training.
    Karras et al. 2021, arXiv:2106.12423, figure 4b and appendix D.2.
    """

    layer: Layer
    magnitude_decay: float
    """Share of the old mean square that one batch leaves."""
    clamp: float | None
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], w: Float[Array, "n w_dim"], update: bool
    ) -> Float[Array, "n h2 w2 c2"]:
        """Apply to features one style for each image; ``update`` moves the mean square towards that of ``x``."""
        layer, inputs, size = self.layer, x.shape[-1], self.layer.kernel_size
        x = x.astype(self.dtype)
        power = self.variable("statistics", "magnitude", jnp.ones, ())
        if update and not self.is_initializing():
            newest = lax.stop_gradient(collective.mean(jnp.mean(jnp.square(at_least_float32(x)))))
            power.value = newest + self.magnitude_decay * (power.value - newest)
        styles = EqualizedDense(inputs, bias_init=1.0, name="affine")(w)
        kernel = jnp.asarray(self.param("kernel", normal_init, (size, size, inputs, layer.after.features)))
        bias = jnp.asarray(self.param("bias", nn.initializers.zeros, (layer.after.features,)))
        if layer.is_colours:
            styles = styles / (inputs * size * size) ** 0.5
        else:
            kernel, styles = unit_power(kernel, styles)
        x = x * lax.rsqrt(power.value).astype(x.dtype)
        x = modulated_conv(x, kernel, styles, padding=(size - 1, size - 1), demodulate=not layer.is_colours)
        return filtered_lrelu(
            x,
            layer.up_filter,
            layer.down_filter,
            bias,
            up=layer.up,
            down=layer.down,
            padding=layer.padding,
            slope=1.0 if layer.is_colours else 0.2,
            gain=1.0 if layer.is_colours else 2**0.5,
            clamp=self.clamp,
        )


class Synthesis(nn.Module):
    """ws [N, L, w] -> images [N, H, W, C], nominally in [-1, 1] but not bounded."""

    schedule: Schedule
    magnitude_decay: float
    clamp: float | None = None
    output_scale: float = 0.25
    low_precision: Any = jnp.float32
    """Type of the activations in the ``low_precision_levels`` highest sampling rates."""
    low_precision_levels: int = 0
    remat: bool = False
    """Whether activations within a layer are computed again for the gradient."""

    @nn.compact
    def __call__(
        self, ws: Styles, transform: Float[AnyArray, "*_m 3 3"] | None = None, *, update: bool = False
    ) -> Images:
        """Return images of styles, one vector for the Fourier features and one for each layer.

        Args:
          ws: [N, L, w]; the first ones decide on the coarse, the last ones on the fine.
          transform: [3, 3] or [N, 3, 3], which map a point (x, y, 1) of the image to the point of the untransformed
            image that is seen there, from the centre of the image, in units of its shorter side; y points down.
          update: move the mean squares of all layers towards those of this batch on all devices; the collection
            ``statistics`` must be mutable.

        Raises:
          UserError: ws of another depth.
        """
        layers = self.schedule.all_layers
        check_styles(ws, len(layers) + 1)
        ws = at_least_float32(ws)
        x = FourierFeatures(self.schedule.signals[0], name="input")(ws[:, 0], transform)
        for layer, w in zip(layers, jnp.moveaxis(ws[:, 1:], 1, 0), strict=True):
            is_low = layer.after.rate << self.low_precision_levels > self.schedule.resolution
            dtype = self.low_precision if is_low else ws.dtype
            block = SynthesisLayer(layer, self.magnitude_decay, self.clamp, dtype, name=layer.name)
            x = apply_block(block, x, w, update, remat=self.remat)
            keep_features(self, x, self.schedule.area(layer.after))
        return at_least_float32(x) * self.output_scale


class Generator(StyleGenerator):
    """z (and a label) -> image, through w: ``mapping`` and ``synthesis`` are its two networks."""

    config: StyleGAN3Config

    def setup(self) -> None:
        cfg = self.config
        self.mapping = MappingNetwork(
            cfg.style_size,
            cfg.mapping_layers,
            lr_multiplier=cfg.mapping_lr_multiplier,
            average_decay=cfg.style_average_decay,
            copies=cfg.style_count,
        )
        self.synthesis = Synthesis(
            cfg.schedule,
            cast("float", cfg.magnitude_decay),
            clamp=cfg.conv_clamp or None,
            output_scale=cfg.output_scale,
            low_precision=jnp.dtype(cfg.low_precision),
            low_precision_levels=cfg.low_precision_levels,
            remat=cfg.remat,
        )

    def synthesise(
        self, ws: Styles, *, noise: NoiseInput = "const", transform: Float[AnyArray, "*_m 3 3"] | None = None
    ) -> Images:
        """Return the images [N, H, W, C] of styles [N, L, w], each moved by ``transform`` as in ``Synthesis``."""
        has_none = isinstance(noise, str) and noise in ("const", "none")
        require(has_none, "noise", noise if isinstance(noise, str) else "random", "be left out: StyleGAN3 has no noise")
        return self.synthesis(ws, transform)

    def train(
        self,
        latents: Latents,
        labels: Labels | None = None,
        others: Latents | None = None,
        cutoff: Int[Array, " n"] | None = None,
        *,
        update: bool = False,
    ) -> Images:
        """Return images [N, H, W, C] of latents [N, z] as in training.

        Args:
          latents: [N, z].
          labels: [N, k]; None in an unconditional model.
          others: latents [N, z] of the styles from ``cutoff`` on; None mixes nothing.
          cutoff: [N], see ``mix_styles``.
          update: move the mean of w and the layers' mean squares; the collection ``statistics`` must be mutable.
        """
        ws = self.mapping(latents, labels, update_average=update)
        if others is not None and cutoff is not None:
            ws = mix_styles(ws, self.mapping(others, labels), cutoff)
        return self.synthesis(ws, update=update)


def discriminator(config: StyleGAN3Config) -> ResidualDiscriminator:
    """Return the discriminator of a config."""
    own = config.discriminator_conv_clamp
    return ResidualDiscriminator(
        config.levels,
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
    """Return the kernels [w, C] of all style inputs in their order: the Fourier features, the layers, the colours."""
    synthesis = variables["params"]["synthesis"]
    names = sorted((name for name in synthesis if name[0] == "L"), key=lambda name: int(name[1:].split("_")[0]))
    return [synthesis[name]["affine"]["kernel"] for name in ("input", *names)]
