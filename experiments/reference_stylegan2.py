"""The other side of the benchmark: StyleGAN2 in PyTorch, written from the paper (arXiv:1912.04958) and tables.

Configuration ``stylegan2``: generator ``skip``, discriminator ``resnet``, logistic loss, R1 every 16 steps, path length
regularisation every 4, style mixing. The work is arranged as without custom CUDA kernels: training scales input and
output of one shared convolution, sampling has a weight per example and convolves in groups, filters are depthwise
convolutions. Eager mode; the precision of float32 products is PyTorch's default; bfloat16 is autocast, with a clamp.
Parameters bear their original names. PyTorch is imported when it is asked for.
"""

import importlib.util
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

LEARNING_RATE, BETA2, EPSILON = 0.002, 0.99, 1e-8
MAPPING_LR_MULTIPLIER, W_AVERAGE_BETA, STYLE_MIXING_PROBABILITY = 0.01, 0.995, 0.9
MINIBATCH_STD_GROUP, R1_GAMMA, R1_INTERVAL = 4, 10.0, 16
PATH_LENGTH_WEIGHT, PATH_LENGTH_DECAY, PATH_LENGTH_SHRINK, PATH_LENGTH_INTERVAL = 2.0, 0.01, 2, 4
CONVS = ("conv0", "conv1")
BUFFERS = ("w_avg", "noise_const", "magnitude_ema", "freqs", "phases")


@dataclass(frozen=True)
class Setting:
    """Sizes of both networks, and how they compute."""

    image_size: int = 64
    """A power of two from 8."""
    channels: int = 3
    channel_base: int = 16384
    """The block of size s has min(``channel_base`` / s, ``channel_max``) channels."""
    channel_max: int = 512
    mapping_layers: int = 8
    dtype: str = "float32"
    """``float32`` or ``bfloat16``."""
    channels_last: bool = False
    """The layout NHWC instead of NCHW."""
    threads: int = 0
    """0 leaves PyTorch's own choice."""
    latent_size: int = 512

    @property
    def widths(self) -> dict[int, int]:
        """Channels of the block of each size: 4, 8, ..., image_size."""
        levels = range(2, self.image_size.bit_length())
        return {2**level: min(self.channel_base // 2**level, self.channel_max) for level in levels}


def available() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


class Network:
    """Parameters and buffers by name, and the layers both networks are made of; weights are scaled at run time."""

    shapes: Callable[[], dict[str, tuple[int, ...]]]  # of the state

    def __init__(self, setting: Setting):
        import torch

        torch.backends.cudnn.benchmark = True
        if setting.threads:
            torch.set_num_threads(setting.threads)
        self.torch, self.functional, self.setting = torch, torch.nn.functional, setting
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.clamp = 256.0 if setting.dtype == "bfloat16" else math.inf
        self.precision = partial(torch.autocast, self.device.type, torch.bfloat16, enabled=math.isfinite(self.clamp))
        self.state = {name: self.place(_initial(torch, name, shape)) for name, shape in self.shapes().items()}
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.filter = self.place(torch.outer(taps, taps))

    def place(self, x: Any) -> Any:
        """The tensor on the device and, if it has four dimensions, in the memory layout."""
        nhwc = self.setting.channels_last and x.ndim == 4
        return x.to(self.device, memory_format=self.torch.channels_last if nhwc else self.torch.preserve_format)

    def wait(self) -> None:
        """For the device."""
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def dense(self, name: str, x: Any, lr_multiplier: float = 1.0) -> Any:
        """[N, I] -> [N, O]."""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        bias = bias if lr_multiplier == 1 else bias * lr_multiplier
        return self.functional.linear(x, weight * (lr_multiplier / math.sqrt(x.shape[1])), bias)

    def lrelu(self, x: Any, gain: float = 1.0) -> Any:
        """Leaky ReLU of slope 0.2, times sqrt(2) and the gain."""
        return self.functional.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)

    def clamped(self, x: Any, gain: float = 1.0) -> Any:
        """The limit is that of activations before the gain."""
        return x.clamp(-self.clamp * gain, self.clamp * gain) if math.isfinite(self.clamp) else x

    def fir(self, x: Any, padding: int = 0, stride: int = 1, gain: float = 1.0) -> Any:
        """Depthwise [1, 3, 3, 1] x [1, 3, 3, 1] of sum ``gain``."""
        kernel = (self.filter * gain).to(x.dtype).expand(x.shape[1], 1, 4, 4)
        return self.functional.conv2d(x, kernel, padding=padding, stride=stride, groups=x.shape[1])


def _initial(torch: Any, name: str, shape: tuple[int, ...]) -> Any:
    """Weights N(0, 1) over their learning rate multiplier, biases 0 (1 in an affine layer), noise strengths 0."""
    if name.endswith(("bias", "noise_strength", "w_avg")):
        return torch.full(shape, float(name.endswith("affine.bias")))
    return torch.randn(shape) / (MAPPING_LR_MULTIPLIER if name.startswith("mapping") else 1.0)


class StyleNetwork(Network):
    """A generator: z [N, Z] -> ``mapping`` -> ws [N, ``style_count``, W]."""

    style_count: int
    average_beta = W_AVERAGE_BETA

    def mapping_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the state of the mapping network."""
        latent, shapes = self.setting.latent_size, {}
        for layer in range(self.setting.mapping_layers):
            shapes |= {f"mapping.fc{layer}.weight": (latent, latent), f"mapping.fc{layer}.bias": (latent,)}
        return {"mapping.w_avg": (latent,), **shapes}

    def mapping(self, z: Any, *, update: bool = False) -> Any:
        """The same w for every layer; ``update`` moves the average of w."""
        x = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        for layer in range(self.setting.mapping_layers):
            x = self.lrelu(self.dense(f"mapping.fc{layer}", x, MAPPING_LR_MULTIPLIER))
        if update:
            self.state["mapping.w_avg"].lerp_(x.detach().mean(0), 1 - self.average_beta)
        return x[:, None].expand(-1, self.style_count, -1)


class Generator(StyleNetwork):
    """z [N, Z] -> ``mapping`` -> ws [N, num_ws, W] -> ``synthesis`` -> images [N, C, H, W]."""

    def __init__(self, setting: Setting):
        self.style_count = 2 * len(setting.widths)  # of all convolutions and the last RGB
        super().__init__(setting)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        latent, before = self.setting.latent_size, self.setting.widths[4]
        shapes = {"synthesis.b4.const": (before, 4, 4), **self.mapping_shapes()}
        for size, width in self.setting.widths.items():
            for conv in (*CONVS[size == 4 :], "torgb"):
                name, rgb = f"synthesis.b{size}.{conv}", conv == "torgb"
                after, kernel = (self.setting.channels, 1) if rgb else (width, 3)
                shapes |= {f"{name}.weight": (after, before, kernel, kernel), f"{name}.bias": (after,)}
                shapes |= {f"{name}.affine.weight": (before, latent), f"{name}.affine.bias": (before,)}
                shapes |= {} if rgb else {f"{name}.noise_strength": (), f"{name}.noise_const": (size, size)}
                before = width
        return shapes

    def synthesis(self, ws: Any, *, fused: bool = False, constant_noise: bool = False) -> Any:
        """Each block doubles the features' size and adds to the image; a block's RGB shares a w with the next conv0."""
        with self.precision():
            x, image, used = self.state["synthesis.b4.const"].expand(len(ws), -1, -1, -1), None, 0
            for size in self.setting.widths:
                for conv in CONVS[size == 4 :]:  # the first block has no conv0
                    x, used = self.layer(f"synthesis.b{size}.{conv}", x, ws[:, used], fused, constant_noise), used + 1
                rgb = self.to_rgb(f"synthesis.b{size}.torgb", x, ws[:, used], fused)
                image = rgb if image is None else self.upsample(image) + rgb
            return image

    def layer(self, name: str, x: Any, w: Any, fused: bool, constant_noise: bool) -> Any:
        """Modulated and demodulated convolution, (3) of the paper, noise, bias, leaky ReLU."""
        weight, styles, up = self.state[f"{name}.weight"], self.dense(f"{name}.affine", w), name.endswith("conv0")
        const, strength = self.state[f"{name}.noise_const"], self.state[f"{name}.noise_strength"]
        noise = strength * (const if constant_noise else self.torch.randn(len(w), 1, *const.shape, device=self.device))
        modulated = weight * styles[:, None, :, None, None]  # [N, O, I, k, k]
        scale = (modulated.square().sum((2, 3, 4)) + EPSILON).rsqrt()[..., None, None]  # [N, O, 1, 1]
        if fused:
            x = self.conv(x, modulated * scale[..., None], up)
            x = x + noise.to(x.dtype)
        else:
            x = self.conv(x * styles[..., None, None], weight, up)
            x = self.torch.addcmul(noise.to(x.dtype), x, scale.to(x.dtype))
        return self.clamped(self.lrelu(x + self.state[f"{name}.bias"][:, None, None].to(x.dtype)))

    def to_rgb(self, name: str, x: Any, w: Any, fused: bool) -> Any:
        """Modulated 1x1 convolution, bias."""
        weight, styles = self.state[f"{name}.weight"], self.dense(f"{name}.affine", w) / math.sqrt(x.shape[1])
        if fused:
            x = self.conv(x, weight * styles[:, None, :, None, None])
        else:
            x = self.conv(x * styles[..., None, None], weight)
        return self.clamped(x.float() + self.state[f"{name}.bias"][:, None, None])

    def conv(self, x: Any, weight: Any, up: bool = False) -> Any:
        """Weight [O, I, k, k], or [N, O, I, k, k] of each example: the batch is laid beside the channels, in groups."""
        n, groups, size = len(x), len(weight) if weight.ndim == 5 else 1, x.shape[2:]
        x = x.reshape(n // groups, -1, *size)
        if up:  # doubles the size
            weight = weight.transpose(-4, -3).reshape(x.shape[1], -1, *weight.shape[-2:])
            x = self.fir(self.functional.conv_transpose2d(x, weight, stride=2, groups=groups), padding=1, gain=4.0)
        else:
            weight = weight.reshape(-1, *weight.shape[-3:])
            x = self.functional.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        return x.reshape(n, -1, *x.shape[2:])

    def upsample(self, x: Any) -> Any:
        """[N, C, H, W] -> [N, C, 2H, 2W]: a zero after every pixel, and the filter."""
        n, c, h, w = x.shape
        x = self.functional.pad(x.reshape(n, c, h, 1, w, 1), [0, 1, 0, 0, 0, 1]).reshape(n, c, 2 * h, 2 * w)
        return self.fir(self.functional.pad(x, [2, 1, 2, 1]), gain=4.0)


class Discriminator(Network):
    """Images [N, C, H, W] -> logits [N, 1]."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        size, widths, last = self.setting.image_size, self.setting.widths, self.setting.widths[4]
        layers: dict[str, tuple[int, ...]] = {f"b{size}.fromrgb": (widths[size], self.setting.channels, 1, 1)}
        for (_, after), (size, before) in pairwise(widths.items()):
            layers |= {f"b{size}.conv0": (before, before, 3, 3), f"b{size}.conv1": (after, before, 3, 3)}
            layers |= {f"b{size}.skip": (after, before, 1, 1)}
        layers |= {"b4.conv": (last, last + 1, 3, 3), "b4.fc": (last, last * 4 * 4), "b4.out": (1, last)}
        biases = {f"{name}.bias": shape[:1] for name, shape in layers.items() if not name.endswith("skip")}
        return {f"{name}.weight": shape for name, shape in layers.items()} | biases

    def __call__(self, images: Any) -> Any:
        half = math.sqrt(0.5)  # of the variance
        with self.precision():
            x = self.layer(f"b{self.setting.image_size}.fromrgb", images)
            for size in list(self.setting.widths)[:0:-1]:
                skip = self.conv(f"b{size}.skip", self.fir(x, padding=1, stride=2))
                x = self.layer(f"b{size}.conv0", x)
                x = self.layer(f"b{size}.conv1", self.fir(x, padding=2), stride=2, gain=half)
                x = self.clamped(skip * half, half) + x
            x = self.layer("b4.conv", self.torch.cat([x, self.minibatch_std(x)], 1))
            x = self.lrelu(self.dense("b4.fc", x.flatten(1)))
            return self.dense("b4.out", x).float()

    def layer(self, name: str, x: Any, stride: int = 1, gain: float = 1.0) -> Any:
        """Convolution, bias, leaky ReLU."""
        return self.clamped(self.lrelu(self.conv(name, x, stride), gain), gain)

    def conv(self, name: str, x: Any, stride: int = 1) -> Any:
        """Of stride 2 without padding: the filter before it padded."""
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        weight, padding = weight / math.sqrt(weight[0].numel()), weight.shape[2] // 2 if stride == 1 else 0
        return self.functional.conv2d(x, weight, bias, stride=stride, padding=padding)

    def minibatch_std(self, x: Any) -> Any:
        """[N, 1, H, W]: the mean standard deviation within a group of G; i, i + N/G, i + 2N/G, ... make a group."""
        groups = x.float().reshape(min(MINIBATCH_STD_GROUP, len(x)), -1, *x.shape[1:])
        deviation = (groups.var(0, correction=0) + EPSILON).sqrt().mean((1, 2, 3)).to(x.dtype)
        return deviation.repeat(len(groups))[:, None, None, None].expand(-1, 1, *x.shape[2:])


def logistic_loss(discriminator: Discriminator, images: Any, sign: int) -> Any:
    """softplus(sign D(x)), [N, 1]; the sign is 1 for images that shall be judged fake, -1 for real."""
    return discriminator.functional.softplus(sign * discriminator(images))


def r1_penalty(discriminator: Discriminator, reals: Any) -> Any:
    """||dD/dx||^2, [N]."""
    reals = reals.detach().requires_grad_()
    (gradient,) = discriminator.torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def path_length_penalty(generator: Generator, ws: Any, noise: Any, mean: Any, constant_noise: bool = False) -> Any:
    """(|J^T y| - a)^2, [N], y standard normal over the square root of an image's pixels; moves the mean a in place."""
    images = generator.synthesis(ws, constant_noise=constant_noise)
    projected = (images * noise).sum() / math.sqrt(noise.shape[2] * noise.shape[3])
    (gradient,) = generator.torch.autograd.grad(projected, ws, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    moved = mean.lerp(lengths.mean(), PATH_LENGTH_DECAY)
    mean.copy_(moved.detach())
    return (lengths - moved).square()


def mixed_styles(generator: Generator, batch: int) -> Any:
    """ws of fresh latents, mostly with those of others from a random layer on."""
    z = generator.torch.randn(2, batch, generator.setting.latent_size, device=generator.device)
    ws, others = generator.mapping(z[0], update=True), generator.mapping(z[1])
    cutoff = random.randrange(1, ws.shape[1]) if random.random() < STYLE_MIXING_PROBABILITY else ws.shape[1]
    return generator.torch.cat([ws[:, :cutoff], others[:, cutoff:]], 1)


def phases(*, batch_size: int = 8, **fields: Any) -> dict[str, Callable[[int], None]]:
    """The phases of a freshly initialised training run: each ``run(n)`` does its phase n times and waits.

    ``batch_size`` is a multiple of 4 (path lengths are of half of it); ``fields`` are those of ``Setting``.
    """
    setting = Setting(**fields)
    g, d = Generator(setting), Discriminator(setting)
    torch, half, size = g.torch, batch_size // PATH_LENGTH_SHRINK, setting.image_size
    shape = setting.channels, size, size
    images = d.place(torch.randint(0, 256, (batch_size, *shape), dtype=torch.uint8))
    mean_length = g.place(torch.zeros(()))

    def real() -> Any:
        return images.float() / 127.5 - 1

    def fake() -> Any:
        return g.synthesis(mixed_styles(g, batch_size))

    def path_length() -> Any:
        return path_length_penalty(g, mixed_styles(g, half), torch.randn(half, *shape, device=g.device), mean_length)

    train_g = partial(train, g, adam(g, LEARNING_RATE, PATH_LENGTH_INTERVAL))
    train_d = partial(train, d, adam(d, LEARNING_RATE, R1_INTERVAL))
    return {
        "G main": partial(train_g, lambda: logistic_loss(d, fake(), -1)),
        "G path length": partial(train_g, lambda: path_length() * (PATH_LENGTH_WEIGHT * PATH_LENGTH_INTERVAL)),
        "D main": partial(train_d, lambda: logistic_loss(d, fake(), 1) + logistic_loss(d, real(), -1)),
        "D R1": partial(train_d, lambda: r1_penalty(d, real()) * (R1_GAMMA / 2 * R1_INTERVAL)),
    }


def sampler(*, batch_size: int = 8, **fields: Any) -> Callable[[int], None]:
    """``run(n)`` makes n batches of images, without truncation, and waits; the arguments are those of ``phases``."""
    setting = Setting(**fields)
    g = Generator(setting)

    def run(batches: int) -> None:
        with g.torch.no_grad():
            for _ in range(batches):
                z = g.torch.randn(batch_size, setting.latent_size, device=g.device)
                g.synthesis(g.mapping(z), fused=True, constant_noise=True)
        g.wait()

    return run


def adam(network: Network, learning_rate: float, interval: int = 0) -> Any:
    """Corrected for the penalty in addition every ``interval``, unless that is 0."""
    share = interval / (interval + 1) if interval else 1.0
    learned = [p for name, p in network.state.items() if not name.endswith(BUFFERS)]
    return network.torch.optim.Adam(learned, lr=learning_rate * share, betas=(0.0, BETA2**share), eps=EPSILON)


def train(network: Network, optimizer: Any, loss: Callable[[], Any], steps: int) -> None:
    """Meanwhile the other network needs no gradients."""
    learned = optimizer.param_groups[0]["params"]
    for _ in range(steps):
        for parameter in learned:
            parameter.requires_grad_(True)
        loss().mean().backward()
        for parameter in learned:
            parameter.requires_grad_(False)
        optimizer.step()
        optimizer.zero_grad()
    network.wait()
