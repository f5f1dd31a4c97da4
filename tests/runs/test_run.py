"""What a run puts together: labels of the sample grids, experiments by name, what may change on resume."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import ganzoo
from ganzoo.config import to_json
from ganzoo.data import DataConfig, open_dataset
from ganzoo.errors import UserError
from ganzoo.grids import save_png
from ganzoo.metrics import MetricsConfig
from ganzoo.models import dcgan
from ganzoo.runs.api import with_fields
from ganzoo.runs.config import Experiment, TrainingConfig, experiments, find_experiment, resolve
from ganzoo.runs.evaluate import evaluate_run
from ganzoo.runs.folder import FREE_ON_RESUME, begin_folder
from ganzoo.runs.run import SHOWN_CLASSES, prepare, run, shown_labels
from ganzoo.training.hooks import Hook


class Labelled:
    """A data set as far as its labels matter here."""

    def __init__(self, size: int, classes: bool, absent: tuple[int, ...] = ()) -> None:
        self.class_names = tuple(map(str, range(size))) if classes else ()
        self.present_classes = np.setdiff1d(np.arange(len(self.class_names)), absent)
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


def test_classes_without_images_are_not_shown() -> None:
    columns, labels = shown_labels(gan(5), Labelled(5, classes=True, absent=(0, 3)))
    assert np.asarray(labels).argmax(1)[::columns].tolist() == [1, 2, 4]


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
    assert training.images % (training.batch_size * 8) == 0  # no program for a rest


@pytest.mark.parametrize("name", FREE_ON_RESUME)
def test_fields_free_on_resume_exist(name: str) -> None:
    known = {f"data.{field}" for field in to_json(DataConfig())}
    known |= {f"training.{field}" for field in to_json(TrainingConfig())}
    known |= {f"gan.{field}" for field in to_json(experiments()["stylegan2-tiny"].gan)}
    assert name in {"name", *known}


def quiet(line: str) -> None:
    del line


def tiny(**training: Any) -> Experiment:
    base = experiments()["dcgan-tiny"]
    return replace(base, training=replace(base.training, **{"devices": 1, "images": 64, **training}))


def test_keys_of_a_run_differ(tmp_path) -> None:
    """Weights, training and the latents of the grids are drawn with keys of their own."""
    prepared = prepare(tiny(), tmp_path / "run", log=quiet)
    keys = [prepared.key(purpose) for purpose in range(3)]
    steps = [jax.random.fold_in(prepared.key(1), step) for step in range(3)]
    assert len({tuple(np.asarray(jax.random.key_data(key))) for key in [*keys, *steps]}) == 6


def test_a_dry_run_says_all_and_writes_nothing(tmp_path) -> None:
    lines: list[str] = []
    run(tiny(), tmp_path / "run", dry_run=True, log=lines.append)
    text = "\n".join(lines)
    assert not list(tmp_path.iterdir())
    for part in (
        "G 1,752 and D 848 parameters",
        "FLOPs an image",
        "compiled in",
        "MB",
        "10 classes",
        "nothing was written",
    ):
        assert part in text


def counting(traces: list[int]) -> ganzoo.Model:
    """The tiny DCGAN, whose step says when it is traced."""

    def build(config: Any) -> ganzoo.GAN:
        gan = dcgan.dcgan(config)

        def step(state, batch, key):
            traces.append(len(batch["image"]))
            return gan.step(state, batch, key)

        return replace(gan, step=step, stages=(ganzoo.gan.Stage(gan.name, step),))

    return replace(dcgan.MODEL, build=build)


def test_a_step_is_traced_once(tmp_path) -> None:
    traces: list[int] = []
    run(replace(tiny(), model=counting(traces)), tmp_path / "run", log=quiet)
    assert traces == [16]


def test_what_was_left_open_is_returned_as_values() -> None:
    experiment = find_experiment("stylegan2-auto")
    whole, chosen = resolve(experiment, devices=1)
    fields = {each.field: (each.old, each.new) for each in chosen}
    assert fields["training.batch_size"] == (0, whole.training.batch_size)
    assert fields["gan.r1_gamma"] == (None, whole.gan.r1_gamma)
    again, same = resolve(whole, devices=8)
    assert (again, same) == (whole, [])


def on_digits() -> Experiment:
    experiment = find_experiment("stylegan2-auto")
    return replace(experiment, data=replace(experiment.data, data="digits"))


def test_an_auto_preset_reads_size_channels_and_labels_from_the_data() -> None:
    whole, chosen = resolve(on_digits(), devices=1)
    assert (whole.gan.image_size, whole.gan.channels, whole.gan.label_size) == (8, 1, 10)
    assert {"gan.image_size", "gan.channels", "gan.label_size"} <= {each.field for each in chosen}
    without = replace(on_digits(), data=DataConfig(labels="none"))
    assert resolve(without, devices=1)[0].gan.label_size == 0


def test_what_is_given_is_not_read_from_the_data() -> None:
    given = with_fields(on_digits(), {"image_size": 32, "label_size": 0, "images": 64})
    gan = resolve(given, devices=1)[0].gan
    assert (gan.image_size, gan.channels, gan.label_size) == (32, 1, 0)


def test_a_resumed_run_keeps_what_was_read_from_the_data() -> None:
    old, _ = resolve(on_digits(), devices=1)
    other = replace(on_digits(), data=DataConfig(data="nowhere"))
    recorded = json.loads(json.dumps(old.to_json()))
    assert resolve(other, devices=1, recorded=recorded)[0].gan == old.gan


def test_a_folder_of_another_format_is_named(tmp_path) -> None:
    run(tiny(), tmp_path / "run", log=quiet)
    config = tmp_path / "run" / "config.json"
    record = json.loads(config.read_text())
    assert record.pop("format") == 2
    config.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run folder of format 1, written by ganzoo 0\.1"):
        run(tiny(images=128), tmp_path / "run", resume=True, log=quiet)
    with pytest.raises(UserError, match="format 1"):
        ganzoo.load(tmp_path / "run")


# Starting from other weights ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A run with twice the features of the others."""
    out = tmp_path_factory.mktemp("source") / "run"
    run(tiny(), out, log=quiet)
    return out


def same(state: Any, folder: Path) -> bool:
    """Whether the EMA is that of the run in a folder."""
    theirs = ganzoo.load(folder)[1].ema
    return all(map(np.array_equal, jax.tree.leaves(state.ema), jax.tree.leaves(theirs)))


def test_the_log_and_the_record_tell_what_was_taken_over(source, tmp_path) -> None:
    lines: list[str] = []
    begun = tiny(init_from=str(source / "checkpoints"))
    prepared = prepare(begun, tmp_path / "run", log=lines.append)
    assert same(prepared.start(), source)
    run(begun, tmp_path / "run", log=quiet)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["start"]
    assert recorded[0] == f"start: the weights of {source}/checkpoints/64"
    assert lines[-len(recorded) :] == recorded
    longer = replace(begun, training=replace(begun.training, images=96, init_from="elsewhere"))
    lines.clear()
    run(longer, tmp_path / "run", resume=True, log=lines.append)  # goes on from its own checkpoint
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["start"] == recorded
    assert record["experiment"]["training"]["init_from"] == str(source / "checkpoints")
    assert any("note: init_from = 'elsewhere' is not used" in line for line in lines)
    assert not any(line.startswith("start:") for line in lines)


def test_a_run_that_stopped_before_its_first_checkpoint_starts_from_the_same_weights(source, tmp_path) -> None:
    """Also where the command that resumes it does not name them again."""
    begun = tiny(init_from=str(source))
    begin_folder(tmp_path / "run", prepare(begun, tmp_path / "run", log=quiet).record)
    lines: list[str] = []
    again = prepare(tiny(), tmp_path / "run", resume=True, log=lines.append)
    assert same(again.start(), source)
    assert f"start: the weights of {source}/checkpoints/64" in lines


def test_a_run_from_other_weights_has_neither_blur_nor_ramp_unless_given(tmp_path) -> None:
    """And a run that is resumed has what it began with; NVlabs/stylegan3, train.py:263-266."""
    base = find_experiment("stylegan3-r")
    began = replace(base, training=replace(base.training, init_from="other.safetensors"))

    def chosen(experiment: Experiment, recorded: dict | None = None) -> tuple[float, float | None]:
        config = resolve(experiment, 1, recorded)[0].gan
        return config.blur_sigma, config.ema_ramp

    assert chosen(base) == (10, 0.05)
    assert chosen(began) == (0, None)
    assert {"gan.blur_sigma", "gan.ema_ramp"} <= {each.field for each in resolve(began, 1)[1]}
    given = replace(began.given({"blur_sigma"}), gan=replace(began.gan, blur_sigma=3.0))
    assert chosen(given) == (3, None)
    recorded = resolve(given, 1)[0].to_json()
    assert chosen(began, recorded) == (3, None)
    other = find_experiment("stylegan2-auto")
    assert resolve(other, 1)[0].gan.ema_ramp == 0.05
    assert resolve(replace(other, training=began.training), 1)[0].gan.ema_ramp is None


# ganzoo.train -------------------------------------------------------------------------------------------------------


def test_train_returns_state_and_folder_and_sends_fields_home(tmp_path) -> None:
    state, folder = ganzoo.train(
        "dcgan-tiny", out=tmp_path / "f", r1_gamma=0.5, images=64, mirror=True, devices=1, log=quiet
    )
    recorded = json.loads((folder / "config.json").read_text())["experiment"]
    assert (int(state.images), folder) == (64, tmp_path / "f")
    assert recorded["gan"]["r1_gamma"] == 0.5
    assert recorded["data"]["mirror"] is True
    again, _ = ganzoo.train(
        "dcgan-tiny", out=folder, r1_gamma=0.5, images=96, mirror=True, devices=1, resume=True, log=quiet
    )
    assert int(again.images) == 96


def test_a_model_from_outside_is_a_peer(tmp_path) -> None:
    mine = replace(dcgan.MODEL, name="mine")
    fields = {"image_size": 16, "batch_size": 16, "devices": 1, "channels": 1, "log": quiet}
    fields |= {"generator_features": 4, "discriminator_features": 4}
    _, folder = ganzoo.train(mine, "digits", tmp_path / "f", images=64, **fields)
    state, _ = ganzoo.train(mine, "digits", folder, images=96, resume=True, **fields)
    assert int(state.images) == 96
    wanted = MetricsConfig(("frechet",), samples=16, reals=32, extractor="pixels")
    assert evaluate_run(folder, wanted, model=mine, devices=1, log=quiet)["images"] == 96
    with pytest.raises(UserError, match="unknown model 'mine'"):
        evaluate_run(folder, wanted, devices=1, log=quiet)
    gan, state = ganzoo.load(folder, model=mine)
    assert gan.sample(state, jax.random.key(0), 2).shape == (2, 16, 16, 1)
    with pytest.raises(UserError, match="unknown model 'mine'"):
        ganzoo.load(folder)


def test_train_works_off_the_main_thread_and_calls_hooks(tmp_path) -> None:
    class Seen(Hook):
        every = (16,)
        images: list[int] = []  # noqa: RUF012

        def at(self, context) -> None:
            self.images.append(context.images)

    def work() -> int:
        state, _ = ganzoo.train("dcgan-tiny", out=tmp_path / "f", images=64, devices=1, hooks=[Seen()], log=quiet)
        return int(state.images)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == 64
    assert Seen.images[-1] == 64


def test_a_field_that_nobody_has() -> None:
    with pytest.raises(UserError, match="dcgan-tiny has no field 'r1_gama'; did you mean 'r1_gamma'"):
        ganzoo.train("dcgan-tiny", r1_gama=1.0)


def test_sampling_compiles_with_labels() -> None:
    columns, labels = shown_labels(gan(3), Labelled(3, classes=True))
    model = gan(3)
    state = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.eval_shape(lambda state: model.sample(state, jax.random.key(0), len(labels), labels=labels), state)
    assert images.shape == (3 * columns, *model.image_shape)


# Other data ---------------------------------------------------------------------------------------------------------


def pictures(folder: Path, count: int) -> Path:
    """A folder of so many images, of which those that come first are the same for any number."""
    folder.mkdir(exist_ok=True)
    for i in range(count):
        draws = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        save_png(folder / f"{i:03d}.png", draws)
    return folder


@pytest.mark.slow
def test_more_images_are_allowed_on_request_and_recorded(tmp_path) -> None:
    """From there on, the run goes on exactly as one that is not stopped again."""
    fields = {"devices": 1, "batch_size": 16, "log": quiet}
    data, out = pictures(tmp_path / "set", 40), tmp_path / "run"
    ganzoo.train("dcgan-tiny", data, out, images=64, **fields)
    before = json.loads((out / "config.json").read_text())
    pictures(data, 50)
    with pytest.raises(UserError, match=r"other images .*--data, or go on with these by --allow-new-data"):
        ganzoo.train("dcgan-tiny", data, out, images=128, resume=True, **fields)
    assert json.loads((out / "config.json").read_text()) == before
    twin = shutil.copytree(out, tmp_path / "twin")
    whole, _ = ganzoo.train("dcgan-tiny", data, out, images=128, resume=True, allow_new_data=True, **fields)
    for images, allow in ((96, True), (128, False)):
        state, _ = ganzoo.train("dcgan-tiny", data, twin, images=images, resume=True, allow_new_data=allow, **fields)
    assert all(map(np.array_equal, jax.tree.leaves(state.ema), jax.tree.leaves(whole.ema)))
    for folder in (out, twin):
        record = json.loads((folder / "config.json").read_text())
        (change,) = record["data_changes"]
        assert change["before"] == {"fingerprint": before["fingerprint"], "data": str(data)}
        assert (change["images"], change["fingerprint"]) == (64, record["fingerprint"])
    with pytest.raises(UserError, match="allow_new_data = True: must be left out"):
        ganzoo.train("dcgan-tiny", data, tmp_path / "new", images=64, allow_new_data=True, **fields)
    assert not (tmp_path / "new").exists()
