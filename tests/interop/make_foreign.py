"""Build the files of ``tests/golden/foreign``: networks of other PyTorch repositories, and what they compute.

Run with PyTorch: ``python make_foreign.py ROSINALITY DCGAN OUT``. ROSINALITY is a folder with ``model.py`` of
rosinality/stylegan2-pytorch, whose widths a function ``widths(channel_multiplier)`` gives; DCGAN is a folder with
``dcgan.py``, whose functions ``generator(nz, ngf, nc)`` and ``discriminator(ndf, nc)`` build the networks of
pytorch/examples, dcgan/main.py. Weights are random.
"""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import torch

WIDTH = 8


def drawn(network: torch.nn.Module) -> torch.nn.Module:
    """Fill what starts as zeros or ones with numbers."""
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith(("bias", "noise.weight", "running_mean")):
                tensor.add_(torch.randn_like(tensor) * 0.3)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


def gradients(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """The gradients of all parameters by name."""
    return {name: p.grad.numpy() for name, p in network.named_parameters() if p.grad is not None}


def rosinality(out: Path) -> None:
    """A checkpoint of train.py, and images, logits and gradients of its networks."""
    model = importlib.import_module("model")
    whole = model.widths  # too wide for a small file
    model.widths = lambda m: {size: width * WIDTH // 512 for size, width in whole(m).items()}
    g, d, ema = drawn(model.Generator(16, 8, 2)), drawn(model.Discriminator(16)), drawn(model.Generator(16, 8, 2))
    args = argparse.Namespace(size=16, latent=8, n_mlp=2, channel_multiplier=2, r1=10, arch="stylegan2", ckpt=None)
    optimizers = {"g_optim": torch.optim.Adam(g.parameters()), "d_optim": torch.optim.Adam(d.parameters())}
    z = torch.randn(4, 8)
    record = {"z": z}
    for name, network in (("g", g), ("g_ema", ema)):
        image, _ = network([z], randomize_noise=False)
        record[f"images/{name}"] = image
    image, _ = g([z], randomize_noise=False)
    logits = d(image.detach())
    logits.square().mean().backward()
    record["logits"] = logits
    record |= {f"grad/d/{name}": torch.from_numpy(grad) for name, grad in gradients(d).items()}
    image.square().mean().backward()
    record |= {f"grad/g/{name}": torch.from_numpy(grad) for name, grad in gradients(g).items()}
    saved = {
        name: {key: t.clone() for key, t in network.state_dict().items()} for name, network in (("g", g), ("d", d))
    }
    for optimizer in optimizers.values():
        optimizer.step()  # fills its state; the weights are saved as they were before
    torch.save({**saved, "g_ema": ema.state_dict(), **{k: o.state_dict() for k, o in optimizers.items()},
                "args": args, "ada_aug_p": 0.25}, out / "rosinality.pt")  # fmt: skip
    np.savez_compressed(out / "rosinality.npz", **{k: v.detach().numpy() for k, v in record.items()})


def dcgan(out: Path) -> None:
    """Both files of main.py, a whole module and a checkpoint of several programs' habits."""
    made = importlib.import_module("dcgan")
    g, d = drawn(made.generator(6, 2, 3)).eval(), drawn(made.discriminator(2, 3)).eval()
    torch.save(g.state_dict(), out / "netG_epoch_1.pth")
    torch.save(d.state_dict(), out / "netD_epoch_1.pth")
    torch.save(g, out / "module.pt")
    parallel = {f"module.{name}": tensor for name, tensor in g.state_dict().items()}
    lightning = {**{f"generator.{n}": t for n, t in g.state_dict().items()},
                 **{f"discriminator.{n}": t for n, t in d.state_dict().items()}}  # fmt: skip
    torch.save({"netG": parallel, "epoch": 3}, out / "parallel.pt")
    torch.save({"state_dict": lightning, "epoch": 3, "device": torch.device("cpu"), "dtype": torch.float32,
                "optimizer_states": [torch.optim.Adam(g.parameters()).state_dict()]},
               out / "lightning.ckpt")  # fmt: skip
    optimizer = torch.optim.Adam(g.parameters())
    optimizer.state[next(g.parameters())]["step"] = torch.tensor(1.0)
    torch.save({"netG": g, "opt": optimizer}, out / "optimizer.pt")
    z = torch.randn(3, 6, 1, 1)
    images = g.main(z)
    logits = d.main[:-1](images)
    record = {"z": z[:, :, 0, 0], "images": images, "logits": logits.reshape(-1)}
    np.savez_compressed(out / "dcgan.npz", **{k: v.detach().numpy() for k, v in record.items()})


if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:3]
    torch.manual_seed(0)
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    rosinality(folder)
    dcgan(folder)
