"""Reductions over devices: the one file that knows whether a step runs under a named device axis.

Under ``jit`` (on one device or over a mesh) a batch is global and nothing here changes a number. Under ``pmap`` and
``shard_map`` a step sees its own part of the batch and the axis ``AXIS`` is bound: sums, means and the position of an
example in the global batch then go over the axis, so that all modes compute the same numbers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ganzoo.typing import PyTree

AXIS = "data"
"""The name of the device axis over which batches are split."""


def axis_is_bound() -> bool:
    """Whether this code is traced under ``pmap`` or ``shard_map`` over ``AXIS``."""
    try:
        jax.lax.axis_index(AXIS)
    except NameError:
        return False
    return True


def mean(tree: PyTree) -> PyTree:
    """The mean over devices of every leaf."""
    return jax.lax.pmean(tree, AXIS) if axis_is_bound() else tree


def total(tree: PyTree) -> PyTree:
    """The sum over devices of every leaf."""
    return jax.lax.psum(tree, AXIS) if axis_is_bound() else tree


def largest(tree: PyTree) -> PyTree:
    """The maximum over devices of every leaf; not to be differentiated."""
    return jax.lax.pmax(tree, AXIS) if axis_is_bound() else tree


def differ(tree: PyTree) -> PyTree:
    """Mark replicated leaves as differing between devices; call it on parameters before differentiating.

    ``shard_map`` sums the gradient of a replicated value over devices by itself, so that a mean taken afterwards is
    too large by the number of devices. Values marked this way get local gradients, under ``pmap`` and under
    ``shard_map`` with and without ``check_vma``.
    """
    return jax.lax.pcast(tree, AXIS, to="varying") if axis_is_bound() else tree


def global_size(local: int) -> int:
    """The number of examples on all devices, of which this one holds ``local``."""
    return local * jax.lax.axis_size(AXIS) if axis_is_bound() else local


def global_indices(local: int) -> Int[Array, " n"]:
    """The positions in the global batch of this device's ``local`` examples.

    In one program over a mesh they are split like the batch. Whatever is drawn from them follows; without that, the
    compiler would let every device work on all fakes.
    """
    indices = jnp.arange(local)
    if axis_is_bound():
        return indices + local * jax.lax.axis_index(AXIS)
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS in mesh.axis_names and local % mesh.shape[AXIS] == 0:
        return jax.lax.with_sharding_constraint(indices, jax.sharding.PartitionSpec(AXIS))
    return indices


def all_gather(x: Array) -> Array:
    """The whole batch [N, ...], of which ``x`` is this device's part."""
    return jax.lax.all_gather(x, AXIS, tiled=True) if axis_is_bound() else x


def local_part(whole: Array, local: int) -> Array:
    """This device's ``local`` examples of the whole batch [N, ...]."""
    if not axis_is_bound():
        return whole
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(AXIS) * local, local)
