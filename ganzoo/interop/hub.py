"""Models on the Hugging Face Hub, by names such as ``hf:owner/name``; needs the extra ``hub``.

A name may include a file, ``hf:owner/name/networks/ffhq.pkl``; the default is ``model.safetensors``, in the library's
exchange format. A fetched file is read like any other file.
"""

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

from ganzoo.errors import UserError, install, printable

PREFIX, FILE, CARD = "hf:", "model.safetensors", "README.md"
LOGGERS = ("huggingface_hub", "httpx", "httpx2", "urllib3")
"""Loggers that tell of every retry."""
REMEDY = "check the name, the network and, for what is not public, the login (hf auth login)"
TIMEOUT, OWN_TIMEOUT = 3, "HF_HUB_ETAG_TIMEOUT"
"""Seconds to wait for the first answer of the Hub, and the variable by which a user sets another time."""


def fetch(name: str) -> Path:
    """Return the path of a file, fetched from the Hub unless it is in the Hub's cache.

    Raises:
      UserError: the extra is not installed, or the file cannot be fetched.
    """
    repository, file = split(name)
    with _asking(f"{name}: {file} cannot be fetched") as hub:
        timeout = {} if os.environ.get(OWN_TIMEOUT) else {"timeout": TIMEOUT}
        if not isinstance(hub.try_to_load_from_cache(repository, file), str):
            _require_answer(hub, hub.hf_hub_url(repository, file), **timeout)
        waiting = {f"etag_{key}": seconds for key, seconds in timeout.items()}
        return Path(hub.hf_hub_download(repo_id=repository, filename=file, **waiting))


def _require_answer(hub: Any, url: str, **timeout: int) -> None:
    """Ask for a file once, and raise what comes where there is no connection; a download would try for 23 seconds.

    A refusal is an answer: the download will raise it, or try again where that helps.
    """
    ask = hub.get_hf_file_metadata
    with contextlib.suppress(hub.errors.HfHubHTTPError):
        ask(url, **timeout)


def push(path: Path, name: str, card: str, *, public: bool = False) -> list[str]:
    """Upload a file under the given name, with a model card where there is none.

    Args:
      path: of the file.
      name: as ``fetch`` takes it; the repository is made if it does not exist.
      card: the text of the model card.
      public: whether everybody may see the repository.

    Returns:
      Notes on what was not done, one line each.

    Raises:
      UserError: the extra is not installed, the repository is public and ``public`` is not set, or the Hub refuses.
    """
    repository, file = split(name)
    with _asking(f"{name}: {file} cannot be uploaded") as hub:
        hub.create_repo(repository, private=not public, exist_ok=True)
        is_private = bool(hub.repo_info(repository).private)
        if not is_private and not public:
            raise UserError(f"{name}: everybody can see this repository; add --public, or give another name")
        hub.upload_file(path_or_fileobj=str(path), path_in_repo=file, repo_id=repository)
        notes = [f"{repository} stays private: change that in its settings"] if is_private and public else []
        if hub.file_exists(repository, CARD):
            return [*notes, f"the {CARD} of {repository} stays as it is"]
        hub.upload_file(path_or_fileobj=card.encode(), path_in_repo=CARD, repo_id=repository)
        return notes


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


@contextlib.contextmanager
def _asking(what: str) -> Generator[Any]:
    """Yield the library of the Hub; turn whatever it raises into one ``UserError`` that says what went wrong.

    Retries are not reported, and progress only on a terminal.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "critical")  # read when the library is imported, as the next one is
    if not (sys.stderr and sys.stderr.isatty()):
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(f"names with hf: need the extra hub: {install('hub')}") from error
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield hub
    except UserError:
        raise
    except Exception as error:  # of the library, of what it connects by, of the system
        first = next(iter(str(error).strip().splitlines()), "")
        raise UserError(f"{what} ({type(error).__name__}: {printable(first, 160)}); {REMEDY}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
