"""Checkpoints: one state tree, saved in the background, whole or not at all.

A thin layer over Orbax. A save is written into a temporary folder and renamed when complete, so that a checkpoint
from an interrupted save is never picked up; leftovers are removed at the next start. Each array has a checksum in the
metadata of its checkpoint, which is verified whenever it is read.
"""

import contextlib
import math
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

try:
    from orbax.checkpoint import v1 as ocp
except ImportError:  # before orbax moved it out of experimental
    from orbax.checkpoint.experimental import v1 as ocp

from ganzoo.disk import require_own
from ganzoo.disk.documents import read_json, require_fields
from ganzoo.errors import UserError, printable
from ganzoo.gan import named_leaves
from ganzoo.training.checksums import Damaged, checksums, require_checksums
from ganzoo.training.parallel import data_mesh, together
from ganzoo.training.quiet import silence
from ganzoo.typing import PyTree, State

MIB = 2**20
EXPANSION, SPARE = 16, 256 * MIB
"""How many times larger than its files, and how much beyond that in bytes, the arrays of a checkpoint may be."""
SPARE_CHECKPOINTS = 3
VALUE, CHECKSUMS = "value", "sha256"
"""Under which names the value of a checkpoint and the checksums of its arrays are stored with it."""
METADATA = "_CHECKPOINT_METADATA"
UNFINISHED = "*.orbax-checkpoint-tmp*"
"""Names of folders in which Orbax has not finished a checkpoint."""
METADATA_KINDS: dict[str, type | tuple[type, ...]] = {
    "item_handlers": dict,
    "metrics": dict,
    "performance_metrics": dict,
    "custom_metadata": dict,
    "init_timestamp_nsecs": int,
    "commit_timestamp_nsecs": int,
}
"""Types of the fields of that file."""


class Checkpoints:
    """The checkpoints of one run, named by the images seen. Use as a context manager, so that the last save ends."""

    def __init__(
        self, folder: Path, *, keep_last: int = 2, keep_every: int = 0, keep_best: int = 0, read_only: bool = False
    ) -> None:
        """
        Args:
          folder: made if it is not there.
          keep_last: number of newest checkpoints that are kept.
          keep_every: besides, one for every this many images is kept; 0 keeps none besides.
          keep_best: instead, this many with the lowest values are kept; 0 for those by age.
          read_only: leave the folder of another run as it is, also what an interrupted save left there.

        Raises:
          UserError: ``folder`` is a file or a link, or holds links, or a checkpoint whose metadata cannot be read.
        """
        if folder.is_file() and not folder.is_symlink():
            raise UserError(f"{folder} is a file, where a folder of checkpoints should be; remove it")
        require_own(folder)
        _require_metadata(folder)
        policies = ocp.training.preservation_policies
        keep = [policies.LatestN(keep_last)]
        if keep_every:
            keep.append(policies.EveryNSteps(keep_every, exact_interval=False))
        if keep_best:
            best = policies.BestN(
                get_metric_fn=_value, n=keep_best, reverse=True, keep_checkpoints_without_metrics=False
            )
            keep = [best]
        self._folder, self._keep_best = folder, keep_best
        silence()
        try:
            self._orbax = ocp.training.Checkpointer(
                str(folder.absolute()),
                preservation_policy=policies.AnyPreservationPolicy(keep),  # ty: ignore[invalid-argument-type]
                cleanup_tmp_directories=not read_only,
            )
            self._orbax.checkpoints  # noqa: B018 - reads all metadata
        except OSError:
            raise
        except Exception as error:
            raise UserError(f"{folder} holds a damaged checkpoint ({_first_cause(error)}); remove it") from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and jax.process_count() > 1:
            return  # the other processes may be elsewhere: closing would wait for them
        with contextlib.suppress(UserError) if kind else contextlib.nullcontext(), self._saving():
            self._orbax.close()

    @property
    def latest(self) -> int | None:
        """The newest checkpoint's images; None when there is none."""
        return self._orbax.latest.step if self._orbax.latest else None

    @property
    def all(self) -> list[int]:
        """The images of every checkpoint, from the oldest on."""
        return sorted(found.step for found in self._orbax.checkpoints)

    def place(self, images: int) -> Path:
        """Return the folder of the checkpoint of so many images."""
        return self._folder / str(images)

    @property
    def values(self) -> dict[int, float]:
        """The values that checkpoints were saved with, by images."""
        return {
            found.step: _value(found.metrics)
            for found in self._orbax.checkpoints
            if found.metrics and VALUE in found.metrics
        }

    @property
    def best(self) -> int | None:
        """The images of the checkpoint with the lowest value; None when none has one."""
        values = self.values
        return min(values, key=values.__getitem__, default=None)

    def among_best(self, value: float) -> bool:
        """Return whether a checkpoint of that value would be one of the ``keep_best``."""
        rivals = sorted(self.values.values())
        return len(rivals) < self._keep_best or value < rivals[self._keep_best - 1]

    def save(self, images: int, state: State, value: float | None = None) -> None:
        """Save in the background; waits for the save before it. The caller may donate ``state`` at once.

        Args:
          images: seen by then.
          state: is copied.
          value: by which it is compared with others, lower is better; None where it is not.

        Raises:
          UserError: the disk has no room for it, or there is a checkpoint of as many images, or of more where only the
            newest are kept; the checkpoints that are there stay as they are.
        """
        with together():
            require_space(self._folder, size_of(state), copies=1)
        self.wait()
        there = self.all
        if images in there:
            where = self.place(images)
            raise UserError(f"a checkpoint of {images} images is there already; remove {where} to save another")
        if not self._keep_best and there and images < max(there):
            raise UserError(
                f"a checkpoint of {images} images would never be the newest: {self._folder} holds one of {max(there)};"
                " save to another folder"
            )
        # a copy, because the training step overwrites the donated state while the save goes on
        arrays = _storable(jax.tree.map(jnp.copy, state))
        with self._saving():
            metrics: dict[str, Any] | None = None if value is None else {VALUE: value}
            is_writer = jax.process_index() == 0  # of the metadata
            about: dict[str, Any] = {CHECKSUMS: checksums(arrays)} if is_writer else {}
            self._orbax.save_async(images, arrays, force=True, metrics=metrics, custom_metadata=about)

    def wait(self) -> None:
        """Wait until the save under way is on disk; ``UserError`` if it failed."""
        with self._saving():
            self._orbax.wait()

    @contextlib.contextmanager
    def _saving(self) -> Generator[None]:
        """Turn what Orbax raises of a failed save within into a ``UserError``, and remove what it has written."""
        try:
            yield
        except Exception as error:
            if jax.process_index() == 0:
                for place in self._folder.glob(UNFINISHED):
                    shutil.rmtree(place, ignore_errors=True)
            kept = "there is none yet" if self.latest is None else f"the last whole one is at {self.latest} images"
            where = f"a checkpoint could not be saved in {self._folder}"
            raise UserError(f"{where} ({_first_cause(error)}); {kept}") from error

    def restore(
        self, like: State, mesh: Mesh | None = None, *, images: int | None = None, layout: PyTree = None
    ) -> State:
        """Return a checkpoint, on every device of the mesh or divided over them, wherever the saved state was.

        Args:
          like: a state, or its ``jax.eval_shape``, with the structure that is expected.
          mesh: may be other than that on which it was saved; all devices when absent.
          images: which one; the newest when absent.
          layout: from ``parallel.divided_layout``, to divide the state; whole on every device when absent.

        Raises:
          UserError: the checkpoint cannot be read, is damaged, or is of another model.
        """
        wanted = _storable(like)
        images = self.latest if images is None else images
        with together(), self._reading(images) as where:
            found, expected = self._metadata(images)
            self._require_same(where, wanted, found)
            whole = NamedSharding(mesh or data_mesh(), PartitionSpec())
            shardings = dict.fromkeys(wanted, whole) if layout is None else dict(named_leaves(layout))
            leaves = self._load(images, found, shardings, expected)
            leaves = {name: leaf.astype(wanted[name].dtype) for name, leaf in leaves.items()}
        return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in wanted])

    def read(self, images: int | None = None) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays by their names, such as ``generator.params.mapping.dense0.kernel``.

        Args:
          images: which one; the newest when absent.

        Raises:
          UserError: the checkpoint cannot be read, or is damaged.
        """
        images = self.latest if images is None else images
        with self._reading(images):
            found, expected = self._metadata(images)
            self._require_small(images, found)
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            arrays = self._load(images, found, dict.fromkeys(found, here), expected)
            return {name: np.asarray(leaf) for name, leaf in arrays.items()}

    def _metadata(self, images: int | None) -> tuple[Mapping[str, PyTree], Mapping[str, str]]:
        """Name -> something with a shape and a dtype, and name -> checksum; none of before they were stored."""
        found = self._orbax.metadata(images)
        if not isinstance(found.metadata, Mapping):
            raise FileNotFoundError("files in it are damaged or missing")
        own = require_fields(found.custom_metadata or {})
        expected = require_fields(own.get(CHECKSUMS, {}))
        return found.metadata, require_fields(expected, dict.fromkeys(expected, str))

    def _load(
        self,
        images: int | None,
        found: Mapping[str, PyTree],
        shardings: Mapping[str, jax.sharding.Sharding],
        expected: Mapping[str, str],
    ) -> dict[str, jax.Array]:
        abstract = {
            name: jax.ShapeDtypeStruct(tuple(leaf.shape), leaf.dtype, sharding=shardings[name])
            for name, leaf in found.items()
        }
        arrays = dict(self._orbax.load(images, abstract))
        require_checksums(arrays, expected)
        return arrays

    def _require_small(self, images: int | None, found: Mapping[str, PyTree]) -> None:
        """Raise ``ValueError`` where the arrays would be much larger than the files that should hold them."""
        there = sum(file.stat().st_size for file in (self._folder / str(images)).rglob("*"))
        size = sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in found.values())
        if size > EXPANSION * there + SPARE:
            raise ValueError(f"arrays of {size:,} bytes in files of {there:,}")

    @contextlib.contextmanager
    def _reading(self, images: int | None) -> Generator[str]:
        """Turn what Orbax raises within into a ``UserError``; yield how to name the checkpoint."""
        where = f"checkpoint {images} in {self._folder}"
        try:
            yield where
        except UserError:
            raise
        except Exception as error:
            before = max((each for each in self.all if each < (images or 0)), default=None)
            place = self._folder / str(images)
            remedy = f"delete {place} to resume from {'the start' if before is None else f'{before} images'}"
            other = "" if before is None else f"; other commands take --checkpoint {before}"
            what = f"is damaged ({error})" if isinstance(error, Damaged) else f"cannot be read ({_first_cause(error)})"
            raise UserError(f"{where} {what}; {remedy}{other}") from error

    def _require_same(self, where: str, wanted: Mapping[str, PyTree], found: Mapping[str, PyTree]) -> None:
        remedy = "resume with the config it was made with"
        for name in found:
            if name not in wanted:
                raise UserError(f"{where} is of another model: it has {name}, which this one has not; {remedy}")
        for name, leaf in wanted.items():
            if name not in found:
                raise UserError(f"{where} is of another model: it has no {name}; {remedy}")
            if tuple(found[name].shape) != tuple(leaf.shape):
                shapes = f"{tuple(found[name].shape)}, not {tuple(leaf.shape)}"
                raise UserError(f"{where} is of another model: its {name} is {shapes}; {remedy}")


def _value(metrics: PyTree) -> float:
    return float(metrics[VALUE])


def size_of(state: State) -> int:
    """Return the bytes of all leaves."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def require_space(folder: Path, size: int, *, copies: int = SPARE_CHECKPOINTS) -> None:
    """Raise ``UserError`` unless the disk under ``folder`` has room for ``copies`` checkpoints of ``size`` bytes."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if free < copies * size:
        raise UserError(
            f"the disk of {there} has {free / MIB:,.4g} MiB free, {copies} checkpoint(s) need"
            f" {copies * size / MIB:,.4g} MiB; free some space or choose another --out"
        )


def _require_metadata(folder: Path) -> None:
    """Raise ``UserError`` for a checkpoint in a folder whose metadata Orbax could not take; what is absent passes."""
    for place in sorted(folder.glob("*")):
        try:
            if place.name.isdecimal() and (place / METADATA).exists():
                require_fields(read_json(place / METADATA), METADATA_KINDS)
            if place.name.isdecimal() and (place / "metrics" / "metrics").exists():
                value = require_fields(read_json(place / "metrics" / "metrics"), {VALUE: (int, float)}, (VALUE,))[VALUE]
                if not abs(value) < math.inf:
                    raise UserError(f"the value {printable(value)} is not finite")
        except UserError as error:
            raise UserError(f"checkpoint {place.name} in {folder}: metadata {error}; delete {place}") from error


def unchecked(place: Path) -> list[str]:
    """Return a note on a checkpoint without checksums, as an older ganzoo has saved it; nothing on any other.

    Args:
      place: its folder.
    """
    own = require_fields(read_json(place / METADATA), METADATA_KINDS).get("custom_metadata", {})
    return [] if CHECKSUMS in own else [f"{printable(place, 200)} has no checksums, so damage to it would pass unseen"]


def _first_cause(error: BaseException) -> str:
    """Return the first cause of an error, in one short line."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return printable(next(iter(f"{type(error).__name__}: {error}".splitlines())), 160)


def _storable(state: State) -> dict[str, PyTree]:
    """Return the leaves by name: a plain dict needs no class of ours to be read."""
    return dict(named_leaves(state))
