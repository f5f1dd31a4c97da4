"""Reductions over devices: the only module that knows whether a step runs under a named device axis.

Under ``jit`` (on one device or over a mesh) a batch is global and these functions return their input unchanged. Under
``pmap`` and ``shard_map`` a step sees the local shard of the batch and the axis ``AXIS`` is bound: sums, means and the
positions of examples in the global batch then span the axis, so all modes compute the same numbers.
"""

from collections.abc import Generator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Int

from ganzoo.typing import AnyArray, PyTree

AXIS = "data"
"""Name of the device axis over which batches are split."""
_division = jax.make_user_context(None)
"""How a train state is divided over devices: pairs (shape, axis) of the leaves that are; None for a replicated state.
JAX traces a function anew where this changes."""


def axis_is_bound() -> bool:
    """Return whether the calling code is traced under ``pmap`` or ``shard_map`` over ``AXIS``."""
    try:
        jax.lax.axis_index(AXIS)
    except NameError:
        return False
    return True


def explicit_axes(array: AnyArray) -> tuple[str, ...]:
    """Return the axes of type Explicit of the mesh that an array [...] lies on."""
    return getattr(getattr(getattr(jax.typeof(array), "sharding", None), "mesh", None), "explicit_axes", ())


def mean(tree: PyTree) -> PyTree:
    """Return the mean over devices of every leaf, each of any shape."""
    return jax.lax.pmean(tree, AXIS) if axis_is_bound() else tree


def total(tree: PyTree) -> PyTree:
    """Return the sum over devices of every leaf, each of any shape."""
    return jax.lax.psum(tree, AXIS) if axis_is_bound() else tree


def largest(tree: PyTree) -> PyTree:
    """Return the maximum over devices of every leaf, each of any shape; not differentiable."""
    return jax.lax.pmax(tree, AXIS) if axis_is_bound() else tree


def differ(tree: PyTree) -> PyTree:
    """Mark replicated leaves as differing between devices; call this on parameters before differentiating.

    ``shard_map`` sums the gradient of a replicated value over devices, so a mean taken afterwards is too large by a
    factor of the number of devices. Marked values get local gradients, under ``pmap`` and under ``shard_map`` with and
    without ``check_vma``.
    """
    return jax.lax.pcast(tree, AXIS, to="varying") if axis_is_bound() else tree


def global_size(local: int) -> int:
    """Return the size of the global batch when this device holds ``local`` examples."""
    return local * jax.lax.axis_size(AXIS) if axis_is_bound() else local


def global_indices(local: int) -> Int[Array, " n"]:
    """Return the positions [local] of this device's ``local`` examples in the global batch.

    In a single program over a mesh, the positions are sharded like the batch, and so is everything that is drawn from
    the positions. Without this sharding, the compiler would compute all generated images on every device.
    """
    indices = jnp.arange(local)
    if axis_is_bound():
        return indices + local * jax.lax.axis_index(AXIS)
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS in mesh.axis_names and local % mesh.shape[AXIS] == 0:
        return jax.lax.with_sharding_constraint(indices, jax.sharding.PartitionSpec(AXIS))
    return indices


def all_gather(x: Array) -> Array:
    """Return the whole batch [N, ...], of which ``x`` is this device's part."""
    return jax.lax.all_gather(x, AXIS, tiled=True) if axis_is_bound() else x


def local_part(whole: Array, local: int) -> Array:
    """Return this device's ``local`` examples [local, ...] of the global batch [N, ...]."""
    if not axis_is_bound():
        return whole
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(AXIS) * local, local)


# Divided states -------------------------------------------------------------------------------------------------------


@contextmanager
def dividing(axes: tuple[tuple[tuple[int, ...], int], ...]) -> Generator[None]:
    """Within, arrays of the given shapes are divided over devices along an axis each: see ``gathered``, ``divided``.

    Args:
      axes: pairs (shape, axis); hashable, because compiled programs are kept by it.
    """
    with _division(axes):
        yield


def is_dividing() -> bool:
    """Return whether the calling code is traced for a state that is divided over devices."""
    return _division.value is not None


def gathered(tree: PyTree) -> PyTree:
    """Return a part of the state with every leaf [...] whole on every device, where the state is divided.

    Networks are applied to gathered parameters: the compiler would otherwise split the work of a convolution by
    channels, as its kernel is split, and not by the examples of the batch.
    """
    if not is_dividing():
        return tree
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec()), tree)


def divided(tree: PyTree) -> PyTree:
    """Return a tree whose leaves [...] lie on devices as those of the same shape in the state do."""
    if not is_dividing():
        return tree
    axes = dict(_division.value)

    def one(leaf: AnyArray) -> AnyArray:
        return jax.lax.with_sharding_constraint(leaf, spec_of(axes.get(leaf.shape)))

    return jax.tree.map(one, tree)


def spec_of(axis: int | None) -> PartitionSpec:
    """Return the partition of an array that is divided along ``axis``; that of a whole one for None."""
    return PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, AXIS)
