"""Notebooks as Markdown: cells in order, the printed text below them, and images beside the page."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

COLAB = "https://colab.research.google.com"


def to_markdown(notebook: Path) -> tuple[str, Mapping[str, bytes]]:
    """Return the text of a notebook's page, and its images by the names that the text links to."""
    parts: list[str] = []
    images: dict[str, bytes] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for kind, content in _outputs(cell):
            if kind == "image/png":
                name = f"{notebook.stem}/{len(images) + 1}.png"
                images[name] = base64.b64decode(content)
                parts.append(f"![Image {len(images)} that the cell above draws]({name})")
            else:
                parts.append(f"```text\n{content.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", images


def title(notebook: Path) -> str:
    """Return the first heading of a notebook."""
    first = "".join(json.loads(notebook.read_text())["cells"][0]["source"])
    return first.splitlines()[0].removeprefix("# ")


def places(notebook: Path, repository: str) -> str:
    """Return a line on where a notebook can be run.

    Args:
      notebook: the file.
      repository: the address of the repository that the pages are published from, as https://HOST/OWNER/NAME; empty
        where none is known.
    """
    if not repository:
        return f"This page is the notebook `notebooks/{notebook.name}`, with its saved outputs."
    owner_and_name = "/".join(repository.split("/")[-2:])
    link = f"{COLAB}/github/{owner_and_name}/blob/main/notebooks/{notebook.name}"
    return (
        f"[Open in Colab]({link}){{ .md-button }} and type `!git clone {repository} clone && pip install ./clone`"
        f" and `%cd clone` in a first cell, or read `notebooks/{notebook.name}` here, with its saved outputs."
    )


def _outputs(cell: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the content of what a cell shows; of an image with a text, only the image."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            yield "image/png", "".join(data["image/png"])
        elif output["output_type"] == "stream":
            yield "text/plain", "".join(output["text"])
        elif "text/plain" in data:
            yield "text/plain", "".join(data["text/plain"])
