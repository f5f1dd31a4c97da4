"""ganzoo pack writes a pack, says so, and names what it does not take."""

from pathlib import Path

import pytest

from ganzoo.cli import main
from ganzoo.cli.pack import OF_READERS
from ganzoo.data import DataConfig, open_dataset


def test_a_pack_is_made_once_and_inspected(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "digits.pack"
    assert main(["pack", "digits", str(path), "--image-size", "16", "--resize-filter", "box"]) == 0
    assert capsys.readouterr().out.startswith("16 x 16 x 1, ")
    assert main(["pack", "digits", str(path), "--image-size", "16", "--resize-filter", "box"]) == 0
    assert capsys.readouterr().out.startswith("there already")
    assert main(["inspect", str(path)]) == 0
    assert "1,797 of 16 x 16 x 1" in capsys.readouterr().out
    ours, theirs = (
        open_dataset(DataConfig(data=data, resize_filter="box"), (16, 16, 1)) for data in (str(path), "digits")
    )
    assert ours.fingerprint == theirs.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["digits", "a.zip"], "must end in .pack"),
        (["absent", "a.pack"], "no data set 'absent'"),
        (["digits", "a.pack", "--image-size", "0"], "impossible"),
        (["digits", "a.pack", "--channels", "7"], "not 7"),
        (["stacked-digits", "a.pack"], "pack the set that they are made of"),
        (["digits", "no/a.pack"], "there is no folder"),
        *((["digits", "a.pack", f"--{name.replace('_', '-')}", "1"], "unknown option") for name in OF_READERS[1:]),
    ],
)
def test_refused(options: list[str], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["pack", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())
