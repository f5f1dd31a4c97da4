"""Models of the Hugging Face Hub, by names such as ``hf:owner/name``; needs the extra ``hub``.

A name may go on with a file, ``hf:owner/name/networks/ffhq.pkl``; without one it is ``model.safetensors``, in our own
format. Whatever is fetched is read like any other file.
"""

import importlib
from pathlib import Path
from typing import Any

from ganzoo.errors import UserError
from ganzoo.interop.machine import named

PREFIX, FILE = "hf:", "model.safetensors"


def fetch(name: str) -> Path:
    """The file of that name, from the Hub or from where it was fetched to before.

    Raises:
      UserError: the extra is not installed, or there is no such file.
    """
    repository, file = split(name)
    hub = _library()
    try:
        return Path(hub.hf_hub_download(repo_id=repository, filename=file))
    except (OSError, ValueError) as error:  # of which those of the library are
        raise UserError(f"{name}: {file} cannot be fetched ({named(error, 160)})") from error


def push(path: Path, name: str) -> None:
    """Upload a file under that name, to a repository that is made where there is none.

    Raises:
      UserError: the extra is not installed, or the Hub refuses.
    """
    repository, file = split(name)
    hub = _library()
    try:
        hub.create_repo(repository, exist_ok=True)
        hub.upload_file(path_or_fileobj=str(path), path_in_repo=file, repo_id=repository)
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {file} cannot be uploaded ({named(error, 160)})") from error


def split(name: str) -> tuple[str, str]:
    """Repository and file of a name."""
    owner, slash, rest = name.removeprefix(PREFIX).partition("/")
    repository, _, file = rest.partition("/")
    if not name.startswith(PREFIX) or not owner or not slash or not repository:
        raise UserError(f"{name!r}: must be hf:owner/name, or hf:owner/name/file")
    return f"{owner}/{repository}", file or FILE


def _library() -> Any:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError("names with hf: need the extra: pip install 'ganzoo[hub]'") from error
