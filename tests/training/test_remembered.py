"""What is made again of the same settings is the same function, so that nothing is compiled twice in a process."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import ganzoo
from ganzoo.gan import remembered
from ganzoo.training import parallel


def test_one_gan_and_one_compiled_step_for_equal_settings() -> None:
    first, again = (ganzoo.create("dcgan", "tiny") for _ in range(2))
    other = ganzoo.create("dcgan", "tiny", learning_rate=1e-3)
    assert first is again
    assert first is not other
    mesh = parallel.data_mesh(1)
    assert parallel.jit_step(first.step, mesh) is parallel.jit_step(again.step, mesh)
    assert parallel.jit_step(first.step, mesh) is not parallel.jit_step(first.step, mesh, batch=parallel.STACKED)
    assert parallel.jit_step(first.step, mesh) is not parallel.jit_step(other.step, mesh)


def test_arguments_that_cannot_be_keys_are_not_remembered() -> None:
    @dataclass
    class Config:  # neither frozen nor hashable
        size: Any

    calls = []
    function = remembered(lambda config: calls.append(config) or len(calls))
    assert [function(Config(1)), function(Config(1)), function(1), function(1), function(1.0)] == [1, 2, 3, 3, 4]


def test_equal_runs_in_one_process_are_equal() -> None:
    gan = ganzoo.create("dcgan", "tiny")
    images = np.zeros((8, *gan.image_shape), np.uint8)
    states = [
        parallel.jit_step(gan.step, parallel.data_mesh(1))(
            gan.init(jax.random.key(0)), {"image": images}, jax.random.key(1)
        )
        for _ in range(2)
    ]
    jax.tree.map(np.testing.assert_array_equal, *jax.tree.map(np.asarray, jax.device_get([s[0].ema for s in states])))
