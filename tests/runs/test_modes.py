"""Modes as a metric of models and of sets: what is counted, by which classifier, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from data.pictures import encode, write_folder
from PIL import Image

import ganzoo
from ganzoo.cli import main
from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import UserError
from ganzoo.metrics import MetricsConfig
from ganzoo.metrics.classifier import Classifier, init
from ganzoo.metrics.mode_count import SAMPLES
from ganzoo.runs.compare import compare
from ganzoo.runs.evaluator import Evaluator
from ganzoo.runs.modes import ModeCounter, classifier_of
from ganzoo.training import parallel

FEW = {"samples": 96, "metric_batch_size": 32}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def bars(count: int = 60, classes: Sequence[str] = ("0", "1")) -> dict[str, bytes]:
    """A grey set in which the class is the half of the picture that is bright."""
    rng, files = np.random.default_rng(0), {}
    for i in range(count):
        pixels = rng.integers(0, 60, (16, 16)).astype(np.uint8)
        pixels[8 * (i % 2) :][:8] += 150
        files[f"{classes[i % 2]}/{i}.png"] = encode(Image.fromarray(pixels))
    return files


def evaluator(data: str = "stacked-digits", metrics: Sequence[str] = ("modes",), channels: int = 3, **changes):
    gan, lines = ganzoo.create("dcgan", "tiny", channels=channels), []
    dataset = open_dataset(DataConfig(data=data), gan.image_shape)
    config = MetricsConfig(metrics=tuple(metrics), **(FEW | changes))
    return gan, Evaluator(gan, dataset, config, parallel.data_mesh(1), lines.append), lines


def test_modes_of_a_generator() -> None:
    gan, measure, lines = evaluator(metrics=("modes", "frechet"), extractor="pixels", reals=300)
    numbers = measure(gan.init(jax.random.key(0)))
    assert list(numbers) == ["pixels/frechet", "modes", "modes_kl"]
    assert 1 <= numbers["modes"] <= 96
    assert 0 < numbers["modes_kl"] <= np.log(1000)
    assert measure.higher_is_better
    about = measure.about["modes"]
    assert (about["count"], about["of"], about["classifier"]["of"]) == (96, 1000, "digits (built in)")
    assert "modes of 96 samples" in " ".join(lines)


def test_nothing_else_is_computed_or_said_where_only_modes_are_asked_for() -> None:
    _, measure, lines = evaluator(samples=SAMPLES + 1)
    assert lines == []
    assert measure.about["modes"]["count"] == SAMPLES
    assert "extractor" not in measure.about


def test_modes_of_a_set_of_files(tmp_path, capsys) -> None:
    stacked = open_dataset(DataConfig(data="stacked-digits"), (32, 32, 3))
    images = stacked.read(np.arange(60))["image"]
    write_folder(tmp_path / "fake", {f"{i}.png": encode(Image.fromarray(image)) for i, image in enumerate(images)})
    args = ["--real", "stacked-digits", "--fake", str(tmp_path / "fake"), "--metrics", "modes", "--devices", "1"]
    assert main(["evaluate", *args]) == 0
    printed = capsys.readouterr().out
    expected = len(np.unique(stacked.stack.modes[:60]))
    (found,) = (float(line.split()[1]) for line in printed.splitlines() if line.startswith("modes  "))
    assert abs(found - expected) <= 1
    write_folder(tmp_path / "grey", {"a.png": encode(Image.fromarray(images[0, ..., 0]))})
    with pytest.raises(
        UserError, match=r"modes needs images of 3 channels.*grey \(folder\) have 1: give colour images"
    ):
        compare(DataConfig(data="stacked-digits"), DataConfig(data=str(tmp_path / "grey")), MetricsConfig(("modes",)))


def test_another_set_has_a_classifier_of_its_own_which_is_named(tmp_path) -> None:
    folder = write_folder(tmp_path / "bars", bars())
    dataset = open_dataset(DataConfig(data=f"stacked:{folder}"), (16, 16, 3))
    lines: list[str] = []
    counter = ModeCounter(dataset, SAMPLES, lines.append, classifier_of(dataset.stack.parts, lines.append, steps=60))
    assert "a classifier of " in lines[0]
    assert "is trained on its labels once, then cached" in lines[0]
    assert "right for 100.0% of 12 held-out images" in lines[1]
    classes = np.array([[0, 0, 1], [1, 1, 1]], np.float32)
    assert counter(classes) == {"modes": 2.0, "modes_kl": pytest.approx(np.log(4))}
    assert str(folder) in counter.about["classifier"]["of"]
    again: list[str] = []
    classifier_of(dataset.stack.parts, again.append, steps=60)
    assert again == lines[1:]


def test_modes_that_the_data_lacks_are_outside(tmp_path) -> None:
    names = {name.replace("1/", "2/"): content for name, content in bars().items()}
    table = '{"labels": [' + ", ".join(f'["{name}", {name[0]}]' for name in names) + "]}"
    folder = write_folder(Path(tmp_path / "gap"), names | {"dataset.json": table.encode()})
    dataset = open_dataset(DataConfig(data=f"stacked:{folder}"), (16, 16, 3))
    counter = ModeCounter(dataset, SAMPLES, print, Classifier("any", init(jax.random.key(0), 3), 1.0, 1))
    numbers = counter(np.array([[0, 0, 2], [0, 1, 0], [2, 2, 2], [0, 0, 2]], np.float32))
    assert (numbers["modes"], numbers["modes_outside"]) == (2.0, 0.25)


REFUSED = {
    "set": (
        {"data": "digits"},
        r"modes needs stacked images, .* digits \(built in\) is not stacked; give --data stacked-",
    ),
    "channels": (
        {"data": "digits", "channels": 1},
        r"modes needs images of 3 channels, .* the model dcgan have 1: train",
    ),
    "extractor": (
        {"extractor": "pixels"},
        r"extractor = 'pixels': must be left out: modes has a classifier of its own",
    ),
    "reals": ({"reals": 9}, "reals = 9: must be left out: modes of the data are known from its labels"),
    "name": ({"metrics": ("stacked_mnist",)}, "did you mean 'modes'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_counted_is_refused_in_one_line(name: str) -> None:
    changes, why = REFUSED[name]
    with pytest.raises(UserError, match=why) as caught:
        evaluator(**changes)
    assert str(caught.value).isprintable()
