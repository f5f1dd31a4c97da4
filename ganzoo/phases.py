"""Combinators of steps: each takes and returns ``(state, batch, key) -> (state, metrics)``.

A train step is a composition such as::

    step = counted(chain(
        minimize("generator", generator_loss, adam),
        minimize("discriminator", discriminator_loss, adam),
        every(16, minimize("discriminator", r1, adam)),
        average_generator(half_life=10_000),
    ))

and any function of that type can stand in the place of any of them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from ganzoo import ema
from ganzoo.augment.controller import Control, controlled
from ganzoo.errors import UserError
from ganzoo.gan import Average
from ganzoo.ops import collective
from ganzoo.typing import Batch, Key, Metrics, Params, PyTree, Scalar, State, Step

Loss = Callable[[Params, State, Batch, Key], tuple[Scalar, tuple[State, Metrics]]]
"""``(params, state, batch, key) -> (loss, (state, metrics))``: the mean loss over this device's examples, the state
with renewed statistics (the same on all devices) and per-example metrics (this device's own)."""


def chain(*phases: Step) -> Step:
    """One phase after the other, each with draws of its own: the position is folded into the key."""

    def placed(position: int, phase: Step) -> Step:
        return lambda state, batch, key: phase(state, batch, jax.random.fold_in(key, position))

    return same_draws(*(placed(position, phase) for position, phase in enumerate(phases)))


def same_draws(*phases: Step) -> Step:
    """One phase after the other, all with the same key, so that equal draws give equal latents.

    This is how two players are updated on the same fakes; the compiler then generates them once.
    """

    def chained(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        metrics: dict[str, Average] = {}
        for phase in phases:
            state, new = phase(state, batch, key)
            metrics = _merge(metrics, new)
        return state, metrics

    return chained


def every(n: int, phase: Step, *, offset: int = 0) -> Step:
    """The phase at steps ``offset``, ``offset + n``, ``offset + 2 n``...; in the others its metrics count nothing."""

    def lazily(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        _, shapes = jax.eval_shape(phase, state, batch, key)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(state.step % n == offset, lambda: phase(state, batch, key), lambda: (state, nothing))

    return lazily


def drawn(draw: Callable[[Batch, Key], Batch], phase: Step) -> Step:
    """The phase on ``draw(batch, key)``: a batch that holds its random numbers, so that micro-batches divide them."""
    return lambda state, batch, key: phase(state, draw(batch, key), key)


def scaled(loss: Loss, factor: float) -> Loss:
    """The loss times a number; its metrics stay as they are."""

    def product(params: Params, state: State, batch: Batch, key: Key) -> tuple[Scalar, tuple[State, Metrics]]:
        value, rest = loss(params, state, batch, key)
        return value * factor, rest

    return product


def summed(*losses: Loss) -> Loss:
    """The sum of losses, each on the state that the one before left."""

    def total(params: Params, state: State, batch: Batch, key: Key) -> tuple[Scalar, tuple[State, Metrics]]:
        values, metrics = [], {}
        for loss in losses:
            value, (state, new) = loss(params, state, batch, key)
            values.append(value)
            metrics = _merge(metrics, new)
        return sum(values[1:], values[0]), (state, metrics)

    return total


def minimize(
    player: str,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    rounds: Callable[[Batch], int] = lambda batch: 1,
) -> Step:
    """One optimizer step of ``state.<player>`` on ``loss``; the other player is left as it is.

    Gradients and metrics are combined over devices here, so a loss need not know of any. Adds two metrics:
    ``<player>/gradient_norm``, and ``<player>/diverged``, which is 1 in the phase that turned finite parameters of
    both players into a gradient or parameters that are not.

    Args:
      player: "generator" or "discriminator".
      loss: see ``Loss``.
      optimizer: its state is that of the player; several phases of a player may share it.
      rounds: ``rounds(batch)`` micro-batches are taken one after the other, and their gradients averaged; micro-batch
        r of R holds the examples r, r + R, r + 2 R ... of every leaf of the batch, so that devices need not exchange
        any. What the loss computes over a batch, and its renewed state, is that of one micro-batch after the other.
    """

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        before = state
        params = collective.differ(getattr(state, player).params)
        gradients, (state, metrics) = _gradients(loss, params, state, batch, key, rounds(batch))
        gradients = collective.mean(gradients)
        metrics = collective.total(metrics)

        network = getattr(state, player)
        updates, opt_state = optimizer.update(gradients, network.opt_state, network.params)
        network = replace(network, params=optax.apply_updates(network.params, updates), opt_state=opt_state)

        norm = optax.tree.norm(gradients)
        was_healthy = _is_finite(before.generator.params) & _is_finite(before.discriminator.params)
        diverged = was_healthy & ~(jnp.isfinite(norm) & _is_finite(network.params))
        metrics = {
            **metrics,
            f"{player}/gradient_norm": Average.of(norm),
            f"{player}/diverged": Average.of(diverged.astype(jnp.float32)),
        }
        return replace(state, **{player: network}), metrics

    return phase


def _gradients(
    loss: Loss, params: Params, state: State, batch: Batch, key: Key, rounds: int
) -> tuple[Params, tuple[State, Metrics]]:
    """The gradients averaged over micro-batches, the state after the last one, and the sums of their metrics."""
    gradient = jax.grad(loss, has_aux=True)
    if rounds == 1:
        return gradient(params, state, batch, key)

    def one(carry: tuple[State, Params], part: tuple[PyTree, Key]) -> tuple[tuple[State, Params], Metrics]:
        state, total = carry
        gradients, (state, metrics) = gradient(params, state, *part)
        return (state, jax.tree.map(jnp.add, total, gradients)), metrics

    parts = jax.tree.map(lambda leaf: leaf.reshape(-1, rounds, *leaf.shape[1:]).swapaxes(0, 1), batch)
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(rounds))
    nothing = jax.tree.map(jnp.zeros_like, params)  # marked like them as differing between devices
    (state, total), metrics = jax.lax.scan(one, (state, nothing), (parts, keys))
    mean = jax.tree.map(lambda leaf: leaf / rounds, total)
    return mean, (state, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), metrics))


def average_generator(
    *, half_life: float, ramp: float | None = None, variables: Literal["averaged", "newest"] = "averaged"
) -> Step:
    """Move ``state.average`` towards the generator; see ``ganzoo.ema.decay`` for the two numbers (in images).

    ``variables``, which are not learned, are averaged too, or are those of the newest generator.
    """

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        del key
        newest, decay = state.generator.weights, ema.decay(half_life, _batch_size(batch), state.images, ramp=ramp)
        average = ema.update(state.average, newest, decay)
        if variables == "newest":
            average = {**average, "variables": newest["variables"]}
        return replace(state, average=average), {}

    return phase


def control_augmentation(control: Control | None, *, interval: int) -> Step:
    """At the end of every ``interval`` steps, let ``control`` move p of ``state.augment``; without one, do nothing.

    Adds two metrics: ``augment/p``, with which the step augmented, and ``augment/r_t``, of each interval.
    """
    if control is None:
        return lambda state, batch, key: (state, {})

    def phase(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        del key
        size, now = _batch_size(batch), state.augment
        is_due = (state.step + 1) % interval == 0
        due = controlled(now, control, state.images + jnp.asarray(size, state.images.dtype), interval * size)
        share = is_due.astype(jnp.float32)
        metrics = {"augment/p": Average.of(now.p), "augment/r_t": Average(share * due.overfitting, share)}
        return replace(state, augment=jax.tree.map(partial(jnp.where, is_due), due, now)), metrics

    return phase


def counted(phase: Step) -> Step:
    """A whole train step: the step number is folded into the run's key, and steps and images are counted."""

    def step(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        done, images = state.step, state.images
        state, metrics = phase(state, batch, jax.random.fold_in(key, done))
        images = images + jnp.asarray(_batch_size(batch), images.dtype)
        return replace(state, step=done + 1, images=images), metrics

    return step


def fitted(step: Step, *, image_shape: tuple[int, int, int], label_size: int) -> Step:
    """The step behind a check of the batch, made while tracing; the batch loses labels that the model does not use.

    Raises:
      UserError: images are not [N, *image_shape] or labels not [N, label_size].
    """

    def checked(state: State, batch: Batch, key: Key) -> tuple[State, Metrics]:
        found = tuple(batch["image"].shape)
        if found[1:] != image_shape:
            raise UserError(f"images of shape {found[1:]}: this model takes {image_shape} (H, W, C)")
        if not label_size:
            return step(state, {"image": batch["image"]}, key)
        wanted = (found[0], label_size)
        if "label" not in batch or tuple(batch["label"].shape) != wanted:
            given = f"labels of shape {tuple(batch['label'].shape)}" if "label" in batch else "no labels"
            raise UserError(f"a batch with {given}: this model is conditional and takes {wanted} (N, label_size)")
        return step(state, batch, key)

    return checked


def scanned(step: Step) -> Step:
    """The step over a stack of batches: every leaf of its batch has a leading axis [K], and metrics are summed.

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


def _batch_size(batch: Batch) -> int:
    return collective.global_size(batch["image"].shape[0])


def _merge(metrics: Metrics, new: Metrics) -> dict[str, Average]:
    merged = dict(metrics)
    for name, value in new.items():
        merged[name] = merged[name] + value if name in merged else value
    return merged
