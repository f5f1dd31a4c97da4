"""The pages of the documentation: what they show of the README is there, their links lead somewhere, and they build."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from sections import HERE, PAGES, ROOT, anchor, filled, named_sections, section_text, sections

README = (ROOT / "README.md").read_text()
TEXTS = {path.name: path.read_text() for path in sorted(PAGES.glob("*.md"))}
SHOWN = {path: name for name, text in TEXTS.items() for kind, path in HERE.findall(text) if kind == "FILE"}
EXAMPLE = """# top
first
## one
[to three](#three) and `notebooks/a.ipynb`
### two
second
#### under two
### three
```
# no heading
ganzoo list
```
## four
"""


def test_sections_of_a_text() -> None:
    found = sections(EXAMPLE)
    assert [(section.level, section.title) for section in found] == [
        (1, "top"), (2, "one"), (3, "two"), (4, "under two"), (3, "three"), (2, "four"),
    ]  # fmt: skip
    assert found[4].text == "```\n# no heading\nganzoo list\n```"


def test_a_section_brings_those_under_it_that_no_other_page_names() -> None:
    found = sections(EXAMPLE)
    assert section_text("one", found, {"three": "b.md"}).endswith("### two\n\nsecond\n\n#### under two\n\n")
    assert "under two" not in section_text("one", found, {"two": "b.md"})
    with pytest.raises(KeyError, match="no section 'five'"):
        section_text("five", found, {})


def test_links_of_the_readme_lead_to_pages() -> None:
    pages = {"a.md": "<!-- README: one -->", "b.md": "<!-- README: three -->"}
    shown = filled(pages["a.md"], EXAMPLE, pages, {"notebooks/a.ipynb": "notebooks/a.md"})
    assert "[to three](b.md) and [`notebooks/a.ipynb`](notebooks/a.md)" in shown
    assert "```text\n# no heading" in filled(pages["b.md"], EXAMPLE, pages, {})


def test_every_section_is_shown_once() -> None:
    pages = named_sections(TEXTS)
    named = [title for text in TEXTS.values() for kind, title in HERE.findall(text) if kind == "README"]
    assert len(named) == len(set(named))
    missing = [s.title for s in sections(README) if s.level == 2 and s.title not in pages]
    assert missing == [], "show each on a page of .docs/pages by a line such as <!-- README: Metrics -->"


@pytest.mark.parametrize("name", TEXTS)
def test_links_between_pages(name: str) -> None:
    """Of what stands in the folder; mkdocs follows all of them when it builds."""
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", TEXTS[name]):
        page, _, place = target.partition("#")
        if page.startswith(("reference/", "notebooks/")):
            continue
        shown = filled(TEXTS[page or name], README, TEXTS, SHOWN)
        assert not place or place in {anchor(section.title) for section in sections(shown)}, target


@pytest.mark.slow
def test_they_build(tmp_path: Path) -> None:
    if not all(map(find_spec, ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml"))):
        pytest.skip("the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "-f", ".docs/mkdocs.yml", "-d", str(tmp_path / "site")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    pages = [path.read_text() for path in (tmp_path / "site").rglob("*.html")]
    assert len(pages) > 40
    assert not [
        page for page in pages if "arithmatex" in page or re.search(r"<(?:script|link)[^>]+(?:src|href)=.https?:", page)
    ]
