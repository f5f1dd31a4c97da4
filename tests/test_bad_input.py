"""Whatever the user gets wrong: one line that names the thing and the remedy, exit code 2, and nothing spoilt.

The command is called in this process; two of the cases go through a real one.
"""

import collections
import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from data.pictures import table, write_folder, write_zip
from small_runs import PNG, TINY, snapshot

import ganzoo
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.training import checkpoint

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture, tmp_path: Path) -> Callable[..., str]:
    """Runs the command and returns its one line of complaint; what was on disk must be as it was."""

    def run(*args: str | Path, words: tuple[str, ...]) -> str:
        before = snapshot(tmp_path)
        code = main([str(arg) for arg in args])
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert len(lines) == 1, captured.err
        assert lines[0].startswith("ganzoo: error: ")
        assert code == 2
        assert "Traceback" not in captured.out
        assert [word for word in words if word not in lines[0]] == [], lines[0]
        assert snapshot(tmp_path) == before
        return lines[0]

    return run


# Arguments ----------------------------------------------------------------------------------------------------------

WORDS = {  # what is typed -> what the answer must contain
    # commands and experiments
    "frobnicate": ("unknown command 'frobnicate'", "train"),
    "trian": ("unknown command 'trian'", "did you mean 'train'?"),
    "--trian dcgan-tiny": ("unknown command '--trian'",),
    "train": ("which model or preset?", "ganzoo list"),
    "train --images 3": ("which model or preset?", "ganzoo train NAME"),
    "train dcgan-tny": ("unknown experiment 'dcgan-tny'", "did you mean 'dcgan-tiny'?", "dcgan-paper"),
    "train DCGAN": ("unknown experiment 'DCGAN'", "known: dcgan, dcgan-cifar10"),
    # options
    "train dcgan-tiny more": ("more", "ganzoo train dcgan-tiny --help"),
    "train dcgan-tiny -x": ("-x", "--help"),
    "train dcgan-tiny --lerning-rate 3": ("unknown option --lerning-rate", "did you mean '--learning-rate'?"),
    "train dcgan-tiny --learning_rat=3": ("unknown option --learning-rat", "did you mean '--learning-rate'?"),
    "train dcgan-tiny --gan.learning-rate 3": ("--gan.learning-rate", "did you mean '--learning-rate'?"),
    "train dcgan-tiny --xyzzy": ("unknown option --xyzzy: see ganzoo train dcgan-tiny --help",),
    "train dcgan-tiny --learning-rate": ("Missing value", "--learning-rate"),
    "train dcgan-tiny --out": ("Missing value", "--out"),
    "train dcgan-tiny --mirror maybe": ("maybe", "--help"),
    # types
    "train dcgan-tiny --learning-rate abc": ("learning_rate = 'abc': must be a number or a schedule",),
    "train dcgan-tiny --image-size 16.5": ("--image-size '16.5': must be a whole number",),
    "train dcgan-tiny --images many": ("--images 'many': must be a whole number",),
    "train dcgan-tiny --seed 1e3": ("--seed '1e3': must be a whole number",),
    # sizes
    "train dcgan-tiny --image-size 0": ("image_size = 0: must be 16, 32, 64, 128 or 256",),
    "train dcgan-tiny --image-size 8": ("image_size = 8: must be 16",),
    "train dcgan-tiny --image-size 33": ("image_size = 33: must be 16",),
    "train dcgan-tiny --image-size 512": ("image_size = 512: must be 16",),
    "train dcgan-tiny --image-size -16": ("image_size = -16: must be 16",),
    "train dcgan-tiny --channels 0": ("channels = 0: must be 1 to 4",),
    "train dcgan-tiny --channels 5": ("channels = 5: must be 1 to 4",),
    "train dcgan-tiny --label-size -1": ("label_size = -1: must be 0 or more",),
    "train dcgan-tiny --latent-size 0": ("latent_size = 0: must be at least 1",),
    "train dcgan-tiny --generator-features -4": ("generator_features = -4: must be at least 1",),
    "train dcgan-tiny --kernel-size 3": ("kernel_size = 3: must be 4 to 5",),
    # numbers
    "train dcgan-tiny --learning-rate 0": ("learning_rate = 0.0: must be positive and finite",),
    "train dcgan-tiny --learning-rate -1": ("learning_rate = -1.0: must be positive and finite",),
    "train dcgan-tiny --learning-rate nan": ("learning_rate = nan: must be a number",),
    "train dcgan-tiny --learning-rate inf": ("learning_rate = inf: must be positive and finite",),
    "train dcgan-tiny --adam-beta1 1": ("adam_beta1 = 1.0: must be in [0, 1)",),
    "train dcgan-tiny --adam-beta2 -0.1": ("adam_beta2 = -0.1: must be in [0, 1)",),
    "train dcgan-tiny --adam-epsilon 0": ("adam_epsilon = 0.0: must be positive and finite",),
    "train dcgan-tiny --norm-momentum 0": ("norm_momentum = 0.0: must be in (0, 1]",),
    "train dcgan-tiny --weight-decay -1": ("weight_decay = -1.0: must be 0 or more, and finite",),
    "train dcgan-tiny --ema-half-life inf": ("ema_half_life = inf: must be 0 or more, and finite",),
    # choices
    "train dcgan-tiny --loss hing": ("'hing'", "--loss", "'hinge'"),
    "train dcgan-tiny --dtype float16": ("'float16'", "--dtype", "'bfloat16'"),
    "train dcgan-tiny --resize-filter lancoz": ("'lancoz'", "--resize-filter", "'lanczos'"),
    "train dcgan-tiny --labels yes": ("'yes'", "--labels", "'auto', 'none'"),
    # the run
    "train dcgan-tiny --images 0": ("images = 0: must be at least 1",),
    "train dcgan-tiny --images 4294967296": ("images = 4294967296: must be less than 2^32",),
    "train dcgan-tiny --batch-size 0": ("batch_size = 0: must be at least 1",),
    "train dcgan-tiny --batch-size -8": ("batch_size = -8: must be 0 or more",),
    "train dcgan-tiny --batch-size 100000000000": ("batch_size = 100000000000: must be at most images = 2000",),
    "train dcgan-tiny --batch-size 12 --devices 8": ("batch_size = 12: must be a multiple of 8 devices",),
    "train dcgan-tiny --steps-per-dispatch -1": ("steps_per_dispatch = -1: must be 0 or more",),
    "train dcgan-tiny --devices 99": ("devices = 99", "this machine has 8"),
    "train dcgan-tiny --devices -1": ("devices = -1: must be 0 or more",),
    "train dcgan-tiny --seed -1": ("seed = -1: must be 0 or more",),
    "train dcgan-tiny --seed 4294967296": ("seed = 4294967296: must be in 0 .. 2^32 - 1",),
    "train dcgan-tiny --keep-last 0": ("keep_last = 0: must be at least 1",),
    "train dcgan-tiny --keep-every -1": ("keep_every = -1: must be 0 or more",),
    # StyleGAN2
    "train stylegan2-tiny --image-size 17": ("image_size = 17", "the nearest is 16"),
    "train stylegan2-tiny --image-size 33 64": ("image_size = (33, 64)", "the nearest is (32, 64)"),
    "train stylegan2-tiny --batch-size 6 --devices 1": ("minibatch_std_group = 4: must divide",),
    "train stylegan2-tiny --micro-batch 3 --devices 1": ("micro_batch = 3: must divide the batch of 16 images",),
    "train stylegan2-tiny --init-from nowhere --devices 1": ("there is no nowhere", "run folder"),
    "train stylegan2-tiny --style-mixing 2": ("style_mixing = 2.0: must be in [0, 1]",),
    "train stylegan2-tiny --label-size 7 --devices 1": ("of length 10, the model wants 7", "--label-size 10"),
    # the data
    "train dcgan-tiny --memory-budget-mib -1": ("memory_budget_mib = -1: must be 0 or more",),
    "train dcgan-tiny --workers -1": ("workers = -1: must be 0 or more",),
    "train dcgan-tiny --data=": ("data = '': must be given", "--data with a folder"),
    "train dcgan-paper": ("data = '': must be given", "--data with a folder"),
    "train dcgan-tiny --data digit": ("no data set 'digit'", '"digits"', "a .zip file"),
    "train dcgan-tiny --data tfds:": ("tfds:", "write tfds:NAME"),
    "train dcgan-tiny --data tfds:a/b/c": ("tfds:a/b/c", "write tfds:NAME"),
    "train dcgan-tiny --data tfds:mnist:1 --data-dir nowhere": ("tfds:mnist:1", "write tfds:NAME"),
    "train dcgan-tiny --data tfds:mnist --data-dir nowhere": ("not prepared in nowhere", "--data-dir"),
    "train dcgan-tiny --data digits --label-size 7": ("of length 10, the model wants 7", "--label-size 10"),
    "train dcgan-tiny --data digits --labels none --label-size 10": ("has no labels", "--label-size 0"),
}  # fmt: skip


@pytest.mark.parametrize("typed", WORDS)
def test_arguments(typed, complaint, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = complaint(*typed.split(), words=WORDS[typed])
    assert "Error parsing" not in line  # the parser's own words
    assert "───" not in line  # and frames
    assert "---" not in line


# Data ---------------------------------------------------------------------------------------------------------------


def labelled(labels: object) -> Callable[[Path], Path]:
    """A folder of two pictures with this dataset.json."""
    text = labels if isinstance(labels, bytes) else table(labels)
    return lambda at: write_folder(at / "set", {"a.png": PNG, "b.png": PNG, "dataset.json": text})


def encrypted(at: Path) -> Path:
    path = write_zip(at / "set.zip", {"a.png": PNG})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    return path


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(at: Path) -> Path:
        (at / name).write_bytes(content)
        return at / name

    return make


def damaged(at: Path) -> Path:
    """A zip of which one entry does not match its checksum."""
    path = write_zip(at / "set.zip", {"a.png": PNG, "b.png": PNG})
    content = bytearray(path.read_bytes())
    content[content.index(b"b.png") + 60] ^= 255
    path.write_bytes(content)
    return path


def cut(at: Path) -> Path:
    whole = write_zip(at / "whole.zip", {"a.png": PNG, "b.png": PNG})
    return written("set.zip", whole.read_bytes()[:-40])(at)


DATA = {  # what is there -> (how it is made, what the answer must contain)
    "nothing": (lambda at: at / "set", ("no data set", "set")),
    "a text file": (written("set.txt", b"hello"), ("set.txt", "is no data set but a table")),
    "an empty file": (written("set.zip", b""), ("set.zip", "a broken .zip file")),
    "an empty folder": (lambda at: write_folder(at / "set", {".hidden": b""}), ("no images in this folder", ".png")),
    "no pictures": (lambda at: write_folder(at / "set", {"a.txt": b"x"}), ("set: no images", ".jpeg")),
    "a truncated picture": (
        lambda at: write_folder(at / "set", {"a.png": PNG, "b.png": PNG[: len(PNG) // 2]}),
        ("b.png", "1 of 2 images cannot be decoded", "--on-bad-file skip"),
    ),
    "a text called .png": (
        lambda at: write_folder(at / "set", {"a.png": PNG, "b.png": b"hello"}),
        ("b.png (not a PNG, JPEG, WebP", "--on-bad-file skip"),
    ),
    "an empty picture": (lambda at: write_folder(at / "set", {"a.png": b""}), ("a.png", "1 of 1 images")),
    "a folder called .zip": (lambda at: write_folder(at / "set.zip", {"a.txt": b""}), ("set.zip: no images",)),
    "a zip cut short": (cut, ("set.zip", "a broken .zip file", "download or pack it again")),
    "a damaged zip": (damaged, ("b.png", "cannot be decoded")),
    "a zip without pictures": (lambda at: write_zip(at / "set.zip", {"a.txt": b"x"}), ("no images in this zip",)),
    "an encrypted zip": (encrypted, ("set.zip: an encrypted .zip file", "unpack it")),
    "broken labels": (labelled(b'{"labels": [['), ("dataset.json: not valid JSON", "--labels none")),
    "labels of another layout": (labelled(b'{"a": 1}'), ('dataset.json: no "labels" entry',)),
    "a missing label": (labelled([["a.png", 1]]), ("dataset.json: no label for 'b.png'", "--labels none")),
    "mixed labels": (labelled([["a.png", 1], ["b.png", [1.0]]]), ("dataset.json", "'b.png'")),
    "a negative label": (labelled([["a.png", 1], ["b.png", -1]]), ("dataset.json", "'b.png' is -1")),
    "vectors of two lengths": (labelled([["a.png", [1, 2]], ["b.png", [1]]]), ("dataset.json", "'b.png'")),
    "a label that is a text": (labelled([["a.png", 1], ["b.png", "cat"]]), ("dataset.json", "'b.png' is 'cat'")),
}  # fmt: skip


@pytest.mark.parametrize("what", DATA)
def test_data(what, complaint, tmp_path) -> None:
    make, words = DATA[what]
    complaint(*TINY, "--data", make(tmp_path), "--out", tmp_path / "run", words=words)


def test_labels_of_another_number(complaint, tmp_path) -> None:
    folder = labelled([["a.png", 0], ["b.png", 2]])(tmp_path)
    wanted = ("length 3, the model wants 2", "--label-size 3")
    complaint(*TINY, "--data", folder, "--label-size", 2, "--out", tmp_path / "run", words=wanted)


def test_labels_wanted_where_there_are_none(complaint, tmp_path) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    wanted = ("has no labels, the model wants 2", "--label-size 0")
    complaint(*TINY, "--data", folder, "--label-size", 2, "--out", tmp_path / "run", words=wanted)


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_data_that_may_not_be_read(complaint, tmp_path) -> None:
    path = write_zip(tmp_path / "set.zip", {"a.png": PNG})
    path.chmod(0)
    with contextlib.suppress(PermissionError):  # of the snapshot
        complaint(*TINY, "--data", path, "--out", tmp_path / "run", words=("set.zip", "check its permissions"))


# The run folder -----------------------------------------------------------------------------------------------------


def test_the_folder_is_a_file(complaint, tmp_path) -> None:
    (tmp_path / "run").write_text("x")
    complaint(*TINY, "--out", tmp_path / "run", words=("run is a file", "give --out a folder"))


def test_the_folder_would_be_inside_a_file(complaint, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    complaint(*TINY, "--out", tmp_path / "file" / "run", words=("file is a file", "another folder by --out"))


def test_the_folder_is_not_empty(complaint, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    complaint(*TINY, "--out", tmp_path / "run", words=("run is not empty", "another folder by --out"))


def test_the_folder_holds_a_run(complaint, run_folder) -> None:
    complaint(*TINY, "--out", run_folder, words=("already holds a run", "--resume", "another folder by --out"))


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_the_folder_is_in_one_that_is_read_only(complaint, tmp_path) -> None:
    tmp_path.chmod(0o500)
    complaint(*TINY, "--out", tmp_path / "run", words=("is not writable", "another folder by --out"))


def test_the_folder_may_not_be_written(complaint, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    complaint(*TINY, "--out", tmp_path / "a" / "run", words=(f"{tmp_path} is not writable", "another folder by --out"))


def test_the_folder_cannot_be_made(complaint, tmp_path, monkeypatch) -> None:
    def refuse(self, *args, **options):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    complaint(*TINY, "--out", tmp_path / "run", words=("cannot write", "run: Read-only file system", "--out"))


def test_the_disk_is_full_before_the_start(complaint, tmp_path, monkeypatch) -> None:
    fill_disk(monkeypatch)
    words = (f"the disk of {tmp_path} has 0 MiB free", "free some space or choose another --out")
    complaint(*TINY, "--out", tmp_path / "run", words=words)


# Resuming -----------------------------------------------------------------------------------------------------------

CHANGED = {  # what is typed -> the field that is not the old one
    "--learning-rate 1e-3": "gan.learning_rate: 0.0002 -> 0.001",
    "--batch-size 32": "training.batch_size: 16 -> 32",
    "--image-size 32": "gan.image_size: 16 -> 32",
    "--loss hinge": "gan.loss: 'non-saturating' -> 'hinge'",
    "--seed 1": "training.seed: 0 -> 1",
    "--mirror": "data.mirror: False -> True",
    "--resize-filter box": "data.resize_filter: 'lanczos' -> 'box'",
}


@pytest.mark.parametrize("typed", CHANGED)
def test_resume_with_another_config(typed, complaint, run_folder) -> None:
    words = ("was made with another config", CHANGED[typed], "Resume with the old values", "--init-from", "--images")
    line = complaint(*TINY, *typed.split(), "--resume", "--out", run_folder, words=words)
    assert line.count("->") == 1


def test_resume_another_experiment(complaint, run_folder) -> None:
    words = ("gan.image_size: 16 -> 32", "gan.generator_features: 4 -> 24", "gan.label_size: 0 -> 10")
    complaint("train", "dcgan-digits", "--resume", "--out", run_folder, words=words)


def test_resume_another_model(complaint, run_folder) -> None:
    config = run_folder / "config.json"
    config.write_text(config.read_text().replace('"model": "dcgan"', '"model": "stylegan9"'))
    complaint(*TINY, "--resume", "--out", run_folder, words=("model: 'stylegan9' -> 'dcgan'",))


def test_resume_on_other_images(complaint, run_folder, tmp_path) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    words = ("was trained on other images", str(folder))
    complaint(*TINY, "--data", folder, "--resume", "--out", run_folder, words=words)


@pytest.mark.parametrize("made", [False, True])
def test_resume_where_no_run_is(made, complaint, tmp_path) -> None:
    if made:
        (tmp_path / "run").mkdir()
    words = ("run holds no run to resume", "leave out --resume")
    complaint(*TINY, "--resume", "--out", tmp_path / "run", words=words)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"{}", b"null", b'{"experiment": 3}', b"\xff\xfe\0", b'{"experiment"']
)
def test_resume_with_a_config_that_is_broken(content, complaint, run_folder) -> None:
    (run_folder / "config.json").write_bytes(content)
    words = ("config.json cannot be read", "must be the file that the run wrote")
    complaint(*TINY, "--resume", "--out", run_folder, words=words)


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_bytes(file.read_bytes()[:50]), Path.unlink], ids=["cut", "gone"]
)
@pytest.mark.parametrize("which", ["_METADATA", "manifest.ocdbt", "d/*", "ocdbt.process_0/d/*"])
def test_resume_with_a_checkpoint_that_is_broken(which, spoil, complaint, run_folder) -> None:
    folder = run_folder / "checkpoints" / "64"
    for file in (folder / "state").glob(which):
        spoil(file)
    words = ("checkpoint 64 in", "cannot be read", f"delete {folder}")
    line = complaint(*TINY, "--images", 128, "--resume", "--out", run_folder, words=words)
    assert len(line) < 600
    assert "'NoneType'" not in line


def test_resume_with_an_empty_checkpoint(complaint, run_folder) -> None:
    (run_folder / "checkpoints" / "100").mkdir()
    words = ("checkpoint 100 in", "cannot be read", "delete ")
    complaint(*TINY, "--images", 128, "--resume", "--out", run_folder, words=words)


def test_resume_after_the_broken_checkpoint_was_deleted(run_folder, capsys) -> None:
    (run_folder / "checkpoints" / "100").mkdir()
    shutil.rmtree(run_folder / "checkpoints" / "100")
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    assert "resumed at 64 images" in capsys.readouterr().out


def test_resume_with_a_file_for_the_checkpoints(complaint, run_folder) -> None:
    shutil.rmtree(run_folder / "checkpoints")
    (run_folder / "checkpoints").write_text("x")
    words = ("checkpoints is a file", "remove it")
    complaint(*TINY, "--images", 128, "--resume", "--out", run_folder, words=words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"latent_size": 9}, "its generator.params.project is (9, 128), not (8, 128)"),
        ({"image_size": 32}, "it has discriminator.collections.batch_stats.norm2.mean, which this one has not"),
    ],
)
def test_resume_with_the_checkpoint_of_another_model(fields, words, complaint, run_folder) -> None:
    other = ganzoo.create("dcgan", "tiny", channels=1, **fields)
    shutil.rmtree(run_folder / "checkpoints")
    with checkpoint.Checkpoints(run_folder / "checkpoints") as checkpoints:
        checkpoints.save(64, jax.jit(other.init)(jax.random.key(0)))
    words = ("checkpoint 64 in", "is of another model", words, "resume with the config it was made with")
    complaint(*TINY, "--images", 128, "--resume", "--out", run_folder, words=words)


def test_resume_with_a_checkpoint_that_lacks_something(complaint, run_folder) -> None:
    """The optimizer of a run with weight decay has one more stage, so that all its names are others."""
    config = run_folder / "config.json"
    record = json.loads(config.read_text())
    record["experiment"]["gan"]["weight_decay"] = 0.1
    config.write_text(json.dumps(record))
    words = ("checkpoint 64 in", "is of another model", "opt_state", "resume with the config it was made with")
    args = ["--images", 128, "--weight-decay", 0.1, "--resume", "--out", run_folder]
    complaint(*TINY, *args, words=words)


# While it runs ------------------------------------------------------------------------------------------------------


def fill_disk(monkeypatch: pytest.MonkeyPatch, after: int = 0) -> None:
    """No room, after room was asked for ``after`` times."""
    usage, asked = collections.namedtuple("usage", "total used free"), []

    def disk_usage(path):
        asked.append(path)
        return usage(2**40, 0, 2**40 if len(asked) <= after else 0)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)


def fails(capsys: pytest.CaptureFixture, *args: str | Path) -> str:
    """The one line of complaint of a command that had begun."""
    assert main([str(arg) for arg in args]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("ganzoo: error: ")
    return line


def test_the_disk_is_full_at_a_checkpoint(run_folder, capsys, monkeypatch) -> None:
    before = snapshot(run_folder / "checkpoints")
    with monkeypatch.context() as patched:
        fill_disk(patched, after=1)
        line = fails(capsys, *TINY, "--images", 128, "--resume", "--out", run_folder)
    assert "0 MiB free, 1 checkpoint(s) need" in line
    assert "free some space" in line
    assert snapshot(run_folder / "checkpoints") == before
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    assert "resumed at 64 images" in capsys.readouterr().out


def test_the_disk_is_full_at_a_line_of_the_log(run_folder, capsys, monkeypatch) -> None:
    write = os.write

    def refuse(file: int, content: bytes) -> int:
        if os.path.samestat(os.fstat(file), (run_folder / "metrics.jsonl").stat()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, content)

    monkeypatch.setattr(os, "write", refuse)
    line = fails(capsys, *TINY, "--images", 128, "--resume", "--out", run_folder)
    assert "metrics.jsonl cannot be written: No space left on device" in line


def test_a_file_where_the_samples_should_be(run_folder, capsys) -> None:
    shutil.rmtree(run_folder / "samples")
    (run_folder / "samples").write_text("x")
    assert "samples" in fails(capsys, *TINY, "--images", 128, "--resume", "--out", run_folder)


def test_a_log_of_another_kind_is_no_hindrance(run_folder) -> None:
    row = (run_folder / "metrics.jsonl").read_bytes()
    (run_folder / "metrics.jsonl").write_bytes(
        b'[1]\n3\n{"a": 1}\n{"images": "x"}\n' + row + b'\xff\n{"images": 64, "st'
    )
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    rows = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [64, 128]


@pytest.mark.parametrize("rate", ["1e30"])
def test_training_that_diverges_says_who_and_saves_nothing_of_it(rate, tmp_path, capsys) -> None:
    args = ["--learning-rate", rate, "--images", 640, "--checkpoint-every", 16, "--steps-per-dispatch", 1]
    line = fails(capsys, *TINY, *args, "--out", tmp_path / "run")
    assert "met a value that is not finite" in line
    assert "lower the learning rate" in line
    gan = ganzoo.create("dcgan", "tiny", channels=1)
    with checkpoint.Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        if checkpoints.latest is not None:
            assert f"the last good checkpoint is at {checkpoints.latest} images" in line
            mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
            state = checkpoints.restore(jax.eval_shape(gan.init, jax.random.key(0)), mesh)
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.generator.params))


# A real process -----------------------------------------------------------------------------------------------------


def process(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    here = {"PYTHONPATH": str(Path(ganzoo.__file__).parent.parent), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *args]
    environment = {**os.environ, **here, **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("options", "encoding", "words"),
    [
        (["--learning-rate", "-1"], "ascii", "learning_rate = -1.0: must be positive and finite"),
        (["--data", "nowhere"], "utf-8", "no data set 'nowhere'"),
    ],
)
def test_a_real_process(options, encoding, words, tmp_path) -> None:
    done = process("-m", "ganzoo.cli", "train", "dcgan-tiny", *options, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 2
    assert done.stderr.startswith(f"ganzoo: error: {words}")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_create_with_a_value_of_the_wrong_type(tmp_path) -> None:
    """In a process of its own, because here annotations are checked before the config can speak."""
    program = """if True:
        import ganzoo
        for fields in {"rate": 1}, {"learning_rate": "fast"}, {"channels": True}, {"channels": 1.0}, {"loss": "hing"}:
            try:
                ganzoo.create("dcgan", "tiny", **fields)
            except ganzoo.UserError as error:
                print(error)
    """
    done = process("-c", program, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("DCGANConfig has no field 'rate'")
    assert lines[1:] == [
        "learning_rate = 'fast': must be a number or a schedule, cosine(FIRST, LAST, END), linear(FIRST, LAST, END) or"
        " constant(VALUE)",
        "channels = True: must be a whole number",
        "channels = 1.0: must be a whole number",
        lines[4],
    ]
    assert lines[4].startswith("loss = 'hing': must be one of 'minimax', 'non-saturating'")


# The library --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preset", "fields", "words"),
    [
        ("dcgn", None, {}, ("unknown model 'dcgn'", "did you mean 'dcgan'?")),
        ("dcgan", "tinny", {}, ("dcgan has no preset 'tinny'", "did you mean 'tiny'?", "paper")),
        ("dcgan", "tiny", {"learning_rat": 1e-3}, ("no field 'learning_rat'", "did you mean 'learning_rate'?")),
        ("dcgan", "tiny", {"learning_rate": -1.0}, ("learning_rate = -1.0: must be positive and finite",)),
        ("dcgan", "tiny", {"image_size": 48}, ("image_size = 48: must be 16, 32, 64, 128 or 256",)),
    ],
)
def test_create(name, preset, fields, words) -> None:
    with pytest.raises(UserError) as error:
        ganzoo.create(name, preset, **fields)
    assert [word for word in words if word not in str(error.value)] == []
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("label_size", "batch", "words"),
    [
        (0, {"image": (4, 16, 16, 1)}, ("(16, 16, 1)", "takes (16, 16, 3)")),
        (0, {"image": (4, 3, 16, 16)}, ("(3, 16, 16)", "takes (16, 16, 3)", "(H, W, C)")),
        (0, {"image": (4, 32, 32, 3)}, ("(32, 32, 3)", "takes (16, 16, 3)")),
        (0, {"image": (4, 16, 16)}, ("(16, 16)", "takes (16, 16, 3)")),
        (10, {"image": (4, 16, 16, 3)}, ("no labels", "takes (4, 10)", "label_size")),
        (10, {"image": (4, 16, 16, 3), "label": (4, 7)}, ("(4, 7)", "takes (4, 10)")),
        (10, {"image": (4, 16, 16, 3), "label": (4,)}, ("(4,)", "takes (4, 10)")),
    ],
)
def test_a_batch_that_does_not_fit(label_size, batch, words) -> None:
    gan = ganzoo.create("dcgan", "tiny", label_size=label_size)
    arrays = {name: jnp.zeros(shape, jnp.uint8 if name == "image" else jnp.float32) for name, shape in batch.items()}
    state = jax.eval_shape(gan.init, jax.random.key(0))
    with pytest.raises(UserError) as error:
        jax.eval_shape(gan.step, state, arrays, jax.random.key(0))
    assert [word for word in words if word not in str(error.value)] == []


def test_an_error_of_the_user_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="image_size"):
        replace(ganzoo.create("dcgan", "tiny").config, image_size=5)
