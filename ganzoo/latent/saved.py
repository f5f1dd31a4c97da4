"""Projections in files: styles, noise maps and names of images in an ``.npz`` file, to be used in place of seeds.

Arrays of the file, for N images: ``ws`` [N, L, w], ``distances`` [steps, N], a noise map [N, h, w] for each of the
model's under ``noise.`` and its name, and ``about``, a JSON text: the names of the images, and facts about the model.
Reading executes nothing.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np

from ganzoo import interop
from ganzoo.config import require
from ganzoo.disk.documents import parse_json, require_fields
from ganzoo.errors import UserError
from ganzoo.gan import StyleSpace, generator_variables, named_leaves
from ganzoo.interop.reading.machine import named
from ganzoo.latent.projection import Projection
from ganzoo.latent.sampler import Sampler
from ganzoo.typing import PyTree, State

VERSION = 1
ABOUT, NOISE = "about", "noise."
ABOUT_KINDS = {"version": int, "names": list, "model": str, "image_shape": list, "weights": str, "tuned": str}
"""Types of what the text holds where it is there."""
MAX_NAME = 50


@dataclass(frozen=True)
class SavedProjection:
    """Styles of N images in a file."""

    source: str
    """The file."""
    ws: np.ndarray
    """Styles float32 [N, L, w]."""
    noise: dict[str, np.ndarray]
    """Noise maps float32 [N, h, w] by their names; empty where the network's own are meant."""
    names: tuple[str, ...]
    """Names of the N images."""
    stems: tuple[str, ...]
    """File names for the N images without endings, such as ``0003-portrait``."""
    distances: np.ndarray
    """[steps, N]: the distance to each image at every step; [0, N] where the file does not tell."""
    about: dict[str, Any]
    """``model``, ``image_shape``, ``ema``, and digests: ``weights`` of the generator, ``tuned`` of what pivotal tuning
    made of it; empty where the file has none."""

    def __len__(self) -> int:
        return len(self.ws)

    def take(self, indices: Sequence[int]) -> "SavedProjection":
        """Return some of the images."""
        chosen = list(indices)
        noise = {name: maps[chosen] for name, maps in self.noise.items()}
        names, stems = (tuple(texts[i] for i in chosen) for texts in (self.names, self.stems))
        ws, distances = self.ws[chosen], self.distances[:, chosen]
        return replace(self, ws=ws, noise=noise, names=names, stems=stems, distances=distances)

    def noise_for(self, sampler: Sampler) -> PyTree | None:
        """Return the noise maps as ``Sampler.synthesise`` takes them, None where there are none; raises as ``fits``."""
        self.fits(sampler)
        maps = _maps(sampler)
        leaves = [self.noise[name] for name, _ in named_leaves(maps)] if self.noise else []
        return jax.tree.unflatten(jax.tree.structure(maps), leaves) if leaves else None

    def fits(self, sampler: Sampler) -> bool:
        """Return whether these are styles of just these weights, or these were tuned for them.

        It is False after more training, or where it is unknown.

        Raises:
          UserError: they are of another model, or of another size.
        """
        space, gan = _space(sampler), sampler.gan
        theirs, ours = self.about.get("model", gan.name), gan.name
        remedy = "use the model that made it"
        if theirs != ours:
            raise UserError(f"{self.source} holds styles of {theirs}, not of {ours}; {remedy}")
        wanted = (space.count, len(space.mean(sampler.state, ema=sampler.ema)))
        if self.ws.shape[1:] != wanted:
            raise UserError(f"{self.source} holds styles of {self.ws.shape[1:]}, where {ours} has {wanted}; {remedy}")
        maps = {name: tuple(leaf.shape) for name, leaf in named_leaves(_maps(sampler))}
        found = {name: array.shape[1:] for name, array in self.noise.items()}
        if found and found != maps:
            raise UserError(f"{self.source} holds other noise maps than those of {ours}; {remedy}")
        return digest(sampler) in (self.about.get("weights"), self.about.get("tuned"))


def save_projection(
    path: Path, sampler: Sampler, found: Projection, names: Sequence[str], tuned: State | None = None
) -> None:
    """Write a projection into an ``.npz`` file, which appears only when complete.

    Args:
      path: file name that ends in ``.npz``.
      sampler: the generator that it was made with.
      found: what ``project`` returned for N images.
      names: file names of the N images.
      tuned: the state whose EMA was tuned for these styles, by ``pivotal_tuning``; None where there is none.

    Raises:
      UserError: the name ends otherwise, or the file cannot be written.
    """
    gan = sampler.gan
    require(path.suffix == ".npz", "path", str(path), "end in .npz")
    about = {
        "version": VERSION,
        "names": list(names),
        "model": gan.name,
        "image_shape": gan.image_shape,
        "ema": sampler.ema,
        "weights": digest(sampler),
        **({"tuned": digest(Sampler(gan, tuned))} if tuned else {}),
    }
    arrays = {"ws": found.ws, "distances": found.distances}
    noise = {f"{NOISE}{name}": maps for name, maps in named_leaves(found.noise)}
    arrays = {name: np.asarray(array, np.float32) for name, array in {**arrays, **noise}.items()}
    interop.write_arrays(path, arrays, {ABOUT: json.dumps(about)})


def load_projection(path: str | Path) -> SavedProjection:
    """Read the file that ``save_projection`` or ``ganzoo project`` wrote, or another one with styles.

    Other files are those of NVIDIA's projector, with the one array ``w`` [N, L, w] (NVlabs/stylegan2-ada-pytorch,
    projector.py), and those without ``names``, ``distances`` or ``about``.

    Example::

        saved = ganzoo.latent.load_projection("projection/projection.npz")
        images = sampler.synthesise(saved.ws, noise=saved.noise_for(sampler) or "const")

    Raises:
      UserError: the file cannot be read, or holds no styles.
    """
    contents = interop.read(Path(path))
    arrays = {name: array for network in contents.networks.values() for name, array in network.arrays.items()}
    ws = arrays.pop("ws" if "ws" in arrays else "w", None)
    if ws is None or ws.ndim != 3 or not len(ws) or not _is_real(ws):
        raise UserError(f"{path} holds no styles: it must have finite numbers ws [N, L, w]; ganzoo project writes them")
    count, about = len(ws), _about(path, contents.metadata.get(ABOUT))
    names = about.pop("names", [f"{i:04d}" for i in range(count)])
    distances = arrays.pop("distances", np.zeros((0, count), np.float32))
    noise = {name: arrays.pop(name) for name in list(arrays) if name.startswith(NOISE)}
    if more := [named(name) for name in (*arrays, *contents.metadata) if name != ABOUT]:
        raise UserError(f"{path} is no projection: it also holds {', '.join(more[:5])}")
    is_whole = len(names) == count and all(isinstance(name, str) for name in names) and distances.shape[1:] == (count,)
    is_whole = is_whole and distances.dtype.kind == "f"
    if not is_whole or not all(maps.ndim == 3 and len(maps) == count and _is_real(maps) for maps in noise.values()):
        raise UserError(f"{path} is damaged: names, distances and noise maps must be of {count} images, as ws is")
    return SavedProjection(
        source=str(path),
        ws=ws.astype(np.float32),
        noise={name.removeprefix(NOISE): maps.astype(np.float32) for name, maps in noise.items()},
        names=tuple(names),
        stems=tuple(file_stems(names)),
        distances=distances,
        about=about,
    )


def _is_real(array: np.ndarray) -> bool:
    """Return whether an array holds finite float32 numbers, or numbers that become such."""
    return array.dtype.kind == "f" and bool((np.abs(array) <= np.finfo(np.float32).max).all())


def file_stems(names: Sequence[str]) -> list[str]:
    """Return for each image a file name without an ending: its number, then what its own name allows."""
    stems = (re.sub(r"[^\w.-]+", "_", PurePosixPath(str(name)).stem)[:MAX_NAME] for name in names)
    return [f"{i:04d}-{stem}".rstrip("-") for i, stem in enumerate(stems)]


def digest(sampler: Sampler) -> str:
    """Return 16 hexadecimal digits that the generator's variables decide on."""
    content = hashlib.sha256()
    for name, leaf in named_leaves(generator_variables(sampler.state, ema=sampler.ema)):
        content.update(name.encode() + np.asarray(leaf).tobytes())
    return content.hexdigest()[:16]


def _about(path: str | Path, text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        about = require_fields(parse_json(text), ABOUT_KINDS, ("version",))
        version = about.pop("version")
    except UserError as error:
        raise UserError(f"{path} is damaged: its text {ABOUT} is not as ganzoo project writes it ({error})") from error
    if version != VERSION:
        raise UserError(f"{path} is a projection of version {version!r}; this ganzoo reads {VERSION}; project again")
    return about


def _space(sampler: Sampler) -> StyleSpace:
    return sampler.require_styles("styles of a file")


def _maps(sampler: Sampler) -> PyTree:
    return _space(sampler).noise_maps(sampler.state, ema=sampler.ema)
