"""The table of ``ganzoo list``: what can be trained, how large it is, and what it needs."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax

from ganzoo.config import to_json
from ganzoo.gan import Model, Preset, parameter_count
from ganzoo.models import find_model, installed_models
from ganzoo.runs.config import TrainingConfig

TITLES = ("NAME", "IMAGE", "G", "D", "DATA", "IMAGES", "NEEDS")
NUMBERS = ("G", "D", "IMAGES")
"""Columns that are aligned on the right."""
SIZES = "sizes.json"


@dataclass(frozen=True)
class Row:
    """One preset."""

    name: str
    """What follows ``ganzoo train``."""
    is_default: bool
    """Whether the name of the model alone means this preset."""
    image_shape: tuple[int, int, int] | None
    """(H, W, C); like the next two, None where sizes were not asked for."""
    generator_parameters: int | None
    discriminator_parameters: int | None
    data: str
    """The data set; empty where ``--data`` must be given."""
    images: int
    """Length of the run in real images shown to the discriminator."""
    needs: str
    """What must be there before the run can start."""


def rows(model: str | None = None, *, sizes: bool = True) -> list[Row]:
    """Return a row for each preset of one model, or of all models.

    Args:
      model: as ``find_model`` takes it; all models when absent.
      sizes: count parameters, which traces the networks of presets that this package does not know.

    Raises:
      UserError: there is no such model.
    """
    models = installed_models() if model is None else {model: find_model(model)}
    return [
        _row(f"{name}{':' if '.py:' in name else '-'}{preset}", each, preset, sizes=sizes)
        for name, each in models.items()
        for preset in each.presets
    ]


def table(found: Sequence[Row]) -> str:
    """Return the rows as aligned text."""
    cells = [TITLES, *(_cells(row) for row in found)]
    used = [i for i in range(len(TITLES)) if any(row[i] for row in cells[1:])]
    widths = [max(len(row[i]) for row in cells) for i in range(len(TITLES))]
    lines = [
        "  ".join(row[i].rjust(widths[i]) if TITLES[i] in NUMBERS else row[i].ljust(widths[i]) for i in used).rstrip()
        for row in cells
    ]
    return "\n".join([*lines, "", "* stands for the model where no preset is named, as in: ganzoo train stylegan2"])


def json_rows(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as JSON types."""
    return [asdict(row) for row in found]


def _cells(row: Row) -> tuple[str, ...]:
    height, width, channels = row.image_shape or (0, 0, 0)
    return (
        row.name + "*" * row.is_default,
        f"{width}x{height}x{channels}" if row.image_shape else "",
        *("" if n is None else _short(n) for n in (row.generator_parameters, row.discriminator_parameters)),
        row.data or "-",
        _short(row.images),
        row.needs,
    )


def _short(count: int) -> str:
    """Return a number with three digits and a unit, such as 23.1M."""
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _row(name: str, model: Model, preset: str, *, sizes: bool) -> Row:
    entry = model.presets[preset]
    shape, *counts = _sizes(model, entry) if sizes else (None, None, None)
    data = entry.data.get("data", "")
    images = entry.training.get("images", TrainingConfig().images)
    needs = "--data PATH" if not data else "prepared by TFDS" if data.startswith("tfds:") else ""
    return Row(name, preset == model.default, shape, *counts, data, images, needs)


def _sizes(model: Model, preset: Preset) -> tuple[tuple[int, int, int], int, int]:
    """Return the shape of the images and the numbers of parameters of G and D; of a known config, as counted before."""
    known = _known_sizes().get(digest(model, preset))
    return (tuple(known[0]), *known[1:]) if known else count(model, preset)


def count(model: Model, preset: Preset) -> tuple[tuple[int, int, int], int, int]:
    """Return the shape of the images and the numbers of parameters of G and D, by tracing the networks."""
    gan = model.build(preset.config)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    return gan.image_shape, parameter_count(state.generator.params), parameter_count(state.discriminator.params)


def digest(model: Model, preset: Preset) -> str:
    """Return 16 hexadecimal digits that the model and all fields of the preset's config decide on."""
    module = getattr(model.build, "__module__", "")
    return hashlib.sha256(json.dumps([module, model.name, to_json(preset.config)]).encode()).hexdigest()[:16]


@cache
def _known_sizes() -> dict[str, Any]:
    """Return what ``count`` gives for the presets of this package, by ``digest``.

    Tracing all networks takes 10 seconds. ``tests/cli/make_sizes.py`` writes the file, and a test counts again.
    """
    return json.loads((Path(__file__).parent / SIZES).read_text())
