"""Files and networks of programs that ganzoo does not read, by their signs, so that errors name them.

One line of a table for every kind: a sign that no other kind has, and what it is. The names of arrays are those of the
state dicts that the repositories' own code builds.
"""

import re
from collections.abc import Iterable, Mapping

from ganzoo.disk.instead import instead_of_file

FORMATS: Mapping[str, str] = {
    r"": "an empty file",
    r"\x89HDF\r\n[\s\S]*": "an HDF5 file, as Keras writes: not supported",
    r"[\s\S]{4}TFL3[\s\S]*": "a TFLite model: not supported",
    r"GGUF[\s\S]*": "a GGUF file: not supported",
    r"\x08[\x01-\x0f]\x12[\x00-\x40](pytorch|tf2onnx|ganzoo|keras2onnx|onnx)[\s\S]*": "an ONNX model: not supported",
    r"\x08[\x01-\x0f][\s\S]*": "a SavedModel of TensorFlow or an ONNX model: not supported",
    r"(\x89PNG|\xff\xd8\xff|GIF8|RIFF[\s\S]{4}WEBP)[\s\S]*": "an image: not a file of networks",
    r"(\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!)[\s\S]*": "a compressed file; unpack it first",
    r"[\s\S]{257}ustar[\s\S]*": "a tar archive; unpack it first",
    r"\x93NUMPY[\s\S]*": "a single array of numpy.save: no network",
    r"\s*[{\[][\s\S]*": "a JSON text: no network",
}
"""What files are, by patterns of their first 512 bytes as Latin-1; the first one counts."""
ARCHIVES: Mapping[str, str] = {
    r"(.*/)?constants\.pkl": "a TorchScript archive, which holds a program: not supported; save the state_dict instead",
    r"(.*/)?model\.weights\.h5": "a model of Keras: not supported",
    r"(.*/)?saved_model\.pb": "a SavedModel of TensorFlow: not supported",
    r".*\.(pkl|pth?|ckpt|safetensors|npz|onnx)": "a zip archive of files; unpack it and give the file of networks",
    r".*\.(png|jpe?g|webp|gif|bmp|tiff?)": "a zip archive of images; to train on it, give it to --data",
}
"""What zip archives are, by patterns of their members' names; the first one counts."""
NETWORKS: Mapping[str, str] = {
    r"tfutil\.Network": "a Progressive GAN of tkarras/progressive_growing_of_gans",
    r"(GAN\.|G_ema\.)?(SE|GE|S|G)\.(.*to_style|.*to_rgb\.conv|net\.|initial_block|to_initial_block).*":
        "a StyleGAN2 of lucidrains/stylegan2-pytorch",
    r"GAN\.(GE|G|D)\..*": "a GAN of lucidrains (lightweight-gan)",
    r".*\.?progression\.\d+\..*": "a StyleGAN of rosinality/style-based-gan-pytorch",
    r".*(g_synthesis|g_mapping)\..*": "a StyleGAN of huangzh13/StyleGAN.pytorch or lernapparat",
    r".*\.?(iwt|dwt)\.(ll|lh|hl|hh)": "a SWAGAN of rosinality/stylegan2-pytorch",
    r"(generator_smooth|generator|discriminator)\.((synthesis|mapping)\.)?(layer|dense)\d+\..*":
        "a network of genforce/genforce",
    r"(.*\.)?blocks\.\d+\.\d+\.bn\d\.(gain|bias)\..*": "a BigGAN of ajbrock/BigGAN-PyTorch",
    r"(.*\.)?model\.\d+\.conv_block\..*": "a CycleGAN of junyanz/pytorch-CycleGAN-and-pix2pix",
    r"(.*\.)?(model\.diffusion_model|down_blocks|first_stage_model)\..*": "a diffusion model",
    r"(.*\.)?(Mixed_7c|classifier\.\d|fc\.weight|layer1\.0)\b.*": "an image classifier",
}  # fmt: skip
"""What networks are, by patterns of the names of a network and an array, ``GAN.G.initial_block``; the first counts.

Source of the names: lucidrains/stylegan2-pytorch, stylegan2_pytorch/stylegan2_pytorch.py (``StyleGAN2``: ``S``, ``G``,
``D``, ``SE``, ``GE``); rosinality/style-based-gan-pytorch, model.py (``progression``); huangzh13/StyleGAN.pytorch,
models/GAN.py (``g_mapping``, ``g_synthesis``); genforce/genforce, models/stylegan_generator.py (``dense0``,
``layer0``); ajbrock/BigGAN-PyTorch, BigGAN.py (``blocks`` of ``bn1``).
"""


def format_of(start: bytes) -> str | None:
    """Return what a file with these first bytes is; None where that is unknown."""
    text = start.decode("latin1")
    return instead_of_file(start) or next(
        (what for sign, what in FORMATS.items() if re.fullmatch(sign, text, re.IGNORECASE)), None
    )


def archive_of(members: Iterable[str]) -> str | None:
    """Return what a zip archive with these members is; None where that is unknown."""
    return _first(ARCHIVES, members)


def network_of(names: Iterable[str]) -> str | None:
    """Return what networks with these names are; None where that is unknown.

    Args:
      names: the name of each network and array, ``network.array``; or the format of the file.
    """
    return _first(NETWORKS, names)


def _first(table: Mapping[str, str], names: Iterable[str]) -> str | None:
    names = list(names)
    return next((what for sign, what in table.items() if any(re.fullmatch(sign, name) for name in names)), None)
