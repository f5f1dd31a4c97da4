"""The recorded networks and runs of NVlabs/stylegan3 as configs, states and batches of this library."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from stylegan2_names import tree

from ganzoo.gan import Network, TrainState
from ganzoo.models import stylegan3
from ganzoo.models.stylegan3.config import StyleGAN3Config, fill_defaults

GOLDEN = Path(__file__).parents[2] / "golden"
FIELDS = {
    "z_dim": "latent_size", "c_dim": "label_size", "w_dim": "style_size", "img_resolution": "image_size",
    "img_channels": "channels", "channel_base": "channel_base", "channel_max": "channel_max", "num_layers": "layers",
    "num_critical": "critical_layers", "conv_kernel": "kernel_size", "use_radial_filters": "radial_filters",
    "first_cutoff": "first_cutoff", "first_stopband": "first_stopband", "last_stopband_rel": "last_stopband",
    "margin_size": "margin", "filter_size": "filter_taps", "lrelu_upsampling": "activation_upsampling",
    "output_scale": "output_scale", "conv_clamp": "conv_clamp", "magnitude_ema_beta": "magnitude_decay",
}  # fmt: skip
"""Arguments of the original's generator, by our fields."""


def load(case: str) -> tuple[dict[str, Any], Any]:
    """A case's JSON and arrays."""
    path = GOLDEN / case
    return json.loads(path.with_suffix(".json").read_text()), np.load(path.with_suffix(".npz"))


def config_of(meta: dict[str, Any], **fields: Any) -> StyleGAN3Config:
    """The config that names the networks and the loss of a case."""
    given = {**meta, **(meta.get("G_kwargs") or meta["kwargs"])}
    named = {ours: given[theirs] for theirs, ours in FIELDS.items() if theirs in given}
    if "mapping_kwargs" in given:
        named["mapping_layers"] = given["mapping_kwargs"]["num_layers"]
    if "D_kwargs" in meta:
        d = meta["D_kwargs"]
        named |= {f"discriminator_{name}": d[name] for name in ("channel_base", "channel_max")}
        named["discriminator_conv_clamp"] = d.get("conv_clamp", 256.0) or 0.0
        named["minibatch_std_group"] = d["epilogue_kwargs"]["mbstd_group_size"]
    if loss := meta.get("loss") or meta.get("loss_kwargs"):
        named |= {"r1_gamma": loss["r1_gamma"], "blur_sigma": float(loss.get("blur_init_sigma", 0))}
        named["blur_images"] = loss.get("blur_fade_kimg", 0) * 1000.0
    named = {name: float(value) if isinstance(value, float) else value for name, value in named.items()}
    return fill_defaults(StyleGAN3Config(**{**named, **fields}), 0, 1)[0]


def variables(golden: Any, prefix: str) -> dict[str, Any]:
    """A recorded network below a prefix; gradients work as well."""
    return jax.tree.map(jnp.asarray, tree({name: golden[name] for name in golden.files}, prefix))


def network(config: StyleGAN3Config, golden: Any, prefix: str, name: str) -> Network:
    """The network with recorded parameters and a fresh optimizer."""
    return Network.create(variables(golden, prefix), stylegan3.optimizer(config, name).init)


def state_of(config: StyleGAN3Config, golden: Any, images: int = 0) -> TrainState:
    """The state before the first iteration."""
    generator = network(config, golden, "params/G/", "generator")
    ema = "params/G_ema/" if any(name.startswith("params/G_ema/") for name in golden.files) else "params/G/"
    return TrainState(
        step=jnp.int32(0),
        images=jnp.uint32(images),
        generator=generator,
        discriminator=network(config, golden, "params/D/", "discriminator"),
        ema=variables(golden, ema),
    )


def state_of_generator(golden: Any) -> TrainState:
    """A state of which only the EMA of the generator is recorded."""
    ema = variables(golden, "params/G/")
    nothing = Network({}, {}, ())
    return TrainState(jnp.int32(0), jnp.uint32(0), generator=nothing, discriminator=nothing, ema=ema)


def modules_of(config: StyleGAN3Config) -> tuple[Any, Any]:
    """Generator and discriminator."""
    return stylegan3.Generator(config), stylegan3.discriminator(config)
