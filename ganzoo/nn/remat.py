"""Rematerialisation: activations of a block are computed again in the backward pass rather than kept until then."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn


def apply_block(block: nn.Module, *inputs: Any, remat: bool, method: Callable[..., Any] | None = None) -> Any:
    """Return ``block(*inputs)``; with ``remat``, only the inputs are kept for the gradient, of any order.

    Parameters and their names do not depend on ``remat``, and numbers by rounding only: the backward pass repeats the
    operations of the forward pass. Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.

    Args:
      block: a module with a parent.
      inputs: trees of arrays, and of what is no array, such as None or a word.
      remat: whether to rematerialise; initialisation never does.
      method: ``method(block, *inputs)``, in the place of ``block(*inputs)``.
    """
    method = method or type(block).__call__
    if not remat or block.is_initializing():
        return method(block, *inputs)
    leaves, structure = jax.tree.flatten(inputs)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]

    def apply(block: nn.Module, arrays: list[jax.Array]) -> Any:
        known = dict(zip(places, arrays, strict=True))
        return method(block, *jax.tree.unflatten(structure, [known.get(i, leaf) for i, leaf in enumerate(leaves)]))

    return nn.remat(apply)(block, [leaves[place] for place in places])
