"""Docstrings as Markdown: literal blocks and examples with a prompt become fenced code."""

import ast
import re
import textwrap

LITERAL = re.compile(r"::\n\n((?:[ ]{2,}.*\n|\n)+)")
"""``::`` at the end of a line, and the indented block that follows."""
PROMPT = re.compile(r"(?:^|\n\n)((?:>>> .*(?:\n|$))(?:.+(?:\n|$))*)")
"""Lines from a prompt on to an empty line."""


def to_markdown(text: str) -> str:
    """Return a docstring with fenced code."""
    text = LITERAL.sub(_fenced, text.rstrip("\n") + "\n")
    return PROMPT.sub(lambda block: f"\n\n```pycon\n{block[1].rstrip()}\n```\n", text).strip("\n")


def _fenced(block: re.Match[str]) -> str:
    code = textwrap.dedent(block[1]).strip("\n")
    return f":\n\n```{'python' if _is_python(code) else 'text'}\n{code}\n```\n\n"


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True
