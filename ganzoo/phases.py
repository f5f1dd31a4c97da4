"""Combinators of steps: each takes and returns ``(state, batch, key) -> (state, metrics)``.

A train step is a composition such as::

    step = train_step(
        minimize("generator", objectives.generator(networks, losses.non_saturating), adam),
        minimize("discriminator", objectives.discriminator(networks, losses.non_saturating), adam),
        every(16, minimize("discriminator", objectives.r1(networks, gamma=10), adam)),
        update_ema(half_life=10_000),
    )

and any function of that type can stand in the place of any of them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool

from ganzoo.augment import controller
from ganzoo.augment.controller import Control
from ganzoo.draws import round_count
from ganzoo.errors import UserError
from ganzoo.gan import Average, Network
from ganzoo.objectives import Objective, Outcome
from ganzoo.ops import collective, ema
from ganzoo.schedules import Scheduled, value_at
from ganzoo.typing import AnyArray, Batch, Key, Metrics, Params, PyTree, State, Step

NETWORKS = ("generator", "discriminator")
"""Names of networks in a state, and of reals of their own in a batch."""
Loss: TypeAlias = Callable[[Params, State, Batch, Key], Outcome]
"""``(params, state, batch, key) -> (loss, (state, metrics))``, see ``objectives.Outcome``; an ``Objective`` is one."""


def chain(*phases: Step, share_key: bool = False) -> Step:
    """Return the step that takes one phase after the other.

    Each phase has draws of its own: its position is folded into the key. With ``share_key`` all get the same key, so
    that equal draws give equal latents: this is how two networks are updated on the same fakes, which the compiler
    then generates once.
    """

    def chained(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        metrics: dict[str, Average] = {}
        for position, phase in enumerate(phases):
            state, new = phase(state, batch, key if share_key else jax.random.fold_in(key, position))
            metrics = _merge(metrics, new)
        return state, metrics

    return chained


def every(n: int, phase: Step, *, offset: int = 0) -> Step:
    """Return the phase taken at steps ``offset + k n`` only; in other steps its metrics count nothing."""
    if (n, offset) == (1, 0):
        return phase

    def lazily(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        _, shapes = jax.eval_shape(phase, state, batch, key)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(state.step % n == offset, lambda: phase(state, batch, key), lambda: (state, nothing))

    return lazily


def minimize(network: str, loss: Loss, optimizer: optax.GradientTransformation, *, micro_batch: int = 0) -> Step:
    """Return the phase that takes one optimizer step of ``state.<network>`` on a loss; the other network stays.

    Gradients and metrics are combined over devices here, so a loss need not know of any device. Adds two metrics:
    ``<network>/gradient_norm``, and ``<network>/diverged``, which is 1 in the first phase in which this network's
    gradients or parameters become non-finite.

    Args:
      network: "generator" or "discriminator".
      loss: an ``Objective``, or any ``Loss``.
      optimizer: its state is in ``state.<network>``; several phases of a network may share it.
      micro_batch: images, over all devices, whose gradients are computed at once and then averaged; 0 is the whole
        batch. Of R micro-batches, number r holds the examples r, r + R, r + 2 R ... of every leaf of the batch, so that
        devices need not exchange any. What a loss computes over a batch is then computed over a micro-batch.
    """

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        before, batch = state, _batch_of(network, batch)
        rounds = round_count(batch, micro_batch)
        batch = loss.with_draws(batch, key) if isinstance(loss, Objective) else batch
        state = _with_whole_networks(state)
        params = collective.differ(getattr(state, network).params)
        gradients, (state, metrics) = _gradients(loss, params, state, batch, key, rounds)
        gradients = collective.divided(collective.gathered(collective.mean(gradients)))
        metrics = collective.total(metrics)

        state = _with_params_of(state, before)
        old = getattr(state, network)
        update = optax.with_extra_args_support(optimizer).update  # so that schedules know the images seen
        updates, opt_state = update(gradients, old.opt_state, old.params, images=before.images)
        new = replace(old, params=optax.apply_updates(old.params, updates), opt_state=opt_state)
        new = collective.divided(new)

        norm = optax.tree.norm(gradients)
        was_healthy = _is_finite(before.generator.params) & _is_finite(before.discriminator.params)
        diverged = was_healthy & ~(jnp.isfinite(norm) & _is_finite(new.params))
        metrics = {
            **metrics,
            f"{network}/gradient_norm": Average.of(norm),
            f"{network}/diverged": Average.of(diverged.astype(jnp.float32)),
        }
        return replace(state, **{network: new}), metrics

    return phase


def _with_whole_networks(state: State) -> State:
    """Return a state that is divided over devices with all that networks are applied to whole; any other as it is."""
    if not collective.is_dividing():
        return state

    def whole(network: Network) -> Network:
        params, collections = collective.gathered((network.params, network.collections))
        return replace(network, params=params, collections=collections)

    return replace(state, **{name: whole(getattr(state, name)) for name in NETWORKS})


def _with_params_of(state: State, before: State) -> State:
    """Return a state that is divided over devices with the parameters, still divided, that it had ``before``."""
    if not collective.is_dividing():
        return state
    return replace(
        state, **{name: replace(getattr(state, name), params=getattr(before, name).params) for name in NETWORKS}
    )


def _batch_of(network: str, batch: Batch) -> Batch:
    """Return the batch of a network's phase: with the reals that only this network gets, where there are some."""
    shared = {name: value for name, value in batch.items() if name not in NETWORKS}
    return {**shared, **batch.get(network, {})}


def _gradients(
    loss: Loss, params: Params, state: State, batch: Batch, key: Key, rounds: int
) -> tuple[Params, tuple[State, Metrics]]:
    """Return gradients averaged over micro-batches, the state after the last one, and the sums of their metrics."""
    drawn_loss = loss.loss if isinstance(loss, Objective) else loss
    arguments = (lambda batch, key: (batch,)) if isinstance(loss, Objective) else (lambda batch, key: (batch, key))
    gradient = jax.grad(drawn_loss, has_aux=True)
    if rounds == 1:
        return gradient(params, state, *arguments(batch, key))

    def one(carry: tuple[State, Params], part: tuple[PyTree, Key]) -> tuple[tuple[State, Params], Metrics]:
        state, total = carry
        gradients, (state, metrics) = gradient(params, state, *arguments(*part))
        return (state, jax.tree.map(jnp.add, total, gradients)), metrics

    parts = jax.tree.map(lambda leaf: leaf.reshape(-1, rounds, *leaf.shape[1:]).swapaxes(0, 1), batch)
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(rounds))
    nothing = jax.tree.map(jnp.zeros_like, params)  # marked like them as differing between devices
    (state, total), metrics = jax.lax.scan(one, (state, nothing), (parts, keys))
    mean = jax.tree.map(lambda leaf: leaf / rounds, total)
    return mean, (state, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), metrics))


def update_ema(*, half_life: Scheduled, ramp: float | None = None, collections: Literal["ema", "copy"] = "ema") -> Step:
    """Return the phase that moves ``state.ema`` towards the generator.

    Args:
      half_life: in images, see ``ganzoo.ops.ema.decay``; a number or a schedule.
      ramp: likewise.
      collections: whether what is not learned is averaged, too, or copied from the generator.
    """

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        del key
        length = value_at(half_life, state.images)
        decay = ema.decay(length, _batch_size(batch), state.images, ramp=ramp)
        average = ema.update(state.ema, state.generator.variables, decay)
        if collections == "copy":
            average = {**state.generator.variables, "params": average["params"]}
        return replace(state, ema=collective.divided(average)), {}

    return phase


def adapt_augmentation(control: Control | None, *, interval: int) -> Step:
    """Return the phase that, at the end of every ``interval`` steps, updates p of ``state.augment`` by ``control``.

    Without a control it does nothing. Adds two metrics: ``augment/p``, the probability of this step, and
    ``augment/r_t`` of each interval.
    """
    if control is None:
        return lambda state, batch, key: (state, {})

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        del key
        size, now = _batch_size(batch), state.augment
        is_due = (state.step + 1) % interval == 0
        due = controller.adapt(now, control, state.images + jnp.asarray(size, state.images.dtype), interval * size)
        share = is_due.astype(jnp.float32)
        metrics = {"augment/p": Average.of(now.p), "augment/r_t": Average(share * due.r_t, share)}
        return replace(state, augment=jax.tree.map(partial(jnp.where, is_due), due, now)), metrics

    return phase


def train_step(*phases: Step) -> Step:
    """Return a whole train step: the phases in turn, with the step number folded into the run's key, then counted."""
    chained = chain(*phases)

    def step(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        done, images = state.step, state.images
        state, metrics = chained(state, batch, jax.random.fold_in(key, done))
        images = images + jnp.asarray(_batch_size(batch), images.dtype)
        return replace(state, step=done + 1, images=images), metrics

    return step


def checked(
    step: Step,
    *,
    image_shape: tuple[int, int, int],
    label_size: int,
    check_size: Callable[[int], None] = lambda size: None,
) -> Step:
    """Return the step behind a check of the batch, made while tracing; labels that the model does not use are dropped.

    Args:
      step: of the model.
      image_shape: (H, W, C).
      label_size: k; 0 for an unconditional model.
      check_size: raises ``UserError`` where the global batch size does not suit the model.

    Raises:
      UserError: images are not uint8 or float [N, *image_shape], or labels not [N, label_size].
    """

    def checking(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        for name, part in ((None, batch), *((name, batch[name]) for name in NETWORKS if name in batch)):
            _check_batch(part, name, state, image_shape, label_size)
        for name in NETWORKS:
            if name in batch and batch[name]["image"].shape != batch["image"].shape:
                raise UserError(f"batch[{name!r}] has {len(batch[name]['image'])} images: must be as many as the batch")
        check_size(_batch_size(batch))
        return step(state, batch if label_size else _without_labels(batch), key)

    return checking


def _check_batch(
    batch: Batch, name: str | None, state: State, image_shape: tuple[int, int, int], label_size: int
) -> None:
    """Raise ``UserError`` where images or labels of a batch, or of the part ``name`` of one, do not suit a model."""
    of = f" {name!r}" if name else ""
    if not isinstance(batch.get("image"), jax.Array | np.ndarray):
        raise UserError(f'a batch{of} without an array "image": give {{"image": [N, H, W, C], "label": [N, k]}}')
    _require_auto_axes(batch["image"], state.images)
    found = tuple(batch["image"].shape)
    if found[1:] != image_shape:
        raise UserError(f"images of shape {found[1:]}: this model takes {image_shape} (H, W, C)")
    if batch["image"].dtype != jnp.uint8 and not jnp.issubdtype(batch["image"].dtype, jnp.floating):
        raise UserError(f"images of type {batch['image'].dtype}: must be uint8 in 0..255, or float in [-1, 1]")
    wanted = (found[0], label_size)
    if label_size and ("label" not in batch or tuple(batch["label"].shape) != wanted):
        given = f"labels of shape {tuple(batch['label'].shape)}" if "label" in batch else "no labels"
        raise UserError(f"a batch{of} with {given}: this model is conditional and takes {wanted} (N, label_size)")


def _without_labels(batch: Batch) -> Batch:
    rest = {name: value for name, value in batch.items() if name != "label"}
    return {name: _without_labels(value) if name in NETWORKS else value for name, value in rest.items()}


def scanned(step: Step) -> Step:
    """Return the step over a stack of K batches: every leaf has a leading axis [K], and metrics are summed.

    Compiled, this is K steps in one dispatch. One step alone is compiled without a loop: on a CPU, XLA runs what is
    inside a loop on fewer threads, which costs networks of many small layers up to two thirds of their speed.
    """

    def steps(state: State, batches: PyTree, key: Key) -> tuple[State, Metrics]:
        if {leaf.shape[0] for leaf in jax.tree.leaves(batches)} == {1}:
            return step(state, jax.tree.map(lambda leaf: leaf[0], batches), key)
        state, metrics = jax.lax.scan(lambda state, batch: step(state, batch, key), state, batches)
        return state, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), metrics)

    return steps


def _is_finite(params: Params) -> Bool[Array, ""]:
    return jnp.isfinite(optax.tree.norm(params))


def _require_auto_axes(*arrays: AnyArray) -> None:
    """Raise ``UserError`` where an array lies on a mesh whose axes are of type Explicit."""
    for array in arrays:
        if explicit := collective.explicit_axes(array):
            raise UserError(
                f"arrays on a mesh with the Explicit axes {', '.join(explicit)}: make it by jax.make_mesh(...,"
                " axis_types=(jax.sharding.AxisType.Auto,)), or compile by ganzoo.training.parallel.jit_step"
            )


def _batch_size(batch: Batch) -> int:
    return collective.global_size(batch["image"].shape[0])


def _merge(metrics: Metrics, new: Metrics) -> dict[str, Average]:
    merged = dict(metrics)
    for name, value in new.items():
        merged[name] = merged[name] + value if name in merged else value
    return merged
