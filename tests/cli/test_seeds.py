"""Lists of whole numbers are read as people write them."""

import pytest

from ganzoo.cli.seeds import numbers
from ganzoo.errors import UserError


def test_lists_of_seeds() -> None:
    assert numbers("0-3,100") == [0, 1, 2, 3, 100]
    assert numbers(" 7 , 5-5") == [7, 5]
    assert numbers("4294967295") == [2**32 - 1]


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "1,,2", "4294967296", "0-2000000", "²"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(UserError, match="seeds = "):
        numbers(text)
