"""What a run puts together: labels of the sample grids, experiments by name, what may change on resume."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import ganzoo
import ganzoo.runs.run
from ganzoo.config import differences, to_json
from ganzoo.data import DataConfig, open_dataset
from ganzoo.runs.run import SHOWN_CLASSES, run, shown_labels
from ganzoo.runs.config import TrainingConfig, experiments
from ganzoo.runs.folder import FREE_ON_RESUME


class Labelled:
    """A data set as far as its labels matter here."""

    def __init__(self, size: int, classes: bool) -> None:
        self.class_names = tuple(map(str, range(size))) if classes else ()
        self.vectors = np.random.default_rng(0).normal(size=(5, size)).astype(np.float32)

    def __len__(self) -> int:
        return 5

    def read(self, indices) -> dict:
        return {"label": self.vectors[indices]}


def gan(label_size: int) -> ganzoo.GAN:
    return ganzoo.create("dcgan", "tiny", label_size=label_size)


def test_without_labels_grids_are_square() -> None:
    assert shown_labels(gan(0), Labelled(0, classes=False)) == (8, None)


def test_a_row_of_the_grid_is_a_class() -> None:
    columns, labels = shown_labels(gan(3), Labelled(3, classes=True))
    rows = np.asarray(labels).reshape(-1, columns, 3)
    np.testing.assert_array_equal(rows, np.eye(3)[:, None].repeat(columns, axis=1))


def test_of_many_classes_the_first_are_shown() -> None:
    columns, labels = shown_labels(gan(1000), Labelled(1000, classes=True))
    assert labels.shape == (SHOWN_CLASSES * columns, 1000)


def test_labels_that_are_no_classes_are_those_of_the_data() -> None:
    data = Labelled(4, classes=False)
    columns, labels = shown_labels(gan(4), data)
    np.testing.assert_array_equal(labels, data.vectors[np.arange(64) % 5])
    assert columns == 8


def test_every_preset_is_an_experiment() -> None:
    names = {f"{name}-{preset}" for name, model in ganzoo.MODELS.items() for preset in model.presets}
    assert set(experiments()) == names
    assert all(experiment.name == name for name, experiment in experiments().items())


def test_digits_fit_their_experiment() -> None:
    experiment = experiments()["dcgan-digits"]
    model = ganzoo.create("dcgan", "digits")
    assert model.config == experiment.gan
    assert open_dataset(experiment.data, model.image_shape).label_size == model.label_size
    training = experiment.training
    assert training.images % (training.batch_size * training.steps_per_dispatch) == 0  # no program for a rest


@pytest.mark.parametrize("name", FREE_ON_RESUME)
def test_fields_free_on_resume_exist(name: str) -> None:
    flat = (
        {line.split(":")[0] for experiment in experiments().values() for line in differences({}, to_json(experiment))}
        | {f"data.{field}" for field in to_json(DataConfig())}
        | {f"training.{field}" for field in to_json(TrainingConfig())}
    )
    assert name in flat


def test_keys_of_a_run_differ(monkeypatch, tmp_path) -> None:
    """Weights, training and the latents of the grids are drawn with keys of their own."""
    used = {}

    def stop(gan, segments, feed, state, key, settings, made, log) -> None:
        used["run"] = key

    def remember(gan, dataset, settings, images, out, checkpoints, key) -> list:
        used["sample"] = key
        return []

    monkeypatch.setattr(ganzoo.runs.run, "advance", stop)
    monkeypatch.setattr(ganzoo.runs.run, "hooks", remember)
    base = experiments()["dcgan-tiny"]
    run(replace(base, training=replace(base.training, devices=1)), tmp_path / "run", log=lambda line: None)
    steps = [jax.random.fold_in(used["run"], step) for step in range(3)]
    data = {tuple(np.asarray(jax.random.key_data(key))) for key in [used["run"], used["sample"], *steps]}
    assert len(data) == 5


def test_sampling_compiles_with_labels() -> None:
    columns, labels = shown_labels(gan(3), Labelled(3, classes=True))
    model = gan(3)
    state = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.eval_shape(lambda state: model.sample(state, jax.random.key(0), len(labels), labels=labels), state)
    assert images.shape == (3 * columns, *model.image_shape)
