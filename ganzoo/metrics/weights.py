"""Finding, verifying and reading the file of FID's Inception weights."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ganzoo import interop
from ganzoo.disk import cache_folder, kind_of, user_path
from ganzoo.errors import UserError, printable

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ORIGIN = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SAFETENSORS = ".safetensors"


def find(given: str = "") -> Path | None:
    """Return the file that is given, or the one in the cache; None where none is given and there is none.

    Raises:
      UserError: the given file does not exist, or cannot be reached.
    """
    if given:
        path = user_path(given)
        if kind_of(path) != "file":
            raise UserError(f"no Inception weights at {path}; {remedy()}")
        return path
    cache = _cache()
    candidates = [cache / name for name in (FILE, str(Path(FILE).with_suffix(SAFETENSORS)))] if cache else []
    with contextlib.suppress(UserError):  # the folder of the cache is closed
        return next((path for path in candidates if kind_of(path) == "file"), None)
    return None


def remedy() -> str:
    """Return where to get the file and where to put it."""
    return f"get {ORIGIN} and put it into {_cache() or '$GANZOO_CACHE'}, or name it by --inception"


def _cache() -> Path | None:
    """Return the folder of the cache; None where there is no home folder."""
    try:
        return cache_folder()
    except RuntimeError:
        return None


def numeric(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return the array [...] of a name; ``UserError`` where it holds no real numbers, so it is no weight.

    Texts, complex numbers and truth values are none, and neither are values that are not finite.
    """
    array = arrays[name]
    is_number = jnp.issubdtype(array.dtype, np.floating) or jnp.issubdtype(array.dtype, np.integer)
    if not is_number:
        raise UserError(f"{printable(name)} is of type {printable(array.dtype)}; weights must be real numbers")
    if not np.isfinite(array.astype(np.float64)).all():
        raise UserError(f"{printable(name)} has values that are not finite; the file is damaged")
    return array


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
