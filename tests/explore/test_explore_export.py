"""The exported page: all of its files or none, and where its runtime comes from."""

import base64
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.cli import main
from ganzoo.errors import UserError
from ganzoo.explore.export import CHECKSUMS, SEEDS, export_page, require_empty, runtime_files
from ganzoo.latent import Sampler


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with files of the right names."""
    folder = tmp_path / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name in CHECKSUMS:
        (folder / name).write_text(f"// {name} </script>")
    return folder.parent


def value_of(text: str) -> dict:
    """The JSON that a script assigns last."""
    return json.loads(text.rstrip().rpartition("globalThis.")[2].partition(" = ")[2].rstrip(";"))


def test_a_page_has_the_generator_and_the_latents_of_its_seeds(runtime: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx")
    gan, told = ganzoo.create("dcgan", "tiny"), []
    sampler = Sampler(gan, drawn_state(gan))
    export_page(sampler, tmp_path / "new" / "page", runtime, told.append)
    page = tmp_path / "new" / "page"
    assert sorted(file.name for file in page.iterdir()) == [
        "index.html",
        "model.js",
        "page.css",
        "page.js",
        "runtime.js",
    ]
    model = value_of((page / "model.js").read_text())
    assert onnx.load_from_string(base64.b64decode(model["onnx"])).graph.input[0].name == "latents"
    latents = np.frombuffer(base64.b64decode(model["latents"]), "<f4").reshape(SEEDS, -1)
    np.testing.assert_array_equal(latents[:3], sampler.latents(range(3)))
    parts = value_of((page / "runtime.js").read_text())
    assert base64.b64decode(parts["wasm"]).startswith(b"// ort-wasm")
    assert told[0].startswith("note: ")  # not the tested files
    assert told[-1].endswith("index.html")
    for name in ("runtime.js", "model.js", "page.js", "page.css"):
        assert name in (page / "index.html").read_text()


def test_a_package_is_read_without_being_unpacked(runtime: Path, tmp_path: Path) -> None:
    file = tmp_path / "runtime.tgz"
    with tarfile.open(file, "w:gz") as package:
        package.add(runtime / "dist", "package/dist")
    assert runtime_files(file, lambda line: None) == runtime_files(runtime, lambda line: None)


def test_what_is_missing_is_named(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no such folder or file"):
        runtime_files(tmp_path / "none")
    next((runtime / "dist").glob("*.wasm")).unlink()
    with pytest.raises(UserError, match=r"has no ort-wasm-simd-threaded\.wasm"):
        runtime_files(runtime)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm, which fetches it, is not installed"):
        runtime_files(None)
    broken = tmp_path / "broken.tgz"
    broken.write_bytes(b"no package")
    with pytest.raises(UserError, match="is no package of npm"):
        runtime_files(broken)


def test_a_page_without_a_server_takes_no_distance(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["explore", "nowhere", "--export", str(tmp_path / "page"), "--lpips", "vgg.pth"]) == 2
    assert "lpips = ('vgg.pth',): must be left out with --export" in capsys.readouterr().err


def test_a_folder_with_files_is_left_alone(runtime: Path) -> None:
    with pytest.raises(UserError, match="not an empty folder"):
        require_empty(runtime)
