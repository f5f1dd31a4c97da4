"""An exported generator runs without this library, and makes the same images; the command decides on its format."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo import interop
from ganzoo.cli import main
from ganzoo.latent import Sampler

RUNNER = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "ganzoo", "optax", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import jax, jax.export, numpy as np
folder = sys.argv[1]
generate = jax.export.deserialize(bytearray(open(folder + "/generator.jax", "rb").read()))
assert generate.platforms == ("cpu", "cuda", "tpu")
given = np.load(folder + "/given.npz")
inputs = [given[name] for name in ("latents", "labels") if name in given.files]
for count in (1, 3):
    np.testing.assert_allclose(generate.call(*[x[:count] for x in inputs]), given["images"][:count], atol=1e-4)
"""


@pytest.mark.parametrize("kind", ["stylegan2", "dcgan", pytest.param("stylegan", marks=pytest.mark.slow)])
def test_an_export_runs_without_this_library(kind: str, tmp_path: Path) -> None:
    """A StyleGAN is exported in the middle of growing."""
    gan = ganzoo.create(kind, "tiny", label_size=3 if kind == "stylegan2" else 0)
    state = drawn_state(gan)
    if kind == "stylegan":
        state = dataclasses.replace(state, level_of_detail=jnp.float32(0.4))
    options, sampler = {} if gan.styles is None else {"psi": 0.7}, Sampler(gan, state)
    (tmp_path / "generator.jax").write_bytes(interop.export(gan, state, **options))
    latents, labels = sampler.latents(range(3)), sampler.labels(3)
    expected = gan.generate(state, jnp.asarray(latents), None if labels is None else jnp.asarray(labels), **options)
    given = {"latents": latents, "images": np.asarray(expected)}
    np.savez(tmp_path / "given.npz", **given, **({} if labels is None else {"labels": labels}))
    ended = subprocess.run([sys.executable, "-c", RUNNER, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


FLATLESS = "import sys; sys.modules['flatbuffers'] = None; import jax.export; jax.export.deserialize(bytearray({!r}))"


def test_what_reads_an_artefact_is_named(capsys: pytest.CaptureFixture) -> None:
    """JAX reads artefacts by flatbuffers, which it does not require; the help says so."""
    artefact = jax.export.export(jax.jit(jnp.sin))(jax.ShapeDtypeStruct((), jnp.float32)).serialize()
    command = [sys.executable, "-c", FLATLESS.format(bytes(artefact))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "flatbuffers" in ended.stderr.splitlines()[-1]
    assert "flatbuffers" in str(interop.export.__doc__)
    assert main(["export", "--help"]) == 0
    assert "flatbuffers" in capsys.readouterr().out


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of a model without styles, in the folder of the test."""
    gan = ganzoo.create("dcgan", "tiny")
    monkeypatch.chdir(tmp_path)
    ganzoo.save(gan, drawn_state(gan), "plain.safetensors")
    return "plain.safetensors"


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ("", "generator.jax"),
        ("--format onnx", "generator.onnx"),
        ("--out my.onnx", "my.onnx"),
        ("--out my.bin --format onnx", "my.bin"),
        ("--out my.jax", "my.jax"),
    ],
)
def test_the_name_or_the_option_decides_on_the_format(options, written, plain, tmp_path: Path, capsys) -> None:
    pytest.importorskip("onnx")
    assert main(["export", plain, *options.split()]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([plain, written])
    assert "latents [n, z] -> images [n, 16, 16, 3] in [-1, 1]" in capsys.readouterr().out
    is_onnx = b"ganzoo" in (tmp_path / written).read_bytes()[:20]  # the producer is the first string of the format
    assert is_onnx == ("onnx" in options)


REFUSED = {
    "--out my.bin": "out = 'my.bin': must end in .jax or .onnx, unless --format names the format",
    "--out my.jax --format onnx": "out = 'my.jax': must end in .onnx",
    "--out my.onnx --format jax": "out = 'my.onnx': must end in .jax",
    "--format onnx --psi 0.5": "psi = 0.5: must be left out: it is an input of an ONNX file",
    "--format onnx --cutoff 2": "no styles to truncate",
    "--format tflite": "onnx",
}


@pytest.mark.parametrize("options", REFUSED)
def test_refused_in_one_line(options: str, plain: str, tmp_path: Path, capsys) -> None:
    pytest.importorskip("onnx")
    assert main(["export", plain, *options.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert REFUSED[options] in line
    assert [path.name for path in tmp_path.iterdir()] == [plain]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """It is missed before the model is looked for."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", "nowhere", "--format", "onnx"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs the extra onnx: in the folder of its source, uv run --extra onnx" in line
