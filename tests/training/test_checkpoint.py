"""An explicit save wins or raises; a checkpoint is what was saved."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ganzoo.errors import UserError
from ganzoo.training.checkpoint import Checkpoints

A, B = {"w": jnp.zeros(3)}, {"w": jnp.ones(3)}


def newest(folder: Path) -> float:
    with Checkpoints(folder, read_only=True) as checkpoints:
        return float(checkpoints.restore(A)["w"][0])


def test_saving_under_a_number_that_is_there_raises(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(100, A)
        with pytest.raises(UserError, match="a checkpoint of 100 images is there already"):
            checkpoints.save(100, B)
    assert newest(tmp_path / "c") == 0


def test_saving_under_a_lower_number_raises(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(100, A)
        with pytest.raises(UserError, match=r"would never be the newest: .* holds one of 100"):
            checkpoints.save(50, B)
        checkpoints.save(101, B)
    assert newest(tmp_path / "c") == 1


def test_best_checkpoints_come_in_any_order_of_images(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c", keep_best=2) as checkpoints:
        checkpoints.save(100, A, 2.0)
        checkpoints.save(200, B, 1.0)
        assert checkpoints.best == 200
    assert jax.tree.leaves(A)[0].shape == (3,)
