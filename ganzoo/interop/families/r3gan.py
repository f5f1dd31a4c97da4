"""Conversion of R3GAN's original networks: recognition, their config, and their weights by our names.

Names of brownvc/R3GAN: those of R3GAN/Networks.py, which training/networks.py puts below ``Model``. Stages are counted
from the smallest feature map in the generator, and from the image in the discriminator. In a stage of the generator,
layer 0 changes the size and the residual blocks follow; in the discriminator, the layer that changes the size is last.
Everything but the filter and the type of the activations follows from shapes.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from ganzoo.errors import UserError
from ganzoo.interop.families.names import CONSTANT, CONV, DENSE, SAME, Layout, Rule, Table
from ganzoo.interop.families.shapes import MAX_TAPS, Fields, Found, Weights, needed, row_of, same_taps
from ganzoo.interop.reading.contents import Network
from ganzoo.interop.reading.machine import named
from ganzoo.nn.pyramid import Level, level_count, pyramid, spread

Kind = Literal["generator", "discriminator"]
SHARED = (
    "image_size", "channels", "label_size", "widths", "groups", "blocks", "expansion", "kernel_size", "resample_filter",
    "low_precision_levels",
)  # fmt: skip
"""Config fields that both networks imply."""
SIGNS: Mapping[str, Kind] = {
    "AggregationLayer.Layer.weight": "generator",
    "ExtractionLayer.Layer.weight": "discriminator",
}
"""Names of arrays that all networks of one kind have and no other networks have."""
WRAPPER = "Model."
"""What training/networks.py puts before the names of R3GAN/Networks.py."""
MAX_STAGES, MAX_BLOCKS = 12, 64
DEPTHWISE = Layout(lambda a: a[:, 0].transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1)[:, None])
"""[C, 1, h, w] <-> [h, w, C]."""
TYPES = {"torch.bfloat16": True, "torch.float32": False}
"""Types of a stage's activations, and whether they are the low precision of this library."""


def recognise(network: Network) -> Kind | None:
    """Return the kind of a network; None for a network of another model."""
    names = _unwrapped(network.arrays)
    return next((kind for sign, kind in SIGNS.items() if sign in names), None)


def generator(network: Network) -> Found:
    """Return what a generator is in this library."""
    if recognise(network) != "generator":
        raise UserError("not an R3GAN generator")
    return _found("generator", network)


def discriminator(network: Network, generator: Fields) -> Found:
    """Return what a discriminator is in this library, beside a generator that implies some config fields."""
    del generator
    if recognise(network) != "discriminator":
        raise UserError("not an R3GAN discriminator")
    return _found("discriminator", network)


def originals(kind: str, weights: Weights, fields: Fields) -> Weights:
    """Return a network's weights [...] as the state dict of training/networks.py there, with its constant filters.

    Args:
      kind: "generator" or "discriminator".
      weights: arrays by their names in a train state, without the prefix of the network.
      fields: fields of the config.

    Raises:
      UserError: the filter cannot be one of theirs, which are taps convolved with [1, 1].
    """
    blocks, levels = spread(fields["blocks"], fields["image_size"]), pyramid(fields["image_size"], 0, 0)
    arrays = table(kind, levels, blocks).to_theirs(weights)
    _given_taps(fields)
    row = np.asarray(fields["resample_filter"], np.float32)
    kernel = np.outer(row, row) / row.sum() ** 2
    for stage in range(len(levels)):
        if kind == "generator" and stage > 0:
            arrays[f"MainLayers.{stage}.Layers.0.Resampler.Kernel"] = kernel.copy()
        elif kind == "discriminator" and stage < len(levels) - 1:
            layer = blocks[len(levels) - 1 - stage]
            arrays[f"MainLayers.{stage}.Layers.{layer}.Resampler.Kernel"] = kernel.copy()
    return {f"{WRAPPER}{name}": array for name, array in arrays.items()}


def arguments_of(kind: Kind, fields: Fields) -> dict[str, Any]:
    """Return the arguments with which training/networks.py there builds a network of a config."""
    levels = level_count(fields["image_size"])
    widths, groups, blocks = (
        list(spread(fields[name], fields["image_size"])) for name in ("widths", "groups", "blocks")
    )
    low = list(range(levels - min(fields["low_precision_levels"], levels), levels))
    is_generator, embedded = kind == "generator", fields["label_features"]
    order = 1 if is_generator else -1
    given = {
        "class_name": f"training.networks.{'Generator' if is_generator else 'Discriminator'}",
        **({"NoiseDimension": fields["latent_size"]} if is_generator else {}),
        "WidthPerStage": widths[::order],
        "CardinalityPerStage": groups[::order],
        "BlocksPerStage": blocks[::order],
        "ExpansionFactor": fields["expansion"],
        "KernelSize": fields["kernel_size"],
        "ResamplingFilter": list(_given_taps(fields)),
        "FP16Stages": low if is_generator else [levels - 1 - at for at in reversed(low)],
        "c_dim": fields["label_size"],
        "img_resolution": fields["image_size"],
        "img_channels": fields["channels"],
    }
    projected = embedded if is_generator else fields["projection_features"] or widths[0]
    return given | ({"ConditionEmbeddingDimension": projected} if fields["label_size"] else {})


ARGUMENTS = {kind: lambda fields, kind=kind: arguments_of(kind, fields) for kind in ("generator", "discriminator")}
"""Functions of a config that return the arguments of the original constructors, by kind."""


# Names --------------------------------------------------------------------------------------------------------------


def table(kind: str, levels: tuple[Level, ...], blocks: tuple[int, ...]) -> Table:
    """Return the names of a network of these sizes, with so many residual blocks at each of them."""
    is_generator = kind == "generator"
    rules = [Rule("EmbeddingLayer.weight", "params.embedding", DENSE)]
    if is_generator:
        rules += [Rule("AggregationLayer.Layer.weight", "params.to_image.kernel", CONV)]
        rules += _ends("MainLayers.0.Layers.0", "Basis", CONSTANT)
    else:
        rules += [Rule("ExtractionLayer.Layer.weight", "params.from_image.kernel", CONV)]
        rules += _ends(f"MainLayers.{len(levels) - 1}.Layers.{blocks[0]}", "Basis.weight", DEPTHWISE)
    for at, level in enumerate(levels):
        stage = f"MainLayers.{at if is_generator else len(levels) - 1 - at}.Layers"
        for i in range(blocks[at]):
            rules += _block(f"{stage}.{i + is_generator}", f"params.b{level.resolution}_block{i}")
        if at > 0:
            resized = f"{stage}.{0 if is_generator else blocks[at]}.LinearLayer.Layer.weight"
            rules.append(Rule(resized, f"params.b{level.resolution}_resize.kernel", CONV))
    return Table(f"R3GAN {kind}", tuple(rules), constants=("Kernel",))


def _ends(theirs: str, basis: str, layout: Layout) -> list[Rule]:
    """Return the rules of the basis at the smallest size, and of its dense layer."""
    return [
        Rule(f"{theirs}.{basis}", "params.basis", layout),
        Rule(f"{theirs}.LinearLayer.weight", "params.dense", DENSE),
    ]


def _block(theirs: str, ours: str) -> list[Rule]:
    """Return the rules of a residual block."""
    names = {1: "expand", 2: "spatial", 3: "project"}
    kernels = [
        Rule(f"{theirs}.LinearLayer{n}.Layer.weight", f"{ours}.{name}.kernel", CONV) for n, name in names.items()
    ]
    return kernels + [Rule(f"{theirs}.NonLinearity{n}.Bias", f"{ours}.bias{n - 1}", SAME) for n in (1, 2)]


def _unwrapped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays [...] by the names of R3GAN/Networks.py."""
    is_wrapped = bool(arrays) and all(name.startswith(WRAPPER) for name in arrays)
    return {name.removeprefix(WRAPPER) if is_wrapped else name: array for name, array in arrays.items()}


# Config fields ------------------------------------------------------------------------------------------------------


def _found(kind: Kind, network: Network) -> Found:
    arrays = _unwrapped(network.arrays)
    blocks = _block_counts(kind, arrays)
    basis = "MainLayers.0.Layers.0.Basis" if kind == "generator" else _last(blocks, "Basis.weight")
    height, width = np.shape(needed(arrays, basis))[-2:]
    levels = pyramid((height << len(blocks) - 1, width << len(blocks) - 1), 0, 0)
    if len(levels) != len(blocks):
        raise UserError(f"a smallest size of {height} x {width}: must be what halving the image size leaves, from 4 on")
    weights = table(kind, levels, blocks).to_ours(arrays)
    fields = {**_shape_fields(kind, weights, levels, blocks), "resample_filter": _taps(arrays)}
    fields["image_size"] = (levels[-1].height, levels[-1].width) if height != width else levels[-1].height
    low, notes = _low_precision(kind, network, len(blocks))
    return Found({**fields, "low_precision_levels": low}, weights, notes)


def _block_counts(kind: Kind, arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Return the residual blocks at every size, from the smallest."""
    pattern = re.compile(r"MainLayers\.(\d{1,2})\.Layers\.(\d{1,3})\.LinearLayer1\.Layer\.weight")
    places = [tuple(map(int, match.groups())) for name in arrays if (match := pattern.fullmatch(name))]
    counts = [sum(stage == each for each, _ in places) for stage in range(max((s for s, _ in places), default=-1) + 1)]
    if not 1 <= len(counts) <= MAX_STAGES or not 1 <= min(counts) <= max(counts) <= MAX_BLOCKS:
        raise UserError(f"residual blocks {counts[:MAX_STAGES]} of the stages: must be 1 to {MAX_BLOCKS} in each")
    return tuple(counts if kind == "generator" else reversed(counts))


def _last(blocks: tuple[int, ...], name: str) -> str:
    return f"MainLayers.{len(blocks) - 1}.Layers.{blocks[0]}.{name}"


def _shape_fields(kind: Kind, weights: Weights, levels: tuple[Level, ...], blocks: tuple[int, ...]) -> Fields:
    expands = [needed(weights, f"params.b{level.resolution}_block0.expand.kernel") for level in levels]
    spatials = [needed(weights, f"params.b{level.resolution}_block0.spatial.kernel") for level in levels]
    widths = tuple(kernel.shape[2] for kernel in expands)
    expansions = {kernel.shape[3] / kernel.shape[2] for kernel in expands}
    sizes = {kernel.shape[:2] for kernel in spatials}
    if len(expansions) != 1 or len(sizes) != 1 or not min(expansions).is_integer():
        raise UserError("blocks of several expansions or kernel sizes: must be the same in all stages")
    embedding = weights.get("params.embedding")
    size = min(sizes)
    if size[0] != size[1]:
        raise UserError(f"grouped convolutions of {size}: must be square")
    fields = {
        "widths": widths,
        "groups": tuple(kernel.shape[3] // max(kernel.shape[2], 1) for kernel in spatials),
        "blocks": blocks,
        "expansion": int(min(expansions)),
        "kernel_size": size[0],
        "label_size": 0 if embedding is None else embedding.shape[0],
    }
    if kind == "discriminator":
        fields["channels"] = needed(weights, "params.from_image.kernel").shape[2]
        return fields if embedding is None else {**fields, "projection_features": embedding.shape[1]}
    fields["channels"] = needed(weights, "params.to_image.kernel").shape[3]
    fields["latent_size"] = len(needed(weights, "params.dense")) - (0 if embedding is None else embedding.shape[1])
    return fields if embedding is None else {**fields, "label_features": embedding.shape[1]}


def _taps(arrays: Mapping[str, np.ndarray]) -> tuple[float, ...]:
    """Return the taps of the filter at every change of size."""
    found: tuple[float, ...] = ()
    for name, array in arrays.items():
        if name.endswith(".Resampler.Kernel"):
            taps = row_of(np.asarray(array, np.float64), name)
            if found and not same_taps(found, taps):
                raise UserError(f"{named(name)} differs from the filters of other layers: must be the same")
            found = taps
    return found or (1.0, 3.0, 3.0, 1.0)


def _given_taps(fields: Fields) -> tuple[float, ...]:
    """Return the taps which their code convolves with [1, 1]; the inverse of that for a filter of ours."""
    taps, remainder = np.polydiv(np.asarray(fields["resample_filter"], np.float64), np.ones(2))
    if len(taps) > MAX_TAPS or np.abs(remainder).max() > 1e-6 * np.abs(taps).max():
        raise UserError(
            f"resample_filter = {fields['resample_filter']}: has no original, which are taps convolved with [1, 1]"
        )
    return tuple(map(float, taps))


def _low_precision(kind: Kind, network: Network, stages: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of the largest sizes in bfloat16, and notes."""
    pattern = re.compile(r"(?:Model\.)?MainLayers\.(\d{1,2})\.DataType")
    found = {int(match[1]): kind for name, kind in network.attributes.items() if (match := pattern.fullmatch(name))}
    given = network.settings.get("FP16Stages")
    if not found and type(given) is list:
        found = {stage: "torch.bfloat16" if stage in given else "torch.float32" for stage in range(stages)}
    if not found:
        return 0, ("low_precision_levels is not in the file: 0 is assumed",)
    unknown = [each for each in found.values() if each not in TYPES]
    if unknown:
        raise UserError(f"activations of type {named(unknown[0])}: must be {' or '.join(TYPES)}")
    low = [TYPES.get(found.get(stage, "torch.float32"), False) for stage in range(stages)]
    low = low if kind == "discriminator" else low[::-1]  # from the largest size on
    count = low.index(False) if False in low else stages
    if any(low[count:]):
        raise UserError("stages in bfloat16 that are not the largest ones: not supported")
    return count, ()
