import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ganzoo.data.formats import TooLarge, reason
from ganzoo.data.images import Target, decode
from ganzoo.errors import UserError

from .pictures import encode, flat, rainbow


def pixel(data, channels, size=8):
    """The pixel in the middle of the decoded picture."""
    return decode(data, Target(size, size, channels))[size // 2, size // 2].tolist()


def rgb16(values):
    """A one-pixel PNG of 16-bit RGB, which Pillow reads but does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">3H", *values)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "channels"), [("PNG", 1), ("PNG", 2), ("PNG", 3), ("PNG", 4), ("WEBP", 3), ("WEBP", 4)]
)
def test_a_picture_of_the_wanted_shape_is_left_alone(kind, channels):
    image = rainbow(6, 9, channels)
    expected = np.asarray(image).reshape(6, 9, channels)
    data = encode(image, kind, lossless=True, exact=True) if kind == "WEBP" else encode(image)
    assert np.array_equal(decode(data, Target(6, 9, channels)), expected)


@pytest.mark.parametrize("have", [1, 2, 3, 4])
@pytest.mark.parametrize("want", [1, 2, 3, 4])
def test_every_number_of_channels_becomes_every_other(have, want):
    image = decode(encode(rainbow(9, 7, have)), Target(4, 5, want))
    assert image.shape == (4, 5, want)
    assert image.dtype == np.uint8
    if want in (2, 4) and have in (1, 3):
        assert (image[..., -1] == 255).all()


def test_grey_is_repeated_in_colours():
    image = decode(encode(rainbow(8, 8, 1)), Target(8, 8, 3))
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize(
    ("image", "channels", "expected"),
    [
        (flat((200, 0, 0, 0), "RGBA"), 3, [255, 255, 255]),
        (flat((0, 0, 0, 128), "RGBA"), 3, [127, 127, 127]),
        (flat((0, 0, 0, 128), "RGBA"), 1, [127]),
        (flat((0, 128), "LA"), 3, [127, 127, 127]),
        (flat((0, 128), "LA"), 1, [127]),
        (flat((10, 128), "LA"), 4, [10, 10, 10, 128]),
        (flat((10, 20, 30, 40), "RGBA"), 4, [10, 20, 30, 40]),
        (flat(1, "1"), 1, [255]),
    ],
)
def test_transparency_is_kept_or_laid_over_white(image, channels, expected):
    assert pixel(encode(image), channels) == expected


def test_a_palette_is_expanded_with_its_transparent_colour():
    image = flat((255, 0, 0)).quantize(4)
    assert image.mode == "P"
    assert pixel(encode(image), 3) == [255, 0, 0]
    index = image.getpixel((0, 0))
    assert pixel(encode(image, transparency=index), 4)[3] == 0
    assert pixel(encode(image, transparency=index), 3) == [255, 255, 255]


def test_a_colour_declared_transparent_is_transparent():
    data = encode(flat((9, 8, 7)), transparency=(9, 8, 7))
    assert pixel(data, 4)[3] == 0
    assert pixel(data, 3) == [255, 255, 255]
    assert pixel(encode(flat(9, "L"), transparency=9), 1) == [255]


def test_cmyk_becomes_rgb():
    red, green, blue = pixel(encode(flat((0, 255, 255, 0), "CMYK"), "JPEG", quality=95), 3)
    assert red > 245
    assert max(green, blue) < 10


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (255, 0), (256, 1), (0x7FFF, 127), (65535, 255)])
def test_16_bit_values_keep_their_high_byte_in_grey_and_colour(value, expected):
    grey = Image.fromarray(np.full((8, 8), value, np.uint16))
    assert pixel(encode(grey), 1) == [expected]
    assert pixel(encode(grey), 4) == [expected] * 3 + [255]
    assert decode(rgb16([value] * 3), Target(1, 1, 3)).ravel().tolist() == [expected] * 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_the_exif_orientation_is_applied(kind):
    image = flat((0, 0, 0), size=(16, 8))
    image.paste((255, 255, 255), (0, 0, 8, 8))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter: white on top
    turned = decode(encode(image, kind, exif=exif), Target(16, 8, 1))
    assert turned[2:6].min() > 245
    assert turned[10:14].max() < 10


def test_a_malformed_exif_block_is_ignored():
    data = encode(flat((10, 10, 10)), "JPEG", exif=b"Exif\0\0nonsense")
    assert pixel(data, 1) == [10]


@pytest.mark.parametrize("name", ["lanczos", "bicubic", "bilinear", "hamming", "box", "nearest"])
def test_resizing_is_pillows(name):
    image = rainbow(30, 20)
    expected = image.resize((5, 7), Image.Resampling[name.upper()])
    assert np.array_equal(decode(encode(image), Target(7, 5, 3, "none", name)), np.asarray(expected))


@pytest.mark.parametrize(("height", "width", "box"), [(6, 6, (3, 0, 9, 6)), (2, 12, (0, 2, 12, 4)), (6, 12, None)])
def test_the_center_crop_is_the_largest_box_of_the_wanted_shape(height, width, box):
    image = rainbow(6, 12)
    assert np.array_equal(decode(encode(image), Target(height, width, 3)), np.asarray(image.crop(box)))


def test_without_a_crop_the_whole_picture_is_squeezed():
    image = flat((0, 0, 0), size=(30, 10))
    image.paste((255, 255, 255), (0, 0, 10, 10))
    assert decode(encode(image), Target(10, 10, 1, "none"))[5, 0] == 255
    assert decode(encode(image), Target(10, 10, 1, "center")).max() < 40


def test_extreme_aspect_ratios_leave_at_least_a_pixel():
    assert decode(encode(rainbow(1, 500)), Target(64, 1, 3)).shape == (64, 1, 3)
    assert decode(encode(rainbow(500, 1)), Target(1, 64, 3)).shape == (1, 64, 3)


def test_invisible_colours_do_not_bleed():
    image = flat((255, 0, 0, 0), "RGBA", (16, 16))
    image.paste((0, 0, 255, 255), (0, 0, 16, 8))
    image = decode(encode(image), Target(4, 4, 4))
    assert (image[..., 0] == 0).all()


@pytest.mark.parametrize("shape", [(8, 8, 5), (8, 8, 0), (0, 8, 3), (8, -1, 3)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(UserError, match=r"channels|sides"):
        Target(*shape)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a PNG"),
        (b"just text", "not a PNG"),
        (encode(rainbow(40, 40))[:1500], "truncated"),
        (encode(rainbow(40, 40), "JPEG")[:700], "truncated"),
        (encode(rainbow(40, 40), "WEBP")[:400], ""),
        (encode(rainbow(40, 40))[:20], ""),
    ],
)
def test_broken_pictures_have_a_reason_on_one_line(data, words):
    try:
        decode(data, Target(8, 8, 3))
    except Exception as error:
        why = reason(error)
    assert why
    assert words in why
    assert "\n" not in why


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_an_image_of_too_many_pixels_is_not_decoded(kind):
    data = encode(flat((0, 0, 0), size=(100, 90)), kind)
    assert decode(data, Target(8, 8, 3, max_pixels=9000)).shape == (8, 8, 3)
    with pytest.raises(TooLarge, match="100 x 90 = 9,000 pixels, more than --max-pixels 8999"):
        decode(data, Target(8, 8, 3, max_pixels=8999))
