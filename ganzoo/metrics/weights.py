"""Finding, verifying and reading the file of FID's Inception weights."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganzoo.errors import UserError
from ganzoo.metrics.cache import folder

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ORIGIN = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SAFETENSORS = ".safetensors"

Read = Callable[[Path], dict[str, np.ndarray]]
"""``read(path) -> tensors by name``, without executing anything in the file."""


def find(given: str = "") -> Path | None:
    """Return the path of the given file, or of the file in the cache; None if no file is given and none is cached.

    Raises:
      UserError: the given file does not exist.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"no Inception weights at {path}; {remedy()}")
        return path
    candidates = (folder() / name for name in (FILE, str(Path(FILE).with_suffix(SAFETENSORS))))
    return next((path for path in candidates if path.is_file()), None)


def remedy() -> str:
    """Return instructions on where to get the file and where to put it."""
    return f"get {ORIGIN} and put it into {folder()}, or name it by --inception"


def load(path: Path, read: Read) -> tuple[dict[str, np.ndarray], str]:
    """Read the tensors [...] of a file by name, and compute its SHA-256.

    The hash of a safetensors file is not checked, because no converted file is published; results record its hash.

    Args:
      path: PyTorch file, which must have the published hash, or ``.safetensors`` file.
      read: reader of PyTorch files.

    Raises:
      UserError: the file cannot be read, or is not the published one.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix == SAFETENSORS:
            return read_safetensors(path), sha256
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if sha256 != SHA256:
        raise UserError(
            f"{path} is not the published file: its SHA-256 is {sha256[:16]}..., not {SHA256[:16]}...; {remedy()}"
        )
    return read(path), sha256


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read the float tensors [...] of a safetensors file by name.

    Raises:
      UserError: the file is broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - the file is no mapping
            return {name: file.get_tensor(name) for name, kind in kinds.items() if kind in ("F64", "F32", "F16")}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a safetensors file ({error}); {remedy()}") from error
