"""JSON of unknown origin: read as it is, or refused in one line, in little time."""

import json
from pathlib import Path

import pytest

from ganzoo.disk.documents import MAX_DEPTH, MOST_BYTES, parse_json, read_json, require_fields
from ganzoo.errors import UserError


def test_what_python_writes_is_read() -> None:
    value = {"a": [1, -2.5, None, True, "\u00e4\ud800"], "b": {"a": float("inf")}, "": {}}
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=True).encode()) == value


REFUSED = {
    "{": "not JSON",
    "": "not JSON",
    "\x00": "not JSON",
    '{"a": 1, "b": 2, "a": 3}': "two values of the name 'a'",
    "[" * 10_000_000: "nested deeper than 32",
    "[" * 100 + "]" * 100: "nested deeper than 32",
    '{"a":' * 50 + "1" + "}" * 50: "nested deeper than 32",
    "9" * 4001: "a whole number of 4,001 digits",
    "9" * 5000: "a whole number of 5,000 digits",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_is_told_in_one_short_line(text: str) -> None:
    with pytest.raises(UserError, match=REFUSED[text]):
        parse_json(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UserError, match="not JSON"):
        parse_json(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="more than"):
        parse_json(b" " * (MOST_BYTES + 1))


def test_depth_is_counted() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json('"' + "[" * 1000 + '"')


def test_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content, words in {b"{": "not JSON", b'{"a": 1, "a": 1}': "two values"}.items():
        file.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.json cannot be read \({words}"):
            read_json(file)
    with pytest.raises(UserError, match="no regular file"):
        read_json(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        read_json(tmp_path / "none")


def test_fields_are_of_their_types() -> None:
    kinds = {"a": int, "b": (int, float)}
    assert require_fields({"a": 1, "b": 0.5, "c": None}, kinds, ("c",))
    for found in ({"a": "1"}, {"a": True}, {"a": None}, {"b": []}, [], None, "x", {}):
        with pytest.raises(UserError):
            require_fields(found, kinds, ("a",))
