import io
import json
import sys
import tempfile

import numpy as np
import pytest

from ganzoo.errors import UserError

from .pictures import encode, opened, rainbow

tfds = pytest.importorskip("tensorflow_datasets")
PICTURES = [encode(rainbow(9 + i, 14 - i, seed=i), ["PNG", "JPEG"][i % 2]) for i in range(7)]


def prepare(root, features, examples, version="1.0.0", config=None, file_format="array_record"):
    """Writes a small data set "tiny" with splits "train" (all examples) and "test" (the first two)."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {"train": enumerate(examples), "test": enumerate(examples[:2])}

        def _generate_examples(self):
            raise NotImplementedError

    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", io.StringIO())  # progress bars
        patch.setattr(tempfile, "tempdir", str(scratch))  # in which a builder of a new data set leaves a folder
        Tiny(data_dir=str(root), file_format=file_format).download_and_prepare()


def features(**more):
    return {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["ant", "bee", "cow"]), **more}


def examples(**more):
    return [{"image": data, "label": i % 3, **more} for i, data in enumerate(PICTURES)]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    prepare(root, features(), examples())
    return root


def refused(data, root, **options):
    with pytest.raises(UserError) as caught:
        opened(data, data_dir=str(root), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["tfds:tiny", "tfds:tiny:1.0.0"])
@pytest.mark.parametrize("budget", [0, 100])
def test_pictures_and_classes_are_read(root, tmp_path, name, budget):
    dataset = opened(name, data_dir=str(root), memory_budget_mib=budget)
    assert dataset.class_names == ("ant", "bee", "cow")
    for index, data in enumerate(PICTURES):
        (tmp_path / f"{index}.png").write_bytes(data)
    batch = dataset.read(np.arange(7))
    assert np.array_equal(batch["image"], opened(tmp_path).read(np.arange(7))["image"])
    assert batch["label"].argmax(1).tolist() == [i % 3 for i in range(7)]


def test_splits_and_slices_of_them(root):
    sizes = {"test": 2, "train[:3]": 3, "train[50%:]": 3, "train+test": 9}
    assert {split: len(opened("tfds:tiny", data_dir=str(root), split=split)) for split in sizes} == sizes


@pytest.mark.parametrize("split", ["nope", "train[", "train[:900%]", "train+nope"])
def test_an_unknown_split_names_those_there_are(root, split):
    message = refused("tfds:tiny", root, split=split)
    assert repr(split) in message
    assert "known: test, train" in message


def test_labels_can_be_left_out(root):
    assert opened("tfds:tiny", data_dir=str(root), labels="none").label_size == 0


def test_the_folder_of_the_environment_is_the_default(root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert len(opened("tfds:tiny")) == 7


def test_a_set_that_is_not_prepared_says_so_at_once_with_the_command(root, tmp_path):
    for data, folder in [("tfds:mnist", root), ("tfds:tiny:2.0.0", root), ("tfds:tiny/c", root), ("tfds:a", tmp_path)]:
        message = refused(data, folder)
        name = data.removeprefix("tfds:")
        assert f"{data} is not prepared in {folder}" in message
        assert f"tfds.builder('{name}', data_dir='{folder}', file_format='array_record')" in message
        assert "pip install tensorflow" in message
    assert "versions there: 1.0.0" in refused("tfds:tiny:2.0.0", root)


@pytest.mark.parametrize("name", ["tfds:", "tfds:a b", "tfds:a/b/c", "tfds:a:1", "tfds:../x"])
def test_a_malformed_name_shows_the_form(root, name):
    assert "tfds:NAME/CONFIG:VERSION" in refused(name, root)


def test_the_newest_version_is_taken(tmp_path):
    for version, count in [("1.9.0", 3), ("1.10.0", 4)]:
        prepare(tmp_path, features(), examples()[:count], version)
    assert len(opened("tfds:tiny", data_dir=str(tmp_path))) == 4
    assert len(opened("tfds:tiny:1.9.0", data_dir=str(tmp_path))) == 3


def test_a_config_is_chosen_or_asked_for(tmp_path):
    prepare(tmp_path, features(), examples()[:3], config="small")
    assert len(opened("tfds:tiny", data_dir=str(tmp_path))) == 3
    prepare(tmp_path, features(), examples()[:4], config="large")
    assert len(opened("tfds:tiny/large", data_dir=str(tmp_path))) == 4
    assert len(opened("tfds:tiny/small:1.0.0", data_dir=str(tmp_path))) == 3
    assert "choose a config, e.g. tfds:tiny/large; prepared: large, small" in refused("tfds:tiny", tmp_path)
    assert "configs there: large, small" in refused("tfds:tiny/medium", tmp_path)


def test_other_features_do_not_matter(tmp_path):
    prepare(tmp_path, features(name=tfds.features.Text()), examples(name="x"))
    assert len(opened("tfds:tiny", data_dir=str(tmp_path))) == 7


def test_without_a_label_there_are_no_classes(tmp_path):
    prepare(tmp_path, {"image": tfds.features.Image()}, [{"image": data} for data in PICTURES])
    assert opened("tfds:tiny", data_dir=str(tmp_path)).label_size == 0


def test_without_pictures_the_features_are_named(tmp_path):
    prepare(tmp_path, {"text": tfds.features.Text()}, [{"text": "x"}] * 3)
    assert "no 8- or 16-bit Image 'image'; its features: text" in refused("tfds:tiny", tmp_path)


def test_hidden_classes_are_named(tmp_path):
    prepare(tmp_path, features(), [example | {"label": -1} for example in examples()])
    assert "7 records have no known class; pass --labels none" in refused("tfds:tiny", tmp_path)
    assert len(opened("tfds:tiny", data_dir=str(tmp_path), labels="none")) == 7


def test_a_format_that_needs_tensorflow_is_named(tmp_path):
    prepare(tmp_path, features(), examples())
    info = tmp_path / "tiny" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    message = refused("tfds:tiny", tmp_path)
    assert "is prepared as tfrecord, which only TensorFlow reads" in message
    assert "file_format='array_record'" in message


def test_broken_pictures_are_found(tmp_path):
    prepare(tmp_path, features(), [*examples()[:2], {"image": b"text", "label": 0}])
    assert "train record 2" in refused("tfds:tiny", tmp_path)
    assert len(opened("tfds:tiny", data_dir=str(tmp_path), on_bad_file="skip")) == 2


def info_of(root):
    return root / "tiny" / "1.0.0"


@pytest.mark.parametrize("form", ["pythonClassName", "python_class_name", "type"])
def test_no_module_that_the_files_name_is_imported(tmp_path, monkeypatch, form):
    prepare(tmp_path, features(), examples())
    (tmp_path / "payload.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    file = info_of(tmp_path) / "features.json"
    own = "tensorflow_datasets.core.features.image_feature.Image"
    content = file.read_text()
    assert own in content
    file.write_text(content.replace(own, "payload.Image").replace("pythonClassName", form))
    message = refused("tfds:tiny", tmp_path)
    assert "class payload.Image, which is none of TFDS itself and is not imported" in message
    assert "payload" not in sys.modules


DAMAGE = {
    "info": ("dataset_info.json", b"{"),
    "no info": ("dataset_info.json", b"\xff\xfe"),
    "features": ("features.json", b"{"),
    "deep features": ("features.json", b"[" * 100_000),
    "empty features": ("features.json", b"{}"),
    "no splits": ("dataset_info.json", b'{"name": "tiny", "version": "1.0.0", "fileFormat": "array_record"}'),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_metadata_are_one_line(tmp_path, what, capfd):
    prepare(tmp_path, features(), examples())
    name, content = DAMAGE[what]
    (info_of(tmp_path) / name).write_bytes(content)
    capfd.readouterr()
    message = refused("tfds:tiny", tmp_path)
    assert message.startswith("tfds:tiny")
    assert message.isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("size", [0, 100, 4000])
def test_records_that_are_cut_off_are_one_line(tmp_path, size, capfd):
    prepare(tmp_path, features(), examples())
    (file,) = info_of(tmp_path).glob("*train.array_record*")
    file.write_bytes(file.read_bytes()[:size])
    capfd.readouterr()
    assert refused("tfds:tiny", tmp_path).startswith("tfds:tiny")
    assert capfd.readouterr() == ("", "")


def test_grey_images_can_be_stacked(tmp_path, root):
    grey = [{"image": encode(rainbow(9, 9, 1, seed=i)), "label": i % 3} for i in range(6)]
    prepare(tmp_path, features(image=tfds.features.Image(shape=(9, 9, 1))), grey)
    stacked = opened("stacked:tfds:tiny", (9, 9, 3), data_dir=str(tmp_path))
    assert stacked.label_size == 27
    assert stacked.class_names[5] == "ant/bee/cow"
    assert "some of tfds:tiny/1.0.0" in refused("stacked:tfds:tiny", root)


def test_more_records_than_the_files_can_hold(tmp_path):
    prepare(tmp_path, features(), examples())
    file = info_of(tmp_path) / "dataset_info.json"
    file.write_text(file.read_text().replace('"7"', '"4000000000000"'))
    assert refused("tfds:tiny", tmp_path).startswith("tfds:tiny")


def test_more_classes_than_anybody_has(tmp_path):
    prepare(tmp_path, features(), examples())
    file = info_of(tmp_path) / "features.json"
    content = json.loads(file.read_text())
    content["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = "900000000000"
    file.write_text(json.dumps(content))
    (info_of(tmp_path) / "label.labels.txt").unlink()
    assert "900000000000 classes; pass --labels none" in refused("tfds:tiny", tmp_path)


def test_class_names_with_control_characters_are_escaped(tmp_path):
    prepare(tmp_path, features(), examples())
    (info_of(tmp_path) / "label.labels.txt").write_text("a\x1b[2J\u202e\nb\nc\n")
    text = opened("tfds:tiny", data_dir=str(tmp_path)).describe()
    assert all(line.isprintable() for line in text.splitlines())
    assert r"a\x1b[2J\u202e" in text


def test_a_folder_of_data_sets_that_cannot_be(tmp_path):
    assert "write the whole path" in refused("tfds:tiny", "~nobodyknows/x")
    assert "File name too long" in refused("tfds:tiny", "a" * 300)
