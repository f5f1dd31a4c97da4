"""The cache: what is kept is found again, and what cannot be read or written is no error."""

import json
import zipfile
from pathlib import Path

import pytest

from ganzoo.disk import cache_folder, recall, remember


def test_what_is_remembered(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    assert recall("data/ab.json", json.loads) is None
    remember("data/ab.json", b"[1, 2]")
    assert recall("data/ab.json", json.loads) == [1, 2]
    assert recall("data/cd.json", json.loads) is None


@pytest.mark.parametrize("error", [ValueError, KeyError, EOFError, zipfile.BadZipFile])
def test_a_file_that_cannot_be_decoded(error, tmp_path, monkeypatch) -> None:
    def decode(content: bytes) -> None:
        raise error("damaged")

    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    remember("ab", b"x")
    assert recall("ab", decode) is None


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "file"))
    remember("data/ab.json", b"[]")
    assert recall("data/ab.json", json.loads) is None


def test_an_empty_variable_is_none(monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "")
    assert cache_folder() == Path("~/.cache/ganzoo").expanduser()
