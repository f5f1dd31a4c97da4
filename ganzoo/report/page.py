"""The page: one HTML file that needs no network, and shows every name of a run folder as text."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo import __version__
from ganzoo.disk import require_writable, user_path, write_file
from ganzoo.errors import UserError, printable
from ganzoo.grids import enlarged, grid
from ganzoo.metrics.config import MetricsConfig
from ganzoo.report.charts import Charts, sections, shown, style
from ganzoo.report.neighbours import CLOSE, EACH, REFERENCE, Neighbours, Search
from ganzoo.report.pictures import SMALL, data_uri, film
from ganzoo.report.records import Group, Record, differing, grouped, read_runs, scalar_names
from ganzoo.training.hooks import duration

MOST_GRIDS, LEAST_GRIDS, ALL_GRIDS = 12, 3, 72
"""Sample grids of a run, and of all runs together."""


def write_report(
    folders: Sequence[str | Path],
    out: str | Path = "report.html",
    *,
    neighbours: bool = True,
    extractor: MetricsConfig | None = None,
    digits: bool = False,
    log: Callable[[str], None] = print,
    reading: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a page about runs, side by side, as one HTML file.

    Example::

        write_report(["runs/hinge-0", "runs/hinge-1", "runs/r3gan"], "runs.html")

    Args:
      folders: of the runs; those that cannot be shown are named in a line.
      out: the file to write.
      neighbours: look for the training images nearest to samples, where the data set is there.
      extractor: whose extractor and number of reals are used for that; the default one when absent.
      digits: use the classifier of digits instead.
      log: receives lines about what is left out, and what takes long.
      reading: called with (images read, images in all) while a data set is opened.

    Returns:
      The path of the file.

    Raises:
      UserError: no run can be shown, or the file cannot be written.
    """
    path = user_path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: the name of a report must end in .html")
    require_writable(path)
    runs, left_out = read_runs([user_path(folder) for folder in folders])
    if not runs:
        raise UserError(left_out[0] if left_out else "no run folder is given; give one or more")
    for line in left_out:
        log(f"left out: {line}")
    search = Search(extractor or MetricsConfig(), digits=digits, log=log, reading=reading) if neighbours else None
    groups, found = grouped(runs), {}
    for run in runs:
        try:
            found |= {run.name: search(run)} if search else {}
        except UserError as error:
            found[run.name] = str(error)
            log(f"note: no nearest training images of {printable(run.name)}: {printable(error, 300)}")
    write_file(path, html(groups, left_out, found).encode())
    return path


def html(groups: Sequence[Group], left_out: Sequence[str], found: Mapping[str, Neighbours | str]) -> str:
    """Return the page.

    Args:
      groups: of runs.
      left_out: lines about runs that cannot be shown.
      found: by the names of runs, the neighbours of their samples, or why there are none.
    """
    charts, films = Charts(groups), _films(groups)
    parts = [_runs(groups, left_out), _settings(groups)]
    for title, text, names in sections(groups):
        figures = "".join(charts.chart(name) for name in names)
        parts += [_section(title, text, f'<div class="charts">{figures}</div>')] if figures else []
    parts += [_values(groups), _samples(films), *([_neighbours(groups, found)] if found else [])]
    frames = {key: _frames(frames) for key, (_, _, frames, _) in films.items()}
    css, script = (files("ganzoo.report").joinpath(name).read_text() for name in ("page.css", "page.js"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    data = f'{{"charts":{charts.json},"films":{json.dumps(frames)}}}'.replace("<", "\\u003c")
    title = escape(", ".join(group.name for group in groups[:4]) + (" ..." if len(groups) > 4 else ""))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>ganzoo: {title}</title>
<style>{css}</style>
</head>
<body>
<header><h1>{title}</h1></header>
{_legend(groups)}
<main>
{"".join(parts)}
</main>
<footer>Made by ganzoo {__version__}. Lines are means over the seeds of a group, bands reach from the lowest seed to the
highest.</footer>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


# Parts --------------------------------------------------------------------------------------------------------------


def _section(title: str, text: str, content: str) -> str:
    note = f"<p>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{note}{content}</section>\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML; the first of each row is its title. It scrolls where it is too wide."""
    title = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    return f'<div class="wide" tabindex="0"><table><thead><tr>{title}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(place: int, group: Group) -> str:
    return f'<span class="tag {style(place)}">{escape(group.letter)}</span>'


def _legend(groups: Sequence[Group]) -> str:
    """Return the buttons that hide and show groups in the charts."""
    if len(groups) == 1:
        return ""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-toggle="{i}">{_tag(i, group)} {escape(group.title)}</button>'
        for i, group in enumerate(groups)
    )
    return f'<nav class="legend" aria-label="Groups in the charts">{buttons}</nav>'


def _runs(groups: Sequence[Group], left_out: Sequence[str]) -> str:
    """Return the table of the runs, and what is left out."""
    rows = []
    for i, group in enumerate(groups):
        for run in group.runs:
            planned = run.settings.get("training.images")
            share = run.seen / planned if isinstance(planned, int) and planned else 1
            state = "complete" if share >= 1 else f"{share:.0%} of {planned:,}"
            elapsed, speed = run.last("elapsed_s"), [row["images_per_s"] for row in run.rows if "images_per_s" in row]
            cells = [run.content["experiment"].get("model", ""), run.seed, f"{run.seen:,}", state]
            cells += [
                duration(elapsed) if elapsed is not None else "-",
                shown(float(np.median(speed))) if speed else "-",
            ]
            rows.append([f"{_tag(i, group)} {escape(run.name)}", *(escape(printable(cell)) for cell in cells)])
    head = ["run", "model", "seed", "images seen", "state", "time", "images/s (median)"]
    lines = "".join(f'<li class="warn">Left out: {escape(line)}</li>' for line in left_out)
    return _section("Runs", "", _table(head, rows) + (f"<ul>{lines}</ul>" if lines else ""))


def _settings(groups: Sequence[Group]) -> str:
    """Return the settings in which groups differ, and, folded, those that they share."""
    different = differing(groups)
    head = ["setting", *(f"{_tag(i, group)} {escape(group.name)}" for i, group in enumerate(groups))]
    rows = [[escape(printable(name)), *(_value(value) for value in values)] for name, values in different.items()]
    same = {name: value for name, value in groups[0].settings.items() if name not in different}
    shared = _table(["setting", "value"], [[escape(printable(name)), _value(value)] for name, value in same.items()])
    text = (
        ""
        if len(groups) > 1
        else "All runs have the same settings but for their seed."
        if len(groups[0].runs) > 1
        else ""
    )
    folded = (
        f"<details><summary>{len(same)} settings {'in common' if len(groups) > 1 else ''}</summary>{shared}</details>"
    )
    return _section("Settings", text, (_table(head, rows) if rows else "") + folded)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return escape(printable(text, 80)) or "&ndash;"


def _values(groups: Sequence[Group]) -> str:
    """Return, folded, the last value of every scalar: the mean over seeds, and the lowest and the highest."""
    rows = []
    for name in scalar_names(groups):
        cells = []
        for group in groups:
            found = [value for run in group.runs if (value := run.last(name)) is not None]
            mean = shown(float(np.mean(found))) if found else "-"
            cells.append(mean if len(found) < 2 else f"{mean} ({shown(min(found))} to {shown(max(found))})")
        rows.append([escape(printable(name)), *cells])
    head = ["scalar", *(f"{_tag(i, group)} {escape(group.title)}" for i, group in enumerate(groups))]
    table = f"<details><summary>Last value of every scalar</summary>{_table(head, rows)}</details>"
    return f"<section>{table}</section>" if rows else ""


# Pictures -----------------------------------------------------------------------------------------------------------

Film = tuple[str, Record, dict[int, str], str]
"""Tag, run, sources of the grids by images seen, and CSS class."""


def _films(groups: Sequence[Group]) -> dict[str, Film]:
    """Return the sample grids of the runs, by keys for the script."""
    count = sum(len(group.runs) for group in groups)
    most = max(LEAST_GRIDS, min(MOST_GRIDS, ALL_GRIDS // count))
    films: dict[str, Film] = {}
    for i, group in enumerate(groups):
        for run in group.runs:
            pictures, _ = film(run, most)
            small = all(max(picture.shape[:2]) <= SMALL for picture in pictures.values())
            frames = {images: data_uri(picture) for images, picture in pictures.items()}
            films[f"f{len(films)}"] = _tag(i, group), run, frames, "pixels" if small else ""
    return films


def _frames(frames: Mapping[int, str]) -> list[tuple[int, str]]:
    """Return the grids for the script, without the source of the last one, which is in the page already."""
    return [(images, "" if images == max(frames) else source) for images, source in frames.items()]


def _samples(films: Mapping[str, Film]) -> str:
    """Return the sample grids side by side, with one slider for all of them."""
    figures, places = [], sorted({images for _, _, frames, _ in films.values() for images in frames})
    for key, (tag, run, frames, kind) in films.items():
        name = escape(run.name)
        if not frames:
            figures.append(f"<figure><figcaption>{tag} {name}: no sample grid</figcaption></figure>")
            continue
        last = max(frames)
        picture = f'<img class="{kind}" data-film="{key}" src="{frames[last]}" alt="Samples of {name}">'
        caption = (
            f'<figcaption>{tag} {name} <span class="note" data-seen="{key}">{last:,} images seen</span></figcaption>'
        )
        figures.append(f"<figure>{picture}{caption}</figure>")
    text = "The same latents over time. Each run shows its last grid up to the chosen number of images."
    content = f'<div class="films">{"".join(figures)}</div>'
    if len(places) < 2:
        return _section("Samples", "", content)
    steps = f'<input id="time" type="range" min="0" max="{len(places) - 1}" value="{len(places) - 1}">'
    control = (
        f'<div class="control" hidden><button type="button" id="play">Play</button>'
        f'<label for="time">Images seen</label>{steps}<output for="time">{places[-1]:,}</output></div>'
    )
    return _section("Samples", text, control + content)


def _neighbours(groups: Sequence[Group], found: Mapping[str, Neighbours | str]) -> str:
    """Return samples beside their nearest training images."""
    parts = []
    for i, group in enumerate(groups):
        for place, run in enumerate(group.runs):
            title, of = f"{_tag(i, group)} {escape(run.name)}", found[run.name]
            if isinstance(of, str):
                parts.append(f'<p class="warn">{title}: left out. {escape(of)}</p>')
                continue
            said = _verdict(of)
            rows = "".join(_row(of, k) for k in range(len(of.samples)))
            is_open = " open" if place == 0 else ""
            parts.append(
                f'<details{is_open}><summary>{title}: {said}</summary><div class="rows">{rows}</div></details>'
            )
    text = (
        f"Does the generator copy? The samples of the last grid that are nearest to any training image, each beside its"
        f" {EACH} nearest. Distances are in the features named, as shares of the median distance from a training image"
        f" to its own nearest neighbour (of {REFERENCE} of them): copies are near 0, new images near 1. A sample is"
        f" close where it is nearer than {1 - CLOSE:.0%} of the training images are to each other."
    )
    return _section("Nearest training images", text, "".join(parts))


def _verdict(of: Neighbours) -> str:
    numbers = f"median distance {of.median:.2f}, {of.close:.0%} of {of.count} samples close"
    warning = '<strong class="warn">these look like copies: </strong>' if of.is_suspicious else ""
    notes = "".join(f". Note: {escape(note)}" for note in of.notes)
    return f"{warning}{numbers} ({of.of:,} training images, {escape(of.features)} features){notes}"


def _row(of: Neighbours, k: int) -> str:
    """Return one sample and its neighbours."""
    distances = ", ".join(f"{value:.2f}" for value in of.distances[k])
    kind = "pixels" if max(of.samples.shape[1:3]) <= SMALL else ""
    sample, others = (
        data_uri(enlarged(grid(images, len(images)), 64)) for images in (of.samples[k : k + 1], of.nearest[k])
    )
    return (
        f'<figure class="row"><div><img class="{kind}" src="{sample}" alt="A sample">'
        f'<img class="{kind} others" src="{others}" alt="The {EACH} nearest training images"></div>'
        f"<figcaption>{distances}</figcaption></figure>"
    )
