"""Which stage takes which steps of a run."""

from typing import Any

import pytest

from ganzoo.gan import Stage
from ganzoo.training.plan import plan


def stage(name: str, *rest: Any) -> Stage:
    return Stage(name, lambda state, batch, key: (state, {}), *rest)


def segments(*stages: Stage, batch_size: int = 10, images: int = 1000) -> list[tuple]:
    found = plan(stages, batch_size, images)
    return [
        (segment.stage.name, segment.batch_size, segment.first_step, segment.last_step, segment.last_image)
        for segment in found
    ]


@pytest.mark.parametrize(("images", "steps"), [(100, 4), (96, 3), (97, 4), (1, 1)])
def test_one_stage_covers_the_images(images: int, steps: int) -> None:
    assert segments(stage("one"), batch_size=32, images=images) == [("one", 32, 0, steps, 32 * steps)]


def test_the_next_stage_begins_when_more_than_the_last_image_were_seen() -> None:
    stages = stage("a", 0, 100), stage("b", 50, 200), stage("c")
    assert segments(*stages, images=305) == [("a", 10, 0, 11, 110), ("b", 50, 11, 13, 210), ("c", 10, 13, 23, 310)]


def test_and_at_a_multiple_of_its_interval() -> None:
    stages = stage("a", 0, 100, 4), stage("b", 0, None, 4)
    assert segments(*stages)[0] == ("a", 10, 0, 12, 120)


def test_stages_that_are_over_are_left_out() -> None:
    stages = stage("a", 0, 5), stage("b", 0, 8), stage("c")
    assert [segment[0] for segment in segments(*stages)] == ["a", "c"]


def test_a_short_run_ends_in_its_first_stage() -> None:
    assert segments(stage("a", 0, 100), stage("b"), images=40) == [("a", 10, 0, 4, 40)]


def test_images_are_counted_from_the_leg_s_own_start() -> None:
    first, second = plan([stage("a", 30, 50), stage("b")], 10, 100)
    assert (first.images_at(1), second.first_image, second.images_at(3)) == (30, 60, 70)
