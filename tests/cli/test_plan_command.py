"""``ganzoo plan``: options, errors and JSON."""

import json
from pathlib import Path

import pytest

from ganzoo.cli import main
from ganzoo.cli.plan import train_options
from ganzoo.errors import UserError
from ganzoo.runs.config import find_experiment


def test_a_plan_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    args = ["plan", "dcgan-tiny", "--topology", "cpu:2", "--batch-size", "8", "--images", "80", "--json"]
    assert main([*args, "--set", "generator_features=4", "--programs", str(programs)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["devices"], found["images"], found["config"]["generator_features"]) == (2, 80, 4)
    (stage,) = found["stages"]
    assert (stage["batch_size"], stage["steps"]) == (8, 10)
    assert len(list(programs.iterdir())) == len(stage["phases"]) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "which model or preset?"),
        (["dcgan-tiny"], "topology = '': must be given"),
        (["dcgan-tiny", "--topology", "v9:1"], "unknown topology 'v9:1'"),
        (["dcgan-tinny", "--topology", "cpu"], "unknown experiment 'dcgan-tinny'; did you mean 'dcgan-tiny'"),
        (["dcgan-tiny", "--topology", "cpu", "--set", "image_size"], "must be FIELD=VALUE"),
        (["dcgan-tiny", "--topology", "cpu", "--set", "imagesize=8"], "did you mean 'image_size'"),
        (["dcgan-tiny", "--topology", "cpu", "--set", "image_size=x"], "image-size"),
        (["dcgan-tiny", "--topology", "cpu:5"], "multiple of 5 devices"),
    ],
)
def test_errors_are_one_line(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_fields_are_typed_as_options_of_train() -> None:
    experiment = find_experiment("stylegan2-tiny")
    typed = train_options(["image_size=192,256", "use_noise=false", "ema-ramp=None", "use_noise=true"], experiment)
    assert typed == ["--image-size", "192", "256", "--no-use-noise", "--ema-ramp", "None"]
    with pytest.raises(UserError, match="use_noise = 'maybe': must be true or false"):
        train_options(["use_noise=maybe"], experiment)
