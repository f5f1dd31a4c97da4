"""Models on the Hugging Face Hub, by names such as ``hf:owner/name``; needs the extra ``hub``.

A name may include a file, ``hf:owner/name/networks/ffhq.pkl``; the default is ``model.safetensors``, in the library's
exchange format. A fetched file is read like any other file.
"""

import importlib
from pathlib import Path
from typing import Any

from ganzoo.errors import UserError, install
from ganzoo.interop.machine import named

PREFIX, FILE = "hf:", "model.safetensors"


def fetch(name: str) -> Path:
    """Return the path of a file, fetched from the Hub unless it is in the Hub's cache.

    Raises:
      UserError: the extra is not installed, or the file does not exist.
    """
    repository, file = split(name)
    hub = _library()
    try:
        return Path(hub.hf_hub_download(repo_id=repository, filename=file))
    except (OSError, ValueError) as error:  # base classes of the errors of huggingface_hub
        raise UserError(f"{name}: {file} cannot be fetched ({named(error, 160)})") from error


def push(path: Path, name: str) -> None:
    """Upload a file under the given name; create the repository if it does not exist.

    Raises:
      UserError: the extra is not installed, or the Hub refuses the upload.
    """
    repository, file = split(name)
    hub = _library()
    try:
        hub.create_repo(repository, exist_ok=True)
        hub.upload_file(path_or_fileobj=str(path), path_in_repo=file, repo_id=repository)
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {file} cannot be uploaded ({named(error, 160)})") from error


def split(name: str) -> tuple[str, str]:
    """Split a name into its repository and file.

    Raises:
      UserError: the name has another form.
    """
    owner, slash, rest = name.removeprefix(PREFIX).partition("/")
    repository, _, file = rest.partition("/")
    if not name.startswith(PREFIX) or not owner or not slash or not repository:
        raise UserError(f"{name!r}: must be hf:owner/name, or hf:owner/name/file")
    return f"{owner}/{repository}", file or FILE


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(f"names with hf: need the extra hub: {install('hub')}") from error
