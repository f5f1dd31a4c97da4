"""Finding, verifying and reading the file of FID's Inception weights."""

import hashlib
from pathlib import Path

import numpy as np

from ganzoo import interop
from ganzoo.disk import cache_folder
from ganzoo.errors import UserError

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ORIGIN = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SAFETENSORS = ".safetensors"


def find(given: str = "") -> Path | None:
    """Return the file that is given, or the one in the cache; None where none is given and there is none.

    Raises:
      UserError: the given file does not exist.
    """
    if given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise UserError(f"no Inception weights at {path}; {remedy()}")
        return path
    candidates = (cache_folder() / name for name in (FILE, str(Path(FILE).with_suffix(SAFETENSORS))))
    return next((path for path in candidates if path.is_file()), None)


def remedy() -> str:
    """Return where to get the file and where to put it."""
    return f"get {ORIGIN} and put it into {cache_folder()}, or name it by --inception"


def load(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Return the tensors of a file and its SHA-256.

    A safetensors file is one that somebody has converted, so there is no hash to compare with; results record it.

    Args:
      path: a PyTorch file, whose hash must be the published one, or a ``.safetensors`` file.

    Raises:
      UserError: the file cannot be read, or is not the published one.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if path.suffix != SAFETENSORS and sha256 != SHA256:
        raise UserError(
            f"{path} is not the published file: its SHA-256 is {sha256[:16]}..., not {SHA256[:16]}...; {remedy()}"
        )
    try:
        return interop.read_tensors(path), sha256
    except UserError as error:
        raise UserError(f"{error}; {remedy()}") from error
