"""Configs: what they refuse, and that nothing is lost on the way through JSON."""

import json
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from ganzoo.config import (
    Count,
    Positive,
    Range,
    Share,
    check_fields,
    differences,
    from_json,
    replaced,
    require,
    to_json,
)
from ganzoo.errors import UserError


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)
    ramp: float | None = None
    taps: tuple[float, ...] = (1, 3.0)
    pair: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Outer:
    count: int = 3
    rate: float = 0.5
    on: bool = False
    name: str = "x"
    kind: Literal["sum", "mean", 1] = "sum"
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        check_fields(self)
        require(self.count > 0, "count", self.count, "be positive")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 3.0}, "count = 3.0: must be a whole number"),
        ({"count": True}, "count = True: must be a whole number"),
        ({"count": "3"}, "count = '3': must be a whole number"),
        ({"count": None}, "count = None: must be a whole number"),
        ({"rate": float("nan")}, "rate = nan: must be a number"),
        ({"rate": True}, "rate = True: must be a number"),
        ({"rate": "0.1"}, "rate = '0.1': must be a number"),
        ({"on": 1}, "on = 1: must be True or False"),
        ({"on": "yes"}, "on = 'yes': must be True or False"),
        ({"name": 3}, "name = 3: must be a string"),
        ({"kind": "summ"}, "kind = 'summ': must be one of 'sum', 'mean', 1"),
        ({"kind": True}, "kind = True: must be one of"),
        ({"kind": [1]}, "kind = [1]: must be one of"),
        ({"inner": {}}, "inner = {}: must be"),
        ({"count": 0}, "count = 0: must be positive"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(fields, message) -> None:
    with pytest.raises(UserError) as error:
        Outer(**fields)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"ramp": "x"}, "ramp = 'x': must be a number or None"), ({"ramp": float("nan")}, "ramp = nan"),
     ({"sizes": [1]}, "sizes = [1]: must be"), ({"sizes": ("1", 2)}, "sizes = ('1', 2): must be"),
     ({"sizes": (1, True)}, "sizes = (1, True): must be"), ({"sizes": ((1,),)}, "sizes = ((1,),): must be"),
     ({"sizes": (1,) * 1000}, "sizes = (1, 1"), ({"sizes": (2**63,)}, "sizes = 9223372036854775808: must be at most"),
     ({"taps": (float("inf"),)}, "taps = inf: must be below"), ({"taps": (10**400,)}, "taps = 1000"),
     ({"taps": ("1",)}, "taps = ('1',): must be"), ({"ramp": 10**5000}, "ramp = a value too long to print: must be"),
     ({"ramp": 1e300}, "ramp = 1e+300: must be below 3.4e+38"), ({"pair": (1, 2, 3)}, "pair = (1, 2, 3): must be")],
)  # fmt: skip
def test_optional_and_structured_fields_are_checked(fields, message) -> None:
    with pytest.raises(UserError) as error:
        Inner(**fields)
    assert str(error.value).startswith(message)
    assert "must be" in str(error.value)


def test_good_values_pass() -> None:
    Outer(count=1, rate=2, on=True, kind="mean")
    Outer(rate=float("inf"), kind=1)  # a range is for ``require`` to check
    Inner(ramp=None)
    Inner(ramp=1)


# JSON ---------------------------------------------------------------------------------------------------------------


def test_a_config_comes_back_from_json_as_it_was() -> None:
    config = Outer(count=7, rate=1e-300, inner=Inner((3, 4, 5), ramp=0.1))
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


def test_missing_fields_take_their_defaults() -> None:
    assert from_json(Outer, {"count": 9}) == Outer(count=9)


def test_json_is_checked_like_any_other() -> None:
    with pytest.raises(UserError, match="Outer has no field 'coutn'; did you mean 'count'"):
        from_json(Outer, {"coutn": 1})
    with pytest.raises(UserError, match="Inner has no field 'ram'"):
        from_json(Outer, {"inner": {"ram": 1}})
    with pytest.raises(UserError, match="ramp = 'x'"):
        from_json(Outer, {"inner": {"ramp": "x"}})


@dataclass(frozen=True)
class Open:
    count: int


def test_json_of_another_layout_is_named() -> None:
    with pytest.raises(UserError, match="Open lacks its field 'count'"):
        from_json(Open, {})
    with pytest.raises(UserError, match="Inner cannot be made from None"):
        from_json(Outer, {"inner": None})
    with pytest.raises(UserError, match="Inner"):
        from_json(Outer, {"inner": 3})
    with pytest.raises(UserError, match="Outer"):
        from_json(Outer, [])


# Changes ------------------------------------------------------------------------------------------------------------


def test_replaced_changes_and_checks() -> None:
    assert replaced(Outer(), {"count": 5, "rate": 1.0}) == Outer(count=5, rate=1.0)
    assert replaced(Outer(), {}) == Outer()
    with pytest.raises(UserError, match="Outer has no field 'rat'; did you mean 'rate'"):
        replaced(Outer(), {"rat": 1})
    with pytest.raises(UserError, match="count = 0: must be positive"):
        replaced(Outer(), {"count": 0})


def changes(old: dict, new: dict) -> list[tuple]:
    return [(each.field, each.old, each.new) for each in differences(old, new)]


def test_differences_are_values() -> None:
    new = Outer(count=4, inner=Inner((1, 2), ramp=0.1))
    assert changes(to_json(Outer()), to_json(new)) == [("count", 3, 4), ("inner.ramp", None, 0.1)]
    assert [str(each) for each in differences(to_json(new), to_json(Outer()))] == [
        "count: 4 -> 3", "inner.ramp: 0.1 -> None"
    ]  # fmt: skip


def test_tuples_and_the_lists_they_become_in_json_are_equal() -> None:
    assert not differences(json.loads(json.dumps(to_json(Outer()))), to_json(Outer()))
    assert changes({"inner": {"sizes": [1, 2]}}, {"inner": {"sizes": (1, 3)}}) == [("inner.sizes", [1, 2], (1, 3))]


def test_fields_of_one_side_only_are_shown() -> None:
    assert changes({"a": 1}, {"b": 2}) == [("a", 1, "absent"), ("b", "absent", 2)]


# Ranges -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranged:
    count: Count = 1
    rate: Positive | None = 0.1
    share: Share = 0.5
    layers: Annotated[int, Range(1, 8)] = 2
    target: Annotated[float, Range(-1, 1, above=True, below=True)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 0}, "count = 0: must be at least 1"),
        ({"rate": 0.0}, "rate = 0.0: must be positive and finite"),
        ({"rate": float("inf")}, "rate = inf: must be positive and finite"),
        ({"rate": "x"}, "rate = 'x': must be a number or None"),
        ({"share": 1.5}, "share = 1.5: must be in [0, 1]"),
        ({"layers": 9}, "layers = 9: must be 1 to 8"),
        ({"target": 1.0}, "target = 1.0: must be in (-1, 1)"),
    ],
)
def test_a_number_out_of_range_is_named_with_the_range(fields, message) -> None:
    with pytest.raises(UserError) as error:
        Ranged(**fields)
    assert str(error.value) == message


def test_limits_that_belong_to_a_range_pass() -> None:
    Ranged(count=1, rate=None, share=1, layers=8)
    Ranged(rate=1e-30, share=0.0, layers=1, target=0.999)
