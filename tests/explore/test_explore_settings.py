"""Settings in an address: they come back as they were, and nothing unknown passes."""

import pytest

from ganzoo.errors import UserError
from ganzoo.explore.settings import LONGEST, READERS, Settings, Step, parse, to_query

ALL = Settings(
    seed=2**32 - 1, walk=(Step(7, 0.5, -0.25), Step(8, 0.0, 1.0)), psi=0.7, cutoff=3, label=((3, 0.5), (4, 1.0)),
    noise="random", noise_seed=5, strength=(1.0, 0.25), mix=9, mix_layers=(2, 3), pca=((0, 1.5), (3, -2.0)),
    closed=((1, 1e-3),), layers=(0, 1), move=(0.1, -0.2), rotate=30.0, scale=1.25, styles="0a1b", weights="f00",
    at=1.5, way="cubic",
)  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(seed=3), ALL, Settings(path=(Settings(), Settings(seed=2, psi=0.1), ALL), at=0.25)],
    ids=["plain", "seed", "all", "path"],
)
def test_they_come_back(settings: Settings) -> None:
    assert parse(to_query(settings)) == settings


def test_every_field_has_a_name_in_the_address() -> None:
    names = {"class" if name == "label" else name.replace("_", "-") for name in Settings.__dataclass_fields__}
    assert names == set(READERS)


def test_a_query_is_short_and_readable() -> None:
    assert to_query(Settings()) == ""
    assert (
        to_query(Settings(seed=3, psi=0.7, label=((2, 1.0),), layers=(0, 3))) == "seed=3&psi=0.7&class=2:1&layers=0-3"
    )
    assert parse("class=2") == parse("class=2:1")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("seeds=3", "unknown setting 'seeds'; did you mean 'seed'?"),
        ("seed=3&seed=4", "seed is there twice"),
        ("seed=-1", "seed = -1: must be a whole number from 0 to 4,294,967,295"),
        ("seed=4294967296", "whole number"),
        ("seed=٣", "whole number"),
        ("psi=nan", "psi = nan: must be from -100 to 100"),
        ("psi=1e999", "must be from"),
        ("psi=", "psi = : must be like 0.7"),
        ("class=a", "class = a: must be a whole number"),
        ("walk=1:2", "walk = 1:2: must be like 7:0.5:-0.25"),
        ("layers=4-2", "must begin with the smaller number"),
        ("noise=loud", "must be one of const, random, none"),
        ("styles=../../etc", "must be a name that this page was given"),
        ("path=path%3Dseed%253D1", "must be one image, not a path"),
        ("path=" + "|".join(["seed%3D1"] * 65), "at most 64 parts"),
        ("seed", "no list of settings"),
        ("seed=" + "1" * LONGEST, "characters, more than"),
    ],
)
def test_what_is_wrong_is_named(query: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(query)
    assert told in str(caught.value)
