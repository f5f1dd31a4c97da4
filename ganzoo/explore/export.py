"""The exported page: a generator as ONNX and a runtime for browsers, in a folder that needs no server program.

All of it is scripts, the binary parts as base64, because a browser that opens a page from the disk runs its scripts but
does not let it fetch files.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import interop
from ganzoo.disk import kind_of, read_regular, recall, remember, write_file
from ganzoo.errors import UserError
from ganzoo.latent.sampler import Sampler

PAGE = Path(__file__).parent / "exported"
STYLE = Path(__file__).parent / "static" / "page.css"
PACKAGE, VERSION = "onnxruntime-web", "1.23.2"
SCRIPT, MODULE, BINARY = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
CHECKSUMS = {
    SCRIPT: "c6bc9f8e1d0ecc3983a57910e6a30b2230a512bcd2e0207cd64306459c3de7b4",
    MODULE: "90a557d15c02bac4504d95b67f431d8594635ed2a0a62a7f2cd83d090ff91d3e",
    BINARY: "45eaee27761ad883742a8d4b8fce1538d60ce43b51adf1726fafccc59b8c1a15",
}
"""SHA-256 of the files of the package's folder ``dist`` that a page needs."""
MOST_BYTES = 2**26
"""Largest size in bytes of one of them."""
SEEDS = 1000
"""Seeds whose latents are in a page."""


def export_page(
    sampler: Sampler, folder: Path, runtime: Path | None = None, log: Callable[[str], None] = print
) -> None:
    """Write the page of a generator into a new or empty folder: all files, or none where something is missing.

    Args:
      sampler: the generator.
      folder: to be made.
      runtime: folder with the files of onnxruntime-web, or its package as .tgz; None: fetch the package by npm, once.
      log: receives lines about what was made.

    Raises:
      UserError: the folder is not empty, the runtime is not to be had, or the generator cannot be written as ONNX.
    """
    interop.onnx.library()  # complains where it is missing, before the rest is made
    require_empty(folder)
    files = runtime_files(runtime, log)
    onnx, notes = interop.export_onnx(sampler.gan, sampler.state, ema=sampler.ema)
    texts = {name: files[name].decode() for name in (SCRIPT, MODULE)}
    parts = {"mjs": texts[MODULE], "wasm": base64.b64encode(files[BINARY]).decode()}
    contents = {
        "index.html": (PAGE / "index.html").read_text(),
        "page.css": STYLE.read_text(),
        "page.js": (PAGE / "page.js").read_text(),
        "runtime.js": f"{texts[SCRIPT]}\nglobalThis.GANZOO_RUNTIME = {json.dumps(parts)};\n",
        "model.js": f"globalThis.GANZOO = {json.dumps(model_of(sampler, onnx))};\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    for name, text in contents.items():
        write_file(folder / name, text.encode())
    for note in notes:
        log(f"note: {note}")
    size = sum(len(text) for text in contents.values())
    log(f"a page of {size / 2**20:.0f} MB, with {PACKAGE} (MIT licence, Microsoft) -> {folder / 'index.html'}")


def model_of(sampler: Sampler, onnx: bytes) -> dict[str, Any]:
    """Return what the page knows of the model, as JSON types."""
    gan = sampler.gan
    latents = np.asarray(sampler.latents(range(SEEDS)), "<f4")
    about = {
        "model": gan.name,
        "shape": list(gan.image_shape),
        "labels": gan.label_size,
        "classes": gan.shown_classes.tolist(),
        "styles": gan.styles.count if gan.styles else 0,
        "seeds": SEEDS,
    }
    return {
        "about": about,
        "latents": base64.b64encode(latents.tobytes()).decode(),
        "onnx": base64.b64encode(onnx).decode(),
    }


def require_empty(folder: Path) -> None:
    """Raise ``UserError`` unless a folder is absent or empty."""
    kind = kind_of(folder)
    if kind not in ("nothing", "folder") or (kind == "folder" and any(folder.iterdir())):
        raise UserError(f"{folder} is there already, and not an empty folder; give another one by --export")


# The runtime --------------------------------------------------------------------------------------------------------


def runtime_files(place: Path | None, log: Callable[[str], None] = print) -> dict[str, bytes]:
    """Return the files of the runtime by their names.

    Args:
      place: a folder that holds them somewhere, the package as .tgz, or None: the cache, or else npm.
      log: receives a note where they are of another version than the tested one.

    Raises:
      UserError: they are not there.
    """
    if place is None:
        kept = {name: recall(f"{PACKAGE}/{VERSION}/{name}", bytes) for name in CHECKSUMS}
        found = {name: content for name, content in kept.items() if content is not None}
        return found if not changed(found) else fetched()
    kind = kind_of(place)
    if kind == "nothing":
        raise UserError(f"{place}: there is no such folder or file; give the folder of {PACKAGE} by --runtime")
    found = of_folder(place) if kind == "folder" else of_package(place)
    if missing := [name for name in CHECKSUMS if name not in found]:
        raise UserError(f"{place} has no {', '.join(missing)}; give the folder dist of {PACKAGE} {VERSION}")
    if other := changed(found):
        log(f"note: {', '.join(other)} of {place} are not those of {PACKAGE} {VERSION}, with which the page was tested")
    return found


def changed(files: Mapping[str, bytes]) -> list[str]:
    """Return the names of the files that are missing, or not those of the tested version."""
    return [name for name, sum_ in CHECKSUMS.items() if hashlib.sha256(files.get(name, b"")).hexdigest() != sum_]


def of_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder: of itself, of its folder ``dist``, or of the package in its ``node_modules``."""
    for place in (folder, folder / "dist", folder / PACKAGE / "dist", folder / "node_modules" / PACKAGE / "dist"):
        if (place / SCRIPT).is_file():
            try:
                return {name: read_regular(place / name, MOST_BYTES) for name in CHECKSUMS if (place / name).is_file()}
            except (OSError, UserError) as error:
                raise UserError(f"{place} cannot be read ({error}); give another folder by --runtime") from error
    return {}


def of_package(file: Path) -> dict[str, bytes]:
    """Return the files of a package, whose other files are not unpacked."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as package:
            for entry in package:
                name = entry.name.rpartition("/")[2]
                is_wanted = entry.name == f"package/dist/{name}" and name in CHECKSUMS and entry.isfile()
                if is_wanted and entry.size <= MOST_BYTES and (content := package.extractfile(entry)):
                    found[name] = content.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UserError(f"{file} is no package of npm ({error}); give another by --runtime") from error
    return found


def fetched() -> dict[str, bytes]:
    """Return the files of the tested version from npm, and keep them in the cache."""
    npm = shutil.which("npm")
    where = f"with `npm pack {PACKAGE}@{VERSION}` on a machine that has it, and give the file by --runtime"
    if npm is None:
        raise UserError(f"the page needs {PACKAGE}, and npm, which fetches it, is not installed; fetch it {where}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", folder]
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"npm cannot fetch {PACKAGE} ({error}); fetch it {where}") from error
        packages = list(Path(folder).glob("*.tgz"))
        if ended.returncode or not packages:
            why = " ".join(ended.stderr.split())[:200] or f"exit code {ended.returncode}"
            raise UserError(f"npm cannot fetch {PACKAGE} ({why}); fetch it {where}")
        found = of_package(packages[0])
    if other := changed(found):
        raise UserError(f"{', '.join(other)} from npm are not those of {PACKAGE} {VERSION}; fetch it {where}")
    for name, content in found.items():
        remember(f"{PACKAGE}/{VERSION}/{name}", content)
    return found
