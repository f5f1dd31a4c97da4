"""Small pictures, made as the tests need them."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import LONGEST, UserError


def rainbow(height=12, width=12, channels=3, seed=0):
    """A picture of random pixels with ``channels`` 1-4."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(
        pixels[..., 0] if channels == 1 else pixels, {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    )


def flat(color, mode="RGB", size=(8, 8)):
    return Image.new(mode, size, color)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write_folder(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def refused(data, **options):
    """The message of the error for a data set: one printable line of bounded length."""
    with pytest.raises(UserError) as caught:
        opened(data, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= LONGEST
    return message


def table(labels):
    """A dataset.json with these labels."""
    return json.dumps({"labels": labels}).encode()


def opened(data, shape=(8, 8, 3), **options):
    return open_dataset(DataConfig(data=str(data), **options), shape)
