"""The schedule of progressive growing, against the published one."""

import jax
import jax.numpy as jnp
import pytest

import ganzoo
from ganzoo.models.stylegan.config import PRESETS, fill_defaults
from ganzoo.models.stylegan.growth import Growth, changes_networks
from ganzoo.training.plan import plan

PUBLISHED = PRESETS["ffhq1024"].config
# images seen, resolution in training, level of detail, learning rate, images of a step on 1, 2, 4 and 8 devices
TABLE = [
    (0, 8, 7.0, 1e-3, (128, 256, 256, 256)),
    (600_000, 8, 7.0, 1e-3, (128, 256, 256, 256)),
    (900_000, 16, 6.5, 1e-3, (128, 128, 128, 128)),
    (1_200_000, 16, 6.0, 1e-3, (128, 128, 128, 128)),
    (1_800_000, 16, 6.0, 1e-3, (128, 128, 128, 128)),
    (2_100_000, 32, 5.5, 1e-3, (64, 64, 64, 64)),
    (3_000_000, 32, 5.0, 1e-3, (64, 64, 64, 64)),
    (3_300_000, 64, 4.5, 1e-3, (32, 32, 32, 32)),
    (4_200_000, 64, 4.0, 1e-3, (32, 32, 32, 32)),
    (4_500_000, 128, 3.5, 1.5e-3, (16, 16, 16, 32)),
    (5_700_000, 256, 2.5, 2e-3, (8, 8, 16, 32)),
    (6_600_000, 256, 2.0, 2e-3, (8, 8, 16, 32)),
    (6_900_000, 512, 1.5, 3e-3, (4, 8, 16, 32)),
    (8_100_000, 1024, 0.5, 3e-3, (4, 8, 16, 32)),
    (8_400_000, 1024, 0.0, 3e-3, (4, 8, 16, 32)),
    (25_000_000, 1024, 0.0, 3e-3, (4, 8, 16, 32)),
]


@pytest.mark.parametrize(("devices", "column"), [(1, 0), (2, 1), (4, 2), (8, 3)])
def test_the_published_table(devices: int, column: int) -> None:
    config, batch_size = fill_defaults(PUBLISHED, 0, devices)
    assert batch_size == (4, 8, 16, 32)[column]
    for images, resolution, lod, rate, sizes in TABLE:
        assert config.growth.level_of_detail(images) == pytest.approx(lod)
        halvings = next(k for k, level in enumerate(reversed(config.levels)) if level.resolution == resolution)
        assert config.learning_rate(halvings) == rate
        assert config.batch_size(halvings) == sizes[column]


@pytest.mark.parametrize("devices", [1, 8])
def test_stages_are_those_of_the_table(devices: int) -> None:
    config, batch_size = fill_defaults(PUBLISHED, 0, devices)
    segments = plan(ganzoo.MODELS["stylegan"].build(config).stages, batch_size, 25_000_000)
    assert [segment.stage.name for segment in segments] == [f"{2**k}x{2**k}" for k in range(3, 11)]
    for images, resolution, *_ in TABLE:
        segment = next(
            segment for segment in segments if images <= segment.last_image
        )  # the one that leads past so many images
        if images % 600_000:
            assert segment.stage.name == f"{resolution}x{resolution}"
    for i, segment in enumerate(segments[:-1]):
        late = segment.last_image - (600_000 + i * 1_200_000)
        assert 0 < late <= 4 * segment.batch_size  # at the first look at the schedule after its end
        assert segment.last_step % 4 == 0


def test_the_traced_schedule_is_the_same() -> None:
    growth = Growth(start=3, training_images=70, fading_images=30, interval=1)
    images = jnp.arange(0, 500, 7, dtype=jnp.uint32)
    traced = jax.vmap(lambda n: growth.renewed(n, jnp.int32(0), jnp.float32(3)))(images)
    assert [float(x) for x in traced] == pytest.approx([growth.level_of_detail(int(n)) for n in images])


def test_the_schedule_is_looked_at_every_interval() -> None:
    growth = Growth(start=1, training_images=10, fading_images=10, interval=4)
    at = [float(growth.renewed(jnp.uint32(15), jnp.int32(step), jnp.float32(0.9))) for step in range(6)]
    assert at == pytest.approx([0.5, 0.9, 0.9, 0.9, 0.5, 0.9])


def test_levels_appear_at_once_where_nothing_fades() -> None:
    growth = Growth(start=2, training_images=10, fading_images=0, interval=1)
    assert [growth.level_of_detail(n) for n in (0, 9, 10, 19, 20, 99)] == [2, 2, 1, 1, 0, 0]
    assert [growth.last_image(k) for k in (2, 1, 0)] == [9, 19, None]


@pytest.mark.parametrize(
    ("before", "now", "changes"), [(2, 2, False), (2, 1.9, True), (1.9, 1.1, False), (1.1, 1, True), (0, 0, False)]
)
def test_networks_change_where_a_fade_begins_and_ends(before: float, now: float, changes: bool) -> None:
    assert bool(changes_networks(jnp.float32(before), jnp.float32(now))) == changes
