"""The other side of the benchmark: a DCGAN training loop in PyTorch, written from the tables of the PyTorch example.

Networks (ngf = ndf = 64, no bias in a convolution), binary cross-entropy, Adam (2e-4, betas 0.5 and 0.999), D on reals
and on detached fakes, then G through the updated D on the same fakes. Images stay on the device as uint8 and are scaled
to [-1, 1] in the step, as on our side. Eager mode and the default memory layout, as in the example; ``channels_last``
is the other layout, which some machines prefer.

PyTorch is imported when it is asked for, so that this file can be imported without it.
"""

import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

LATENT_SIZE = 100
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)


def available() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def trainer(
    *,
    image_size: int = 64,
    channels: int = 3,
    batch_size: int = 64,
    features: int = 64,
    dtype: str = "float32",
    channels_last: bool = False,
    threads: int = 0,
) -> Callable[[int], None]:
    """A freshly initialised training run: ``run(steps)`` trains that many steps and waits for the device.

    Args:
      image_size: a power of two from 8.
      channels: of an image.
      batch_size: of reals and of fakes.
      features: ngf = ndf.
      dtype: ``float32``, or ``bfloat16`` by autocast.
      channels_last: the memory layout NHWC instead of NCHW.
      threads: of the processor; 0 leaves PyTorch's own choice.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    generator, discriminator = (
        build(torch.nn, image_size, channels, features).to(device, memory_format=layout)
        for build in (_generator, _discriminator)
    )
    shape = (batch_size, channels, image_size, image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=device).contiguous(memory_format=layout)
    step = _step(torch, generator, discriminator, dtype)

    def run(steps: int) -> None:
        for _ in range(steps):
            step(images)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _step(torch: Any, generator: Any, discriminator: Any, dtype: str) -> Callable[[Any], None]:
    """One step of both players on a batch of uint8 images."""
    criterion = torch.nn.BCELoss()
    optimizers = [torch.optim.Adam(n.parameters(), lr=LEARNING_RATE, betas=BETAS) for n in (discriminator, generator)]
    for network in (generator, discriminator):
        network.apply(_initialise)

    def precision(images: Any) -> Any:
        return torch.autocast(images.device.type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()

    def loss(images: Any, answer: float) -> Any:
        with precision(images):
            judged = discriminator(images)
        return criterion(judged.float().reshape(-1), torch.full((len(images),), answer, device=images.device))

    def step(images: Any) -> None:
        real = images.float() / 127.5 - 1
        latents = torch.randn(len(real), LATENT_SIZE, 1, 1, device=real.device)

        discriminator.zero_grad()
        loss(real, 1.0).backward()
        with precision(real):
            fakes = generator(latents)
        loss(fakes.detach(), 0.0).backward()
        optimizers[0].step()

        generator.zero_grad()
        loss(fakes, 1.0).backward()
        optimizers[1].step()

    return step


def _generator(nn: Any, image_size: int, channels: int, features: int) -> Any:
    """z -> 4x4 -> ... -> image: transposed 4x4 convolutions, batch normalisation, ReLU, tanh at the end."""
    widths = _widths(image_size, features)[::-1]
    layers = [nn.ConvTranspose2d(LATENT_SIZE, widths[0], 4, 1, 0, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh())


def _discriminator(nn: Any, image_size: int, channels: int, features: int) -> Any:
    """Image -> ... -> 4x4 -> probability: 4x4 convolutions, batch normalisation (not in the first), leaky ReLU."""
    widths = _widths(image_size, features)
    layers = [nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid())


def _widths(image_size: int, features: int) -> list[int]:
    """Channels of D's layers from the image to 4x4."""
    levels = (image_size // 4).bit_length() - 1
    return [features * 2**level for level in range(levels)]


def _initialise(module: Any) -> None:
    """Weights N(0, 0.02), batch-norm scales N(1, 0.02)."""
    kind = type(module).__name__
    if kind.startswith("Conv"):
        module.weight.data.normal_(0.0, 0.02)
    elif kind.startswith("BatchNorm"):
        module.weight.data.normal_(1.0, 0.02)
        module.bias.data.zero_()
