"""The other side of the benchmark of features: FID's Inception-v3 in PyTorch, written from the paper's tables.

Layers have the names of mseitzer/pytorch-fid, so that its file of weights fits; batch norm is a layer of its own, in
evaluation mode. Szegedy et al. 2015, arXiv:1512.00567. The network of 2015-12-05 differs from torchvision's: average
pools leave out the padding, the last block pools by the maximum, and there are 1008 outputs.

PyTorch is imported when it is asked for, so that this file can be imported without it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

ROW, COLUMN = (1, 7), (7, 1)


def network(seed: int = 0) -> Any:
    """A ``torch.nn.Module`` images [N, 3, 299, 299] -> (features [N, 2048], scores [N, 1008]) with random weights."""
    import torch

    torch.manual_seed(seed)
    return _classes(torch)["Inception"]().eval()


def extractor(
    *, batch_size: int, dtype: str = "float32", channels_last: bool = False, threads: int = 0
) -> Callable[[int], None]:
    """``run(n)`` makes the features of n batches of images of 299x299 pixels and waits for the device."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = network().to(device, memory_format=layout)
    images = torch.rand(batch_size, 3, 299, 299, device=device).mul(2).sub(1).contiguous(memory_format=layout)
    low = torch.autocast(device.type, dtype=torch.bfloat16) if dtype == "bfloat16" else nullcontext()

    def run(batches: int) -> None:
        with torch.inference_mode(), low:
            for _ in range(batches):
                features, _ = model(images)
        features.sum().item()

    return run


def _classes(torch: Any) -> dict[str, Any]:
    """The modules, made when PyTorch is there."""
    nn = torch.nn
    pool = torch.nn.functional

    class Unit(nn.Module):
        def __init__(self, before: int, after: int, kernel_size: Any, stride: int = 1, padding: Any = 0) -> None:
            super().__init__()
            self.conv = nn.Conv2d(before, after, kernel_size, stride, padding, bias=False)
            self.bn = nn.BatchNorm2d(after, eps=1e-3)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.bn(self.conv(x)))

    class Branches(nn.Module):
        """Branches that are chains of layers; ``average``, ``maximum`` or ``strided`` is how the last one pools."""

        def __init__(self, pooling: str, chains: list[list[str]], **layers: Any) -> None:
            super().__init__()
            self.pooling, self.chains = pooling, chains
            for name, layer in layers.items():
                self.add_module(name, layer)

        def forward(self, x: Any) -> Any:
            return torch.cat([*(self.follow(chain, x) for chain in self.chains), self.pooled(x)], dim=1)

        def follow(self, chain: list[str], x: Any) -> Any:
            for name in chain:
                ends = [getattr(self, part)(x) for part in name.split("+")]  # two layers side by side
                x = ends[0] if len(ends) == 1 else torch.cat(ends, dim=1)
            return x

        def pooled(self, x: Any) -> Any:
            if self.pooling == "strided":
                return pool.max_pool2d(x, 3, stride=2)
            if self.pooling == "maximum":
                return self.branch_pool(pool.max_pool2d(x, 3, stride=1, padding=1))
            return self.branch_pool(pool.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False))

    class Inception(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, layer in _layers(Unit, Branches).items():
                self.add_module(name, layer)
            self.fc = nn.Linear(2048, 1008)

        def forward(self, x: Any) -> Any:
            for name, layer in self.named_children():
                if name == "fc":
                    break
                x = layer(x)
                if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                    x = pool.max_pool2d(x, 3, stride=2)
            features = x.mean((2, 3))
            return features, self.fc(features)

    return {"Inception": Inception}


def _layers(unit: Any, branches: Any) -> dict[str, Any]:
    """The layers in their order."""
    return {
        "Conv2d_1a_3x3": unit(3, 32, 3, 2),
        "Conv2d_2a_3x3": unit(32, 32, 3),
        "Conv2d_2b_3x3": unit(32, 64, 3, 1, 1),
        "Conv2d_3b_1x1": unit(64, 80, 1),
        "Conv2d_4a_3x3": unit(80, 192, 3),
        **{f"Mixed_5{n}": _a(unit, branches, c, p) for n, c, p in (("b", 192, 32), ("c", 256, 64), ("d", 288, 64))},
        "Mixed_6a": branches(
            "strided",
            [["branch3x3"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]],
            branch3x3=unit(288, 384, 3, 2),
            branch3x3dbl_1=unit(288, 64, 1),
            branch3x3dbl_2=unit(64, 96, 3, 1, 1),
            branch3x3dbl_3=unit(96, 96, 3, 2),
        ),
        **{f"Mixed_6{n}": _c(unit, branches, m) for n, m in (("b", 128), ("c", 160), ("d", 160), ("e", 192))},
        "Mixed_7a": branches(
            "strided",
            [["branch3x3_1", "branch3x3_2"], [f"branch7x7x3_{i}" for i in (1, 2, 3, 4)]],
            branch3x3_1=unit(768, 192, 1),
            branch3x3_2=unit(192, 320, 3, 2),
            branch7x7x3_1=unit(768, 192, 1),
            branch7x7x3_2=unit(192, 192, ROW, 1, (0, 3)),
            branch7x7x3_3=unit(192, 192, COLUMN, 1, (3, 0)),
            branch7x7x3_4=unit(192, 192, 3, 2),
        ),
        "Mixed_7b": _e(unit, branches, 1280, "average"),
        "Mixed_7c": _e(unit, branches, 2048, "maximum"),
    }


def _a(unit: Any, branches: Any, before: int, pool_features: int) -> Any:
    return branches(
        "average",
        [
            ["branch1x1"],
            ["branch5x5_1", "branch5x5_2"],
            ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
        ],
        branch1x1=unit(before, 64, 1),
        branch5x5_1=unit(before, 48, 1),
        branch5x5_2=unit(48, 64, 5, 1, 2),
        branch3x3dbl_1=unit(before, 64, 1),
        branch3x3dbl_2=unit(64, 96, 3, 1, 1),
        branch3x3dbl_3=unit(96, 96, 3, 1, 1),
        branch_pool=unit(before, pool_features, 1),
    )


def _c(unit: Any, branches: Any, middle: int) -> Any:
    row, column = ({"kernel_size": ROW, "padding": (0, 3)}, {"kernel_size": COLUMN, "padding": (3, 0)})
    return branches(
        "average",
        [
            ["branch1x1"],
            ["branch7x7_1", "branch7x7_2", "branch7x7_3"],
            [f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)],
        ],
        branch1x1=unit(768, 192, 1),
        branch7x7_1=unit(768, middle, 1),
        branch7x7_2=unit(middle, middle, **row),
        branch7x7_3=unit(middle, 192, **column),
        branch7x7dbl_1=unit(768, middle, 1),
        branch7x7dbl_2=unit(middle, middle, **column),
        branch7x7dbl_3=unit(middle, middle, **row),
        branch7x7dbl_4=unit(middle, middle, **column),
        branch7x7dbl_5=unit(middle, 192, **row),
        branch_pool=unit(768, 192, 1),
    )


def _e(unit: Any, branches: Any, before: int, pooling: str) -> Any:
    return branches(
        pooling,
        [
            ["branch1x1"],
            ["branch3x3_1", "branch3x3_2a+branch3x3_2b"],
            ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a+branch3x3dbl_3b"],
        ],
        branch1x1=unit(before, 320, 1),
        branch3x3_1=unit(before, 384, 1),
        branch3x3_2a=unit(384, 384, (1, 3), 1, (0, 1)),
        branch3x3_2b=unit(384, 384, (3, 1), 1, (1, 0)),
        branch3x3dbl_1=unit(before, 448, 1),
        branch3x3dbl_2=unit(448, 384, 3, 1, 1),
        branch3x3dbl_3a=unit(384, 384, (1, 3), 1, (0, 1)),
        branch3x3dbl_3b=unit(384, 384, (3, 1), 1, (1, 0)),
        branch_pool=unit(before, 192, 1),
    )
