"""What often lies where a file should be: a web page that a download gave, or a pointer of Git LFS."""

import re
from collections.abc import Mapping

SIGNS: Mapping[bytes, str] = {
    rb"\s*<(!doctype html|html|head|\?xml)": "a web page in place of the file; download it again",
    rb"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`",
}
"""What it is and the remedy, by patterns of the first bytes."""


def instead_of_file(start: bytes) -> str | None:
    """Return what lies in the place of a file that begins with these bytes, and the remedy; None where that is a file.

    Args:
      start: the first bytes, 100 or more where there are as many.
    """
    return next((what for sign, what in SIGNS.items() if re.match(sign, start, re.IGNORECASE)), None)
