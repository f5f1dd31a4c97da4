"""Every subcommand on a small converted model and on one without styles: what it writes, and what it refuses."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from latent_states import drawn_state
from metrics.test_lpips import ARRAYS
from PIL import Image

import ganzoo
from ganzoo import interop
from ganzoo.cli import main, tools
from ganzoo.cli.tools import COMMANDS
from ganzoo.config import to_json
from ganzoo.data import read_images
from ganzoo.errors import UserError
from ganzoo.gan import named_leaves

KEY = jax.random.key(0)


def written(folder: Path, name: str, preset: str, **fields) -> str:
    """A fresh model as a file."""
    gan = ganzoo.create(name, preset, **fields)
    arrays = {f"ema.{key}": np.asarray(leaf) for key, leaf in named_leaves(gan.init(KEY).ema)}
    if name == "dcgan":  # whose fresh images are all grey
        draws = np.random.default_rng(0)
        arrays = {key: draws.normal(size=array.shape).astype(np.float32) for key, array in arrays.items()}
        arrays = {key: np.square(array) if key.endswith(".var") else array for key, array in arrays.items()}
    path = folder / f"{name}.safetensors"
    interop.save(path, interop.Converted(name, to_json(gan.config), arrays))
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("models"), "stylegan2", "tiny", channels=1, label_size=3)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("models"), "dcgan", "tiny")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Runs a command in an empty folder, which must end well, and returns what is in the folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> dict[str, Path]:
        assert main(list(args)) == 0, capsys.readouterr().err
        return {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}

    return run


@pytest.mark.parametrize("options", [(), ("--psi", "0.5", "--cutoff", "2", "--class", "1", "--noise", "random")])
def test_sample_a_grid(model: str, run, options) -> None:
    files = run("sample", model, "--seeds", "0-2,9", *options, "--columns", "3")
    with Image.open(files["samples.png"]) as picture:
        assert picture.mode == "L"
        assert picture.size[0] > picture.size[1]


def test_sample_single_files(plain: str, run) -> None:
    files = run("sample", plain, "--seeds", "3,5", "--out", "many", "--latents", "numpy")
    assert set(files) == {"many/seed0003.png", "many/seed0005.png"}
    with Image.open(files["many/seed0003.png"]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (16, 16))


def test_a_name_with_a_point_is_a_folder_and_psi_may_be_large(model: str, run, capsys) -> None:
    files = run("sample", model, "--seeds", "0-2", "--psi", "1.2", "--out", "new/samples_psi0.7", "--batch", "2")
    assert set(files) == {f"new/samples_psi0.7/seed000{i}.png" for i in range(3)}
    note, last = capsys.readouterr().out.splitlines()
    assert note.startswith("note: psi = 1.2 is outside [-1, 1]")
    assert last == "3 images -> new/samples_psi0.7, the first one new/samples_psi0.7/seed0000.png"


def test_files_appear_as_they_come(model: str, run, tmp_path: Path, monkeypatch) -> None:
    """A disk that is full at the third image leaves the two that came before."""
    write = tools.save_picture

    def save(path: Path, image: np.ndarray) -> None:
        if path.name == "seed0002.png":
            raise OSError(28, "No space left on device", str(path))
        write(path, image)

    monkeypatch.setattr(tools, "save_picture", save)
    monkeypatch.chdir(tmp_path)
    assert main(["sample", model, "--seeds", "0-7", "--out", "many", "--batch", "2"]) == 2
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["seed0000.png", "seed0001.png"]


def test_mix(model: str, run) -> None:
    files = run("mix", model, "--rows", "0", "--columns", "1-2", "--layers", "2-3", "--out", "mix.webp")
    with Image.open(files["mix.webp"]) as picture:
        assert picture.format == "WEBP"


@pytest.mark.parametrize("out", ["film.webp", "film.gif"])
def test_interpolate(model: str, run, out) -> None:
    files = run("interpolate", model, "--seeds", "0-3", "--frames", "4", "--columns", "2", "--out", out)
    with Image.open(files[out]) as film:
        assert film.n_frames == 8
        assert film.size == (256, 128)


def test_interpolate_latents(plain: str, run) -> None:
    files = run("interpolate", plain, "--seeds", "0-1", "--frames", "3", "--way", "slerp")
    with Image.open(files["film.webp"]) as film:
        assert film.n_frames == 6


def test_project_pictures_that_it_made(model: str, run) -> None:
    run("sample", model, "--seeds", "0,1", "--out", "targets")
    files = run("project", model, "--images", "targets", "--steps", "3", "--style-samples", "50")
    assert {f"projection/{i:04d}-seed{i:04d}.png" for i in range(2)} | {"projection/projection.png"} <= set(files)
    with np.load(files["projection/projection.npz"]) as found:
        assert found["ws"].shape == (2, 4, 8)
        assert found["distances"].shape == (3, 2)
    assert read_images(files["targets/seed0000.png"], (8, 8, 1)).shape == (1, 8, 8, 1)


@pytest.fixture(scope="module")
def projected(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that ``ganzoo project`` wrote, with two pictures of the generator."""
    folder = tmp_path_factory.mktemp("projected")
    assert main(["sample", model, "--seeds", "0,1", "--out", str(folder / "targets")]) == 0
    options = ["--images", str(folder / "targets"), "--steps", "3", "--style-samples", "50"]
    assert main(["project", model, *options, "--out", str(folder / "projection")]) == 0
    return folder / "projection"


def test_a_projection_is_sampled_as_it_was_found(model: str, projected: Path, run) -> None:
    """Pixel for pixel, but for rounding; the names of the files tell which picture it is."""
    styles = ("--styles", str(projected / "projection.npz"))
    files = run("sample", model, *styles, "--out", "again")
    assert set(files) == {"again/0000-seed0000.png", "again/0001-seed0001.png"}
    for name, path in files.items():
        ours, theirs = (np.asarray(Image.open(each), int) for each in (path, projected / Path(name).name))
        assert np.abs(ours - theirs).max() <= 1
    files = run("sample", model, *styles, "--seeds", "1", "--out", "second", "--psi", "0")
    assert "second/0001-seed0001.png" in files
    average, own = (np.asarray(Image.open(each), int) for each in (files["second/0001-seed0001.png"], path))
    assert np.abs(average - own).max() > 1


def test_a_projection_is_mixed_edited_and_filmed(model: str, projected: Path, run) -> None:
    styles = ("--styles", str(projected / "projection.npz"))
    files = run("mix", model, *styles, "--columns", "5-7")
    with Image.open(files["mix.png"]) as table:
        assert table.size[0] > table.size[1]  # four columns, three rows
    files = run("edit", model, *styles, "--seeds", "1", "--steps", "3", "--reach", "0")
    row = np.asarray(Image.open(files["edit.png"]), int)
    assert row.shape[1] > 2 * row.shape[0]
    files = run("interpolate", model, *styles, "--frames", "4")
    with Image.open(files["film.webp"]) as film:
        assert film.n_frames == 8


REFUSED_STYLES = {
    "sample {plain} --styles {styles}": "no styles",
    "sample {other} --styles {styles}": "holds styles of (4, 8), where stylegan2 has (6, 8); use",
    "sample {model} --styles {styles} --class 1": "class = 1: must be left out with --styles",
    "sample {model} --styles {styles} --latents numpy": "latents = 'numpy': must be left out with --styles",
    "sample {model} --styles {styles} --seeds 2": "seeds = '2': the range 2 must go up, to 1 at most",
    "sample {model} --styles nowhere.npz": "nowhere.npz cannot be read",
    "sample {model} --styles {model}": "holds no styles",
    "interpolate {model} --styles {styles} --space z": "space = 'z': must be w",
    "interpolate {model} --styles {styles} --seeds 1": "at least two",
    "mix {model} --styles {styles} --rows 5": "rows = '5'",
}


@pytest.mark.parametrize("typed", REFUSED_STYLES)
def test_styles_refused_in_one_line(typed: str, model, plain, projected, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    other = written(tmp_path, "stylegan2", "tiny", image_size=16, channels=1, label_size=3)
    places = {"model": model, "plain": plain, "other": other, "styles": projected / "projection.npz"}
    assert main(typed.format(**places).split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert REFUSED_STYLES[typed] in lines[0]


@pytest.mark.slow
def test_every_tool_takes_a_checkpoint(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A run of three checkpoints; of 16 images is the one that --keep-every kept and --checkpoint names."""
    short = ["--data", "digits", "--channels", "1", "--batch-size", "16", "--devices", "1"]
    run(
        "train",
        "dcgan-tiny",
        *short,
        "--images",
        "48",
        "--checkpoint-every",
        "16",
        "--keep-every",
        "16",
        "--out",
        "made",
    )
    for options in (("made", "--checkpoint", "16"), ("made/checkpoints/16",)):
        run("sample", *options, "--seeds", "0", "--out", "a")
        run("spectrum", *options, "--count", "2")
        run("export", *options)
        run("convert", *options, "b.safetensors")
        state = ganzoo.load("b.safetensors")[1]
        assert (int(state.images), int(state.step)) == (16, 1)
        (tmp_path / "b.safetensors").unlink()
    options = ("--metrics", "frechet", "--samples", "8", "--reals", "8", "--extractor", "pixels", "--devices", "1")
    run("evaluate", "made", "--checkpoint", "16", *options)
    assert json.loads((tmp_path / "made" / "evaluations.jsonl").read_text())["checkpoint"] == "checkpoints/16"
    for command in (("sample",), ("export",), ("evaluate",), ("convert", "x.safetensors")):
        assert main([command[0], "made", *command[1:], "--checkpoint", "7"]) == 2
        assert "made holds no checkpoint of 7 images; there are 16, 32, 48" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds no best checkpoint"):
        ganzoo.load("made", checkpoint="best")


@pytest.mark.slow
def test_project_by_lpips(model: str, run, capsys: pytest.CaptureFixture) -> None:
    """With files of random weights, the network's in one and the distance's in the other."""
    larger = written(Path(), "stylegan2", "tiny", image_size=16, channels=1)
    for name, start in (("vgg16", "features"), ("vgg", "lin")):
        safetensors.numpy.save_file(
            {key: ARRAYS[key] for key in ARRAYS if key.startswith(start)}, f"{name}.safetensors"
        )
    Image.fromarray(np.add.outer(np.arange(0, 128, 8), np.arange(0, 128, 8)).astype(np.uint8)).save("target.png")
    options = ("--steps", "30", "--style-samples", "50", "--no-optimise-noise")
    options = (*options, "--lpips", "vgg16.safetensors", "vgg.safetensors")
    files = run("project", larger, "--images", "target.png", *options)
    with np.load(files["projection/projection.npz"]) as found:
        assert found["distances"][-1] < 0.8 * found["distances"][0]
    assert main(["project", model, "--images", "target.png", *options]) == 2
    assert "LPIPS needs images of at least 16 pixels, not 8x8" in capsys.readouterr().err


@pytest.mark.slow
def test_project_and_tune(model: str, run, capsys: pytest.CaptureFixture) -> None:
    """The tuned generator is a model like any other, which gives the tuned pictures for the projection's styles."""
    shades = np.add.outer(np.arange(0, 64, 8), np.arange(0, 64, 8)).astype(np.uint8)
    Image.fromarray(shades).save("target.png")
    options = ("--steps", "3", "--style-samples", "50", "--tune", "60")
    files = run("project", model, "--images", "target.png", *options)
    found = re.search(r"PSNR ([\d.]+) dB before tuning, ([\d.]+) dB after 60 steps", capsys.readouterr().out)
    before, after = (float(number) for number in found.groups())
    assert after > before
    styles = ("--styles", str(files["projection/projection.npz"]))
    tuned = ("sample", str(files["projection/tuned.safetensors"]), *styles, "--out", "again")
    ours, theirs = (run(*tuned)[name] for name in ("again/0000-target.png", "projection/0000-target-tuned.png"))
    assert "other weights" not in capsys.readouterr().out
    assert np.abs(np.asarray(Image.open(ours), int) - np.asarray(Image.open(theirs), int)).max() <= 1
    run("sample", model, *styles)
    assert "other weights" not in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--method", "closed-form", "--layers", "0-1", "--direction", "2")])
def test_edit(model: str, run, options) -> None:
    files = run("edit", model, "--seeds", "0-1", "--steps", "3", *options)
    assert set(files) == {"edit.png"}


def test_convert_the_generator_alone(model: str, run) -> None:
    files = run("convert", model, "g.safetensors", "--generator-only")
    assert set(interop.read(files["g.safetensors"]).networks) == {"ema"}


def test_a_generator_alone_keeps_its_level_of_detail(run, tmp_path: Path) -> None:
    """Without it a StyleGAN that still grows would make other images."""
    gan = ganzoo.create("stylegan", "tiny")
    state = drawn_state(gan)
    arrays = {f"ema.{name}": np.asarray(leaf) for name, leaf in named_leaves(state.ema)}
    growing = interop.Converted("stylegan", to_json(gan.config), {**arrays, "level_of_detail": np.float32(0.4)})
    interop.save(tmp_path / "growing.safetensors", growing)
    run("convert", "growing.safetensors", "g.safetensors", "--generator-only")
    assert float(ganzoo.load("g.safetensors")[1].level_of_detail) == np.float32(0.4)


def test_spectrum(plain: str, run) -> None:
    run("sample", plain, "--seeds", "0-3", "--out", "real")
    files = run("spectrum", plain, "--count", "70", "--real", "real")
    with np.load(files["spectrum.npz"]) as found:
        assert found["generated"].shape == found["real"].shape == (16, 16)
        assert found["radial_generated"].shape == (9,)


def test_export(model: str, run, capsys: pytest.CaptureFixture) -> None:
    files = run("export", model, "--psi", "0.7")
    assert files["generator.jax"].stat().st_size > 1000
    assert "latents [n, z], labels [n, 3] -> images [n, 8, 8, 1]" in capsys.readouterr().out


REFUSED = {
    "sample {model} --seeds a": "seeds = 'a'",
    "sample {model} --psi 200": "psi = 200.0: must be from -100 to 100",
    "sample {model} --psi nan": "psi = nan",
    "sample {model} --cutoff -1": "cutoff = -1: must be 0 or more",
    "sample {model} --cutoff 9": "cutoff = 9: must be 0 to 4",
    "sample {model} --class -1": "class = -1: must be 0 or more",
    "sample {model} --columns 0": "columns = 0: must be at least 1",
    "sample {model} --columns -2": "columns = -2: must be at least 1",
    "sample {model} --out nodir/x.png": "nodir/x.png cannot be written: there is no folder nodir",
    "sample {model} --out x.zip": "x.zip: must end in .png or .webp for one grid, or have no ending for a folder",
    "sample {model} --out {model}/sub": "is no folder, so",
    "sample {model} --out {long}": "cannot be",
    "sample {model} --out {long}.png": "File name too long",
    "sample {model} --out ~nobody-of-that-name/x": "the home folder is not known",
    "sample {model} --seeds 0-999999 --columns 7": "70 x 1,428,580 pixels, more than 100 million; give --out a folder",
    "sample {model} --seeds 0-16999 --columns 1 --out x.webp": "WebP ends at 16,383; write a .png, or",
    "sample {model} --class 3": "class = 3",
    "sample {model} --out x.jpg": "must end in .png or .webp",
    "sample {model} --sedes 1": "did you mean '--seeds'",
    "sample nowhere": "there is no nowhere; give a run folder",
    "sample {plain} --psi 0.5": "no styles",
    "mix {plain}": "no styles",
    "mix {model} --layers 9": "layers = '9'",
    "mix {model} --rows 0-9999 --columns 0-9999": "take fewer --rows or --columns",
    "mix {model} --out mix.jpg": "must end in .png or .webp",
    "interpolate {model} --fps 0.001 --out x.gif": "fps = 0.001: must be from 0.1 to 240",
    "interpolate {model} --fps nan": "fps = nan: must be from 0.1",
    "interpolate {model} --frames 0": "frames = 0: must be at least 1",
    "interpolate {model} --frames 1000000": "frames = 1000000: must be fewer",
    "interpolate {model} --rows 0": "rows = 0: must be at least 1",
    "interpolate {model} --columns -1": "columns = -1: must be at least 1",
    "interpolate {model} --out nodir/x.webp": "there is no folder nodir",
    "interpolate {model} --seeds 1": "at least two",
    "interpolate {model} --seeds 0-1 --out film.avi": "must end in .webp, .gif or .mp4",
    "project {model} --images nowhere": "nowhere",
    "project {model} --images nowhere --lpips vgg.pth": "no LPIPS weights at vgg.pth; LPIPS takes vgg16",
    "project {plain} --images nowhere": "no styles",
    "project {model} --images nowhere --class 3": "class = 3",
    "project {model} --images nowhere --out {model}": "be a folder",
    "project {plain} --images nowhere --tune 3": "no styles",
    "project {model} --images nowhere --tune -1": "tune = -1: must be 0 or more",
    "project {model} --images nowhere --tune-locality 0.1": "tune_locality = 0.1: must be left out without --tune",
    "project {model} --images nowhere --tune 3 --tune-locality -1": "tune_locality = -1.0: must be 0 or more",
    "edit {model} --reach nan": "reach = nan: must be from -1000 to 1000",
    "edit {model} --reach inf": "reach = inf",
    "edit {model} --direction 99": "direction = 99: must be 0 to 7",
    "edit {model} --direction -1": "direction = -1: must be 0 or more",
    "edit {model} --layers 9": "layers = '9'",
    "edit {model} --steps 1": "steps = 1",
    "edit {model} --steps 10000000": "take fewer --seeds or --steps",
    "edit {plain}": "no styles",
    "edit {model} --method closed-form --direction 8": "direction = 8",
    "spectrum {model} --count 0": "count = 0: must be 1 to 1,000,000",
    "spectrum {model} --out x.gif": "must end in .png or .webp",
    "spectrum {model} --out nodir/x.png": "there is no folder nodir",
    "export {plain} --psi 0.5": "no styles to truncate",
    "convert {model} x.npz": "end in .safetensors",
    "convert {plain} x.npz --names original": "image_size = 16: must be 64 in the DCGAN",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_refused_in_one_line(typed: str, model, plain, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(typed.format(model=model, plain=plain, long="n" * 300).split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert REFUSED[typed] in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str, capsys: pytest.CaptureFixture) -> None:
    assert main([name, "--help"]) == 0
    assert COMMANDS[name].__doc__.split(",")[0].split(".")[0][:40] in " ".join(capsys.readouterr().out.split())


def test_the_last_weights_and_a_model_of_a_file(run, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A run of a model that no package has: found by --model-file, never by what the run folder says."""
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\nfrom ganzoo.models import dcgan\nMODEL = replace(dcgan.MODEL, name='own')\n"
    )
    short = ["--data", "digits", "--images", "32", "--batch-size", "16", "--devices", "1", "--channels", "1"]
    run("train", "own.py:MODEL:tiny", *short, "--ema-half-life", "100", "--out", "made")
    assert main(["sample", "made"]) == 2
    assert "unknown model 'own'" in capsys.readouterr().err
    options = ("--seeds", "0", "--model-file", "own.py:MODEL")
    run("sample", "made", *options, "--out", "ema")
    files = run("sample", "made", *options, "--out", "last", "--no-ema")
    images = [np.asarray(Image.open(files[f"{folder}/seed0000.png"])) for folder in ("ema", "last")]
    assert images[0].shape == (16, 16)
    assert not np.array_equal(*images)
