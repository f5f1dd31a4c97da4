"""Files are written without following links; the cache keeps what it is given, and its failures are no errors."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from ganzoo.disk import (
    append_line,
    cache_folder,
    kind_of,
    make_own_folder,
    read_regular,
    recall,
    remember,
    require_appendable,
    require_writable,
    user_path,
    write_whole,
)
from ganzoo.errors import UserError


def test_lines_are_added(tmp_path) -> None:
    file = tmp_path / "rows"
    require_appendable(file)
    assert not file.exists()
    for line in ("a", "b"):
        append_line(file, line)
        require_appendable(file)
    assert file.read_bytes() == b"a\nb\n"
    file.write_bytes(b"a\nhal")
    append_line(file, "b")
    assert file.read_bytes() == b"a\nhal\nb\n"


def link(path: Path) -> None:
    path.with_name("profile").write_text("theirs")
    path.symlink_to("profile")


def dangling(path: Path) -> None:
    path.symlink_to("profile")


UNFIT = {"a link": link, "it is a link": dangling, "a folder": os.mkdir, "no regular file": os.mkfifo}


@pytest.mark.parametrize("reason", UNFIT)
def test_no_line_is_added_to_what_is_no_file(reason, tmp_path) -> None:
    UNFIT[reason](tmp_path / "rows")
    for act in (require_appendable, lambda file: append_line(file, "x")):
        with pytest.raises(UserError, match=f"rows cannot be written: .*{reason}.*remove it"):
            act(tmp_path / "rows")
    kept = tmp_path / "profile"
    assert (kept.read_text() == "theirs") if reason == "a link" else not kept.exists()


def test_a_line_in_a_missing_folder(tmp_path) -> None:
    with pytest.raises(UserError, match="cannot be written: its folder"):
        require_appendable(tmp_path / "none" / "rows")
    with pytest.raises(UserError, match="cannot be written: No such file"):
        append_line(tmp_path / "none" / "rows", "x")


def test_whole_files_follow_no_link(tmp_path) -> None:
    file = tmp_path / "config.json"
    link(file)
    tmp_path.joinpath(f"config.json.{os.getpid()}.part").symlink_to("profile")
    write_whole(file, b"ours")
    assert file.read_bytes() == b"ours"
    assert not file.is_symlink()
    assert (tmp_path / "profile").read_text() == "theirs"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["config.json", "profile"]


def test_folders_of_a_run(tmp_path) -> None:
    for _ in range(2):
        make_own_folder(tmp_path / "samples")
    (tmp_path / "link").symlink_to("samples")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="link is a link, which is not followed; remove it"):
        make_own_folder(tmp_path / "link")
    for name in ("file", "none/samples"):
        with pytest.raises(UserError, match="cannot be made a folder"):
            make_own_folder(tmp_path / name)


def test_what_can_be_known_before(tmp_path) -> None:
    """A refusal comes before the work, and nothing is written."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, target in (("device", "/dev/null"), ("to-folder", "folder"), ("new-link", "none")):
        (tmp_path / name).symlink_to(target)
    require_writable(tmp_path / "new.json")
    require_writable(tmp_path / "new-link")
    before = sorted(tmp_path.iterdir())
    wrong = {
        "none/x.json": "there is no folder",
        "pipe": "no regular file",
        "device": "no regular file",
        "to-folder": "no regular file",
        "folder": "Is a directory",
        "a" * 250: "name too long",
        "/dev/stdout": "no regular file",
    }
    for name, words in wrong.items():
        with pytest.raises(UserError, match=f"cannot be written: .*{words}"):
            require_writable(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_closed_folders(tmp_path) -> None:
    tmp_path.chmod(0o500)
    for check in (require_writable, require_appendable):
        with pytest.raises(UserError, match="its folder cannot be written to"):
            check(tmp_path / "x")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_replaced(make, tmp_path) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError, match=r"Is a directory|no regular file"):
        write_whole(tmp_path / "x", b"ours")
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
    assert not (tmp_path / "x").is_file()


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


def test_what_is_at_a_path(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    kinds = {name: kind_of(tmp_path / name) for name in ("file", "link", "dangling", "pipe", "file/below", "")}
    assert kinds == {
        "file": "file", "link": "file", "dangling": "nothing", "pipe": "other", "file/below": "nothing", "": "folder",
    }  # fmt: skip
    assert kind_of(Path("/dev/zero")) == "other"


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "loop"])
def test_impossible_paths_are_refused_in_one_line(tmp_path, name):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError):
        kind_of(tmp_path / name)


def test_a_home_folder_that_is_not_known(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert user_path("~/x") == Path("/somewhere/x")
    with pytest.raises(UserError, match="write the whole path"):
        user_path("~nobodyknows/x")


def test_regular_files_only_and_up_to_a_size(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file", 3) == b"abc"
    with pytest.raises(UserError, match="3 bytes, more than 2"):
        read_regular(tmp_path / "file", 2)
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="no regular file"):
            read_regular(path, 10)
