"""Random damage to data sets of every kind: they open, or the user's error comes out, soon and in one line."""

import json
import random
import time
import warnings
import zipfile

import numpy as np
import pytest
from mutations import bytes_changed
from PIL import Image

from ganzoo.errors import LONGEST, UserError

from .pictures import encode, opened, rainbow, table, write_folder, write_tar, write_zip

SECONDS = 1.2
FILES = {f"{name}/{i}.png": encode(rainbow(9, 9, seed=i)) for i, name in enumerate("aabb")}
LABELS = table([[name, i % 2] for i, name in enumerate(FILES)])
DEEP = Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20))


def archives(at):
    """Data sets in one file each."""
    files = FILES | {"dataset.json": LABELS}
    return [
        write_zip(at / "stored.zip", files),
        write_zip(at / "deflated.zip", files, zipfile.ZIP_DEFLATED),
        write_zip(at / "bzip2.zip", files, zipfile.ZIP_BZIP2),
        write_zip(at / "lzma.zip", files, zipfile.ZIP_LZMA),
        write_tar(at / "plain.tar", files),
        write_tar(at / "packed.tar.gz", files, "w:gz"),
        write_tar(at / "packed.tar.bz2", files, "w:bz2"),
    ]


def pictures(at):
    """Images of every format."""
    images = {
        "a.png": encode(rainbow(30, 30, 4)),
        "b.jpg": encode(rainbow(30, 30), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        "c.webp": encode(rainbow(30, 30), "WEBP"),
        "d.gif": encode(rainbow(30, 30), "GIF"),
        "e.bmp": encode(rainbow(30, 30), "BMP"),
        "f.tif": encode(rainbow(30, 30), "TIFF", compression="tiff_lzw"),
        "g.ppm": encode(rainbow(30, 30), "PPM"),
        "h.png": encode(DEEP),
        "i.png": encode(rainbow(30, 30).quantize(16), transparency=3),
    }
    return [write_folder(at / name, {name: content}) / name for name, content in images.items()]


def tables(at):
    """Files of labels, each in a folder with its images."""
    rows = "\n".join(json.dumps({"file_name": name, "label": i}) for i, name in enumerate(FILES))
    texts = {
        "dataset.json": LABELS,
        "metadata.jsonl": rows.encode(),
        "metadata.csv": b"file_name,label\n" + b"".join(b"%s,x\n" % name.encode() for name in FILES),
    }
    return [write_folder(at / name, FILES | {name: text}) / name for name, text in texts.items()]


@pytest.mark.parametrize("make", [archives, pictures, tables])
@pytest.mark.parametrize("seed", range(2))
def test_damage_gives_a_data_set_or_the_users_error(tmp_path, make, seed, capfd, caplog):
    rng, paths = random.Random(seed), make(tmp_path)
    whole = {path: path.read_bytes() for path in paths}
    began, tried, messages = time.perf_counter(), 0, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        while time.perf_counter() - began < SECONDS or tried < 20:
            path = rng.choice(paths)
            path.write_bytes(bytes_changed(rng, whole[path]))
            one, tried = time.perf_counter(), tried + 1
            try:
                data = path if make is archives else path.parent
                dataset = opened(data, on_bad_file=rng.choice(("fail", "skip")), memory_budget_mib=rng.choice((0, 9)))
                assert all(line.isprintable() for line in dataset.describe(2).splitlines())
                assert dataset.read([0])["image"].shape == (1, 8, 8, 3)
            except UserError as error:
                messages.append(str(error))
            assert time.perf_counter() - one < 10
            path.write_bytes(whole[path])
    assert all(message.isprintable() and len(message) <= LONGEST for message in messages)
    assert [str(each.message) for each in caught] == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
