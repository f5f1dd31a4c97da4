"""The other side of the benchmark: R3GAN in PyTorch, written from the paper (arXiv:2501.05441) and tables of numbers.

The CIFAR-10 row: all sizes have one width, labels are concatenated to z in G and enter D by projection, the loss is
relativistic, and R1 and R2 come in every step, each as an ``autograd.grad`` with ``create_graph``. Blocks are 1x1, 3x3
in groups and 1x1 convolutions, the biases of the activations are those of ``conv2d``, and the filters [1, 3, 3, 1] are
depthwise convolutions of stride 2. Images are not augmented. Eager mode; with bfloat16, the three largest sizes have
activations of that type, and weights are cast where they are used.

Importing this file imports PyTorch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEARNING_RATE, BETAS, EPSILON = 2e-4, (0.0, 0.9), 1e-8
"""Of Adam, where the schedules start."""
GAMMA = 0.05
"""Of R1 and R2, where the schedule starts."""
LATENT_SIZE, LABEL_FEATURES, SMALLEST, LOW_PRECISION_SIZES = 64, 64, 4, 3
LRELU_GAIN = (2 / (1 + 0.2**2)) ** 0.5


@dataclass(frozen=True)
class Setting:
    """Sizes of both networks, and the type of their largest activations."""

    image_size: int = 32
    channels: int = 3
    classes: int = 10
    width: int = 768
    groups: int = 96
    blocks: int = 2
    expansion: int = 2
    dtype: str = "float32"

    @property
    def sizes(self) -> list[int]:
        """Sizes of the feature maps, from the smallest to the image."""
        return [SMALLEST * 2**i for i in range((self.image_size // SMALLEST).bit_length())]

    def type_at(self, size: int) -> torch.dtype:
        """Return the type of the activations at a size."""
        return getattr(torch, self.dtype if size in self.sizes[-LOW_PRECISION_SIZES:] else "float32")

    def stage(self, size: int) -> "Stage":
        """Return the residual blocks of a size."""
        gain = LRELU_GAIN * (self.blocks * len(self.sizes)) ** -0.25
        hidden = self.width * self.expansion
        blocks = [ResidualBlock(self.width, hidden, self.groups, gain) for _ in range(self.blocks)]
        return Stage(blocks, self.type_at(size))


class Conv(nn.Conv2d):
    """A convolution of the same size in the type of its input; weights N(0, gain^2 / fan-in), biases 0."""

    def __init__(
        self, before: int, after: int, size: int = 1, *, gain: float = 1.0, groups: int = 1, bias: bool = False
    ):
        super().__init__(before, after, size, padding=size // 2, groups=groups, bias=bias)
        initialise(self.weight, gain)
        if bias:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self._conv_forward(x, self.weight.to(x.dtype), bias)


def initialise(weight: Tensor, gain: float = 1.0) -> None:
    """Draw the weights [O, I, ...] of a layer from N(0, gain^2 / fan-in)."""
    nn.init.normal_(weight, std=gain / weight[0].numel() ** 0.5)


class ResidualBlock(nn.Module):
    """1x1, 3x3 in groups, 1x1 that starts at 0, with leaky ReLUs between."""

    def __init__(self, width: int, hidden: int, groups: int, gain: float):
        super().__init__()
        self.expand = Conv(width, hidden, gain=gain, bias=True)
        self.spatial = Conv(hidden, hidden, 3, gain=gain, groups=groups, bias=True)
        self.project = Conv(hidden, width, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.expand(x), 0.2)
        y = functional.leaky_relu(self.spatial(y), 0.2)
        return x + self.project(y)


class Stage(nn.Sequential):
    """Residual blocks in one type of activations."""

    def __init__(self, blocks: Sequence[nn.Module], dtype: torch.dtype):
        super().__init__(*blocks)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.dtype))


class Resample(nn.Module):
    """Double or halve the size of [N, C, H, W] with the low-pass filter [1, 3, 3, 1] of both axes."""

    taps: Tensor

    def __init__(self, *, up: bool):
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if up else 8)
        self.up = up
        self.register_buffer("taps", torch.outer(row, row))

    def forward(self, x: Tensor) -> Tensor:
        resample: Any = functional.conv_transpose2d if self.up else functional.conv2d
        kernel = self.taps.to(x.dtype).expand(x.shape[1], 1, 4, 4)
        return resample(x, kernel, stride=2, padding=1, groups=x.shape[1])


class Generator(nn.Module):
    """z [N, Z], one-hot labels [N, K] -> images [N, C, H, W]."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.embedding = nn.Linear(setting.classes, LABEL_FEATURES, bias=False)
        self.dense = nn.Linear(LATENT_SIZE + LABEL_FEATURES, setting.width, bias=False)
        self.basis = nn.Parameter(torch.randn(setting.width, SMALLEST, SMALLEST))
        self.stages = nn.ModuleList(setting.stage(size) for size in setting.sizes)
        self.resample = Resample(up=True)
        self.to_image = Conv(setting.width, setting.channels)
        initialise(self.embedding.weight)
        initialise(self.dense.weight)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = self.dense(torch.cat([z, self.embedding(labels)], 1))[:, :, None, None] * self.basis
        first, *others = self.stages
        x = first(x)
        for stage in others:
            x = stage(self.resample(x.to(stage.dtype)))
        return self.to_image(x.float())


class Discriminator(nn.Module):
    """Images [N, C, H, W], one-hot labels [N, K] -> logits [N]."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.from_image = Conv(setting.channels, setting.width)
        self.stages = nn.ModuleList(setting.stage(size) for size in reversed(setting.sizes))
        self.resample = Resample(up=False)
        self.basis = nn.Parameter(torch.randn(setting.width, SMALLEST, SMALLEST) / SMALLEST)
        self.dense = nn.Linear(setting.width, setting.width, bias=False)
        self.embedding = nn.Linear(setting.classes, setting.width, bias=False)
        initialise(self.dense.weight)
        initialise(self.embedding.weight, setting.width**-0.5)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.from_image(images.to(self.stages[0].dtype))
        for stage in self.stages[:-1]:
            x = self.resample(stage(x))
        x = self.stages[-1](x).float()
        x = self.dense((x * self.basis).sum((2, 3)))
        return (x * self.embedding(labels)).sum(1)


def squared_norms(logits: Tensor, images: Tensor) -> Tensor:
    """Return ||dD/dx||^2 [N] of images [N, C, H, W]: R1 of real ones, R2 of fakes. No logit depends on other images."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def discriminator_loss(discriminator: Discriminator, reals: Tensor, fakes: Tensor, labels: Tensor) -> Tensor:
    """Return softplus(D(fake) - D(real)) + gamma / 2 (R1 + R2) of the pairs, [N]."""
    reals, fakes = reals.detach().requires_grad_(), fakes.detach().requires_grad_()
    real, fake = discriminator(reals, labels), discriminator(fakes, labels)
    penalties = squared_norms(real, reals) + squared_norms(fake, fakes)
    return functional.softplus(fake - real) + GAMMA / 2 * penalties


def generator_loss(discriminator: Discriminator, reals: Tensor, fakes: Tensor, labels: Tensor) -> Tensor:
    """Return softplus(D(real) - D(fake)) of the pairs, [N]."""
    return functional.softplus(discriminator(reals, labels) - discriminator(fakes, labels))


def phases(
    *, batch_size: int = 16, channels_last: bool = False, threads: int = 0, **sizes: Any
) -> dict[str, Callable[[int], None]]:
    """Return the phases of a freshly initialised training run: each ``run(n)`` does its phase n times and waits.

    Args:
      batch_size: of reals and of fakes.
      channels_last: the memory layout NHWC instead of NCHW.
      threads: of the processor; 0 leaves PyTorch's own choice.
      sizes: fields of ``Setting``.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    setting, device = Setting(**sizes), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    g, d = (network(setting).to(device, memory_format=layout) for network in (Generator, Discriminator))
    shape = (batch_size, setting.channels, setting.image_size, setting.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device).contiguous(memory_format=layout)
    labels = functional.one_hot(torch.arange(batch_size, device=device) % setting.classes, setting.classes).float()

    def losses(loss: Callable[..., Tensor]) -> Tensor:
        fakes = g(torch.randn(batch_size, LATENT_SIZE, device=device), labels)
        return loss(d, images.float() / 127.5 - 1, fakes, labels)

    return {
        "G": partial(_train, g, d, _adam(g), partial(losses, generator_loss)),
        "D": partial(_train, d, g, _adam(d), partial(losses, discriminator_loss)),
    }


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)


def _train(
    network: nn.Module, other: nn.Module, optimizer: torch.optim.Adam, losses: Callable[[], Tensor], steps: int
) -> None:
    """Train one network for some steps; the other network needs no gradients of its own meanwhile."""
    network.requires_grad_(True)
    other.requires_grad_(False)
    for _ in range(steps):
        losses().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
