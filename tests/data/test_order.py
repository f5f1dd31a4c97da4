import numpy as np
import pytest

from ganzoo.data import epoch_permutation, positions
from ganzoo.errors import UserError


@pytest.mark.parametrize("size", [1, 2, 10, 1797])
def test_every_epoch_visits_every_image_once(size):
    for epoch in range(3):
        order = epoch_permutation(0, epoch, size)
        assert order.dtype == np.int64
        assert np.array_equal(np.sort(order), np.arange(size))


def test_epochs_and_seeds_differ():
    orders = [tuple(epoch_permutation(seed, epoch, 50)) for seed in (0, 1, 2**40) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_the_order_never_changes_between_releases():
    assert epoch_permutation(0, 0, 10).tolist() == [6, 1, 0, 5, 3, 8, 7, 9, 2, 4]
    assert epoch_permutation(7, 3, 10).tolist() == [5, 4, 9, 2, 7, 1, 0, 8, 3, 6]


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("start", [0, 3, 64, 1000])
def test_positions_are_a_slice_of_the_concatenated_epochs(size, start):
    count = 150
    epochs = np.concatenate([epoch_permutation(5, e, size) for e in range((start + count) // size + 1)])
    assert np.array_equal(positions(5, size, start, count), epochs[start : start + count])


def test_steps_of_any_size_read_the_same_sequence():
    whole = positions(3, 11, 0, 60)
    assert np.array_equal(np.concatenate([positions(3, 11, s, 4) for s in range(0, 60, 4)]), whole)
    assert np.array_equal(np.concatenate([positions(3, 11, s, 15) for s in range(0, 60, 15)]), whole)


def test_no_positions_are_an_empty_array():
    assert positions(0, 5, 12, 0).shape == (0,)
    assert positions(0, 5, 12, 0).dtype == np.int64


def test_what_is_handed_out_cannot_spoil_what_is_remembered():
    with pytest.raises(ValueError, match="read-only"):
        epoch_permutation(0, 0, 10)[0] = 3
    positions(0, 10, 0, 10)[0] = 99
    assert epoch_permutation(0, 0, 10).max() == 9


@pytest.mark.parametrize("arguments", [(-1, 5, 0, 1), (0, 0, 0, 1), (0, 5, -1, 3), (0, 5, 0, -3)])
def test_impossible_positions_are_refused(arguments):
    with pytest.raises(UserError, match=r"needs|must be"):
        positions(*arguments)
