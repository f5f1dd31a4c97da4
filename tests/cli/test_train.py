"""The options of ``ganzoo train``: order, help, and what can be trained by which name; the list of models."""

import dataclasses
import json
import typing
from pathlib import Path

import pytest
from cli.make_sizes import sizes

import ganzoo
from ganzoo.cli import listing, main
from ganzoo.cli.evaluate import Evaluate
from ganzoo.cli.parsing import field_docs
from ganzoo.cli.tools import COMMANDS
from ganzoo.cli.train import ListModels, RunOptions, groups_of
from ganzoo.runs.config import find_experiment

TINY = ["--devices", "1", "--images", "64", "--batch-size", "16"]
OWN = """
from dataclasses import dataclass, replace
from ganzoo.models import dcgan

@dataclass(frozen=True)
class Config(dcgan.DCGANConfig):
    sharpness: float = 1.0
    \"\"\"How sharp.\"\"\"
    channels: int = 1

MODEL = replace(
    dcgan.MODEL, name="own", config=Config, default="small",
    presets={"small": replace(dcgan.MODEL.presets["tiny"], config=Config(image_size=16, generator_features=4))},
)
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path / 'own.py'}:MODEL"


# Help ---------------------------------------------------------------------------------------------------------------


def test_order_of_the_help() -> None:
    """First what one sets most; then the model; metrics last."""
    first, *others = groups_of(find_experiment("stylegan2"))
    flags = ["data", "out", "resume", "dry_run", "images", "batch_size", "image_size"]
    assert [option.flag for option in first.options] == flags
    titles = ["network", "objective", "optimizer", "stylegan2", "augmentation", "data", "training", "metric"]
    assert [group.title for group in others] == titles
    by_title = {group.title: [option.flag for option in group.options] for group in others}
    assert by_title["network"][0] == "channels"
    assert by_title["objective"][:2] == ["loss", "r1_gamma"]
    assert by_title["augmentation"][0] == "augment"
    assert "metrics" in by_title["metric"]


@pytest.mark.parametrize("columns", [80, 120])
def test_help_shows_the_groups_in_that_order(columns: int, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["train", "stylegan2-tiny", "--help"]) == 0
    shown = capsys.readouterr().out
    flags = [
        "--data STR",
        "--image-size",
        "--channels",
        "--loss",
        "--adam-beta1",
        "--augment ",
        "--workers",
        "--metrics",
    ]
    places = [shown.index(flag) for flag in flags]
    assert places == sorted(places)
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("model", ganzoo.MODELS)
def test_every_option_of_train_explains_itself(model: str) -> None:
    for group in groups_of(find_experiment(model)):
        for option in group.options:
            assert option.help.endswith("."), option.path
            assert option.help[0].isupper() or option.help[0] == '"', option.path


@pytest.mark.parametrize(
    "command", [Evaluate, ListModels, RunOptions, *COMMANDS.values()], ids=lambda kind: kind.__name__
)
def test_every_option_of_the_other_commands_explains_itself(command: type) -> None:
    hints, docs = typing.get_type_hints(command), field_docs(command)
    for each in dataclasses.fields(command):
        if dataclasses.is_dataclass(hints[each.name]):
            test_every_option_of_the_other_commands_explains_itself(hints[each.name])
        else:
            assert docs[each.name].endswith("."), each.name


def test_a_field_that_a_subclass_redefines_keeps_its_help() -> None:
    docs = field_docs(ganzoo.StyleGAN2Config)
    assert docs["image_size"].startswith("Pixels")  # redefined without a docstring
    assert "None: 312.5 times the batch size" in docs["ema_half_life"]  # and with one of its own
    assert field_docs(ganzoo.DCGANConfig)["adam_beta1"] == "Adam's decay of the gradient's mean, per step."


# Names --------------------------------------------------------------------------------------------------------------


def test_a_model_alone_is_its_default_preset() -> None:
    assert find_experiment("stylegan2").gan == ganzoo.MODELS["stylegan2"].presets["auto"].config


def test_dry_run_writes_nothing(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "dcgan-tiny", *TINY, "--dry-run"]) == 0
    assert "parameters" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", ["", ":small"])
def test_a_model_of_a_file(own: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    args = [f"{own}{preset}", *TINY, "--sharpness", "2", "--dry-run", "--out", str(tmp_path / "run")]
    assert main(["train", *args]) == 0
    assert "16x16x1" in capsys.readouterr().out
    assert main(["train", f"{own}{preset}", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("--channels") < shown.index("own options") < shown.index("--sharpness FLOAT")


def test_train_without_a_name_lists_the_names(capsys: pytest.CaptureFixture) -> None:
    assert main(["train"]) == 2
    captured = capsys.readouterr()
    assert "stylegan2-faces64" in captured.out
    assert captured.err.startswith("ganzoo: error: which model or preset?")
    assert main(["train", "--help"]) == 0
    assert "dcgan-tiny" in capsys.readouterr().out


# The list -----------------------------------------------------------------------------------------------------------


def test_list_of_one_model(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--model", "dcgan"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split() == ["NAME", "IMAGE", "G", "D", "DATA", "IMAGES", "NEEDS"]
    by_name = {line.split()[0]: line.split() for line in lines if line.startswith("dcgan")}
    assert by_name["dcgan-torch*"] == ["dcgan-torch*", "64x64x3", "3.58M", "2.77M", "-", "5M", "--data", "PATH"]
    assert by_name["dcgan-tiny"] == ["dcgan-tiny", "16x16x3", "1.75k", "848", "digits", "2k"]
    assert max(map(len, lines)) <= 100


@pytest.mark.slow
def test_the_sizes_of_the_list_are_those_of_the_networks() -> None:
    """Remedy of a failure: python tests/cli/make_sizes.py."""
    assert json.loads((Path(listing.__file__).parent / listing.SIZES).read_text()) == sizes()


def test_another_config_is_counted_anew() -> None:
    model = ganzoo.MODELS["dcgan"]
    preset = dataclasses.replace(model.presets["tiny"], config=ganzoo.DCGANConfig(image_size=16, generator_features=4))
    assert listing.digest(model, preset) != listing.digest(model, model.presets["tiny"])


def test_list_as_json(own: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--model", own, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["image_shape"], row["is_default"]) == (f"{own}:small", [16, 16, 1], True)


def test_list_of_an_unknown_model(capsys: pytest.CaptureFixture) -> None:
    assert main(["list", "--model", "stylegan9"]) == 2
    assert "did you mean 'stylegan'?" in capsys.readouterr().err
