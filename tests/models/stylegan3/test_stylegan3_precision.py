"""StyleGAN3 in half precision: images near those of float32, and a long run whose numbers stay finite."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo.testing import quick_jit

CONFIGURATIONS: dict[str, dict[str, Any]] = {"t": {}, "r": {"kernel_size": 1, "radial_filters": True}}
STEPS, BATCH = 1_000, 4


def create(name: str, low: str, levels: int = 9) -> ganzoo.GAN:
    """The tiny preset of a configuration, of which all layers and sizes are in half precision."""
    return ganzoo.create(
        "stylegan3", "tiny", **CONFIGURATIONS[name], low_precision=low, low_precision_levels=levels, channel_max=4,
        minibatch_std_group=2, blur_images=1_000.0, r1_interval=16, conv_clamp=256.0,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("name", "low"), [("t", "float16"), ("r", "bfloat16")])
def test_a_long_run_stays_finite(name: str, low: str) -> None:
    """The images are of one pixel in four, so that the discriminator soon knows them and its logits are large."""
    gan, full = create(name, low), create(name, low, levels=0)
    state = quick_jit(gan.init)(jax.random.key(0))
    latents = gan.latents(jax.random.key(1), jnp.arange(BATCH))
    images = [quick_jit(each.generator.apply)(state.ema, latents) for each in (gan, full)]
    assert 0 < np.abs(images[0] - images[1]).max() < 0.05 * np.abs(images[1]).max()
    step = quick_jit(gan.step)
    data = np.where(np.random.default_rng(0).random((64, *gan.image_shape)) < 0.25, 255, 0).astype(np.uint8)
    diverged = jnp.float32(0)
    for i in range(STEPS):
        first = BATCH * i % len(data)
        state, metrics = step(state, {"image": data[first : first + BATCH]}, jax.random.key(2))
        diverged += metrics["generator/diverged"].total + metrics["discriminator/diverged"].total
    assert int(state.step) == STEPS
    assert float(diverged) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert all(np.isfinite(metric.value) for metric in metrics.values() if metric.count)
