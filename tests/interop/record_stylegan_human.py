"""Record a tiny network pickle of StyleGAN-Human, of twice as high as wide images, and what its networks compute.

Needs PyTorch and the repository stylegan-human/StyleGAN-Human; run once, where its ``training_scripts/sg2`` is on the
path::

    PYTHONPATH=StyleGAN-Human/training_scripts/sg2 python record_stylegan_human.py tests/golden/pkl
"""

import lzma
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from torch_utils import persistence
from training.networks import Discriminator, Generator

IMAGES = {"c_dim": 0, "img_resolution": 16, "img_channels": 3, "square": False}
CHANNELS = {"channel_base": 64, "channel_max": 8}


def main(folder: Path) -> None:
    """Write the pickle and its arrays."""
    torch.manual_seed(0)
    generator = Generator(
        z_dim=8, w_dim=8, **IMAGES, mapping_kwargs={"num_layers": 2}, synthesis_kwargs={**CHANNELS, "conv_clamp": 256}
    )
    discriminator = Discriminator(
        **IMAGES,
        **CHANNELS,
        conv_clamp=256,
        block_kwargs={},
        mapping_kwargs={},
        epilogue_kwargs={"mbstd_group_size": 2},
    )
    for network in (generator, discriminator):
        network.eval().requires_grad_(False)
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    generator.mapping.w_avg.copy_(torch.randn(8))
    z, c = torch.randn(4, 8), torch.zeros(4, 0)
    images = [generator(z, c, noise_mode="const", truncation_psi=psi) for psi in (1.0, 0.7)]
    arrays = {"z": z, "images_psi1": images[0], "images_psi0.7": images[1], "logits": discriminator(images[0], c)}
    for decorated in persistence._decorators:
        decorated._orig_module_src = "# source left out"
    content = {
        "training_set_kwargs": None,
        "G": generator,
        "D": discriminator,
        "G_ema": generator,
        "augment_pipe": None,
    }
    (folder / "sg2_human.pkl.xz").write_bytes(lzma.compress(pickle.dumps(content)))
    np.savez_compressed(folder / "sg2_human.npz", **{name: array.numpy() for name, array in arrays.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
