"""Which formulation of a grouped convolution is fast here? Forward and kernel gradient; the input's is a forward one.

    python experiments/grouped_convolutions.py [--images 8] [--size 32] [--channels 1536] [--groups 96] [--rounds 3]

Seconds of the clock, because formulations differ in how well they share out among threads: medians of interleaved
rounds, without compilation, with freed memory kept. ``ours`` is what ``ganzoo.ops.grouped`` takes here. Price: three
minutes on two CPU cores.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from ganzoo.cli.process import keep_freed_memory
from ganzoo.ops import grouped
from ganzoo.ops.grouped import Window, grouped_conv

K, PADDING = 3, (1, 1)
Formulation = Callable[..., jax.Array]


def window_of(groups: int) -> Window:
    """The geometry of a 3x3 convolution of the same size."""
    return Window(groups, (K, K), (PADDING, PADDING))


def by_group(x: jax.Array, groups: int) -> jax.Array:
    """[N, H, W, C] as [G, N, H, W, C / G]."""
    return x.reshape(*x.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)


def ungrouped(y: jax.Array) -> jax.Array:
    """[G, N, H, W, O / G] as [N, H, W, O]."""
    y = y.transpose(1, 2, 3, 0, 4)
    return y.reshape(*y.shape[:3], -1)


def shifts(x: jax.Array, groups: int) -> list[jax.Array]:
    """The images of the nine taps, [G, N, H, W, C / G] each."""
    (height, width), (lo, hi) = x.shape[1:3], PADDING
    padded = by_group(jnp.pad(x, ((0, 0), (lo, hi), (lo, hi), (0, 0))), groups)
    return [padded[:, :, i : i + height, j : j + width] for i in range(K) for j in range(K)]


# Forward ------------------------------------------------------------------------------------------------------------


def per_tap(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    """One product for each tap, batched over the groups."""
    taps = kernel.reshape(K * K, kernel.shape[2], groups, -1)
    terms = [jnp.einsum("gnhwi,igo->gnhwo", image, tap) for image, tap in zip(shifts(x, groups), taps, strict=True)]
    return ungrouped(sum(terms[1:], terms[0]))


def per_row(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    """One product for each row of the kernel, batched over the groups."""
    images, rows = shifts(x, groups), kernel.reshape(K, -1, groups, kernel.shape[3] // groups)
    patches = [jnp.concatenate(images[K * i : K * i + K], axis=-1) for i in range(K)]
    terms = [jnp.einsum("gnhwi,igo->gnhwo", patch, row) for patch, row in zip(patches, rows, strict=True)]
    return ungrouped(sum(terms[1:], terms[0]))


def im2col(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    """The patches of all taps in one product, batched over the groups."""
    patches = jnp.concatenate(shifts(x, groups), axis=-1)
    return ungrouped(jnp.einsum("gnhwi,igo->gnhwo", patches, kernel.reshape(-1, groups, kernel.shape[3] // groups)))


def block_diagonal(x: jax.Array, kernel: jax.Array, groups: int, *, together: int) -> jax.Array:
    """``together`` groups as one group whose kernel has blocks on its diagonal, and zeros."""
    split = kernel.reshape(K, K, kernel.shape[2], groups // together, together, -1)
    blocks = jnp.einsum("hwigbo,bc->hwcigbo", split, jnp.eye(together, dtype=kernel.dtype))
    merged = blocks.reshape(K, K, together * kernel.shape[2], -1)
    return grouped._library_conv(window_of(groups // together), x, merged)


FORWARD: Mapping[str, Formulation] = {
    "ours": lambda x, kernel, groups: grouped_conv(x, kernel, padding=PADDING),
    "library (feature_group_count)": lambda x, kernel, groups: grouped._library_conv(window_of(groups), x, kernel),
    "a product per tap": per_tap,
    "im2col": im2col,
    "a product per row": per_row,
    "2 groups as one dense": partial(block_diagonal, together=2),
    "4 groups as one dense": partial(block_diagonal, together=4),
}

# Kernel gradients ---------------------------------------------------------------------------------------------------


def gradient_of(forward: Formulation) -> Formulation:
    """The kernel's gradient that JAX derives from a formulation."""

    def gradient(x: jax.Array, y: jax.Array, groups: int) -> jax.Array:
        kernel = jnp.zeros((K, K, x.shape[3] // groups, y.shape[3]), x.dtype)
        return jax.vjp(lambda kernel: forward(x, kernel, groups), kernel)[1](y)[0]

    return gradient


KERNEL_GRADIENT: Mapping[str, Formulation] = {
    "ours": gradient_of(FORWARD["ours"]),
    "library (feature_group_count)": gradient_of(FORWARD["library (feature_group_count)"]),
    "a product per tap": lambda x, y, groups: grouped._taps_kernel_gradient(window_of(groups), x, y),
    "im2col": gradient_of(im2col),
    "a product per row": gradient_of(per_row),
    "2 groups as one dense": gradient_of(FORWARD["2 groups as one dense"]),
    "4 groups as one dense": gradient_of(FORWARD["4 groups as one dense"]),
}

# Measuring ----------------------------------------------------------------------------------------------------------


def seconds(formulations: Mapping[str, Formulation], a: ArrayLike, b: ArrayLike, groups: int, rounds: int) -> dict:
    """The median seconds of every formulation; all must agree."""
    programs = {name: jax.jit(partial(f, groups=groups)) for name, f in formulations.items()}
    results = {name: np.asarray(program(a, b)) for name, program in programs.items()}
    expected = results["library (feature_group_count)"]
    for name, result in results.items():
        np.testing.assert_allclose(result, expected, atol=1e-4 * np.abs(expected).max(), err_msg=name)
    turns: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            start = time.perf_counter()
            program(a, b).block_until_ready()
            turns[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in turns.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keep_freed_memory()
    defaults = {"images": 8, "size": 32, "channels": 1536, "groups": 96, "rounds": 3}
    for name, number in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    shape, own = (given.images, given.size, given.size, given.channels), given.channels // given.groups
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(2))
    kernel = jnp.asarray(rng.normal(size=(K, K, own, given.channels)), jnp.float32)
    forward = seconds(FORWARD, x, kernel, given.groups, given.rounds)
    gradient = seconds(KERNEL_GRADIENT, x, y, given.groups, given.rounds)
    flops = 2 * x.size * own * K * K
    table = Table(title=f"{shape} in {given.groups} groups: {flops / 1e9:.2f} GFLOP, {jax.default_backend()}")
    for column in ("formulation", "forward, ms", "GFLOP/s", "kernel gradient, ms", "GFLOP/s"):
        table.add_column(column, justify="left" if column == "formulation" else "right")
    for name in FORWARD:
        cells = [f"{n:.1f}" for s in (forward[name], gradient[name]) for n in (1000 * s, flops / s / 1e9)]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
