"""The subcommand report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ganzoo.cli.parsing import parse
from ganzoo.cli.process import prepare
from ganzoo.cli.progress import bar
from ganzoo.config import require
from ganzoo.metrics import MetricsConfig
from ganzoo.report import write_report

DIGITS = "digits"
Extractor = Literal["auto", "inception", "random-conv", "pixels", "digits"]


@dataclass(frozen=True)
class Report:
    """Write one HTML file that shows runs side by side: settings, curves, samples, and nearest training images.

    ganzoo report runs/hinge-0 runs/hinge-1 runs/r3gan --out runs.html

    Runs that differ in their seed only are one line with a band.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders."""
    out: Path = Path("report.html")
    """The file to write; it ends in .html, and is replaced if it is there."""
    neighbours: bool = True
    """Look for the training images nearest to samples of each run; --no-neighbours leaves that out."""
    extractor: Extractor = "auto"
    """Features for that: "auto" is Inception where its weights are found, else "digits" (a classifier) for the embedded
    digits, else "random-conv"; or "pixels"."""
    inception: str = ""
    """File of the Inception weights, as for ganzoo evaluate."""
    reals: int = 0
    """Training images among which neighbours are looked for, drawn at random; 0 takes all."""


def report(args: Sequence[str]) -> None:
    """Answer ``ganzoo report RUN [RUN ...] ...``."""
    chosen: Report = parse(Report, args, "ganzoo report")
    is_digits = chosen.extractor == DIGITS
    require(
        not is_digits or not chosen.inception, "inception", chosen.inception, "be left out for the digits' features"
    )
    features = MetricsConfig(
        extractor="auto" if is_digits else chosen.extractor,
        inception=chosen.inception,
        reals=chosen.reals,
    )
    prepare()
    with bar("reading") as reading:
        path = write_report(
            chosen.runs,
            chosen.out,
            neighbours=chosen.neighbours,
            extractor=features,
            digits=is_digits,
            reading=reading,
        )
    print(f"{path.stat().st_size / 2**20:.1f} MiB -> {path}")
