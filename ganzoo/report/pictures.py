"""Pictures inside a page: sample grids of a run over time, and the single images of a grid."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganzoo.errors import UserError
from ganzoo.grids import coloured, read_png
from ganzoo.nn.pyramid import size_of
from ganzoo.report.records import Record

GAP = 2
"""Pixels between the images of a grid."""
LARGEST = 640
"""Largest longer side of a picture in the page, in pixels; larger ones are shrunk."""
SMALL = 300
"""Longer side in pixels up to which a picture is kept without loss, and shown with its pixels as squares."""


def data_uri(picture: np.ndarray) -> str:
    """Return a picture uint8 [H, W, C] as the source of an HTML image: WebP, without loss where it is small."""
    from PIL import Image

    content = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if max(picture.shape[:2]) <= SMALL else {"quality": 85}
    Image.fromarray(coloured(picture)).save(content, "webp", **options)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def film(run: Record, most: int) -> tuple[dict[int, np.ndarray], int]:
    """Return up to ``most`` sample grids of a run by images seen, at about equal distances.

    Returns:
      The grids, uint8 [H, W, C], and the number of files that cannot be read as PNG.
    """
    places = list(run.grids)
    if len(places) > most:
        places = [places[round(i * (len(places) - 1) / (most - 1))] for i in range(most)]
    found = {images: read_png(run.grids[images], LARGEST) for images in places}
    read = {images: picture for images, picture in found.items() if picture is not None}
    return read, len(found) - len(read)


def last_images(run: Record) -> np.ndarray:
    """Return the images uint8 [N, H, W, C] of the last sample grid of a run.

    Raises:
      UserError: there is no grid, or it does not have images of the size that the settings name.
    """
    height, width, channels = image_shape(run.content["experiment"]["gan"])
    if not run.grids:
        raise UserError(f"{run.folder} has no sample grid yet")
    file = run.grids[max(run.grids)]
    picture = read_png(file, 2**16)
    if picture is None:
        raise UserError(f"{file} cannot be read as PNG")
    if (picture.shape[0] + GAP) % (height + GAP) or (picture.shape[1] + GAP) % (width + GAP):
        raise UserError(f"{file} is no grid of images of {height} x {width}")
    rows, columns = (picture.shape[0] + GAP) // (height + GAP), (picture.shape[1] + GAP) // (width + GAP)
    kept = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    if max(kept) >= picture.shape[2]:
        raise UserError(f"{file} has no alpha, and images of the run have")
    framed = np.pad(picture[..., kept], ((0, GAP), (0, GAP), (0, 0)))
    cells = framed.reshape(rows, height + GAP, columns, width + GAP, channels)[:, :height, :, :width]
    return np.ascontiguousarray(cells.transpose(0, 2, 1, 3, 4)).reshape(-1, height, width, channels)


def image_shape(settings: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return (H, W, C) of a run's images by the settings of its model; ``UserError`` where they do not tell."""
    size, channels = settings.get("image_size"), settings.get("channels")
    is_size = isinstance(size, int) or (isinstance(size, list) and len(size) == 2)
    if not is_size or not isinstance(channels, int):
        raise UserError("the settings of its model name no image_size and channels")
    if not 1 <= channels <= 4:
        raise UserError(f"a grid shows three of {channels} channels only")
    height, width = size_of(size if isinstance(size, int) else (size[0], size[1]))
    return height, width, channels
