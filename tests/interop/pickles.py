"""The recorded pickles, unpacked once, and what is recorded of them."""

import lzma
from functools import cache
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent.parent / "golden" / "pkl"
STYLEGAN2 = ("sg2_uncond", "sg2_cond", "sg2_legacy_tf")
ALL = (*STYLEGAN2, "sg1_legacy_tf", "sg3_r")


@cache
def content(name: str) -> bytes:
    """The bytes of a pickle."""
    return lzma.decompress((GOLDEN / f"{name}.pkl.xz").read_bytes())


def written(name: str, folder: Path) -> Path:
    """The pickle as a file in ``folder``."""
    path = folder / f"{name}.pkl"
    path.write_bytes(content(name))
    return path


@cache
def recorded(name: str) -> dict[str, np.ndarray]:
    """The arrays beside a pickle."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        return dict(arrays)


def sums(name: str) -> dict[str, float]:
    """The recorded sum of every array, by network and name."""
    arrays = recorded(name)
    names = arrays["names"].tobytes().decode().split("\n")
    return dict(zip(names, arrays["sums"].tolist(), strict=True))
