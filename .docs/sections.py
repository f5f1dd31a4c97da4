"""Sections of the README in the pages: each is written once, there, and a page names those that it shows.

A line ``<!-- README: Limited data -->`` of a page stands for the text under that heading, and for the sections under it
that no other page names. ``<!-- FILE: CHANGELOG.md -->`` stands for a whole file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
PAGES = ROOT / ".docs" / "pages"
HERE = re.compile(r"^<!-- (README|FILE): (.+) -->$", flags=re.MULTILINE)
"""A line of a page that text of elsewhere takes the place of."""
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PROGRAMS = ("uv ", "pip ", "ganzoo ", "python ", "bash ")
"""Beginnings of blocks that are commands."""


@dataclass(frozen=True)
class Section:
    """A heading with the text below it, up to the next heading."""

    level: int
    title: str
    text: str


def sections(text: str) -> list[Section]:
    """Return the sections of a Markdown text in order; lines within fences are no headings."""
    found: list[Section] = []
    lines: list[str] = []
    is_code = False
    for line in [*text.splitlines(), "# "]:
        is_code ^= line.startswith("```")
        heading = re.match(r"(#+) (.*)", line)
        if heading and not is_code:
            if found:
                found[-1] = Section(found[-1].level, found[-1].title, "\n".join(lines).strip())
            found.append(Section(len(heading[1]), heading[2], ""))
            lines = []
        else:
            lines.append(line)
    return found[:-1]


def named_sections(pages: Mapping[str, str]) -> dict[str, str]:
    """Return for every section of the README that a page names the page.

    Args:
      pages: texts by name.
    """
    return {title: name for name, text in pages.items() for kind, title in HERE.findall(text) if kind == "README"}


def section_text(title: str, found: Sequence[Section], named: Mapping[str, str]) -> str:
    """Return what a line that names a section stands for; ``KeyError`` where the README has no such section."""
    places = [i for i, section in enumerate(found) if section.title == title]
    if not places:
        raise KeyError(f"the README has no section {title!r}")
    (place,) = places
    parts, skipped = [found[place].text], None
    for section in found[place + 1 :]:
        if section.level <= found[place].level:
            break
        if skipped is not None and section.level > skipped:
            continue
        skipped = section.level if section.title in named else None
        if skipped is None:
            parts.append(f"{'#' * section.level} {section.title}\n\n{section.text}")
    return "\n\n".join(parts)


def filled(text: str, readme: str, pages: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Return a page with the texts that its lines stand for.

    Args:
      text: the page.
      readme: the README.
      pages: all pages by name.
      files: names of pages by the files of the repository that they show.
    """
    found, named = sections(readme), named_sections(pages)
    homes = {anchor(title): name for title, name in named.items()}

    def replaced(here: re.Match[str]) -> str:
        kind, name = here.groups()
        shown = section_text(name, found, named) if kind == "README" else (ROOT / name).read_text()
        if kind == "FILE" and here.start():  # below the heading of the page
            shown = re.sub(r"\A# .*\n+", "", shown)
        place = PurePosixPath(name).parent if kind == "FILE" else PurePosixPath()
        return FENCE.sub(_with_language, linked(shown, place, homes, files))

    return HERE.sub(replaced, text)


def anchor(title: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def linked(text: str, place: PurePosixPath, homes: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Return a text of the repository with links that lead to pages.

    Args:
      text: Markdown.
      place: folder in which it lies.
      homes: names of pages by the anchors of the README's sections that they show.
      files: names of pages by the files that they show.
    """

    def target(link: re.Match[str]) -> str:
        path, _, name = link[1].partition("#")
        if not path:
            return f"]({homes.get(name, '')}#{name})" if name not in homes else f"]({homes[name]})"
        whole = _normal(place / path)
        return f"]({files.get(whole, whole)})"

    text = re.sub(r"\]\((?!\w+:)([^)\s]+)\)", target, text)
    for path, page in files.items():
        text = re.sub(rf"(?<!\[)`{re.escape(path)}`", f"[`{path}`]({page})", text)
    return text


def _normal(path: PurePosixPath) -> str:
    """Return a relative path without ``..``."""
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _with_language(fence: re.Match[str]) -> str:
    """Return a block of code with the language by which it is coloured."""
    language = fence[1] or ("bash" if fence[2].startswith(PROGRAMS) else "text")
    return f"```{language}\n{fence[2]}```"
