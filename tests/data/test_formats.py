"""Image files of every format: the right pixels, damage that is named, and nothing on stderr."""

import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
from PIL import Image, PngImagePlugin

from ganzoo.data import formats, images, png
from ganzoo.data.formats import reason
from ganzoo.data.images import Look, Target, decode, look

from .pictures import encode, flat, opened, rainbow, write_folder

LIMIT = 10**6
SIDES = Target(8, 8, 3)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(pixels, color, *between):
    """A PNG of 16-bit values [H, W, C], by its own rules and with all its filters, with more chunks before its data."""
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    step, lines = 2 * channels, []
    for y, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        up = rows[y - 1] if y else np.zeros_like(row)
        corner = np.concatenate([np.zeros(step, int), up[:-step]])
        guess = left + up - corner
        near = [abs(guess - other) for other in (left, up, corner)]
        paeth = np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner))
        kind = y % 5
        predicted = [0, left, up, (left + up) // 2, paeth][kind]
        lines.append(bytes([kind]) + ((row - predicted) % 256).astype(np.uint8).tobytes())
    head = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    chunks = ((b"IHDR", head), *between, (b"IDAT", zlib.compress(b"".join(lines))), (b"IEND", b""))
    return png.SIGNATURE + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("TIFF", "tif"), ("TIFF", "TIFF"), ("BMP", "bmp"), ("PPM", "ppm"), ("PPM", "pnm"), ("GIF", "gif"),
     ("JPEG", "jfif"), ("JPEG", "JPE"), ("WEBP", "webp"), ("PNG", "png")],
)  # fmt: skip
def test_files_of_every_ending_are_read(tmp_path, kind, name):
    image = flat((200, 100, 50))
    found = opened(write_folder(tmp_path / "set", {f"a.{name}": encode(image, kind)})).read([0])["image"][0, 4, 4]
    assert np.abs(found.astype(int) - [200, 100, 50]).max() <= 2


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressed_tiff(compression):
    found = decode(encode(flat((200, 100, 50)), "TIFF", compression=compression), SIDES)
    assert np.abs(found[4, 4].astype(int) - [200, 100, 50]).max() <= 2


BEFORE_13 = int(PIL.__version__.split(".")[0]) < 13
YCBCR = pytest.param("YCbCr", marks=pytest.mark.skipif(BEFORE_13, reason="Pillow 12 does not read what it wrote"))


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", YCBCR])
def test_tiff_of_every_mode(mode):
    image = flat((90, 90, 90)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 90 << 8, np.uint16))
    assert abs(int(decode(encode(image, "TIFF"), Target(8, 8, 1))[4, 4, 0]) - 90) <= 12


@pytest.mark.parametrize("values", [np.full((8, 8), 0.5, np.float32), np.full((8, 8), 70_000, np.int32)])
def test_values_that_have_no_8_bits_are_refused(values):
    with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
        decode(encode(Image.fromarray(values), "TIFF"), SIDES)


def test_a_program_outside_is_never_started():
    """Pillow would hand PostScript to Ghostscript."""
    with pytest.raises(ValueError, match="not a PNG"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", SIDES)


# PNG ----------------------------------------------------------------------------------------------------------------


def test_a_wrong_checksum_is_damage():
    data = bytearray(encode(rainbow()))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(ValueError, match=r"damaged: the checksum of the chunk IDAT at byte \d+ is wrong"):
        decode(bytes(data), SIDES)


def test_a_wrong_checksum_of_a_text_does_not_matter():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "hello")
    data = bytearray(encode(rainbow(), pnginfo=info))
    data[data.index(b"hello")] ^= 1
    assert np.array_equal(decode(bytes(data), Target(12, 12, 3)), np.asarray(rainbow()))


@pytest.mark.parametrize("compressed", [False, True])
def test_long_texts_are_no_attack(compressed):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 2**23, zip=compressed)
    assert np.array_equal(decode(encode(rainbow(), pnginfo=info), Target(12, 12, 3)), np.asarray(rainbow()))


def test_the_orientation_after_the_pixels_is_found():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(rainbow(5, 7))
    place = data.index(b"IEND") - 4
    data = data[:place] + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[place:]
    assert look(data, LIMIT) == Look(7, 5, 3)
    assert np.array_equal(decode(data, Target(7, 5, 3)), np.rot90(np.asarray(rainbow(5, 7)), -1))


def test_the_orientation_in_xmp_is_kept():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>')
    image = flat((0, 0, 0))
    image.putpixel((0, 0), (255, 255, 255))
    assert decode(encode(image, pnginfo=info), SIDES)[7, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize("channels", [3, 1])
def test_transparency_of_16_bits_is_exact(channels):
    """A colour that differs in the low byte only is not the transparent one."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**16, (15, 13, channels), np.uint16)
    key = np.array([0x1234, 0x5678, 0x9ABC], np.uint16)[:channels]
    pixels[3, 4], pixels[5, 6] = key, key + np.array([1, 0, 0], np.uint16)[:channels]
    pixels[9:11] = key
    data = write_png(pixels, 2 if channels == 3 else 0, (b"tRNS", key.astype(">u2").tobytes()))
    found = decode(data, Target(15, 13, 4))
    assert np.array_equal(found[..., 3] == 0, (pixels == key).all(-1))
    assert np.array_equal(found[..., :3], np.broadcast_to(pixels >> 8, (15, 13, 3)))
    assert (decode(data, Target(15, 13, 3))[3, 4] == 255).all()


def test_transparency_of_interlaced_16_bits():
    """The passes of an interlaced image are images by themselves."""
    width, height = 5, 3
    pixels = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3) * 7
    key = pixels[1, 2]
    lines = b""
    for y, x, dy, dx in png._ADAM7:
        part = pixels[y::dy, x::dx]
        if part.size:
            lines += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"tRNS", key.astype(">u2").tobytes()), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    data = png.SIGNATURE + b"".join(chunk(*each) for each in chunks)
    found = decode(data, Target(height, width, 4))
    assert np.argwhere(found[..., 3] == 0).tolist() == [[1, 2]]
    assert np.array_equal(found[..., :3], pixels >> 8)


# Large images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "PA", "transparent"])
@pytest.mark.parametrize("name", ["lanczos", "bicubic", "nearest", "box"])
@pytest.mark.parametrize("crop", ["center", "none"])
def test_strips_give_the_same_pixels(monkeypatch, mode, name, crop):
    if mode == "I;16":
        image = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (71, 53), np.uint16))
    elif mode == "transparent":
        image = rainbow(71, 53).quantize(16)
        image.info["transparency"] = bytes(range(0, 256, 16))
    else:
        image = rainbow(71, 53, 4).convert({"1": "RGB", "P": "RGB", "PA": "RGBA"}.get(mode, mode)).convert(mode)
    for channels in (1, 2, 3, 4):
        for height, width in ((16, 16), (71, 53), (40, 7), (80, 90)):
            target = Target(height, width, channels, crop, name)
            monkeypatch.setattr(images, "_STRIP", 2**20)
            whole = images.fit(image, target)
            monkeypatch.setattr(images, "_STRIP", 500)
            assert np.array_equal(images.fit(image, target), whole), target


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr(formats, "LARGE", 100)
    busy, most, lock = 0, 0, threading.Lock()
    real = images.fit

    def counting(image, target):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        result = real(image, target)
        with lock:
            busy -= 1
        return result

    monkeypatch.setattr(images, "fit", counting)
    data = encode(rainbow(200, 200))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(data, SIDES), range(40)))
    assert most == 1


def test_a_large_jpeg_is_reduced_while_it_is_decoded(monkeypatch):
    image = rainbow(40, 40).resize((1600, 1600), Image.Resampling.BICUBIC)
    data = encode(image, "JPEG", quality=95)
    whole = decode(data, Target(40, 40, 3)).astype(int)
    monkeypatch.setattr(formats, "LARGE", 100)
    assert np.abs(decode(data, Target(40, 40, 3)) - whole).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_pillows_own_limit_does_not_matter_and_stays(monkeypatch, kind):
    data = encode(flat((9, 9, 9), size=(64, 64)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(formats, "LARGE", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data, SIDES).shape == (8, 8, 3)
        assert (look(data, LIMIT).height, look(data, LIMIT).width) == (64, 64)
    assert Image.MAX_IMAGE_PIXELS == 100


# What is said -------------------------------------------------------------------------------------------------------


def test_what_a_head_tells():
    assert look(encode(rainbow(5, 7, 1)), LIMIT) == Look(5, 7, 1)
    assert look(encode(rainbow(5, 7, 2)), LIMIT) == Look(5, 7, 2)
    assert look(encode(rainbow(5, 7, 3), "JPEG"), LIMIT) == Look(5, 7, 3)
    assert look(encode(rainbow(5, 7, 4), "WEBP"), LIMIT) == Look(5, 7, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert look(encode(rainbow(5, 7), "JPEG", exif=exif), LIMIT) == Look(7, 5, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("top", "dim"), [(4095, True), (4096, False), (65535, False)])
def test_12_bits_in_16_are_seen(channels, top, dim):
    pixels = np.linspace(0, top, 8 * 8 * channels).astype(np.uint16).reshape(8, 8, channels)
    assert look(write_png(pixels, 2 if channels == 3 else 0), LIMIT) == Look(8, 8, channels, True, dim)


DAMAGED = {
    "GIF": encode(rainbow(40, 40), "GIF"),
    "TIFF": encode(rainbow(40, 40), "TIFF", compression="tiff_adobe_deflate"),
    "LZW": encode(rainbow(40, 40), "TIFF", compression="tiff_lzw"),
    "JPEG": encode(rainbow(40, 40), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage"),
    "PNG": encode(rainbow(40, 40), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_silent_on_stderr_and_one_line(kind, capfd, caplog):
    data, whys = DAMAGED[kind], []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for place in range(8, len(data), 97):
            broken = data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]
            try:
                decode(broken, SIDES)
            except Exception as error:
                whys.append(reason(error))
    assert all(why and "\n" not in why for why in whys)
    assert caught == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_gif_whose_first_frame_is_larger_than_its_screen():
    data = bytearray(encode(flat((9, 9, 9)), "GIF"))
    place = data.index(b",\0\0\0\0\x08\0\x08\0")
    data[place + 5 : place + 9] = struct.pack("<HH", 12_000, 13_000)
    data[place:place] = b"\x21\xf9\4\x0c\0\0\0\0"  # disposed of, which is where Pillow warns
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(formats.TooLarge, match="12000 x 13000"):
            look(bytes(data), LIMIT)


def test_the_reasons_of_all_kinds_of_errors():
    assert reason(OSError(2, "No such file")) == "No such file"
    assert reason(MemoryError()) == "too large for the memory"
    assert reason(KeyError(3)) == "KeyError: 3"
    assert reason(ValueError("a\n b")) == "a b"
    assert reason(EOFError()) == "EOFError: "
