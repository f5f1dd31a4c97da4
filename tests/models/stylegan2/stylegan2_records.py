"""The recorded runs of NVlabs/stylegan2-ada-pytorch as configs, states and batches of this library."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from stylegan2_names import tree

from ganzoo.gan import Network
from ganzoo.models import stylegan2
from ganzoo.models.stylegan2.config import StyleGAN2Config
from ganzoo.objectives import StyleNetworks

GOLDEN = Path(__file__).parents[2] / "golden"


def load(case: str) -> tuple[dict[str, Any], Any]:
    """A case's JSON and arrays."""
    path = GOLDEN / case
    return json.loads(path.with_suffix(".json").read_text()), np.load(path.with_suffix(".npz"))


def config_of(meta: dict[str, Any], **fields: Any) -> StyleGAN2Config:
    """The config that names the networks and the loss of a case."""
    g, d, loss = meta["G_kwargs"], meta["D_kwargs"], meta.get("loss") or meta["loss_kwargs"]
    synthesis = g["synthesis_kwargs"]
    assert synthesis["channel_base"] == d["channel_base"]
    return replace(
        StyleGAN2Config(),
        image_size=meta.get("img_resolution") or g["img_resolution"],
        channels=meta.get("img_channels") or g["img_channels"],
        label_size=meta.get("c_dim", g.get("c_dim")),
        latent_size=g["z_dim"],
        style_size=g["w_dim"],
        mapping_layers=g["mapping_kwargs"]["num_layers"],
        channel_base=synthesis["channel_base"],
        channel_max=synthesis["channel_max"],
        generator_architecture=synthesis.get("architecture", "skip"),
        discriminator_architecture=d.get("architecture", "resnet"),
        discriminator_mapping_layers=d.get("mapping_kwargs", {}).get("num_layers", 8),
        minibatch_std_group=d["epilogue_kwargs"]["mbstd_group_size"],
        conv_clamp=synthesis.get("conv_clamp", 0.0),
        training_noise="const",
        style_mixing=loss["style_mixing_prob"],
        r1_gamma=loss["r1_gamma"],
        path_length_weight=loss["pl_weight"],
        path_length_batch_shrink=loss.get("pl_batch_shrink", 2),
        **fields,
    )


def networks_of(config: StyleGAN2Config, meta: dict[str, Any]) -> StyleNetworks:
    """What the objectives need of a case; its discriminator may have a width of its own."""
    narrower = replace(config, channel_max=meta["D_kwargs"]["channel_max"])
    return stylegan2.networks(config, stylegan2.Generator(config), stylegan2.discriminator(narrower))


def network(config: StyleGAN2Config, golden: Any, prefix: str, name: str) -> Network:
    """The network with recorded parameters; buffers that the record leaves out come from ``params/``."""
    trees = tree({name: golden[name] for name in golden.files if name.startswith(prefix)}, prefix)
    return Network.create(jax.tree.map(jnp.asarray, trees), stylegan2.optimizer(config, name).init)


def state_of(config: StyleGAN2Config, golden: Any, path_length_mean: float = 0.0) -> stylegan2.StyleGAN2State:
    """The state before the first iteration."""
    generator = network(config, golden, "params/G/", "generator")
    ema = "params/G_ema/" if any(name.startswith("params/G_ema/") for name in golden.files) else "params/G/"
    return stylegan2.StyleGAN2State(
        step=jnp.int32(0),
        images=jnp.uint32(0),
        generator=generator,
        discriminator=network(config, golden, "params/D/", "discriminator"),
        ema=network(config, golden, ema, "generator").variables,
        path_length_mean=jnp.float32(path_length_mean),
    )
