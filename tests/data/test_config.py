import pytest

from ganzoo.data import DataConfig
from ganzoo.errors import UserError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": None}, ["data", "None"]),
        ({"split": ""}, ["split"]),
        ({"labels": "yes"}, ["labels", "'yes'", "'auto', 'none'"]),
        ({"crop": "centre"}, ["crop", "did you mean 'center'"]),
        ({"resize_filter": "lanczo"}, ["resize_filter", "did you mean 'lanczos'"]),
        ({"on_bad_file": "ignore"}, ["on_bad_file", "'fail', 'skip'"]),
        ({"memory_budget_mib": -1}, ["memory_budget_mib", "0 or more"]),
        ({"memory_budget_mib": 1.5}, ["memory_budget_mib", "1.5"]),
        ({"workers": -2}, ["workers", "-2"]),
        ({"workers": True}, ["workers", "True"]),
        ({"mirror": "no"}, ["mirror", "'no'"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(options, words):
    with pytest.raises(UserError) as caught:
        DataConfig(**options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)
