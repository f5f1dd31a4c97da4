"""Lists of whole numbers as people write them: ``0-63,100``."""

from ganzoo.errors import UserError

MAX_COUNT, MAX_DIGITS = 1_000_000, 20


def numbers(text: str, name: str = "seeds", highest: int = 2**32 - 1) -> list[int]:
    """Return the numbers of a list of numbers and ranges, both ends included: ``numbers("0-2,7") == [0, 1, 2, 7]``.

    Raises:
      UserError: ``text`` is no such list, or holds a number above ``highest``.
    """
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UserError(f"{name} = {text!r}: must be numbers and ranges with commas between, such as 0-63,100")
        if len(max(first, last, key=len)) > MAX_DIGITS:
            raise UserError(f"{name} = {text!r}: a number with more than {MAX_DIGITS} digits; the highest is {highest}")
        low, high = int(first), int(last or first)
        if high < low or high > highest:
            raise UserError(f"{name} = {text!r}: the range {part} must go up, to {highest} at most")
        if len(found) + high - low >= MAX_COUNT:
            raise UserError(f"{name} = {text!r}: more than {MAX_COUNT} of them")
        found += range(low, high + 1)
    return found
