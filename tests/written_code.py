"""Code in texts for readers: blocks of Markdown and of docstrings, and the commands in them."""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fences import to_markdown

ROOT = Path(__file__).parent.parent
TEXTS = [
    ROOT / "README.md",
    *sorted((ROOT / ".docs" / "pages").glob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]
"""Files of Markdown whose code is checked."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
STARTS = ("uv", "uvx", "pip", "ganzoo", "python", "bash", "srun", "gcloud", "#!/bin/bash", "export")
"""First words of blocks of commands that name no language."""
OPERATORS = {"&&", "||", ";", "|", "&", ">", "<"}


@dataclass(frozen=True)
class Block:
    """A block of code."""

    place: str
    """File, and for a docstring the name of its owner."""
    language: str
    """"python", "pycon" (with prompts) or "bash"; others are no code."""
    code: str


@dataclass(frozen=True)
class Command:
    """A command as it is typed, without what starts it."""

    place: str
    words: tuple[str, ...]
    """``ganzoo`` and the words after it, or the path of a script and the words after it."""
    extras: tuple[str, ...]
    """Extras of ``uv run``."""


def blocks(place: str, text: str) -> list[Block]:
    """Return the blocks of a Markdown text."""
    found = []
    for language, code in FENCE.findall(text):
        is_typed = not language and code.split(maxsplit=1)[:1] and code.split()[0] in STARTS
        found.append(Block(place, "bash" if is_typed else language, code))
    return found


def markdown_blocks() -> list[Block]:
    """Return the blocks of all Markdown files."""
    return [block for path in TEXTS for block in blocks(path.name, path.read_text())]


def docstring_blocks() -> list[Block]:
    """Return the blocks of all docstrings of the package."""
    found = []
    for path in sorted((ROOT / "ganzoo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                place = f"{path.relative_to(ROOT)}:{getattr(node, 'name', '')}".rstrip(":")
                found += blocks(place, to_markdown(text))
    return found


def commands() -> Iterator[Command]:
    """Yield every command of ganzoo or of a script in the Markdown files and in the scripts' own docstrings."""
    for block in markdown_blocks():
        if block.language == "bash":
            yield from _typed(block.place, block.code)
    for path in TEXTS:
        for code in INLINE.findall(FENCE.sub("", path.read_text())):
            words = " ".join(code.split())
            if re.match(r"(?:uv run |JAX_PLATFORMS=)?.*?\b(?:ganzoo [a-z]|experiments/\w+\.py )", words):
                yield from _typed(path.name, words)
    for path in sorted((ROOT / "experiments").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        typed = "\n".join(re.findall(r"^    (?:uv run .*?)?python .*$", text, flags=re.M))
        yield from _typed(path.name, typed.translate({ord("["): None, ord("]"): None}))  # of what may be left out


def _typed(place: str, code: str) -> Iterator[Command]:
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in OPERATORS or set(word) <= set(";&|()<>"):
                yield from _command(place, words)
                words = []
            else:
                words.append(word)


def _command(place: str, words: list[str]) -> Iterator[Command]:
    extras: list[str] = []
    rest = list(words)
    while rest:
        if re.match(r"[A-Z_]+=", rest[0]) or rest[0] in ("export", "srun", "then", "if", "python"):
            rest = rest[1:]
        elif rest[:2] == ["uv", "run"]:
            rest = rest[2:]
        elif rest[0] == "--extra":
            extras.append(rest[1])
            rest = rest[2:]
        else:
            break
    if rest and (rest[0] == "ganzoo" or rest[0].startswith("experiments/")):
        yield Command(place, tuple(rest), tuple(extras))
    for word in words:
        if " ganzoo " in word:  # a command that is given to another one as one word
            yield from _typed(place, word)
