"""Checkpoints of rosinality/stylegan2-pytorch: the networks ``g``, ``d`` and ``g_ema``, and beside them ``latent_avg``.

Names, shapes and defaults: model.py, train.py and generate.py there. The networks compute what StyleGAN2's
configuration F computes; their classes have no labels, no clamp and one architecture. Sizes, widths and the filter
follow from the arrays; ``lr_mlp`` is the constructor's default, for train.py there has no option for it, unless the
``args`` of a changed program have one.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families.names import CONV, DENSE, FLAT, SAME, TF_CONSTANT, TF_NOISE, UP, Layout, Rule, Table
from ganzoo.interop.families.shapes import MAX_TAPS, Fields, Found, Weights, count, needed, resolutions, widths
from ganzoo.interop.reading.contents import Network
from ganzoo.interop.reading.machine import named

SHARED = ("image_size", "channels", "channel_base", "channel_max", "resample_filter")
MAX_LAYERS, MAX_SIZE, MAX_STYLE = 8, 1024, 1024
"""Largest numbers of mapping layers, of pixels, and of styles of which a mean is computed."""
LR_MLP, LATENTS, SEED = 0.01, 4096, 0
"""Learning rate multiplier of the mapping; number of latents in a mean of styles (generate.py, ``truncation_mean``)."""
TOLD = ("size", "latent", "n_mlp", "channel_multiplier", "arch")
"""Options of train.py that the arrays tell, too."""
MUST: Mapping[str, Any] = {
    "channels": 3, "label_size": 0, "smallest_size": None, "generator_architecture": "skip",
    "discriminator_architecture": "resnet", "activation": "lrelu", "use_noise": True, "conv_clamp": 0.0,
    "mapping_lr_multiplier": LR_MLP, "minibatch_std_group": 4, "minibatch_std_channels": 1,
}  # fmt: skip
"""Fields of the config whose values are fixed in the original code."""

MODULATED = Layout(lambda a: CONV.ours(a[0]), lambda a: CONV.theirs(a)[None])
"""[1, O, I, h, w] <-> [h, w, I, O]."""
MODULATED_UP = Layout(lambda a: UP.ours(a[0]), lambda a: UP.theirs(a)[None])
"""[1, O, I, h, w] <-> [h, w, O, I]."""
SCALAR = Layout(lambda a: a.reshape(()), lambda a: a.reshape(1))
COLOUR = Layout(lambda a: a.reshape(a.shape[1]), lambda a: a.reshape(1, -1, 1, 1))
"""[1, C, 1, 1] <-> [C]."""


def _layer(theirs: str, ours: str, kernel: Layout) -> tuple[Rule, ...]:
    """Return the rules of a modulated layer with noise."""
    return (
        Rule(f"{theirs}.conv.weight", f"params.synthesis.{ours}.kernel", kernel),
        *_style(theirs, ours),
        Rule(f"{theirs}.noise.weight", f"params.synthesis.{ours}.noise_strength", SCALAR),
        Rule(f"{theirs}.activate.bias", f"params.synthesis.{ours}.bias", SAME),
    )


def _colours(theirs: str, ours: str) -> tuple[Rule, ...]:
    """Return the rules of a layer of colours."""
    return (
        Rule(f"{theirs}.conv.weight", f"params.synthesis.{ours}.kernel", MODULATED),
        *_style(theirs, ours),
        Rule(f"{theirs}.bias", f"params.synthesis.{ours}.bias", COLOUR),
    )


def _style(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{theirs}.conv.modulation.weight", f"params.synthesis.{ours}.affine.kernel", DENSE),
        Rule(f"{theirs}.conv.modulation.bias", f"params.synthesis.{ours}.affine.bias", SAME),
    )


def _generator_table() -> Table:
    rules = [
        Rule("latent_avg", "statistics.mapping.w_average", SAME),
        Rule("input.input", "params.synthesis.b4.constant", TF_CONSTANT),
        *_layer("conv1", "b4.conv1", MODULATED),
        *_colours("to_rgb1", "b4.to_rgb"),
        Rule("noises.noise_0", "noise.synthesis.b4.conv1.constant", TF_NOISE),
    ]
    for i in range(MAX_LAYERS):
        rules += [
            Rule(f"style.{i + 1}.weight", f"params.mapping.dense{i}.kernel", DENSE),
            Rule(f"style.{i + 1}.bias", f"params.mapping.dense{i}.bias", SAME),
        ]
    for k in range(8):
        size = 8 << k
        rules += [
            *_layer(f"convs.{2 * k}", f"b{size}.conv0", MODULATED_UP),
            *_layer(f"convs.{2 * k + 1}", f"b{size}.conv1", MODULATED),
            *_colours(f"to_rgbs.{k}", f"b{size}.to_rgb"),
            *(
                Rule(f"noises.noise_{2 * k + 1 + i}", f"noise.synthesis.b{size}.conv{i}.constant", TF_NOISE)
                for i in (0, 1)
            ),
        ]
    return Table("StyleGAN2 generator of rosinality", tuple(rules), constants=("kernel",))


GENERATOR = _generator_table()


def discriminator_table(size: int) -> Table:
    """Return the table of a discriminator of images of ``size`` x ``size`` pixels, whose numbers begin there."""
    rules = [
        Rule("convs.0.0.weight", f"params.b{size}.from_rgb.kernel", CONV),
        Rule("convs.0.1.bias", f"params.b{size}.from_rgb.bias", SAME),
        Rule("final_conv.0.weight", "params.b4.conv.kernel", CONV),
        Rule("final_conv.1.bias", "params.b4.conv.bias", SAME),
        Rule("final_linear.0.weight", "params.b4.dense.kernel", FLAT),
        Rule("final_linear.0.bias", "params.b4.dense.bias", SAME),
        Rule("final_linear.1.weight", "params.b4.out.kernel", DENSE),
        Rule("final_linear.1.bias", "params.b4.out.bias", SAME),
    ]
    for k in range(1, size.bit_length() - 2):
        block = f"params.b{size >> (k - 1)}"
        rules += [
            Rule(f"convs.{k}.conv1.0.weight", f"{block}.conv0.kernel", CONV),
            Rule(f"convs.{k}.conv1.1.bias", f"{block}.conv0.bias", SAME),
            Rule(f"convs.{k}.conv2.1.weight", f"{block}.conv1.kernel", CONV),
            Rule(f"convs.{k}.conv2.2.bias", f"{block}.conv1.bias", SAME),
            Rule(f"convs.{k}.skip.1.weight", f"{block}.skip.kernel", CONV),
        ]
    return Table("StyleGAN2 discriminator of rosinality", tuple(rules), constants=("kernel",))


# From their names ---------------------------------------------------------------------------------------------------


def recognise(network: Network) -> Literal["generator", "discriminator"] | None:
    """Return the kind of a network; None for a network of another model."""
    if "conv1.conv.modulation.weight" in network.arrays and "input.input" in network.arrays:
        return "generator"
    return "discriminator" if {"convs.0.0.weight", "final_linear.0.weight"} <= set(network.arrays) else None


def generator(network: Network) -> Found:
    """Return what a generator is in this library; without ``latent_avg`` the mean style is computed."""
    if recognise(network) != "generator":
        raise UserError("not a StyleGAN2 generator of rosinality")
    weights, (rate, notes) = GENERATOR.to_ours(network.arrays), _options(network)
    layers = count(weights, r"params\.mapping\.dense(\d+)\.kernel")
    kernels = [needed(weights, f"params.mapping.dense{i}.kernel") for i in range(layers)]
    size = len(kernels[0]) if kernels else 0
    if not kernels or {kernel.shape for kernel in kernels} != {(size, size)}:
        raise UserError(f"mapping layers of {[kernel.shape for kernel in kernels]}: must be square and of one size")
    average = "statistics.mapping.w_average"
    if average in weights:
        weights[average] = weights[average].reshape(-1)
    else:
        weights[average] = mean_style(weights, layers, rate)
        notes.append(f"no latent_avg: the mean style, for truncation, is that of {LATENTS} latents of ganzoo's own")
    sizes = resolutions(weights, r"params\.synthesis\.b(\d+)\.conv1\.kernel")
    features = [weights[f"params.synthesis.b{each}.conv1.kernel"].shape[-1] for each in sizes]
    fields = {
        "mapping_lr_multiplier": rate,
        "latent_size": size, "style_size": size, "mapping_layers": layers,
        "channels": needed(weights, "params.synthesis.b4.to_rgb.kernel").shape[-1],
        "generator_architecture": "skip", "use_noise": True,
    }  # fmt: skip
    return Found({**_common(network, sizes, features, gain=4.0), **fields}, weights, tuple(notes))


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields."""
    del generator
    if recognise(network) != "discriminator":
        raise UserError("not a StyleGAN2 discriminator of rosinality")
    blocks = count(dict(network.arrays), r"convs\.\d+\.conv1\.0\.weight")
    if not 1 <= blocks <= 8:
        raise UserError(f"a discriminator of {blocks} blocks: must be 1 to 8")
    weights = discriminator_table(4 << blocks).to_ours(network.arrays)
    sizes = [4 << k for k in range(blocks + 1)]
    smallest = needed(weights, "params.b4.conv.kernel")
    features = [smallest.shape[-1], *(needed(weights, f"params.b{each}.conv0.kernel").shape[-1] for each in sizes[1:])]
    fields = {
        "channels": needed(weights, f"params.b{sizes[-1]}.from_rgb.kernel").shape[2],
        "minibatch_std_channels": smallest.shape[2] - features[0],
        "minibatch_std_group": 4,
        "discriminator_architecture": "resnet",
    }
    return Found({**_common(network, sizes, features, gain=1.0), **fields}, weights)


def _options(network: Network) -> tuple[float, list[str]]:
    """Return the learning rate multiplier of the mapping, and notes on the options of train.py."""
    given, notes = dict(network.settings), []
    rate = given.pop("lr_mlp", None)
    if rate is None:
        rate = LR_MLP
        notes.append(f"mapping_lr_multiplier = {LR_MLP}, their default, is assumed")
    if type(rate) not in (int, float) or not 0 < rate < np.inf:
        raise UserError(f"args.lr_mlp = {named(rate)}: must be a positive number")
    if unused := [name for name in given if name not in TOLD]:
        notes.append(f"settings of their training are not used: {named(', '.join(unused), 400)}")
    return float(rate), notes


def _common(network: Network, sizes: list[int], features: list[int], *, gain: float) -> Fields:
    """Return the fields that both networks imply."""
    found = {name: array for name, array in network.arrays.items() if name.endswith(".kernel")}
    taps = [_taps(name, array, gain) for name, array in found.items()]
    if taps and any(each != taps[0] for each in taps):
        raise UserError(f"filters of taps {sorted(set(taps))}: all must be the same")
    return {
        "image_size": sizes[-1], "smallest_size": None, "label_size": 0, "conv_clamp": 0.0, "activation": "lrelu",
        "resample_filter": taps[0] if taps else (1.0, 3.0, 3.0, 1.0),
        **widths(sizes, features),
    }  # fmt: skip


def _taps(name: str, kernel: np.ndarray, gain: float) -> tuple[float, ...]:
    """Return the taps of a filter [t, t], whose sum is 4 around a change to a larger size (``gain``), else 1."""
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) > MAX_TAPS:
        raise UserError(f"{named(name)}: must be a filter of at most {MAX_TAPS} x {MAX_TAPS} taps")
    row = np.asarray(kernel, np.float64).sum(axis=0)
    is_theirs = np.allclose(kernel * gain, np.outer(row, row), atol=1e-6)
    if not is_theirs or not np.isclose(row.sum(), gain) or not row.any():
        raise UserError(f"{named(name)}: must be an outer product of taps whose sum is {gain:g}")
    scaled = row / np.abs(row[np.abs(row) > 1e-9]).min()
    return tuple(map(float, scaled.round() if np.abs(scaled - scaled.round()).max() < 1e-4 else scaled.round(6)))


def mean_style(weights: Weights, layers: int, rate: float) -> np.ndarray:
    """Return the mean style [w] of latents of N(0, 1), as ``mean_latent`` of the original code computes it.

    Args:
      weights: arrays by our names: ``params.mapping.dense0.kernel`` [z, w], and so on.
      layers: number of mapping layers.
      rate: their learning rate multiplier.
    """
    size = len(weights["params.mapping.dense0.kernel"])
    if size > MAX_STYLE:
        raise UserError(f"no latent_avg beside a mapping of {size} styles: must be at most {MAX_STYLE} to compute it")
    x = np.random.default_rng(SEED).standard_normal((LATENTS, size), np.float32)
    x /= np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + 1e-8)
    for i in range(layers):
        kernel, bias = (
            np.asarray(weights[f"params.mapping.dense{i}.{name}"], np.float32) for name in ("kernel", "bias")
        )
        x = x @ (kernel * np.float32(rate / np.sqrt(len(kernel)))) + bias * np.float32(rate)
        x = np.where(x < 0, 0.2 * x, x) * np.float32(np.sqrt(2))
    return x.mean(axis=0).astype(np.float32)


# To their names -----------------------------------------------------------------------------------------------------


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as a state dict of theirs, with its constant filters.

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: all fields of the config.

    Raises:
      UserError: a field has a value that their classes do not have.
    """
    _check(fields)
    row = np.asarray(fields["resample_filter"], np.float32)
    kernel = np.outer(row, row) / np.square(row.sum())
    if kind == "generator":
        arrays = GENERATOR.to_theirs(weights)
        resampled = [
            name for name in arrays if re.fullmatch(r"convs\.\d*[02468]\.conv\.weight|to_rgbs\.\d+\.bias", name)
        ]
        for name in resampled:
            where = "upsample" if name.startswith("to_rgbs") else "conv.blur"
            arrays[f"{name.split('.conv.')[0].removesuffix('.bias')}.{where}.kernel"] = kernel * 4
        return arrays
    arrays = discriminator_table(fields["image_size"]).to_theirs(weights)
    for name in [name for name in arrays if name.endswith(".skip.1.weight")]:
        block = name.removesuffix(".skip.1.weight")
        arrays |= {f"{block}.{part}.0.kernel": kernel.copy() for part in ("conv2", "skip")}
    return arrays


def widths_note(fields: Fields) -> tuple[str, ...]:
    """Return a note where the widths are not among those that their ``channel_multiplier`` gives."""
    base, most = fields["channel_base"] or 32768, fields["channel_max"]
    sizes = [4 << k for k in range(fields["image_size"].bit_length() - 2)]
    own = {size: min(base // size, most) for size in sizes}
    theirs = [{size: 512 if size <= 32 else 16384 * m // size for size in sizes} for m in (1, 2)]
    return () if own in theirs else (f"their model.py has other widths: set `channels` there to {own}",)


def _check(fields: Fields) -> None:
    size = fields["image_size"]
    if not isinstance(size, int) or size & (size - 1) or not 8 <= size <= MAX_SIZE:
        raise UserError(f"image_size = {size}: must be a power of two from 8 to {MAX_SIZE} in rosinality's networks")
    given = {**fields, "conv_clamp": fields["conv_clamp"] or fields["discriminator_conv_clamp"] or 0.0}
    for name, value in MUST.items():
        if given[name] != value:
            raise UserError(f"{name} = {given[name]}: must be {value} in rosinality's networks")
    if fields["latent_size"] != fields["style_size"]:
        raise UserError(f"latent_size = {fields['latent_size']}: must be style_size in rosinality's networks")
