import gc
import itertools
import threading
import time

import pytest

from ganzoo.data.prefetch import ahead


def started(items, work=str, depth=2, workers=3):
    return ahead(items, split=lambda item: [item, -item], work=work, depth=depth, workers=workers)


def threads():
    return sum(thread.name.startswith("ganzoo-prefetch") for thread in threading.enumerate())


def test_results_are_in_order_whatever_the_threads_do():
    def slowly(number):
        time.sleep(0.001 * (abs(number) * 7 % 5))
        return number

    assert list(started(range(40), slowly)) == [[i, -i] for i in range(40)]
    assert threads() == 0


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_no_more_is_taken_ahead_than_asked(depth):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield number

    iterator = started(endless(), depth=depth)
    for step in range(5):
        assert next(iterator) == [str(step), str(-step)]
        assert len(taken) == step + depth + 1
    iterator.close()


def test_an_error_comes_when_its_turn_does_and_ends_the_threads():
    def fail_at_three(number):
        if number == -3:
            raise KeyError("three")
        return number

    iterator = started(range(100), fail_at_three)
    assert [next(iterator) for _ in range(3)] == [[0, 0], [1, -1], [2, -2]]
    with pytest.raises(KeyError, match="three"):
        next(iterator)
    assert threads() == 0


def test_an_error_of_the_items_ends_the_threads():
    def items():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(started(items(), depth=0))
    assert threads() == 0


def test_closing_ends_the_threads():
    iterator = started(itertools.count())
    next(iterator)
    assert threads() > 0
    iterator.close()
    assert threads() == 0


def test_an_abandoned_iterator_ends_its_threads():
    iterator = started(itertools.count())
    next(iterator)
    del iterator
    gc.collect()
    assert threads() == 0
