"""Archives: damaged ones, ones that hold more than they should, and what is no file at all; always one line."""

import bz2
import gzip
import io
import os
import tarfile
import warnings
import zipfile

import numpy as np
import pytest

from ganzoo.data import stores

from .pictures import encode, opened, rainbow, refused, table, write_folder, write_tar, write_zip

FILES = {f"{'cat' if i % 2 else 'dog'}/{i}.png": encode(rainbow(9, 9, seed=i)) for i in range(6)}
ZEROS = bytes(2**20)


@pytest.mark.parametrize(("ending", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar.bz2", "w:bz2")])
@pytest.mark.parametrize("budget", [0, 100])
def test_a_tar_and_a_folder_are_the_same(tmp_path, ending, mode, budget):
    one = opened(write_tar(tmp_path / f"set.{ending}", FILES, mode), memory_budget_mib=budget)
    other = opened(write_folder(tmp_path / "set", FILES))
    assert one.fingerprint == other.fingerprint
    for name, values in one.read(np.arange(6)).items():
        assert np.array_equal(values, other.read(np.arange(6))[name])


def test_links_in_a_tar_are_named(tmp_path):
    path = write_tar(tmp_path / "set.tar", FILES)
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("cat/passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    dataset = opened(path)
    assert len(dataset) == 6
    assert "1 link or device skipped: cat/passwd.png" in dataset.describe()


def packed(kind, content):
    return {"gz": gzip.compress, "bz2": bz2.compress}[kind](content)


@pytest.mark.parametrize("kind", ["gz", "bz2"])
def test_a_tar_that_expands_without_measure(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(stores, "EXPANDED", 2**21)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = 2**23
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    path = tmp_path / f"set.tar.{kind}"
    path.write_bytes(packed(kind, file.getvalue()))
    assert "more than 100 times its size; if you trust it, unpack it" in refused(path)


@pytest.mark.parametrize("name", ["a.png", "dataset.json"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_expands_without_measure(tmp_path, monkeypatch, name, compression):
    monkeypatch.setattr(stores, "EXPANDED", 2**21)
    path = write_zip(tmp_path / "set.zip", {"b.png": FILES["dog/0.png"], name: ZEROS * 4}, compression)
    assert "more than 100 times its size; if you trust it, unpack it" in refused(path)


def test_a_large_picture_or_table_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("ganzoo.data.files._TABLE_BYTES", 2**16)
    folder = write_folder(tmp_path / "set", FILES | {"a.png": ZEROS})
    assert "1,048,576 bytes, more than" in refused(folder, max_pixels=1000)
    folder = write_folder(tmp_path / "other", FILES | {"dataset.json": b" " * 2**20})
    assert "dataset.json: 1,048,576 bytes, more than" in refused(folder)
    assert opened(folder, labels="none").label_size == 0


def test_members_without_a_name_are_left_out(tmp_path):
    path = write_zip(tmp_path / "set.zip", FILES | {"x": b"x"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist[-1].filename = ""
        archive.filelist[-1].orig_filename = ""
        archive._didModify = True
    assert len(opened(path)) == 6


def test_members_of_a_zip_that_overlap(tmp_path):
    path = write_zip(tmp_path / "set.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        twin = zipfile.ZipInfo("twin.png")
        for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
            setattr(twin, field, getattr(first, field))
        archive.filelist.append(twin)
        archive._didModify = True
    assert "a broken .zip file (" in refused(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_table_in_a_zip(tmp_path, compression):
    labels = table([[name, 0] for name in FILES])
    path = write_zip(tmp_path / "set.zip", FILES | {"dataset.json": labels}, compression)
    content = path.read_bytes()
    place = content.index(b"dataset.json") + len("dataset.json")
    path.write_bytes(content[:place] + bytes(range(255, 235, -1)) + content[place + 20 :])
    assert "dataset.json: " in refused(path)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "zip"])
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8b" + bytes(32), b"BZh9", b"PK\5\6", b"x" * 2000])
def test_archives_of_nonsense(tmp_path, ending, content):
    path = tmp_path / f"set.{ending}"
    path.write_bytes(content)
    assert f"set.{ending}: " in refused(path)


def test_a_tar_whose_headers_have_no_end(tmp_path):
    member = tarfile.TarInfo("a.png")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 8 + (2**32 - 512 - 512).to_bytes(4, "big")  # a negative size: back to the start
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    path = tmp_path / "set.tar"
    path.write_bytes(bytes(header) * 4)
    assert "set.tar: " in refused(path)
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 2**30
    path.write_bytes(long.tobuf(tarfile.GNU_FORMAT) + bytes(2**16))
    assert "a header of 1,073,741,824 bytes" in refused(path)


@pytest.fixture
def pipe(tmp_path):
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "a.png")
    return tmp_path / "pipes" / "a.png"


def test_pipes_and_devices_are_refused_at_once(tmp_path, pipe):
    assert "is a pipe, a socket or a device" in refused(pipe)
    assert "is a pipe, a socket or a device" in refused("/dev/zero")
    assert "a.png (no regular file" in refused(pipe.parent)
    zero = write_folder(tmp_path / "zero", {"b.txt": b""})
    (zero / "a.png").symlink_to("/dev/zero")
    assert "a.png (no regular file" in refused(zero)
    (zero / "dataset.json").symlink_to("/dev/zero")
    assert "dataset.json: no regular file" in refused(zero)


@pytest.mark.parametrize("data", ["~nobodyknows/x", "a" * 300, "x/" + "a" * 300, "a\0b"])
def test_impossible_paths(data):
    assert refused(data)


def test_names_with_control_characters_are_escaped_everywhere(tmp_path):
    hostile = "\x1b[2J\x07\n\u202e"
    files = {f"{hostile}/a.png": FILES["dog/0.png"], "b/b.png": FILES["dog/0.png"], f"b/{hostile}.txt": b""}
    path = write_zip(tmp_path / "set.zip", files)
    text = opened(path).describe()
    assert all(line.isprintable() for line in text.splitlines())
    assert r"\x1b[2J\x07\n\u202e" in text
    assert r"\x1b[2J" in refused(write_zip(tmp_path / "bad.zip", {f"{hostile}.png": b"x"}))
    labels = table([[hostile, {"\x1b": 1}]])
    assert refused(write_zip(tmp_path / "json.zip", {f"{hostile}": b"", "a.png": b"", "dataset.json": labels}))


def test_no_file_stays_open_and_nothing_warns(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for path in (write_tar(tmp_path / "a.tar", FILES), write_tar(tmp_path / "a.tgz", FILES, "w:gz")):
            opened(path)
            path.write_bytes(path.read_bytes()[:700])
            with pytest.raises(ValueError, match=r"a\.t"):
                opened(path)
    assert caught == []
