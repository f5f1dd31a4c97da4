"""From a step to a compiled step: one device or many, one step or many per dispatch, one seed or many.

All take the same arguments as the step itself, donate the state (do not use it again after the call) and compute the
same numbers up to the order of summation, because a batch means the global batch everywhere::

    step = jit_step(gan.step)                                   # the default: one program over a mesh
    state = jit_init(gan.init)(key)
    state, metrics = step(state, batch, key)

A state too large for one device is divided over all of them, and stays so; batches are split as ever::

    layout = divided_layout(jax.eval_shape(gan.init, key))
    step, init = jit_step(gan.step, layout=layout), jit_init(gan.init, layout=layout)
"""

import hashlib
import math
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo.errors import UserError
from ganzoo.gan import named_leaves, remembered
from ganzoo.ops import collective
from ganzoo.ops.collective import AXIS, explicit_axes
from ganzoo.phases import scanned
from ganzoo.typing import Batch, Key, Metrics, PyTree, State, Step

SPLIT = PartitionSpec(AXIS)
STACKED = PartitionSpec(None, AXIS)
WHOLE = PartitionSpec()
LEAST = 4096
"""Numbers in the smallest array of a state that is worth dividing."""
MISPLACED = re.compile("does not match the sharding|incompatible devices")
"""What JAX says of arrays that lie otherwise on devices than a compiled step takes them."""
NESTED = "`compiler_options` can only be passed to top-level"
"""What JAX says of a compiled step within another compiled function."""


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
    return place(tree, mesh)


def place(tree: PyTree, mesh: Mesh | None = None, layout: PyTree = None) -> PyTree:
    """Put a tree on the devices of a mesh as ``replicate`` does, or divided as a ``layout`` says."""
    return jax.device_put(tree, NamedSharding(auto_mesh(mesh), WHOLE) if layout is None else layout)


def gathered(tree: PyTree, mesh: Mesh | None = None) -> PyTree:
    """Return, in a compiled function, every leaf whole on every device, wherever its parts come from."""
    return jax.lax.with_sharding_constraint(tree, NamedSharding(auto_mesh(mesh), WHOLE))


def divided_layout(state: State, mesh: Mesh | None = None, *, least: int = LEAST) -> PyTree:
    """Return how a state is divided over devices: a tree of shardings, one for each array.

    Arrays of one shape are divided alike: along the largest of the axes that the number of devices divides. An array
    without such an axis, or of fewer than ``least`` numbers, is whole on every device.

    Args:
      state: a train state, or its ``jax.eval_shape``.
      mesh: all devices when absent.
      least: numbers of the smallest array that is divided.
    """
    devices = auto_mesh(mesh)

    def one(leaf: PyTree) -> NamedSharding:
        fitting = [axis for axis in range(leaf.ndim) if leaf.shape[axis] % devices.size == 0]
        is_divided = fitting and leaf.size >= least and not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        axis = max(fitting, key=lambda axis: leaf.shape[axis]) if is_divided else None
        return NamedSharding(devices, collective.spec_of(axis))

    return jax.tree.map(one, state)


def bytes_of_one_device(state: State, layout: PyTree) -> int:
    """Return the bytes that a state takes on each device under a layout from ``divided_layout``."""
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(layout), strict=True)
    return sum(math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf, sharding in pairs)


def jit_init(
    init: Callable[[Key], State], mesh: Mesh | None = None, *, layout: PyTree = None
) -> Callable[[Key], State]:
    """Compile ``init`` as one program that leaves the same state on every device of the mesh, in all processes.

    With a ``layout`` from ``divided_layout``, the state is divided over the devices instead.
    """
    return jax.jit(init, out_shardings=NamedSharding(auto_mesh(mesh), WHOLE) if layout is None else layout)


def jit_step(
    step: Step,
    mesh: Mesh | None = None,
    *,
    batch: PyTree = SPLIT,
    layout: PyTree = None,
    options: Mapping[str, Any] | None = None,
) -> Step:
    """Compile the step as one program over a mesh: state and key on every device, the batch split.

    The compiler sees the global batch and inserts the communication, so statistics over the batch are global.

    Args:
      step: ``(state, batch, key) -> (state, metrics)``.
      mesh: all devices when absent.
      batch: how the batch is split: a ``PartitionSpec`` for all of it or a tree of them.
      layout: how the state is divided over the devices, from ``divided_layout``; whole on every one when absent. Each
        phase gathers the parameters of its networks, and updates its part of them (Rajbhandari et al. 2019, "ZeRO",
        arXiv:1910.02054, section 5).
      options: of the compiler; ``compiler_options(mesh)`` when absent.
    """
    specs, tree = jax.tree.flatten(batch, is_leaf=_is_spec)
    return _mesh_step(step, auto_mesh(mesh), tuple(specs), tree, layout, options)


@remembered
def _mesh_step(
    step: Step,
    mesh: Mesh,
    specs: tuple[PartitionSpec, ...],
    tree: Any,
    layout: PyTree,
    options: Mapping[str, Any] | None,
) -> Step:
    """Return ``jit_step``, for a batch that is split as the ``specs`` of its ``tree`` say."""
    whole = NamedSharding(mesh, WHOLE)
    placed = whole if layout is None else layout
    split = tree.unflatten([NamedSharding(mesh, spec) for spec in specs])

    def over_mesh(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        state, batch, key = _on_auto_axes((state, batch, key), (placed, split, whole))
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), _dividing(state, layout):  # for ``ops.collective``
            return step(state, batch, key)

    jitted = partial(jax.jit, over_mesh, in_shardings=(placed, split, whole), out_shardings=(placed, whole))
    options = compiler_options(mesh) if options is None else options
    return MeshStep(jitted(donate_argnums=0, compiler_options=dict(options)), placed, traced=jitted())


class MeshStep:
    """A compiled step that says in one line where a state does not lie on devices as the step takes it."""

    def __init__(self, compiled: Any, placed: PyTree, traced: Any = None) -> None:
        """Take a jitted or mapped step, and how its state lies: one sharding for all of it or a tree of them.

        ``traced`` is the step within another compiled function, whose options its compiler takes; the same if absent.
        """
        self._compiled, self._placed, self._traced = compiled, placed, traced or compiled

    def __call__(self, state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        try:
            return self._compiled(state, batch, key)
        except ValueError as error:
            if NESTED in str(error):
                return self._traced(state, batch, key)
            if MISPLACED.search(str(error)) and (text := self._misplaced(state)):
                raise UserError(text) from error
            raise

    def __getattr__(self, name: str) -> Any:  # such as ``lower`` and ``trace``
        return getattr(self._compiled, name)

    def _misplaced(self, state: State) -> str:
        """Return what lies otherwise, and the remedy; empty where nothing does."""
        is_whole = isinstance(self._placed, NamedSharding)
        leaves = named_leaves(state)
        wanted = [self._placed] * len(leaves) if is_whole else jax.tree.leaves(self._placed)
        for (name, leaf), sharding in zip(leaves, wanted, strict=False):
            if not getattr(leaf, "committed", False) or leaf.sharding.is_equivalent_to(sharding, leaf.ndim):
                continue
            where = f"the state lies otherwise on devices than this step takes it, such as {name}"
            if not is_whole:
                return f"{where}: parallel.place(state, mesh, layout) puts it as the layout of the step says"
            return (
                f"{where}: parallel.place(state, mesh) makes it whole on each, and the step that takes a divided one is"
                " parallel.jit_step(step, mesh, layout=parallel.divided_layout(state, mesh))"
            )
        return ""


def _dividing(state: State, layout: PyTree) -> AbstractContextManager[None]:
    """Let phases know within how a state is divided."""
    if layout is None:
        return nullcontext()
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(layout), strict=True)
    axes = {(leaf.shape, axis) for leaf, sharding in pairs if (axis := _split_axis(sharding.spec)) is not None}
    return collective.dividing(tuple(sorted(axes)))


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


def scan_step(
    step: Step, mesh: Mesh | None = None, *, layout: PyTree = None, options: Mapping[str, Any] | None = None
) -> Step:
    """Compile K steps per dispatch: each leaf of the batch is [K, N, ...]; metrics are sums over the K steps.

    ``layout`` and ``options`` are those of ``jit_step``.
    """
    return jit_step(scanned(step), mesh, batch=STACKED, layout=layout, options=options)


def pmap_step(step: Step, mesh: Mesh | None = None, *, batch: PyTree = SPLIT) -> Step:
    """Compile the step by ``pmap``: each device works on its part of the batch; the step's reductions combine them."""
    mesh = auto_mesh(mesh)
    devices = list(mesh.devices.flat)
    axes = jax.tree.map(_split_axis, batch, is_leaf=_is_spec)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), (WHOLE, batch, WHOLE), is_leaf=_is_spec)
    mapped = jax.pmap(
        step, axis_name=AXIS, in_axes=(None, axes, None), out_axes=None, devices=devices, donate_argnums=0
    )

    placed = MeshStep(mapped, NamedSharding(mesh, WHOLE))

    def split(state: State, whole: Batch, key: Key) -> tuple[State, Metrics]:
        state, whole, key = _on_auto_axes((state, whole, key), shardings)

        def parts(spec: PartitionSpec, tree: PyTree) -> PyTree:
            axis = _split_axis(spec)
            if axis is None:
                return tree
            return jax.tree.map(lambda x: x.reshape(*x.shape[:axis], len(devices), -1, *x.shape[axis + 1 :]), tree)

        return placed(state, jax.tree.map(parts, batch, whole, is_leaf=_is_spec), key)

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
