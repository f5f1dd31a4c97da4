"""The other side of the benchmark: StyleGAN3 in PyTorch, written from the paper (arXiv:2106.12423) and tables.

Configurations T and R after the fade of R's blur: logistic loss, R1 every 16 steps, no style mixing. The work is
arranged as without custom CUDA kernels: a weight per example in grouped convolutions; filters are depthwise
convolutions, one axis after the other unless radial. Layers and taps are ``ganzoo.nn.schedule``'s arithmetic; the
discriminator is StyleGAN2's, clamped. Eager mode; bfloat16 is autocast. PyTorch is imported when it is asked for.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from reference_stylegan2 import (
    EPSILON,
    R1_INTERVAL,
    Discriminator,
    Setting,
    StyleNetwork,
    adam,
    logistic_loss,
    r1_penalty,
    train,
)

from ganzoo.nn.schedule import Layer, Schedule, schedule_of

GENERATOR_RATE, DISCRIMINATOR_RATE, R1_GAMMA = 0.0025, 0.002, 0.5
MAGNITUDE_HALF_LIFE, CLAMP, OUTPUT_SCALE, SLOPE, GAIN = 20_000, 256.0, 0.25, 0.2, math.sqrt(2)
LAYERS = {
    "layers": 14,
    "critical_layers": 2,
    "first_cutoff": 2.0,
    "first_stopband": 2**2.1,
    "last_stopband": 2**0.3,
    "margin": 10,
    "filter_taps": 6,
    "activation_upsampling": 2,
}
CONFIGURATIONS = {
    "t": {"kernel_size": 3, "radial_filters": False, "widening": 1},
    "r": {"kernel_size": 1, "radial_filters": True, "widening": 2},
}
"""By name; the generator has ``widening`` times as many channels as asked for."""


class Generator(StyleNetwork):
    """z [N, Z] -> ``mapping`` -> ws [N, num_ws, W] -> ``synthesis`` -> images [N, C, H, W]."""

    average_beta = 0.998

    def __init__(self, setting: Setting, schedule: Schedule, batch_size: int):
        self.layers, self.style_count = schedule.all_layers, len(schedule.all_layers) + 1
        self.input, self.magnitude_decay = schedule.signals[0], 0.5 ** (batch_size / MAGNITUDE_HALF_LIFE)
        super().__init__(setting)
        torch, features = self.torch, self.input.features
        directions = torch.randn(features, 2)
        radii = directions.norm(dim=1, keepdim=True)
        frequencies = directions / (radii * (radii.square() / 4).exp()) * self.input.cutoff
        start = {
            "freqs": frequencies,
            "phases": torch.rand(features) - 0.5,
            "affine.bias": torch.tensor([1.0, 0, 0, 0]),
        }
        start["affine.weight"] = torch.zeros(4, setting.latent_size)
        self.state |= {f"synthesis.input.{name}": self.place(tensor) for name, tensor in start.items()}
        self.taps = {
            (layer.name, way): self.place(torch.tensor(f, dtype=torch.float32))
            for layer in self.layers
            for way, f in (("up", layer.up_filter), ("down", layer.down_filter))
            if f is not None
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        latent, features, name = self.setting.latent_size, self.input.features, "synthesis.input"
        shapes = {**self.mapping_shapes(), f"{name}.weight": (features, features), f"{name}.freqs": (features, 2)}
        shapes |= {f"{name}.phases": (features,), f"{name}.affine.weight": (4, latent), f"{name}.affine.bias": (4,)}
        for layer in self.layers:
            name, before, after = f"synthesis.{layer.name}", layer.before.features, layer.after.features
            shapes |= {f"{name}.weight": (after, before, layer.kernel_size, layer.kernel_size)}
            shapes |= {f"{name}.bias": (after,), f"{name}.magnitude_ema": ()}
            shapes |= {f"{name}.affine.weight": (before, latent), f"{name}.affine.bias": (before,)}
        return shapes

    def synthesis(self, ws: Any, *, update: bool = False) -> Any:
        """``update`` moves the mean squares of the layers' inputs."""
        with self.precision():
            x = self.features(ws[:, 0])
            for position, layer in enumerate(self.layers):
                x = self.layer(layer, x, ws[:, position + 1], update)
            return x.float() * OUTPUT_SCALE

    def features(self, w: Any) -> Any:
        """Fourier features, turned and moved by w, section 3.2 of the paper, and a learned mixture of them."""
        torch, signal, state = self.torch, self.input, self.state
        moves = self.dense("synthesis.input.affine", w).float()
        cosine, sine, x, y = (moves / moves[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)  # [N, 2, 2]
        frequencies = state["synthesis.input.freqs"] @ turn  # [N, C, 2]
        phases = state["synthesis.input.phases"] - (frequencies * torch.stack([x, y], 1)[:, None]).sum(2)
        excess = frequencies.norm(dim=2) - signal.cutoff
        amplitudes = (1 - excess / (signal.rate / 2 - signal.cutoff)).clamp(0, 1)
        rows, columns = (
            (torch.arange(size, device=self.device) + 0.5 - size / 2) / signal.rate for size in signal.size
        )
        along_x = columns[None, None, :, None] * frequencies[:, None, None, :, 0]
        along_y = rows[None, :, None, None] * frequencies[:, None, None, :, 1]
        waves = (2 * math.pi * (along_x + along_y + phases[:, None, None])).sin() * amplitudes[:, None, None]
        mixed = waves @ state["synthesis.input.weight"].t() / math.sqrt(signal.features)
        return self.place(mixed.permute(0, 3, 1, 2))

    def layer(self, layer: Layer, x: Any, w: Any, update: bool) -> Any:
        """Modulated convolution of an input of unit power, then the filtered leaky ReLU; colours have no slope."""
        name = f"synthesis.{layer.name}"
        weight, styles = self.state[f"{name}.weight"], self.dense(f"{name}.affine", w)
        power, bias = self.state[f"{name}.magnitude_ema"], self.state[f"{name}.bias"]
        if update:
            power.lerp_(x.detach().float().square().mean(), 1 - self.magnitude_decay)
        if layer.is_colours:
            styles = styles / math.sqrt(weight[0].numel())
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            styles = styles * styles.square().mean().rsqrt()
        modulated = weight * styles[:, None, :, None, None]  # [N, O, I, k, k]
        if not layer.is_colours:
            modulated = modulated * (modulated.square().sum((2, 3, 4), keepdim=True) + EPSILON).rsqrt()
        x = self.conv(x, modulated * power.rsqrt()) + bias[:, None, None].to(x.dtype)
        x = self.up(x, layer)
        x = x if layer.is_colours else self.functional.leaky_relu(x, SLOPE) * GAIN
        return self.down(x.clamp(-CLAMP, CLAMP), layer)

    def conv(self, x: Any, weight: Any) -> Any:
        """Weight [N, O, I, k, k] of each example: the batch is laid beside the channels, in groups."""
        n, padding = len(x), weight.shape[-1] - 1
        y = self.functional.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.flatten(0, 1), padding=padding, groups=n)
        return y.reshape(n, -1, *y.shape[2:])

    def up(self, x: Any, layer: Layer) -> Any:
        """Zeros after every pixel and around the image, which negative ones crop, then the filter."""
        (n, c, h, w), up, (rows, columns) = x.shape, layer.up, layer.padding
        if up > 1:
            x = self.functional.pad(x.reshape(n, c, h, 1, w, 1), [0, up - 1, 0, 0, 0, up - 1])
            x = x.reshape(n, c, h * up, w * up)
        x = self.functional.pad(x, [*columns, *rows]) if any((*rows, *columns)) else x
        taps = self.taps.get((layer.name, "up"))
        return x if taps is None else self.filtered(x, taps * up)

    def down(self, x: Any, layer: Layer) -> Any:
        """The filter, at the pixels that are kept."""
        taps = self.taps.get((layer.name, "down"))
        return x if taps is None else self.filtered(x, taps, layer.down)

    def filtered(self, x: Any, taps: Any, stride: int = 1) -> Any:
        """Depthwise, by taps [k] for either axis or a radial filter [k, k]."""
        channels, taps = x.shape[1], taps.to(x.dtype)
        passes = (
            [(taps, (stride, stride))] if taps.ndim == 2 else [(taps[None], (1, stride)), (taps[:, None], (stride, 1))]
        )
        for kernel, strides in passes:
            kernel = kernel.expand(channels, 1, *kernel.shape)
            x = self.functional.conv2d(x, kernel, stride=strides, groups=channels)
        return x


SIZES: dict[str, Any] = {"channel_base": 8192, "mapping_layers": 2}
"""Fields of ``Setting`` that differ from a StyleGAN2."""


def generator(configuration: str, setting: Setting, batch_size: int) -> Generator:
    """The generator of one of ``CONFIGURATIONS``, freshly initialised."""
    fields: dict[str, Any] = {**LAYERS, **CONFIGURATIONS[configuration]}
    fields |= {"channel_base": setting.channel_base * fields["widening"]}
    fields |= {"channel_max": setting.channel_max * fields["widening"]}
    schedule = schedule_of({**fields, "image_size": setting.image_size, "channels": setting.channels})
    return Generator(setting, schedule, batch_size)


def phases(*, configuration: str = "t", batch_size: int = 4, **fields: Any) -> dict[str, Callable[[int], None]]:
    """The phases of a freshly initialised training run: each ``run(n)`` does its phase n times and waits.

    ``configuration`` is one of ``CONFIGURATIONS``, ``batch_size`` a multiple of 4; ``fields`` are those of ``Setting``,
    in which ``channel_base`` and ``channel_max`` are the discriminator's, and those of ``SIZES`` when absent.
    """
    setting = Setting(**{**SIZES, **fields})
    g, d = generator(configuration, setting, batch_size), Discriminator(setting)
    d.clamp, torch, channels, size = CLAMP, g.torch, setting.channels, setting.image_size
    images = d.place(torch.randint(0, 256, (batch_size, channels, size, size), dtype=torch.uint8))

    def real() -> Any:
        return images.float() / 127.5 - 1

    def fake(*, update: bool) -> Any:
        z = torch.randn(batch_size, setting.latent_size, device=g.device)
        return g.synthesis(g.mapping(z, update=update), update=update)

    train_g = partial(train, g, adam(g, GENERATOR_RATE))
    train_d = partial(train, d, adam(d, DISCRIMINATOR_RATE, R1_INTERVAL))
    return {
        "G main": partial(train_g, lambda: logistic_loss(d, fake(update=False), -1)),
        "D main": partial(train_d, lambda: logistic_loss(d, fake(update=True), 1) + logistic_loss(d, real(), -1)),
        "D R1": partial(train_d, lambda: r1_penalty(d, real()) * (R1_GAMMA / 2 * R1_INTERVAL)),
    }


def sampler(*, configuration: str = "t", batch_size: int = 4, **fields: Any) -> Callable[[int], None]:
    """``run(n)`` makes n batches of images, without truncation, and waits; the arguments are those of ``phases``."""
    setting = Setting(**{**SIZES, **fields})
    g = generator(configuration, setting, batch_size)

    def run(batches: int) -> None:
        with g.torch.no_grad():
            for _ in range(batches):
                g.synthesis(g.mapping(g.torch.randn(batch_size, setting.latent_size, device=g.device)))
        g.wait()

    return run
