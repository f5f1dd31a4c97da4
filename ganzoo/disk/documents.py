"""JSON of unknown origin: of limited size and depth, without two values of one name."""

import collections
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ganzoo.disk import read_regular
from ganzoo.errors import UserError, printable

MOST_BYTES = 16 * 2**20
MAX_DEPTH = 32
MAX_DIGITS = 4_000
"""Largest number of digits of a whole number; Python converts no more than 4,300."""


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
      path: of a regular file; links are followed.

    Raises:
      UserError: the file cannot be read, or ``parse_json`` refuses its text; the message names the file.
    """
    try:
        return parse_json(read_regular(path, MOST_BYTES))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{path} cannot be read ({error})") from error


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; NaN and Infinity, which Python writes, are numbers.

    Raises:
      UserError: it is no JSON, is longer than ``MOST_BYTES`` or nested deeper than ``MAX_DEPTH``, an object has two
        values of one name, or a whole number has more than ``MAX_DIGITS`` digits.
    """
    if len(text) > MOST_BYTES:
        raise UserError(f"JSON of {len(text):,} bytes, more than {MOST_BYTES:,}")
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        raise UserError(f"JSON nested deeper than {MAX_DEPTH}") from None
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"not JSON: {printable(error, 100)}") from error
    _require_shallow(value)
    return value


def require_fields(
    found: Any, kinds: Mapping[str, type | tuple[type, ...]] | None = None, needed: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a JSON object; ``UserError`` unless it is one, with fields of these types.

    Args:
      found: the value of a JSON text.
      kinds: types by name; other names are of any type.
      needed: names that must be there.
    """
    if type(found) is not dict:
        raise UserError(f"{printable(json.dumps(found), 40)}, where a JSON object should be")
    for name in needed:
        if name not in found:
            raise UserError(f'no "{name}" in it')
    for name, kind in (kinds or {}).items():
        if name in found and (not isinstance(found[name], kind) or isinstance(found[name], bool)):
            raise UserError(f'"{name}" is {printable(json.dumps(found[name]), 40)}, of the wrong type')
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = collections.Counter(name for name, _ in pairs).most_common(1)
        raise UserError(f"two values of the name {printable(repr(twice), 60)}")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise UserError(f"a whole number of {len(digits):,} digits, more than {MAX_DIGITS}")
    return int(digits)


def _require_shallow(value: Any) -> None:
    """Raise ``UserError`` for a value that is nested too deeply; walk it level by level."""
    level, depth = [value], 0
    while level := [
        item
        for parent in level
        if isinstance(parent, dict | list)
        for item in (parent.values() if isinstance(parent, dict) else parent)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            raise UserError(f"JSON nested deeper than {MAX_DEPTH}")
