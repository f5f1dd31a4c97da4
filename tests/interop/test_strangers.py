"""Files and networks that ganzoo does not read are named as what they are, in one line."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import ganzoo
from ganzoo import interop
from ganzoo.errors import UserError

ARRAY = np.ones((2, 3), np.float32)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><head><title>Quota exceeded</title>", "a web page"),
        (b"\n<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "an HDF5 file"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "a TFLite model"),
        (b"\x08\x08\x12\x07pytorch\x1a\x051.9.0", "an ONNX model"),
        (b"\x08\x01\x12\xff\x03\n", "a SavedModel of TensorFlow"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "an image"),
        (b"\x1f\x8b\x08" + bytes(100), "a compressed file"),
        (b"a.txt".ljust(257, b"\x00") + b"ustar\x0000" + bytes(300), "a tar archive"),
        (b'\n{"a": 1}' + bytes(8), "a JSON text"),
        (zipped("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"), "a TorchScript archive"),
        (zipped("config.json", "metadata.json", "model.weights.h5"), "a model of Keras"),
        (zipped("m/saved_model.pb", "m/variables/variables.index"), "a SavedModel"),
        (zipped("a/0.png", "a/1.png"), "a zip archive of images"),
        (zipped("ffhq.pkl", "readme.txt"), "a zip archive of files"),
    ],
)
def test_files_are_named(content: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=word) as refused:
        interop.read(path)
    assert str(refused.value).isprintable()


def test_addresses_are_named() -> None:
    with pytest.raises(UserError, match="an address, not a file; download it first"):
        interop.read(Path("https://example.org/ffhq.pkl"))
    with pytest.raises(UserError, match="an address, not a file; download it first"):
        ganzoo.load("https://example.org/ffhq.pkl")


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (
            ("GAN.S.net.0.weight", "GAN.G.initial_block", "GAN.D.blocks.0.conv_res.weight"),
            "lucidrains/stylegan2-pytorch",
        ),
        (("S.net.0.weight", "G.to_initial_block.weight", "D.blocks.0.conv_res.weight"), "lucidrains/stylegan2-pytorch"),
        (("GAN.G.initial_conv.0.weight", "GAN.D.to_logits.0.weight"), "lightweight-gan"),
        (("generator.progression.0.conv1.conv.weight_orig",), "rosinality/style-based-gan-pytorch"),
        (("g_running.progression.0.conv1.conv.weight_orig",), "rosinality/style-based-gan-pytorch"),
        (("g_synthesis.init_block.const", "g_mapping.map.dense0.weight"), "huangzh13/StyleGAN.pytorch"),
        (("generator_smooth.mapping.dense0.weight", "generator_smooth.synthesis.layer0.weight"), "genforce"),
        (("g_ema.to_rgbs.0.iwt.ll",), "SWAGAN"),
        (("blocks.0.0.bn1.gain.weight", "shared.weight"), "BigGAN"),
        (("model.10.conv_block.1.weight",), "CycleGAN"),
        (("down_blocks.0.resnets.0.conv1.weight",), "diffusion model"),
        (("model.diffusion_model.input_blocks.0.0.weight",), "diffusion model"),
    ],
)
def test_networks_are_named_and_listed(names: tuple[str, ...], word: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file(dict.fromkeys(names, ARRAY), path)
    contents = interop.read(path)
    lines = interop.describe(contents)
    assert any("not supported" in line and word in line for line in lines)
    assert len(interop.list_arrays(contents)) == len(names)
    with pytest.raises(UserError, match="not supported; ganzoo reads networks of"):
        interop.convert(contents)
