"""The README says what is so: its examples are short, its files are there, its commands are those of CI."""

import re
from pathlib import Path

from ganzoo.cli.tools import COMMANDS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


EXAMPLES = [
    text for text in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL) if "import" in text.split("\n")[0]
]
"""Those that stand alone; test_written_code.py runs them, and the others that go on where text has led."""


def test_it_has_examples() -> None:
    assert len(EXAMPLES) >= 5
    assert all(len(example.splitlines()) <= 13 for example in EXAMPLES)


def test_it_shows_every_command_for_trained_models() -> None:
    typed = {line.split()[3] for line in re.findall(r"^uv run ganzoo .*$", TEXT, flags=re.M)}
    assert set(COMMANDS) <= typed


def test_files_that_it_names_are_there() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", TEXT) + re.findall(
        r"`((?:notebooks|experiments|tests|ganzoo)/[\w./]+)`", TEXT
    )
    assert len(linked) > 5
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_nothing_is_left_to_fill_in() -> None:
    for file in (ROOT / "README.md", *(ROOT / "experiments").glob("*.py")):
        assert not re.findall(r"^[A-Z]{4,}$|PRICE|TODO|FIXME", file.read_text(), flags=re.MULTILINE), file.name


def test_its_two_commands_are_those_that_ci_runs() -> None:
    assert "pip install uv && uv run ganzoo train dcgan-digits\n" in TEXT
    assert "pip install uv && uv run pytest\n" in TEXT
    assert "uv run pytest\n" in (ROOT / ".ci" / "run").read_text()


def test_nothing_recommends_the_package_of_a_stranger() -> None:
    """The name on PyPI belongs to another project, so texts of every kind install from the source."""
    kinds = (".py", ".md", ".toml", ".ipynb", ".yml", ".yaml")
    folders = (ROOT / name for name in ("ganzoo", "experiments", "notebooks", ".ci", ".github"))
    files = [*ROOT.glob("*.*"), *(file for folder in folders for file in folder.rglob("*"))]
    texts = {file: file.read_text() for file in files if file.suffix in kinds or file.name == "run"}
    assert len(texts) > 100
    stranger = re.compile(r"(?:pip|pipx) install [\"']?ganzoo\b|uv (?:add|pip install|tool install) [\"']?ganzoo\b")
    assert [file.name for file, text in texts.items() if stranger.search(text)] == []
