"""The pages of the reference: one for each module or package under ``ganzoo``, and on it every module of a package."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sections import ROOT

GROUPS = {
    "The contract": ("gan", "phases", "objectives", "losses", "penalties", "draws", "schedules", "typing", "testing"),
    "Models": ("models", "models.config", "models.dcgan", "models.stylegan", "models.stylegan2", "models.stylegan3",
               "models.r3gan"),
    "Parts": ("ops", "nn", "augment"),
    "Data and training": ("data", "training", "runs", "forecast"),
    "Trained models": ("pretrained", "interop", "latent", "metrics", "grids"),
}  # fmt: skip
"""Modules by the heading under which the navigation has them; all others are under ``OTHERS``."""
OTHERS = "Underneath"
TOP = """# ganzoo

The names that `import ganzoo` gives. Sub-packages such as `ganzoo.metrics` are imported when they are first used.

| Name | Where it is defined |
|---|---|
"""


def pages() -> dict[str, str]:
    """Return the Markdown of all pages by their places, such as ``reference/losses.md``."""
    found = {f"reference/{name}.md": _page(f"ganzoo.{name}") for names in groups().values() for name in names}
    return {"reference/index.md": TOP + "".join(_public()), **found}


def navigation() -> list[object]:
    """Return the part of the navigation that leads to these pages."""
    shown = [{title: [{f"ganzoo.{n}": f"reference/{n}.md"} for n in names]} for title, names in groups().items()]
    return [{"ganzoo": "reference/index.md"}, *shown]


def groups() -> dict[str, tuple[str, ...]]:
    """Return ``GROUPS`` and what is in none of them."""
    known = {name for names in GROUPS.values() for name in names}
    paths = (path for path in (ROOT / "ganzoo").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    there = sorted(path.stem for path in paths if not path.stem.startswith("_"))
    return {**GROUPS, OTHERS: tuple(name for name in there if name not in known)}


def modules(package: str) -> Sequence[str]:
    """Return a package and its modules in order, without private ones and packages that have a page of their own."""
    folder = ROOT / Path(*package.split("."))
    if not folder.is_dir():
        return [package]
    own = {f"ganzoo.{name}" for names in groups().values() for name in names}
    found = [package]
    for path in sorted(folder.iterdir()):
        name = f"{package}.{path.stem}"
        is_package = (path / "__init__.py").is_file()
        if path.stem.startswith("_") or name in own or not (is_package or path.suffix == ".py"):
            continue
        found += modules(name) if is_package else [name]
    return found


def _page(module: str) -> str:
    return f"# {module}\n" + "".join(_module(name, module) for name in modules(module))


def _module(name: str, page: str) -> str:
    """Return what mkdocstrings takes for a module; the page's own module has no heading beside the title."""
    if name == page:
        return (
            f"\n::: {name}\n    options: {{show_root_heading: false, show_root_toc_entry: false, heading_level: 2}}\n"
        )
    return f"\n---\n\n## {name}\n\n::: {name}\n    options: {{show_root_heading: false, show_root_toc_entry: false}}\n"


def _public() -> Iterator[str]:
    """Yield a row of the table for each public name."""
    import ganzoo

    for name in sorted(ganzoo.__all__, key=str.lower):
        place = ganzoo._HOMES.get(name)
        link = f"[`ganzoo.{name}`]({name}.md)" if place is None else f"[`{place}.{name}`][{place}.{name}]"
        yield f"| `ganzoo.{name}` | {link} |\n"
