"""The command ganzoo evaluate of what people have: files of models, sets of images, runs that are not theirs."""

import json
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from data.pictures import encode, rainbow, write_folder, write_zip

import ganzoo
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.metrics import MetricsConfig, extractors
from ganzoo.metrics.statistics import Statistics, frechet_distance
from ganzoo.runs.evaluate import require_finite

QUICK = ["--extractor", "pixels", "--devices", "1"]
FEW = [*QUICK, "--samples", "30", "--reals", "40", "--metrics", "frechet", "precision_recall"]
NAMES = [f"pixels/{name}" for name in ("frechet", "precision", "recall")]
DIGITS16 = Path(__file__).parents[2] / "notebooks" / "digits16.safetensors"


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    fields = {"channels": 1, "label_size": 10, "images": 32, "batch_size": 16, "devices": 1}
    ganzoo.train("dcgan-tiny", "digits", out, **fields, log=lambda line: None)
    return out


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of a run folder, for each test its own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def complaint(capsys, tmp_path) -> Callable[..., str]:
    """Runs the command; returns its one line on stderr, of an input that is refused before anything is computed."""

    def refused(*args: str | Path, computed: bool = False) -> str:
        before = contents(tmp_path)
        assert main(["evaluate", *map(str, args)]) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert line.startswith("ganzoo: error: ")
        assert ("frechet" in captured.out) == computed
        assert contents(tmp_path) == before
        return line

    return refused


def contents(folder: Path) -> dict[str, object]:
    """Every file below the folder with its content, links as links."""
    return {str(path): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
            for path in folder.rglob("*")}  # fmt: skip


def evaluated(capsys, *args: str | Path) -> tuple[dict, str]:
    """Result of the command, from its file, and what it prints."""
    file = Path("result.json")
    assert main(["evaluate", *map(str, args), "--json", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(file.read_text()), captured.out


# Models that are no runs --------------------------------------------------------------------------------------------


def test_a_file_against_a_data_set(capsys) -> None:
    result, printed = evaluated(capsys, DIGITS16, "--data", "digits", *FEW)
    assert list(result["values"]) == NAMES
    assert result["model"]["source"] == str(DIGITS16)
    assert len(result["model"]["sha256"]) == 64
    assert [line.split()[0] for line in printed.splitlines()[-4:]] == [*NAMES, "->"]
    assert main(["evaluate", str(DIGITS16), "--data", "digits", *FEW]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("not kept: --json FILE writes the numbers")


def test_a_run_and_its_file_have_the_same_numbers(run, capsys) -> None:
    assert main(["convert", str(run), "mine.safetensors"]) == 0
    capsys.readouterr()
    of_file, _ = evaluated(capsys, "mine.safetensors", "--data", "digits", *FEW)
    of_run, _ = evaluated(capsys, run, "--checkpoint", "32", *FEW)
    assert of_file["values"] == of_run["values"]
    assert of_run["checkpoint"] == "checkpoints/32"


def test_a_pickle_of_the_original_code(capsys) -> None:
    packed = Path(__file__).parents[1] / "golden" / "pkl" / "sg2_uncond.pkl.xz"
    Path("original.pkl").write_bytes(lzma.decompress(packed.read_bytes()))
    result, _ = evaluated(capsys, "original.pkl", "--data", "digits", *FEW)
    assert list(result["values"]) == NAMES
    assert result["model"]["source"] == "original.pkl"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([], "--data SET is missing: only a run folder says what"),
        (["--data", "digits", "--checkpoint", "best"], "checkpoint = 'best': must be left out"),
        (["--data", "nowhere"], "no data set 'nowhere'"),
        (["--data", "digits", "--fake", "x"], "fake = 'x': must be left out beside the model"),
        (["--data", "one"], "needs at least 2 real images, not 1 of one"),
        (["--data", "digits", "--metrics", "ppl_w_end"], "has no styles w; ask for ppl_z_end"),
    ],
)
def test_a_file_without_what_it_needs(typed, words, complaint, run) -> None:
    main(["convert", str(run), "mine.safetensors"])
    write_folder(Path("one"), {"a/0.png": encode(rainbow()), "b/1.png": b""})
    labels = ["--on-bad-file", "skip"] if "one" in typed else []
    if "one" in typed:
        shutil.copy(DIGITS16, "mine.safetensors")
        words = "has labels" if ganzoo.load("mine.safetensors")[0].label_size else words
    assert words in complaint("mine.safetensors", *QUICK, "--metrics", "frechet", *labels, *typed)


def test_a_damaged_file(complaint) -> None:
    Path("x.pkl").write_bytes(b"<html>")
    assert "x.pkl" in complaint("x.pkl", "--data", "digits", *QUICK)


def test_weights_that_are_not_finite() -> None:
    kernel = np.ones((3, 3), np.float32)
    require_finite(SimpleNamespace(ema={"params": {"kernel": kernel}}), "mine")
    with pytest.raises(UserError, match=r"mine has values that are not finite \(params.kernel\)"):
        require_finite(SimpleNamespace(ema={"params": {"kernel": kernel * np.inf}}), "mine")


# Two sets of images -------------------------------------------------------------------------------------------------


def pictures(count: int, seed: int, size: int = 12) -> dict[str, bytes]:
    return {f"{i:03d}.png": encode(rainbow(size, size, seed=1000 * seed + i)) for i in range(count)}


def test_two_sets_of_images(capsys) -> None:
    """A folder against a zip, with the numbers of the arrays."""
    real, fake = pictures(30, 1), pictures(20, 2, size=16)
    write_folder(Path("a"), real)
    write_zip(Path("b.zip"), fake)
    result, printed = evaluated(capsys, "--real", "a", "--fake", "b.zip", *QUICK, "--metrics", "frechet", "kernel")
    assert (result["real"]["count"], result["fake"]["count"]) == (30, 20)
    assert (result["real"]["shape"], result["fake"]["shape"]) == ([12, 12, 3], [16, 16, 3])
    assert "real images of 12 x 12, generated ones of 16 x 16; each is resized by itself" in printed
    features = []
    for files, size in ((real, 12), (fake, 16)):
        arrays = [rainbow(size, size, seed=1000 * (1 + (files is fake)) + i) for i in range(len(files))]
        features.append(extractors.pixels().function((), jnp.asarray(np.stack(arrays), jnp.float32)))
    expected = frechet_distance(*(Statistics.of(np.asarray(each)) for each in features))
    np.testing.assert_allclose(result["values"]["pixels/frechet"], expected, rtol=1e-5)
    few, _ = evaluated(capsys, "--real", "a", "--fake", "b.zip", *QUICK, "--samples", "9", "--metrics", "frechet")
    assert few["fake"]["count"] == 9


def test_a_set_and_itself(capsys) -> None:
    same = ["--samples", "50", "--reals", "50"]
    result, _ = evaluated(capsys, "--real", "digits", "--fake", "digits", *QUICK, *same)
    assert result["values"]["pixels/frechet"] < 1e-6
    assert result["values"]["pixels/precision"] == result["values"]["pixels/recall"] == 1


def test_sizes_that_differ_in_a_set(capsys) -> None:
    write_folder(Path("a"), pictures(8, 1) | {"x.png": encode(rainbow(20, 30))})
    _, printed = evaluated(capsys, "--real", "digits", "--fake", "a", *FEW)
    assert "note: a has images of different sizes; those that are not 12 x 12 are cropped" in printed


def test_grids_of_a_run_are_no_single_images(run, capsys) -> None:
    for i in range(4):
        shutil.copy(run / "samples" / "000000032.png", run / "samples" / f"{i}.png")
    _, printed = evaluated(capsys, "--real", "digits", "--fake", run / "samples", *FEW)
    assert f"warning: {run}/samples holds grids, each of which counts as one image here" in printed


SETS = ["--real", "digits", "--fake", "digits"]
WORDS = {
    "--real digits": "--fake SET is missing beside --real",
    "--fake digits": "--real SET is missing beside --fake",
    "--real digits --fake nowhere": "no data set 'nowhere'",
    "--real digits --fake digits --metrics ppl_z_full": "ppl_z_full needs a generator",
    "--real digits --fake digits --data digits": "data = 'digits': must be left out beside --real and --fake",
    "--real digits --fake digits --mirror True": "mirror = True: must be left out",
    "--real digits --fake digits --checkpoint best": "checkpoint = 'best': must be left out",
    "--real few --fake digits": "precision_recall needs at least 4 real images, not 3 of few",
    "--real digits --fake few": "precision_recall needs at least 4 generated images, not 3 of few",
    "--real digits --fake one --metrics kernel": "kernel needs at least 2 generated images, not 1 of one",
    "--real digits --fake few --metrics": "metrics = (): must be some of fid",
}


@pytest.mark.parametrize("typed", WORDS)
def test_sets_that_are_refused(typed, complaint) -> None:
    write_folder(Path("few"), pictures(3, 1))
    write_folder(Path("one"), pictures(1, 1))
    assert WORDS[typed] in complaint(*QUICK, *typed.split())


# Run folders of others ----------------------------------------------------------------------------------------------


def to_profile(place: Path) -> None:
    """Of somebody who wants a line in a file of the user."""
    place.parent.with_name("profile").write_text("theirs\n")
    place.symlink_to("../profile")


UNFIT = {"is a link, which is not followed": to_profile, "is a folder": os.mkdir, "is no regular file": os.mkfifo}


@pytest.mark.parametrize("reason", UNFIT)
def test_results_that_cannot_be_added(reason, run, complaint, capsys) -> None:
    """They are refused before the work; with --json they are made, and nothing in the run is touched."""
    place = run / "evaluations.jsonl"
    UNFIT[reason](place)
    error = complaint(run, *FEW)
    assert f"evaluations.jsonl cannot be written: it {reason}; remove it; or give --json FILE" in error
    before = contents(run.parent)
    result, printed = evaluated(capsys, run, *FEW)
    assert list(result["values"]) == NAMES
    assert f"note: the result is not added to the run: {place} cannot be written: it {reason}" in printed
    assert f"-> {place}" not in printed
    after = contents(run.parent)
    assert after.pop(str(run.parent / "result.json"))
    assert after == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_that_is_read_only(run, complaint) -> None:
    run.chmod(0o500)
    assert "its folder cannot be written to; or give --json FILE" in complaint(run, *FEW)


def test_numbers_are_printed_before_they_are_kept(run, capsys) -> None:
    """A place that fails in the meantime costs one line; the other place has the result."""
    from ganzoo.cli import evaluate

    result = {"images": 32, "values": {"pixels/frechet": 1.5}}
    (run / "evaluations.jsonl").mkdir()
    with pytest.raises(UserError, match=r"evaluations\.jsonl cannot be written: it is a folder"):
        evaluate.written(result, Path("r.json"), run)
    assert json.loads(Path("r.json").read_text()) == result
    (run / "evaluations.jsonl").rmdir()
    with pytest.raises(UserError, match=r"cannot write nowhere/r\.json"):
        evaluate.written(result, Path("nowhere/r.json"), run)
    assert json.loads((run / "evaluations.jsonl").read_text()) == result


@pytest.mark.parametrize("place", ["nowhere/r.json", ".", "/dev/null", "a" * 300])
def test_a_file_that_cannot_be_written(place, run, complaint) -> None:
    assert "cannot be" in complaint(run, *FEW, "--json", place)


def test_a_config_is_needed_for_results() -> None:
    with pytest.raises(UserError, match="precision_recall needs at least 4 generated images, not 2"):
        MetricsConfig(samples=2)
