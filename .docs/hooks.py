"""What mkdocs does beside Markdown: sections of the README, notebooks, the reference, and equations."""

from functools import cache
from pathlib import Path
from typing import Any

import mathematics
import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from sections import HERE, PAGES, ROOT, filled

import notebooks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
IMAGES = (".png", ".webp", ".gif", ".svg")


@cache
def texts() -> dict[str, str]:
    """Return the pages of the folder by name."""
    return {path.name: path.read_text() for path in sorted(PAGES.glob("*.md"))}


def shown_files() -> dict[str, str]:
    """Return the names of pages by the files of the repository that they show."""
    whole = {path: name for name, text in texts().items() for kind, path in HERE.findall(text) if kind == "FILE"}
    return whole | {f"notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in NOTEBOOKS}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the notebooks and the reference to the navigation."""
    texts.cache_clear()
    shown: list[Any] = [{notebooks.title(path): f"notebooks/{path.stem}.md"} for path in NOTEBOOKS]
    config.nav = [*(config.nav or []), {"Notebooks": shown}, {"Reference": reference.navigation()}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in the folder of the pages: images, notebooks and the reference."""
    for path in sorted((ROOT / "notebooks").rglob("*")):
        if path.suffix in IMAGES:
            files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    for path in NOTEBOOKS:
        text, images = notebooks.to_markdown(path)
        where = notebooks.places(path, config.repo_url or "")
        heading, _, rest = text.partition("\n")
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=f"{heading}\n\n{where}\n{rest}"))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the texts of the README and of whole files where a page names them."""
    del config, files
    return filled(markdown, (ROOT / "README.md").read_text(), texts(), shown_files()) if _is_ours(page) else markdown


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the equations."""
    del page, config, files
    return mathematics.drawn(content)


def on_post_build(config: MkDocsConfig) -> None:
    """Write the index of the search as a script, too, which pages that are opened from a folder may read."""
    folder = Path(config.site_dir) / "search"
    (folder / "search_index.js").write_text(f"var __index = {(folder / 'search_index.json').read_text()}")


def _is_ours(page: Page) -> bool:
    return page.file.src_uri in texts() and Path(PAGES / page.file.src_uri).is_file()
