"""The sizes of a pyramid: those of the papers for squares of powers of two, and sensible ones for the rest."""

import pytest

from ganzoo.errors import UserError
from ganzoo.nn.pyramid import Level, pyramid, size_of

POWERS = [2**k for k in range(2, 11)]


@pytest.mark.parametrize("side", POWERS)
def test_squares_go_from_4_to_their_side(side: int) -> None:
    for base, most in ((32768, 512), (16384, 512), (512, 64)):
        levels = pyramid(side, base, most)
        sizes = [size for size in POWERS if size <= side]
        assert levels == tuple(Level(size, size, size, min(base // size, most)) for size in sizes)
        assert pyramid((side, side), base, most) == levels


def test_published_channels() -> None:
    features = {level.resolution: level.features for level in pyramid(1024, 32768, 512)}
    assert features == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


@pytest.mark.parametrize(
    ("size", "smallest", "halvings", "resolution"),
    [
        ((192, 256), (6, 8), 5, 8),
        ((256, 192), (8, 6), 5, 8),
        ((96, 96), (6, 6), 4, 8),
        ((4, 16), (4, 16), 0, 8),
        ((64, 128), (4, 8), 4, 4),
        ((40, 40), (5, 5), 3, 4),
        ((28, 28), (7, 7), 2, 8),
        ((15, 15), (15, 15), 0, 16),
        ((704, 1280), (11, 20), 6, 16),
    ],
)  # fmt: skip
def test_other_sizes(size: tuple[int, int], smallest: tuple[int, int], halvings: int, resolution: int) -> None:
    levels = pyramid(size, 512, 64)
    assert [(level.height, level.width) for level in levels] == [
        (smallest[0] << k, smallest[1] << k) for k in range(halvings + 1)
    ]
    assert [level.resolution for level in levels] == [resolution << k for k in range(halvings + 1)]
    assert [level.features for level in levels] == [min(512 // level.resolution, 64) for level in levels]
    assert (levels[-1].height, levels[-1].width) == size


@pytest.mark.parametrize("size", range(4, 400, 7))
def test_every_size_is_made_or_answered_with_one_that_is(size: int) -> None:
    try:
        levels = pyramid(size, 512, 64)
    except UserError as error:
        nearest = int(str(error).rpartition("the nearest is ")[2])
        assert pyramid(nearest, 512, 64)[-1].height == nearest
        assert abs(nearest - size) <= size / 15
    else:
        assert levels[-1].height == levels[-1].width == size


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (100, "image_size = 100: .*; the nearest is 96"),
        ((720, 1280), r"image_size = \(720, 1280\): .*; the nearest is \(704, 1280\)"),
        ((100, 130), r"the nearest is \(96, 128\)"),
        (17, "the nearest is 16"),
        (1000, "the nearest is 1024"),
        (3, "at least 4"),
        ((3, 64), "at least 4"),
        (0, "at least 4"),
    ],
)
def test_sizes_that_are_not_made(size: int | tuple[int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pyramid(size, 512, 64)


def test_a_smallest_size_may_be_given() -> None:
    """StyleGAN-Human starts from 4 x 2; its channels follow from the height."""
    levels = pyramid((1024, 512), 32768, 512, (4, 2))
    assert [(level.resolution, level.height, level.width) for level in levels[:2]] == [(4, 4, 2), (8, 8, 4)]
    assert (levels[-1].resolution, levels[-1].height, levels[-1].features) == (1024, 1024, 32)
    assert pyramid(16, 64, 8, 4) == pyramid(16, 64, 8)
    for smallest in ((4, 4), 3, (0, 0), (32, 16)):
        with pytest.raises(UserError, match=r"smallest_size = .*: must be \(16, 8\), halved a number of times"):
            pyramid((16, 8), 64, 8, smallest)


def test_one_number_stands_for_both() -> None:
    assert size_of(64) == (64, 64)
    assert size_of((48, 64)) == (48, 64)
