"""Run folders that somebody else has made, or spoilt: nothing outside is touched, awaited or started."""

import json
import os

import pytest
from small_runs import PNG, TINY, snapshot

from ganzoo.cli import main


def fails(capsys: pytest.CaptureFixture, *args: object) -> str:
    """The one line of complaint of a command."""
    assert main([str(arg) for arg in args]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ganzoo: error: ")
    return line


@pytest.mark.parametrize("name", ["checkpoints", "samples", "tensorboard", "metrics.jsonl", "log.txt", "config.json"])
def test_resume_follows_no_link_out_of_the_folder(name, run_folder, tmp_path, capsys) -> None:
    place, outside = run_folder / name, tmp_path / "outside" / name
    outside.parent.mkdir()
    place.rename(outside)
    place.symlink_to(outside)
    before = snapshot(outside.parent)
    line = fails(capsys, *TINY, "--images", 128, "--keep-last", 1, "--resume", "--out", run_folder)
    assert f"{name}" in line
    assert "link, which is not followed" in line
    assert snapshot(outside.parent) == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", "config.json", "checkpoints/64/_CHECKPOINT_METADATA"])
def test_resume_waits_for_no_pipe(name, run_folder, capsys) -> None:
    (run_folder / name).unlink()
    os.mkfifo(run_folder / name)
    assert name in fails(capsys, *TINY, "--images", 128, "--resume", "--out", run_folder)


def test_links_that_are_replaced_are_not_followed(run_folder, tmp_path) -> None:
    (tmp_path / "outside").write_text("x")
    for name in ("reals.png", "samples.png", "samples.webp"):
        (run_folder / name).unlink()
        (run_folder / name).symlink_to(tmp_path / "outside")
    (run_folder / "samples" / "000000128.png").symlink_to(tmp_path / "outside")
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    assert (tmp_path / "outside").read_text() == "x"
    assert not (run_folder / "samples.png").is_symlink()


def test_foreign_pictures_among_the_samples_end_no_run(run_folder, capsys) -> None:
    pictures = {"1": b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage", "2": PNG, "3": b"", "4": PNG[:50], "999999999": PNG}
    for name, content in pictures.items():
        (run_folder / "samples" / f"00000000{name}.png").write_bytes(content)
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    assert "4 grids in samples/ cannot be read as PNG" in capsys.readouterr().out


@pytest.mark.parametrize("section", ["gan", "training", "data", "model"])
@pytest.mark.parametrize(("value", "preset"), [(None, "dcgan-tiny"), ([], "dcgan-tiny"), (None, "stylegan2-auto")])
def test_resume_with_a_config_of_other_types(section, value, preset, run_folder, capsys) -> None:
    record = json.loads((run_folder / "config.json").read_text())
    record["experiment"][section] = value
    (run_folder / "config.json").write_text(json.dumps(record))
    line = fails(capsys, "train", preset, *TINY[2:], "--data", "digits", "--resume", "--out", run_folder)
    assert f'config.json cannot be read ("{section}" is ' in line


def test_resume_with_two_values_of_one_name(run_folder, capsys) -> None:
    config = run_folder / "config.json"
    config.write_text(config.read_text().replace('"seed": 0,', '"seed": 0, "seed": 0,'))
    line = fails(capsys, *TINY, "--resume", "--out", run_folder)
    assert "config.json cannot be read (two values of the name 'seed')" in line


@pytest.mark.parametrize("value", [2**63, 2**39, 10**400])
def test_sizes_that_nothing_could_have(value, tmp_path, capsys) -> None:
    line = fails(capsys, *TINY, "--latent-size", value, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())
    assert "latent_size = " in line or "MiB free" in line


def test_damage_of_an_array_is_named_with_what_to_do(run_folder, capsys) -> None:
    """Zeros in the file of arrays, which Orbax alone does not notice."""
    state = run_folder / "checkpoints" / "64" / "state"
    file = max(state.glob("ocdbt.process_0/d/*"), key=lambda file: file.stat().st_size)
    content = bytearray(file.read_bytes())
    place = len(content) // 4
    content[place : place + 512] = bytes(512)
    file.write_bytes(content)
    for args in (
        [*TINY, "--images", 128, "--resume", "--out", run_folder],
        ["sample", run_folder, "--out", run_folder.parent / "x.png"],
    ):
        line = fails(capsys, *args)
        assert "checkpoint 64 in" in line
        assert f"delete {run_folder / 'checkpoints' / '64'} to resume from the start" in line


def test_a_run_leaves_what_people_look_for(trained) -> None:
    record = json.loads((trained / "config.json").read_text())
    assert {"ganzoo", "python", "jax"} <= record["versions"].keys()
    assert len(record["commands"]) == 1
    lines = (trained / "log.txt").read_text().splitlines()
    assert lines[0].startswith("dcgan 16x16x1")
    assert lines[-1].startswith("64/64  ")
    assert (trained / "reals.png").is_file()
    assert "elapsed_s" in json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_resumed_run_adds_to_its_log_and_its_commands(run_folder) -> None:
    before = (run_folder / "log.txt").read_text()
    assert main([*TINY, "--images", "128", "--resume", "--out", str(run_folder)]) == 0
    after = (run_folder / "log.txt").read_text()
    assert after.startswith(before)
    assert "resumed at 64 images" in after
    assert len(json.loads((run_folder / "config.json").read_text())["commands"]) == 2
