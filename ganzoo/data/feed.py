"""Feeding a data set to a compiled step: K batches per dispatch, in an order that is pure arithmetic.

The step after n images takes its images from position n on in the endless sequence of shuffled epochs. A resumed run,
on any number of devices or processes, therefore continues with the image at which it stopped.
"""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from ganzoo.data.dataset import Dataset
from ganzoo.data.order import positions
from ganzoo.errors import UserError
from ganzoo.gan import remembered
from ganzoo.ops.collective import AXIS
from ganzoo.phases import scanned
from ganzoo.typing import Batch, Key, Metrics, PyTree, State, Step

SHARED = "shared"
"""Name of the indices of the batch that all networks see."""
PREFETCH = 2
"""Dispatches read ahead from disk."""


def dispatches(first_step: int, last_step: int, steps: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, number of steps) of each dispatch; dispatches end at multiples of ``steps`` and at the end.

    The boundaries do not depend on ``first_step``, so a resumed run has the same dispatches and compiled programs as an
    uninterrupted run.
    """
    step = first_step
    while step < last_step:
        count = min(steps - step % steps, last_step - step)
        yield step, count
        step += count


class Feed:
    """Source of batches for a step that runs over a mesh.

    A data set in memory is put on the devices once, and the compiled step gathers its batches by index. Any other data
    set is read ahead by threads.
    """

    def __init__(self, dataset: Dataset, *, seed: int, mesh: Mesh, own_reals: tuple[str, ...] = ()) -> None:
        """Put a data set that is in memory on the devices.

        Args:
          dataset: data set to read.
          seed: seed of the order of the images.
          mesh: devices over which batches are split.
          own_reals: networks that get real images of their own, as in ``GAN.own_reals``: a step then takes as many
            batches from the data set, one after the other, of which the first is the step's own.
        """
        self._dataset = dataset
        self._seed = seed
        self._own_reals = own_reals
        self.mesh = mesh
        self._data = None
        if dataset.in_memory is not None:
            whole = NamedSharding(mesh, PartitionSpec())
            self._data = {
                name: jax.make_array_from_process_local_data(whole, leaf) for name, leaf in dataset.in_memory.items()
            }

    @property
    def resident(self) -> bool:
        """Whether the data set is kept on the devices."""
        return self._data is not None

    @property
    def spec(self) -> PyTree:
        """Partition specs of a payload over the mesh, for ``ganzoo.training.parallel``."""
        split = PartitionSpec(None, AXIS)
        return {"data": PartitionSpec(), "index": split} if self.resident else split

    def steps(self, step: Step) -> Step:
        """Turn ``step`` into a function of a payload, which does K steps, each on its own batch; compile the result."""
        if not self.resident:
            return _scanned(step)
        return _gathering(step, self._own_reals, len(self._dataset), self._dataset.mirror)

    def payloads(
        self, first_step: int, last_step: int, steps: int, *, batch_size: int, images: int
    ) -> Generator[tuple[int, Any]]:
        """Yield (number of steps, payload of the compiled step) for each dispatch from ``first_step`` to ``last_step``.

        Args:
          first_step: number of steps done before.
          last_step: number of steps done afterwards.
          steps: number of steps K of a full dispatch.
          batch_size: images of one step, over all devices and processes.
          images: number of images seen before ``first_step``.

        Yields:
          K and either ``{"data": batch of the whole data set, "index": {SHARED: int32 [K, batch_size], network: ...}}``
          if the data set is resident, or a batch with leaves [K, batch_size, ...]; both also for each network that has
          real images of its own, by its name.

        Raises:
          UserError: the number of devices does not divide ``batch_size``.
        """
        if batch_size % self.mesh.size:
            raise UserError(f"batch_size = {batch_size}: must be a multiple of the {self.mesh.size} devices")
        cuts = [(images + (step - first_step) * batch_size, n) for step, n in dispatches(first_step, last_step, steps)]
        if self.resident:
            for seen, count in cuts:
                index = self._indices(seen, count, batch_size).astype(np.int32)
                indices = {name: self._put(index[:, i]) for i, name in enumerate((SHARED, *self._own_reals))}
                yield count, {"data": self._data, "index": indices}
            return
        shape = (1 + len(self._own_reals), batch_size // jax.process_count())
        wanted = (self._indices(seen, count, batch_size).reshape(-1) for seen, count in cuts)
        with contextlib.closing(self._dataset.prefetch(wanted, PREFETCH)) as read:
            for (_, count), batch in zip(cuts, read, strict=True):
                stacked = {name: leaf.reshape(count, *shape, *leaf.shape[1:]) for name, leaf in batch.items()}
                shared, *owned = ({name: leaf[:, i] for name, leaf in stacked.items()} for i in range(shape[0]))
                yield count, jax.tree.map(self._put, {**shared, **dict(zip(self._own_reals, owned, strict=True))})

    def example(self, steps: int, batch_size: int) -> PyTree:
        """Return a payload of ``steps`` batches in which shapes stand for what is not on the devices yet."""
        split = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        shape = (steps, batch_size)
        if self.resident:
            index = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=split)
            return {"data": self._data, "index": dict.fromkeys((SHARED, *self._own_reals), index)}
        image, label = self._dataset.image_shape, self._dataset.label_size
        payload = {"image": jax.ShapeDtypeStruct((*shape, *image), jnp.uint8, sharding=split)}
        if label:
            payload["label"] = jax.ShapeDtypeStruct((*shape, label), jnp.float32, sharding=split)
        return {**payload, **{network: dict(payload) for network in self._own_reals}}

    def _indices(self, seen: int, count: int, batch_size: int) -> np.ndarray:
        """Return the indices [count, B, n] of this process's examples in the ``count`` steps after ``seen`` images.

        B is the number of batches of a step: the first is shared, the others are those of networks of their own.
        """
        batches, local = 1 + len(self._own_reals), batch_size // jax.process_count()
        index = positions(self._seed, len(self._dataset), seen * batches, count * batches * batch_size)
        return index.reshape(count, batches, batch_size)[:, :, jax.process_index() * local :][:, :, :local]

    def _put(self, local: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(NamedSharding(self.mesh, PartitionSpec(None, AXIS)), local)


def gather(data: Batch, index: Int[Array, " n"], unmirrored: int) -> Batch:
    """Gather the examples ``index`` [N] from arrays [n, ...] on the device; mirror images from ``unmirrored`` on."""
    batch = {name: jnp.take(leaf, index % unmirrored, axis=0, mode="clip") for name, leaf in data.items()}
    images = batch["image"]
    mirrored = jnp.expand_dims(index >= unmirrored, (1, 2, 3))
    return {**batch, "image": jnp.where(mirrored, images[:, :, ::-1], images)}


_scanned = remembered(scanned)


@remembered
def _gathering(step: Step, own_reals: tuple[str, ...], size: int, mirror: bool) -> Step:
    """Return the function of a payload that gathers each of its batches from a data set on the device."""

    def gathering(state: State, payload: Batch, key: Key) -> tuple[State, Metrics]:
        def one(state: State, index: Any, key: Key) -> tuple[State, Metrics]:
            def gathered(index: Array) -> Batch:
                return gather(payload["data"], index, size // 2 if mirror else size)

            owned = {network: gathered(index[network]) for network in own_reals}
            return step(state, {**gathered(index[SHARED]), **owned}, key)

        return scanned(one)(state, payload["index"], key)

    return gathering
