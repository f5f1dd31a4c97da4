import numpy as np
import pytest

from .pictures import opened

COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


def test_the_digits_are_all_there():
    digits = opened("digits", (8, 8, 1))
    assert len(digits) == 1797
    assert digits.class_names == tuple("0123456789")
    assert tuple(digits.in_memory["label"].sum(0).astype(int)) == COUNTS


def test_values_are_spread_over_the_whole_range():
    images = opened("digits", (8, 8, 1)).in_memory["image"]
    assert np.unique(images).tolist() == [round(v * 255 / 16) for v in range(17)]


def test_a_zero_is_a_ring_and_a_one_is_not():
    digits = opened("digits", (8, 8, 1)).in_memory
    zeros, ones = (digits["image"][digits["label"][:, k] == 1].mean(0)[..., 0] for k in (0, 1))
    assert zeros[3:5, 3:5].max() < 50 < 150 < ones[3:5, 3:5].max()


@pytest.mark.parametrize("shape", [(32, 32, 1), (64, 64, 3), (16, 24, 4), (10, 7, 2)])
def test_any_shape_can_be_asked(shape):
    batch = opened("digits", shape).read(np.arange(5))
    assert batch["image"].shape == (5, *shape)
    assert batch["label"].shape == (5, 10)


def test_labels_can_be_left_out():
    digits = opened("digits", (8, 8, 1), labels="none")
    assert digits.label_size == 0
    assert set(digits.in_memory) == set(digits.read(np.arange(3))) == {"image"}
