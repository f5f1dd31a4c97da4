"""What other programs call things: their commands, options and values, each answered with its name here.

Names of NVlabs/stylegan2-ada-pytorch, NVlabs/stylegan3, pytorch/examples (DCGAN), lucidrains/stylegan2-pytorch and
rosinality/stylegan2-pytorch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from ganzoo.errors import UserError

COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("generate", "gen-images", "generate-images", "samples"), "sample"),
    **dict.fromkeys(("gen-video", "video", "film", "interpolation"), "interpolate"),
    **dict.fromkeys(("projector", "projection", "invert"), "project"),
    **dict.fromkeys(("calc-metrics", "metrics", "metric", "fid", "eval", "test"), "evaluate"),
    **dict.fromkeys(("style-mixing", "mixing"), "mix"),
    **dict.fromkeys(("legacy", "export-weight", "convert-weight"), "convert"),
    **dict.fromkeys(("avg-spectra", "spectra"), "spectrum"),
    **dict.fromkeys(("models", "presets", "zoo"), "list"),
    **dict.fromkeys(("info", "show", "summary"), "inspect"),
    **dict.fromkeys(("closed-form-factorization", "apply-factor", "sefa", "ganspace"), "edit"),
    **dict.fromkeys(("fit", "finetune", "run"), "train"),
    **dict.fromkeys(("dashboard", "plot", "curves", "compare", "tensorboard"), "report"),
    "resume": "train NAME --resume",
    **dict.fromkeys(("dataset-tool", "dataset", "prepare-data"), "train NAME --data PATH, for images as they are"),
}  # fmt: skip
"""Commands of others, and ours."""

OPTIONS: Mapping[str, tuple[str, str]] = {
    # training
    **dict.fromkeys(("outdir", "out-dir", "outf", "output-dir", "results-dir", "name"), ("out", "")),
    **dict.fromkeys(("dataset", "dataroot", "data-path"), ("data", "")),
    **dict.fromkeys(("gpus", "num-gpus", "gpu", "ngpu", "cuda", "num-devices"), ("devices", "")),
    "kimg": ("images", "counted in images, so 25000 kimg are --images 25000000"),
    **dict.fromkeys(("epochs", "niter", "iter", "num-train-steps"), ("images", "counted in images shown")),
    "snap": ("checkpoint-every", "counted in images; --sample-every is for the sample grids"),
    "tick": ("log-every", "counted in images"),
    **dict.fromkeys(("logger", "report-to", "wandb", "use-wandb", "tensorboard"), ("log", "such as --log wandb")),
    **dict.fromkeys(("batch", "batchsize", "batch-gpu"), ("batch-size", "images of one step over all devices")),
    **dict.fromkeys(("size", "resolution", "imagesize", "res"), ("image-size", "")),
    **dict.fromkeys(("cond", "num-classes", "n-classes"), ("label-size", "the number of classes")),
    **dict.fromkeys(("manualseed", "random-seed"), ("seed", "")),
    **dict.fromkeys(("num-workers", "num-threads"), ("workers", "")),
    **dict.fromkeys(("ckpt", "pretrained", "resume-pkl", "load-from"), ("init-from", "")),
    "subset": ("split", "for sets of TFDS"),
    "xflip": ("mirror", ""),
    # models
    **dict.fromkeys(("gamma", "r1", "r1-weight"), ("r1-gamma", "")),
    **dict.fromkeys(("d-reg-every", "d-reg-interval"), ("r1-interval", "")),
    **dict.fromkeys(("g-reg-every", "g-reg-interval"), ("path-length-interval", "")),
    **dict.fromkeys(("path-regularize", "pl-weight"), ("path-length-weight", "")),
    **dict.fromkeys(("aug", "augpipe", "diffaugment", "aug-type"), ("augment", "bgc is the ADA pipeline")),
    **dict.fromkeys(("target", "ada-target"), ("augment-target", "")),
    **dict.fromkeys(("p", "aug-prob", "augment-prob"), ("augment-p", "")),
    "freezed": ("freeze-discriminator-layers", ""),
    **dict.fromkeys(("mbstd-group", "stddev-group"), ("minibatch-std-group", "")),
    **dict.fromkeys(("map-depth", "n-mlp"), ("mapping-layers", "")),
    "cbase": ("channel-base", ""),
    "cmax": ("channel-max", ""),
    **dict.fromkeys(("mixing", "mixed-prob"), ("style-mixing", "")),
    "fp32": ("low-precision-levels", "0 is float32 throughout"),
    **dict.fromkeys(("nz", "z-dim", "latent", "latent-dim"), ("latent-size", "")),
    "ngf": ("generator-features", ""),
    "ndf": ("discriminator-features", ""),
    "beta1": ("adam-beta1", ""),
    # images
    **dict.fromkeys(("trunc", "truncation", "truncation-psi"), ("psi", "")),
    **dict.fromkeys(("noise-mode",), ("noise", "")),
    **dict.fromkeys(("class-idx", "label"), ("class", "")),
    **dict.fromkeys(("num", "n-samples", "num-samples", "pics", "n-sample"), ("seeds", "such as --seeds 0-63")),
    **dict.fromkeys(("col-seeds", "cols"), ("columns", "")),
    "row-seeds": ("rows", ""),
    **dict.fromkeys(("col-styles", "styles-from"), ("layers", "")),
    **dict.fromkeys(("w-frames", "num-frames"), ("frames", "")),
    "grid": ("columns", "and --rows"),
    **dict.fromkeys(("projected-w", "latents-file"), ("styles", "")),
    **dict.fromkeys(("target-fname", "target-image"), ("images", "")),
    "num-steps": ("steps", ""),
    "degree": ("reach", ""),
    "index": ("direction", ""),
}  # fmt: skip
"""Options of others; ours, which is named where the command has it; and what else to know."""

SEVERAL: Mapping[str, Sequence[tuple[str, str]]] = {
    "lr": (("learning-rate", ""), ("generator-learning-rate", "and --discriminator-learning-rate")),
    "glr": (("generator-learning-rate", ""), ("learning-rate", "")),
    "dlr": (("discriminator-learning-rate", ""), ("learning-rate", "")),
    "batch": (("batch-size", "images of one step over all devices"), ("metric-batch-size", "")),
    "cond": (("label-size", "the number of classes"), ("class", "")),
}
"""Options of others that are different ones here, by command; the first that the command has is named."""

FIRST: Mapping[str, str] = {
    "cfg": "the preset follows the command, such as ganzoo train stylegan2-paper256; ganzoo list shows them",
    "model": "the model follows the command, such as ganzoo sample MODEL",
    **dict.fromkeys(("network", "network-pkl"), "the model follows the command, such as ganzoo sample MODEL"),
}
"""Options of others for what has no option here."""

VALUES: Mapping[str, Mapping[str, str]] = {
    "augment": {
        **dict.fromkeys(("ada", "adaptive"), "bgc, the ADA pipeline of the paper, whose p adapts"),
        **dict.fromkeys(("noaug", "no", "off"), "none"),
        "fixed": "bgc with --augment-p P",
        **dict.fromkeys(("diff-augment", "diffaug", "color,translation,cutout"), "diffaugment"),
    },
    "noise": {"constant": "const"},
    "loss": {"logistic": "non-saturating", "wgan": "wasserstein", "wgan-gp": "wasserstein with --gradient-penalty 10"},
}
"""Values of others by our option, and ours."""

SWITCH = ("true", "false", "1", "0", "yes", "no", "on", "off")


def command_of(name: str) -> str:
    """Return a hint for a command of other programs, as ``guess`` does; empty for an unknown one."""
    ours = COMMANDS.get(name.lower().replace("_", "-").removesuffix(".py"))
    return f" here it is ganzoo {ours}" if ours else ""


def require_ours(args: Sequence[str], switches: Sequence[str], others: Sequence[str]) -> None:
    """Raise ``UserError`` where an option or a value is one of other programs: the message has ours.

    Args:
      args: what was typed after the command.
      switches: options of the command without a value, as they are typed after ``--``.
      others: its options with values.
    """
    known = {*switches, *others}
    for flag, value in _typed(args):
        shown = f"--{flag}"
        if flag in switches and value is not None:
            _require_switch(flag, value)
        elif flag in known:
            ours = VALUES.get(flag, {}).get((value or "").lower())
            if ours:
                raise UserError(f"{shown} {value}: here it is {shown} {ours}")
            if flag == "image-size" and (size := re.fullmatch(r"(\d+)[xX*](\d+)", value or "")):
                width, height = size.groups()
                two = (
                    f"write {shown} {width}" if width == height else f"write height and width: {shown} {height} {width}"
                )
                raise UserError(f"{shown} {value}: {two}")
        elif flag in FIRST:
            raise UserError(f"unknown option {shown}: {FIRST[flag]}")
        elif found := next((each for each in _meanings(flag) if each[0] in known), None):
            note = f" ({found[1]})" if found[1] else ""
            raise UserError(f"unknown option {shown}: here it is --{found[0]}{note}")
        elif f"no-{flag}" in switches:
            raise UserError(f"unknown option {shown}: it is on; write --no-{flag} to turn it off")
        elif flag.removeprefix("no-") in switches:
            raise UserError(f"unknown option {shown}: it is off; leave it out")


def _typed(args: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the options that were typed, without ``--`` and with hyphens, and the word that follows each, if any."""
    for place, arg in enumerate(args):
        if arg.startswith("--") and len(arg) > 2:
            flag, is_joined, value = arg[2:].partition("=")
            after = args[place + 1] if place + 1 < len(args) else "--"
            yield flag.replace("_", "-"), value if is_joined else None if after.startswith("--") else after


def _meanings(flag: str) -> Sequence[tuple[str, str]]:
    """Return our options for one of other programs, the likeliest first."""
    return SEVERAL.get(flag.lower()) or [OPTIONS[name] for name in (flag.lower(),) if name in OPTIONS]


def _require_switch(flag: str, value: str) -> None:
    """Raise ``UserError`` for a switch with a value."""
    if value.lower() in SWITCH:
        raise UserError(f"--{flag} {value}: --{flag} takes no value; write it to turn it on, or leave it out")
    if flag == "resume":
        raise UserError(
            f"--{flag} {value}: --{flag} takes no value; to start with the weights of a file: --init-from {value}"
        )
