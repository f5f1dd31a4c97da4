"""Pictures of pictures, and that a file is whole or not there."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.errors import UserError
from ganzoo.grids import coloured, enlarged, grid, save_picture, save_png, save_slides

RNG = np.random.default_rng(0)
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 255, shape, np.uint8)  # never 255, so that it is not the background


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(("count", "columns", "gap"), [(6, 3, 2), (5, 2, 3), (3, 4, 1), (4, 4, 0), (1, 1, 2)])
def test_images_lie_in_rows_with_background_between(count, columns, gap, channels) -> None:
    height, width = 4, 3
    images = noise(count, height, width, channels)
    picture = grid(images, columns, gap=gap)
    rows = -(-count // columns)
    assert picture.shape == (rows * height + (rows - 1) * gap, columns * width + (columns - 1) * gap, channels)
    assert picture.dtype == np.uint8
    rest = np.ones(picture.shape[:2], bool)
    for i, image in enumerate(images):
        at = np.s_[(i // columns) * (height + gap) :, (i % columns) * (width + gap) :]
        np.testing.assert_array_equal(picture[at][:height, :width], image)
        rest[at][:height, :width] = False
    transparent = channels in (2, 4)
    background = [255] * (channels - transparent) + [0] * transparent
    assert (picture[rest] == background).all()


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    image = noise(3, 5, 2)
    large = enlarged(image, 20)
    assert large.shape == (12, 20, 2)
    np.testing.assert_array_equal(large[::4, ::4], image)
    np.testing.assert_array_equal(large[3::4, 3::4], image)


@pytest.mark.parametrize("size", [512, 700, 2000])
def test_large_pictures_stay_as_they_are(size) -> None:
    image = noise(2, size, 1)
    np.testing.assert_array_equal(enlarged(image, 512), image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_a_png_reads_back_the_same(tmp_path, channels) -> None:
    image = noise(4, 7, channels)
    file = tmp_path / "a.png"
    save_png(file, image)
    with Image.open(file) as picture:
        assert picture.mode == MODES.get(channels, "RGB")
        assert picture.format == "PNG"
        seen = np.asarray(picture)
    np.testing.assert_array_equal(seen.reshape(4, 7, -1), image[..., : seen.shape[2] if seen.ndim == 3 else 1])
    assert os.listdir(tmp_path) == ["a.png"]


def test_an_older_file_is_replaced(tmp_path) -> None:
    file, image = tmp_path / "a.png", noise(2, 2, 3)
    file.write_bytes(b"old")
    save_png(file, image)
    np.testing.assert_array_equal(np.asarray(Image.open(file)), image)


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*nowhere.*a\.png: No such file"):
        save_png(tmp_path / "nowhere" / "a.png", noise(2, 2, 1))


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"old")

    def full(descriptor) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # half of it is there by then
    with pytest.raises(UserError, match=r"cannot write .*a\.png: No space left on device"):
        save_png(file, noise(2, 2, 1))
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


# Films --------------------------------------------------------------------------------------------------------------


def frames(folder, count: int, side: int = 8) -> list:
    """Frames of one grey each, darker and darker, a step too large for compression to hide."""
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        save_png(path, np.full((side, side, 1), 250 - 20 * (i % 12), np.uint8))
    return paths


def greys(file) -> list[int]:
    with Image.open(file) as film:
        shown = []
        for i in range(film.n_frames):
            film.seek(i)
            shown.append(int(np.asarray(film.convert("L"))[0, 0]))
    return shown


def test_a_film_shows_its_frames_in_their_order(tmp_path) -> None:
    save_slides(tmp_path / "film.webp", frames(tmp_path, 5))
    assert np.abs(np.array(greys(tmp_path / "film.webp")) - [250, 230, 210, 190, 170]).max() <= 3


def test_a_long_film_leaves_frames_out_but_not_its_ends(tmp_path) -> None:
    save_slides(tmp_path / "film.webp", frames(tmp_path, 12), longest=4)
    shown = greys(tmp_path / "film.webp")
    assert len(shown) == 4
    assert np.abs(np.array(shown) - [250, 170, 110, 30]).max() <= 3  # frames 0, 4, 7, 11


def test_a_film_is_reduced_and_leaves_out_what_is_broken(tmp_path) -> None:
    paths = frames(tmp_path, 3, side=64)
    paths[1].write_bytes(b"broken")
    save_slides(tmp_path / "film.webp", paths, largest=16)
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (2, (16, 16))


def test_a_film_of_what_others_have_put_there(tmp_path, monkeypatch) -> None:
    """PostScript by the name of a PNG starts no program; pipes are not waited for; other sizes are left out."""
    paths = frames(tmp_path, 5)
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    paths[1].write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    paths[2].unlink()
    os.mkfifo(paths[2])
    save_png(paths[3], np.zeros((9, 8, 1), np.uint8))
    save_slides(tmp_path / "film.webp", paths)
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size) == (2, (8, 8))
    assert not (tmp_path / "canary").exists()


def test_no_frames_make_no_film(tmp_path) -> None:
    save_slides(tmp_path / "film.webp", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_pictures_of_any_channels(channels: int, tmp_path: Path) -> None:
    frames = [np.random.default_rng(0).integers(0, 256, (8, 6, channels), np.uint8)]
    for name in ("a.png", "a.webp"):
        save_picture(tmp_path / name, frames[0])
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (6, 8)
            pixels = np.asarray(picture.convert("RGBA"))
        shown = coloured(frames[0])
        opaque = np.full((8, 6), True) if shown.shape[-1] == 3 else shown[..., 3] > 0
        np.testing.assert_array_equal(pixels[..., :3][opaque], shown[..., :3][opaque])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.webp"]


def test_a_picture_of_another_format(tmp_path: Path) -> None:
    frame = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UserError, match="must end in"):
        save_picture(tmp_path / "a.jpg", frame)
