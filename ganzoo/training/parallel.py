"""From a step to a compiled step: one device or many, one step or many per dispatch, one seed or many.

All take the same arguments as the step itself, donate the state (do not use it again after the call) and compute the
same numbers up to the order of summation, because a batch means the global batch everywhere.

    step = jit_step(gan.step)                                   # the default: one program over a mesh
    state = jit_init(gan.init)(key)
    state, metrics = step(state, batch, key)
"""

import hashlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo.errors import UserError
from ganzoo.ops.collective import AXIS, explicit_axes
from ganzoo.phases import scanned
from ganzoo.typing import Batch, Key, Metrics, PyTree, State, Step

SPLIT = PartitionSpec(AXIS)
STACKED = PartitionSpec(None, AXIS)
WHOLE = PartitionSpec()


def data_mesh(count: int = 0) -> Mesh:
    """Return a mesh over the first ``count`` devices of all processes (0: all of them), with the batch as its axis."""
    devices = jax.devices()
    if not 0 <= count <= len(devices):
        raise UserError(
            f"devices = {count}: this machine has {len(devices)}; ask for 1 to {len(devices)}, or 0 for all"
        )
    chosen = devices[: count or None]
    shares = [sum(device.process_index == process for device in chosen) for process in range(jax.process_count())]
    if len(set(shares)) > 1:
        raise UserError(
            f"devices = {count}: gives the processes {shares} devices; each must have as many as the others"
        )
    return Mesh(np.array(chosen), (AXIS,))


def auto_mesh(mesh: Mesh | None = None) -> Mesh:
    """Return the same devices as a mesh on which the steps of ganzoo run: one axis, called "data", of type Auto.

    ``jax.make_mesh`` makes axes of type Explicit, and any name is allowed there; all devices when ``mesh`` is absent.

    Raises:
      UserError: the mesh has more than one axis.
    """
    if mesh is None:
        return data_mesh()
    if len(mesh.axis_names) != 1:
        raise UserError(f"a mesh with the axes {mesh.axis_names}: give one with one axis, over which batches are split")
    return Mesh(mesh.devices, (AXIS,))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Put a copy of every leaf on every device of the mesh; the leaves must be the same in all processes."""
    return jax.device_put(tree, NamedSharding(auto_mesh(mesh), WHOLE))


def jit_init(init: Callable[[Key], State], mesh: Mesh | None = None) -> Callable[[Key], State]:
    """Compile ``init`` as one program that leaves the same state on every device of the mesh, in all processes."""
    return jax.jit(init, out_shardings=NamedSharding(auto_mesh(mesh), WHOLE))


def jit_step(
    step: Step, mesh: Mesh | None = None, *, batch: PyTree = SPLIT, options: Mapping[str, Any] | None = None
) -> Step:
    """Compile the step as one program over a mesh: state and key on every device, the batch split.

    The compiler sees the global batch and inserts the communication, so statistics over the batch are global.

    Args:
      step: ``(state, batch, key) -> (state, metrics)``.
      mesh: all devices when absent.
      batch: how the batch is split: a ``PartitionSpec`` for all of it or a tree of them.
      options: of the compiler; ``compiler_options(mesh)`` when absent.
    """
    mesh = auto_mesh(mesh)
    whole = NamedSharding(mesh, WHOLE)
    split = jax.tree.map(lambda spec: NamedSharding(mesh, spec), batch, is_leaf=_is_spec)

    def over_mesh(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        state, batch, key = _on_auto_axes((state, batch, key), (whole, split, whole))
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # for ``ops.collective.global_indices``
            return step(state, batch, key)

    return jax.jit(
        over_mesh,
        in_shardings=(whole, split, whole),
        out_shardings=whole,
        donate_argnums=0,
        compiler_options=compiler_options(mesh) if options is None else dict(options),
    )


def _on_auto_axes(tree: PyTree, shardings: PyTree) -> PyTree:
    """Return arrays with the given shardings where some of them lie on a mesh with Explicit axes, else as they are."""
    is_explicit = any(explicit_axes(leaf) for leaf in jax.tree.leaves(tree))
    return jax.device_put(tree, shardings) if is_explicit else tree


def compiler_options(mesh: Mesh) -> dict[str, Any]:
    """Return the compiler options of a mesh.

    On a CPU, LLVM's level 1: large programs compile in 13 % less time and run as fast, since their time goes into
    matrix products that are compiled already.
    """
    on_cpu = all(device.platform == "cpu" for device in mesh.devices.flat)
    return {"xla_backend_optimization_level": 1} if on_cpu else {}


def scan_step(step: Step, mesh: Mesh | None = None, *, options: Mapping[str, Any] | None = None) -> Step:
    """Compile K steps per dispatch: each leaf of the batch is [K, N, ...]; metrics are sums over the K steps."""
    return jit_step(scanned(step), mesh, batch=STACKED, options=options)


def pmap_step(step: Step, mesh: Mesh | None = None, *, batch: PyTree = SPLIT) -> Step:
    """Compile the step by ``pmap``: each device works on its part of the batch; the step's reductions combine them."""
    mesh = auto_mesh(mesh)
    devices = list(mesh.devices.flat)
    axes = jax.tree.map(_split_axis, batch, is_leaf=_is_spec)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), (WHOLE, batch, WHOLE), is_leaf=_is_spec)
    mapped = jax.pmap(
        step, axis_name=AXIS, in_axes=(None, axes, None), out_axes=None, devices=devices, donate_argnums=0
    )

    def split(state: State, whole: Batch, key: Key) -> tuple[State, Metrics]:
        state, whole, key = _on_auto_axes((state, whole, key), shardings)

        def parts(spec: PartitionSpec, tree: PyTree) -> PyTree:
            axis = _split_axis(spec)
            if axis is None:
                return tree
            return jax.tree.map(lambda x: x.reshape(*x.shape[:axis], len(devices), -1, *x.shape[axis + 1 :]), tree)

        return mapped(state, jax.tree.map(parts, batch, whole, is_leaf=_is_spec), key)

    return split


def shard_map_step(
    step: Step,
    mesh: Mesh | None = None,
    *,
    batch: PyTree = SPLIT,
    check_vma: bool = True,
    options: Mapping[str, Any] | None = None,
) -> Step:
    """Compile the step by ``shard_map``: as ``pmap_step``, but over a mesh and composable with ``jit``.

    ``check_vma`` lets JAX verify that the state that comes out is the same on all devices.
    """
    mesh = auto_mesh(mesh)
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(WHOLE, batch, WHOLE), out_specs=WHOLE, check_vma=check_vma)
    return jit_step(mapped, mesh, batch=batch, options=options)


def vmap_step(step: Step, *, options: Mapping[str, Any] | None = None) -> Step:
    """Compile independent runs at once: each leaf of the state and the key are [S, ...]; all see the same batch."""
    options = None if options is None else dict(options)
    return jax.jit(jax.vmap(step, in_axes=(0, None, 0)), donate_argnums=0, compiler_options=options)


@contextmanager
def together() -> Generator[None]:
    """Let all processes leave this block together; a ``UserError`` of one is raised in all, so that none waits."""
    error = None
    try:
        yield
    except UserError as raised:
        error = raised
    if jax.process_count() > 1:
        failed = bool(multihost_utils.process_allgather(np.array(error is not None)).any())
        error = error or (UserError("another process stopped; it says why") if failed else None)
    if error:
        raise error


def require_same(value: str, what: str) -> None:
    """Raise ``UserError`` in all processes unless ``value``, a short text, is the same in all of them."""
    if jax.process_count() > 1:
        code = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint32)
        if not (multihost_utils.process_allgather(code) == code).all():
            raise UserError(f"{what} is not the same in all processes; make it so and start all of them again")


def agreed(asked: Callable[[], bool], *, every: int = 32) -> Callable[[], bool]:
    """Return a function that is true in all processes in the same call, once ``asked()`` has been true in one of them.

    Processes compare notes in every ``every``-th call only, since that waits for the device; one process alone does
    not wait.
    """
    if jax.process_count() == 1:
        return asked
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls % every == 0 and bool(multihost_utils.process_allgather(np.array(asked())).any())

    return stop


def _is_spec(leaf: PyTree) -> bool:
    return isinstance(leaf, PartitionSpec)


def _split_axis(spec: PartitionSpec) -> int | None:
    return spec.index(AXIS) if AXIS in spec else None
