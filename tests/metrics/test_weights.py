"""The file of Inception weights: found, checked, and one line where it is not."""

import json
import struct

import numpy as np
import pytest

from ganzoo.errors import UserError
from ganzoo.metrics import weights


def write_safetensors(path, tensors) -> None:
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        kind = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}[array.dtype.name]
        offsets = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        content += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def test_safetensors(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float16([1.5]), "n": np.int64([3])}
    write_safetensors(path, tensors)
    found, sha256 = weights.load(path)
    assert set(found) == {"a", "b", "n"}
    np.testing.assert_array_equal(found["a"], tensors["a"])
    assert found["b"].dtype == np.float16
    assert len(sha256) == 64


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 8 + b"{}", struct.pack("<Q", 2) + b"[]", b"\2" + b"\0" * 7 + b"{"]
)
def test_broken_safetensors(content, tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|neither a pickle, nor"):
        weights.load(path)


def test_tensors_beyond_the_end(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"a": np.zeros(8, np.float32)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"damaged|neither a pickle, nor"):
        weights.load(path)


def test_another_pytorch_file_is_refused_unread(tmp_path) -> None:
    path = tmp_path / weights.FILE
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="not the published file: its SHA-256 is") as error:
        weights.load(path)
    assert weights.ORIGIN in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["~nobody-of-that-name/x", "a" * 300, "a\0b"])
def test_places_that_cannot_be_looked_at(given) -> None:
    with pytest.raises(UserError, match=r"home folder|cannot be read"):
        weights.find(given)


def test_without_a_home(monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", "~nobody-of-that-name")
    assert weights.find() is None
    assert "put it into $GANZOO_CACHE" in weights.remedy()


def test_where_it_is_looked_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    assert weights.find() is None
    converted = tmp_path / f"{weights.FILE.removesuffix('.pth')}.safetensors"
    converted.write_bytes(b"")
    assert weights.find() == converted
    (tmp_path / weights.FILE).write_bytes(b"")
    assert weights.find() == tmp_path / weights.FILE
    assert weights.find(str(converted)) == converted
    with pytest.raises(UserError, match="no Inception weights at nowhere; get https://") as error:
        weights.find("nowhere")
    assert f"put it into {tmp_path}, or name it by --inception" in str(error.value)
