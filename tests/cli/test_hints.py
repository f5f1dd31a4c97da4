"""Commands, options and values of other programs are answered with the names that they have here."""

from pathlib import Path

import pytest

from ganzoo.cli import hints, main, train
from ganzoo.cli.evaluate import parsed
from ganzoo.cli.parsing import class_options
from ganzoo.cli.tools import COMMANDS
from ganzoo.errors import UserError
from ganzoo.models import installed_models
from ganzoo.runs.config import find_experiment

ANSWERS = {
    # commands
    "generate --network x.pkl": "here it is ganzoo sample",
    "gen_images.py": "here it is ganzoo sample",
    "calc_metrics": "here it is ganzoo evaluate",
    "resume": "here it is ganzoo train NAME --resume",
    # training
    "train stylegan2 --gamma 1": "unknown option --gamma: here it is --r1-gamma",
    "train stylegan2 --gamma=1": "unknown option --gamma: here it is --r1-gamma",
    "train stylegan2 --gpus 2": "here it is --devices",
    "train stylegan2 --kimg 25000": "here it is --images (counted in images, so 25000 kimg are --images 25000000)",
    "train stylegan2 --cfg paper256": "the preset follows the command, such as ganzoo train stylegan2-paper256",
    "train stylegan2 --lr 1e-3": "here it is --generator-learning-rate (and --discriminator-learning-rate)",
    "train dcgan --lr 1e-3": "here it is --learning-rate",
    "train dcgan --cond 1": "here it is --label-size (the number of classes)",
    "train dcgan --snap 50": "here it is --checkpoint-every (counted in images",
    "train dcgan --batch 64": "here it is --batch-size",
    "train dcgan --outdir out": "here it is --out",
    "train dcgan --aug ada": "here it is --augment (bgc is the ADA pipeline)",
    "train dcgan --augment ada": "--augment ada: here it is --augment bgc, the ADA pipeline",
    "train dcgan --augment=noaug": "--augment noaug: here it is --augment none",
    "train dcgan --network x": "the model follows the command",
    "train dcgan --metrics fid50k_full": "did you mean 'fid'?",
    "train dcgan --metrics FID": "did you mean 'fid'?",
    "train dcgan --image-size 64x64": "--image-size 64x64: write --image-size 64",
    "train stylegan2 --image-size 250x180": "write height and width: --image-size 180 250",
    "train dcgan --resume=old.pkl": "--resume takes no value; to start with the weights of a file: --init-from old.pkl",
    "train dcgan --resume old.pkl": "--init-from old.pkl",
    "train dcgan --mirror True": "--mirror takes no value; write it to turn it on, or leave it out",
    "train dcgan --mirror=1": "--mirror takes no value",
    "train dcgan --mirror=False": "--mirror takes no value",
    "train dcgan --no-mirror": "unknown option --no-mirror: it is off; leave it out",
    # images
    "sample x --trunc 0.7": "here it is --psi",
    "sample x --ema False": "unknown option --ema: it is on; write --no-ema to turn it off",
    "sample --network x.pkl": "the model follows the command, such as ganzoo sample MODEL",
    "sample x --outdir y": "here it is --out",
    "sample x --n-samples 9": "here it is --seeds (such as --seeds 0-63)",
    "sample x --noise_mode const": "here it is --noise",
    "evaluate x --gpus 2": "here it is --devices",
    "evaluate x --batch 8": "here it is --metric-batch-size",
}  # fmt: skip


@pytest.mark.parametrize("typed", ANSWERS)
def test_answers(typed: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(typed.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ANSWERS[typed] in line
    assert not list(tmp_path.iterdir())


def test_names_of_ours_are_never_taken_for_those_of_others() -> None:
    """Also with values that look like options, negative numbers and words after a switch."""
    hints.require_ours(["--psi", "-0.5", "--no-ema", "model", "--out=--x"], ["no-ema"], ["psi", "out"])
    hints.require_ours(["--gamma", "2"], [], ["gamma"])
    with pytest.raises(UserError, match="the model follows"):
        parsed(["--network", "x"])


def test_every_hint_names_what_there_is() -> None:
    commands = {*COMMANDS, *train.COMMANDS, "evaluate", "report"}
    assert {ours.split()[0] for ours in hints.COMMANDS.values()} <= commands
    groups = [group for model in installed_models() for group in train.groups_of(find_experiment(model))]
    flags = {option.flag for group in groups for option in group.options} | {"class"}
    flags |= {option.flag for command in COMMANDS.values() for option in class_options(command)}
    named = [ours for ours, _ in hints.OPTIONS.values()]
    named += [ours for found in hints.SEVERAL.values() for ours, _ in found] + list(hints.VALUES)
    assert {name for name in named if name.replace("-", "_") not in flags} == set()
