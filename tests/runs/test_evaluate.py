"""Metrics of a run: as a hook that changes nothing of the training, and afterwards by the command."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from metrics.test_lpips import ARRAYS

import ganzoo
from ganzoo.cli import main
from ganzoo.data import DataConfig, open_dataset
from ganzoo.data.images import Target
from ganzoo.errors import UserError
from ganzoo.metrics import MetricsConfig, weights
from ganzoo.runs.config import Experiment, experiments
from ganzoo.runs.evaluate import evaluate_run
from ganzoo.runs.evaluator import Evaluator
from ganzoo.runs.run import run
from ganzoo.training import parallel
from ganzoo.training.checkpoint import Checkpoints
from ganzoo.training.hooks import Evaluate
from ganzoo.training.loop import Hook, HookContext

METRICS = {"metrics": MetricsConfig(("frechet", "precision_recall"), samples=40, reals=60), "metric_every": 64}


def tiny(**training) -> Experiment:
    """Digits on the tiny DCGAN, on one device, with labels."""
    base = experiments()["dcgan-tiny"]
    fields = {"images": 192, "devices": 1, "steps_per_dispatch": 2, "log_every": 64, "checkpoint_every": 64} | training
    gan = dataclasses.replace(base.gan, channels=1, label_size=10)
    return dataclasses.replace(base, gan=gan, training=dataclasses.replace(base.training, **fields))


def trained(out: Path, *, resume: bool = False, **training) -> list[str]:
    lines: list[str] = []
    run(tiny(**training), out, resume=resume, log=lines.append)
    return lines


def results(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]


def final(out: Path, images: int = 192) -> dict[str, np.ndarray]:
    with Checkpoints(out / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.latest == images
        return checkpoints.read()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run without metrics."""
    out = tmp_path_factory.mktemp("plain") / "run"
    trained(out)
    return out


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """The same run with metrics and its two best checkpoints."""
    out = tmp_path_factory.mktemp("measured") / "run"
    trained(out, keep_best=2, **METRICS)
    return out


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert [name for name in theirs if not np.array_equal(ours[name], theirs[name])] == []


# The hook -----------------------------------------------------------------------------------------------------------


def test_metrics_change_nothing_of_the_training(plain, measured) -> None:
    assert_same(final(measured), final(plain))


def test_a_result_tells_how_it_was_made(measured) -> None:
    rows = results(measured)
    assert [row["images"] for row in rows] == [64, 128, 192]
    last = rows[-1]
    assert list(last["values"]) == [f"random-conv/{name}" for name in ("frechet", "precision", "recall")]
    assert last["real"]["count"] == 60
    assert last["real"]["of"] == 1797
    assert last["fake"] == {
        "count": 40,
        "seed": 0,
        "weights": "ema",
        "dtype": "uint8, but for path lengths",
        "labels": "drawn from the real ones",
    }
    assert last["extractor"]["name"] == "random-conv"


def test_numbers_are_in_the_log_too(measured) -> None:
    logged = [json.loads(line) for line in (measured / "metrics.jsonl").read_text().splitlines()]
    found = {row["images"]: row["metric/random-conv/frechet"] for row in logged if "metric/random-conv/frechet" in row}
    assert found == {row["images"]: row["values"]["random-conv/frechet"] for row in results(measured)}
    assert {row["images"] for row in logged if "generator/loss" in row} == {64, 128, 192}


def test_the_best_checkpoints_are_kept(measured) -> None:
    values = {row["images"]: row["values"]["random-conv/frechet"] for row in results(measured)}
    expected = sorted(values, key=values.__getitem__)[:2]
    with Checkpoints(measured / "best", read_only=True) as best:
        assert sorted(best.values) == sorted(expected)
        assert best.best == expected[0]
        assert best.values[expected[0]] == pytest.approx(values[expected[0]])


@pytest.mark.slow
def test_a_resumed_run_measures_the_same(tmp_path, measured) -> None:
    out = tmp_path / "run"
    trained(out, images=128, **METRICS)
    with (out / "evaluations.jsonl").open("a") as file:
        file.write('{"images": 160}\n{"images": 19')  # of a part of the run that is no more
    trained(out, resume=True, **METRICS)
    assert results(out) == results(measured)


class Blocker(Hook):
    """Puts a folder where the results are to be written."""

    def __init__(self, folder: Path) -> None:
        self.every, self._folder = (64,), folder

    def start(self, context: HookContext) -> None:
        (self._folder / "evaluations.jsonl").mkdir()


def test_a_result_that_cannot_be_written_is_in_the_log_and_training_goes_on(tmp_path, plain) -> None:
    out, lines = tmp_path / "run", []
    run(tiny(keep_best=1, **METRICS), out, hooks=[Blocker(out)], log=lines.append)
    failed = [line for line in lines if "could not be kept" in line]
    reason = f"UserError: {out}/evaluations.jsonl cannot be written: it is a folder; remove it"
    assert failed == [
        f"metrics at {images} images could not be kept, training goes on: {reason}" for images in (64, 128, 192)
    ]
    assert sum("random-conv/frechet" in line and "images  " in line for line in lines) == 3
    assert_same(final(out), final(plain))
    with Checkpoints(out / "best", read_only=True) as best:
        assert best.best in (64, 128, 192)


def test_a_failure_is_reported() -> None:
    def fail(context: HookContext) -> dict[str, float]:
        raise RuntimeError("out of memory\nand a long trace")

    lines: list[str] = []
    hook = Evaluate(64, fail, lines.append, 64)
    hook.start(HookContext(0, 0, None, 0.0, False, []))
    hook.at(HookContext(64, 4, None, 0.0, True, []))
    assert lines == ["metrics at 64 images failed, training goes on: RuntimeError: out of memory"]


def test_a_run_that_stops_measures_only_what_is_due() -> None:
    asked = []
    hook = Evaluate(64, lambda context: asked.append(context.images) or {"a": 1.0}, lambda line: None, 1000)
    hook.start(HookContext(32, 2, None, 0.0, False, []))
    for images, last in ((64, False), (96, True)):
        hook.at(HookContext(images, images // 16, None, 0.0, last, []))
    assert asked == [64]
    hook.at(HookContext(1000, 62, None, 0.0, True, []))
    assert asked == [64, 1000]


# Afterwards ---------------------------------------------------------------------------------------------------------

ASKED = ["--metrics", "frechet", "precision_recall", "--samples", "40", "--reals", "60", "--devices", "1"]


def test_the_command_finds_what_the_hook_found(measured, tmp_path, capsys) -> None:
    before = results(measured)
    assert main(["evaluate", str(measured), *ASKED, "--json", str(tmp_path / "result.json")]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["values"] == before[-1]["values"]
    assert result["checkpoint"] == "checkpoints/192"
    assert results(measured) == [*before, result]
    printed = capsys.readouterr().out
    assert f"{result['values']['random-conv/frechet']:.6g}" in printed
    assert printed.splitlines()[-2:] == [f"-> {tmp_path}/result.json", f"-> {measured}/evaluations.jsonl"]
    assert "warning: random-conv/frechet of 40 generated and 60 real images is far too uncertain" in printed
    assert "no FID; for FID get https://" in printed


def test_the_best_one(measured) -> None:
    values = {row["images"]: row["values"]["random-conv/frechet"] for row in results(measured)}
    config = MetricsConfig(("frechet",), samples=40, reals=60)
    result = evaluate_run(measured, config, checkpoint="best", devices=1, log=lambda line: None)
    assert result["images"] == min(values, key=values.__getitem__)
    assert result["values"]["random-conv/frechet"] == pytest.approx(min(values.values()), rel=1e-6)


@pytest.mark.slow
def test_the_seed_and_the_path_lengths(plain) -> None:
    config = MetricsConfig(("ppl_z_full",), samples=24, extractor="pixels", metric_batch_size=16)
    first, again, other = (
        evaluate_run(plain, dataclasses.replace(config, metric_seed=seed), log=lambda line: None)["values"]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first["pixels/ppl_z_full"] > 0


def test_path_lengths_by_lpips(digits, tmp_path) -> None:
    np.savez(tmp_path / "all.npz", **ARRAYS)
    fields = {"metrics": ("ppl_z_end",), "samples": 20, "extractor": "pixels", "metric_batch_size": 20}
    evaluate, gan = evaluator(digits, lpips=(str(tmp_path / "all.npz"),), **fields)
    numbers = evaluate(parallel.jit_init(gan.init, parallel.data_mesh(1))(jax.random.key(0)))
    assert list(numbers) == ["ppl_z_end"]
    assert numbers["ppl_z_end"] > 0
    assert evaluate.about["path_lengths"]["name"] == "lpips"
    assert len(evaluate.about["path_lengths"]["sha256"]) == 64
    with pytest.raises(UserError, match="no LPIPS weights at nowhere"):
        evaluator(digits, lpips=("nowhere",), **fields)


# One GAN on a data set ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return open_dataset(DataConfig(), (16, 16, 1))


def evaluator(digits, devices=1, **fields) -> tuple[Evaluator, ganzoo.GAN]:
    gan = ganzoo.create("dcgan", "tiny", channels=1, label_size=10)
    config = MetricsConfig(**{"metrics": ("frechet", "precision_recall"), "samples": 40, "reals": 50} | fields)
    return Evaluator(gan, digits, config, parallel.data_mesh(devices), lambda line: None), gan


def test_devices_and_batch_size_do_not_matter(digits) -> None:
    found = []
    for devices, size in ((1, 64), (8, 24)):
        evaluate, gan = evaluator(digits, devices, metric_batch_size=size)
        state = parallel.jit_init(gan.init, parallel.data_mesh(devices))(jax.random.key(0))
        found.append(evaluate(state))
    for name, number in found[0].items():
        np.testing.assert_allclose(number, found[1][name], rtol=1e-6, err_msg=name)


def test_labels_are_those_of_real_images(digits) -> None:
    evaluate, _ = evaluator(digits)
    labels = evaluate._labels(np.arange(500, dtype=np.int32))
    assert labels.shape == (500, 10)
    np.testing.assert_array_equal(labels.sum(1), 1)
    assert labels.sum(0).min() > 20
    np.testing.assert_array_equal(labels[100:110], evaluate._labels(np.arange(100, 110, dtype=np.int32)))


def test_real_images_are_looked_at_once(digits, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    first, _ = evaluator(digits)
    known = first.reals

    def fail(index: int, target: Target) -> np.ndarray:
        raise OSError(f"image {index} is gone")

    unreadable = dataclasses.replace(digits, pixels=None, source=dataclasses.replace(digits.source, picture=fail))
    again, _ = evaluator(unreadable)
    np.testing.assert_array_equal(again.reals.features, known.features)
    other, _ = evaluator(unreadable, reals=51)
    with pytest.raises(UserError, match="cannot be read any more"):
        _ = other.reals


def test_metric_keys_are_none_of_the_training(digits) -> None:
    evaluate, _ = evaluator(digits)
    of_run = [*jax.random.split(jax.random.key(0), 3)]
    of_run += [jax.random.fold_in(key, step) for key in of_run for step in range(4)]
    bits = {tuple(np.asarray(jax.random.key_data(key))) for key in [*evaluate._keys, *of_run]}
    assert len(bits) == len(evaluate._keys) + len(of_run)


# What users get wrong -----------------------------------------------------------------------------------------------


def test_fid_without_its_weights(digits, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="fid needs weights; get https://") as error:
        evaluator(digits, metrics=("frechet", "fid"))
    assert weights.FILE in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="extractor inception needs weights"):
        evaluator(digits, extractor="inception")
    with pytest.raises(UserError, match=r"not ask for \['kid'\] of pixels features"):
        evaluator(digits, metrics=("kid",), extractor="pixels")
    with pytest.raises(UserError, match="no Inception weights at nowhere"):
        evaluator(digits, inception="nowhere")


def test_labels_of_another_length(digits) -> None:
    gan = ganzoo.create("dcgan", "tiny", channels=1, label_size=7)
    with pytest.raises(UserError, match="has labels of length 10, the model wants 7"):
        Evaluator(gan, digits, MetricsConfig(("frechet",)), parallel.data_mesh(1), print)


def test_styles_of_a_model_without(digits) -> None:
    with pytest.raises(UserError, match="dcgan has no styles w; ask for ppl_z_end"):
        evaluator(digits, metrics=("ppl_w_end",))


WORDS = {
    "evaluate": ("what is to be measured? ganzoo evaluate RUN,", "ganzoo evaluate --help"),
    "evaluate nowhere": ("there is no nowhere; give a run folder",),
    "evaluate .": (". is no run folder",),
    "evaluate nowhere --metrics fud": ("unknown metric 'fud'; did you mean 'fid'?",),
    "evaluate nowhere --metrics FID": ("unknown metric 'FID'; did you mean 'fid'?",),
    "evaluate nowhere --samples 1": ("samples = 1: must be 2 to 1e+09",),
    "evaluate nowhere --samples 3": ("precision_recall needs at least 4 generated images, not 3",),
    "evaluate nowhere --reals 1": ("reals = 1: must be 0 (all) or at least 2",),
    "evaluate nowhere --reals 5 --metrics density_coverage": ("needs at least 6 real images, not 5",),
    "evaluate nowhere --metrics inception_score --samples 19": ("needs at least 20 generated images",),
    "evaluate nowhere --lpips x.pth": ("lpips = ('x.pth',): must be left out: no path length",),
    "evaluate nowhere --extractor incepton": ("'incepton'", "'inception'"),
    "evaluate nowhere --sampels 3": ("unknown option --sampels", "did you mean '--samples'?"),
    "evaluate nowhere --json nowhere/x.json": ("nowhere/x.json cannot be written: there is no folder nowhere",),
    "evaluate nowhere --json .": (". cannot be written: Is a directory",),
    "train dcgan-tiny --metrics fud": ("unknown metric 'fud'",),
    "train dcgan-tiny --keep-best 2": ("keep_best = 2: must be 0, or metrics be given",),
    "train dcgan-tiny --metrics fid --devices 1": ("fid needs weights; get https://",),
    "train dcgan-tiny --metric-every 0": ("metric_every = 0: must be at least 1",),
}


@pytest.mark.parametrize("typed", WORDS)
def test_one_line_of_complaint(typed, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(typed.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("ganzoo: error: ")
    assert len(error.splitlines()) == 1
    assert [word for word in WORDS[typed] if word not in error] == [], error
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_best_checkpoints(plain) -> None:
    with pytest.raises(UserError, match="holds no best checkpoint; train with --metrics fid --keep-best 1"):
        evaluate_run(plain, MetricsConfig(), checkpoint="best")
