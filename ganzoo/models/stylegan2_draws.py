"""What StyleGAN2 draws at random in a phase of training, before any of it is used, so that micro-batches divide it."""

from functools import partial

import jax
from jaxtyping import Array, Int

from ganzoo import augment
from ganzoo.config import require
from ganzoo.models.stylegan2_config import StyleGAN2Config
from ganzoo.nn.mapping import mixing_cutoff
from ganzoo.ops import collective, random
from ganzoo.ops.statistics import require_groups
from ganzoo.typing import Batch, Images, Key, Latents, PyTree


def draw_latents(config: StyleGAN2Config, key: Key, indices: Int[Array, " n"]) -> Latents:
    """Latents [N, z] ~ N(0, 1); the one with index i depends on the key and i alone."""
    return random.for_indices(lambda key: jax.random.normal(key, (config.latent_size,)), key, indices)


def draw_fakes(config: StyleGAN2Config, key: Key, batch: Batch, *, shrink: int = 1) -> dict[str, PyTree]:
    """All that the fakes of one phase are made of, for as many images as the batch has, or ``shrink`` times fewer.

    ``latents`` and ``mixed`` [N, z]; ``cutoff`` [N], the first style input that takes its style from ``mixed``;
    ``noise``, keys [N], where the noise is random; ``label`` [N, k], drawn from those of the batch.
    """
    rounds = round_count(config, batch)
    indices = fake_indices(config, batch, shrink)
    draw_cutoff = partial(mixing_cutoff, probability=config.style_mixing, layers=config.style_count)
    fakes = {
        "latents": draw_latents(config, jax.random.fold_in(key, 0), indices),
        "mixed": draw_latents(config, jax.random.fold_in(key, 1), indices),
        "cutoff": random.for_indices(draw_cutoff, jax.random.fold_in(key, 2), indices % rounds),
    }
    if config.training_noise == "random":
        fakes["noise"] = random.for_indices(lambda key: key, jax.random.fold_in(key, 3), indices)
    if config.label_size:
        fakes["label"] = random.rows_of_batch(jax.random.fold_in(key, 4), indices, batch["label"])
    return fakes


def draw_path_noise(config: StyleGAN2Config, key: Key, batch: Batch) -> Images:
    """Images of N(0, 1) noise, onto which the path length phase projects the gradients of the images."""
    indices = fake_indices(config, batch, config.path_length_batch_shrink)
    return random.for_indices(lambda key: random.normal(key, config.image_shape), key, indices)


def round_count(config: StyleGAN2Config, batch: Batch) -> int:
    """The number of micro-batches of a batch; ``UserError`` where they, or the groups in them, do not divide it."""
    whole, micro = collective.global_size(batch["image"].shape[0]), config.micro_batch
    require(not micro or whole % micro == 0, "micro_batch", micro, f"divide the batch of {whole} images")
    together = micro or whole
    require_groups(together, config.minibatch_std_group, config.minibatch_std_channels)
    return whole // together


def fake_indices(config: StyleGAN2Config, batch: Batch, shrink: int) -> Int[Array, " n"]:
    """The positions of this device's fakes in the global batch of them, ``shrink`` times smaller than the batch."""
    local = batch["image"].shape[0]
    part = local // round_count(config, batch)
    require(part % shrink == 0, "path_length_batch_shrink", shrink, f"divide the (micro-)batch of {part} images")
    return collective.global_indices(local // shrink)


def draw(config: StyleGAN2Config, which: frozenset[str], batch: Batch, key: Key) -> Batch:
    """The batch with the draws of one phase, and with ``augment`` where images are augmented.

    ``which`` names the draws: "fakes", and for path lengths "paths", which are the first of the fakes again, with the
    noise onto which the phase projects.
    """
    shrink = config.path_length_batch_shrink
    shape = (batch["image"].shape[0], *config.image_shape)
    augmentation = partial(augment.draw, config, key=jax.random.fold_in(key, 6), shape=shape)
    drawn = {**batch, "augment": {kind: augmentation(kind) for kind in augment.KINDS}}
    if "fakes" in which:
        drawn["fakes"] = draw_fakes(config, key, batch)
    if "paths" in which:
        drawn["paths"] = draw_fakes(config, key, batch, shrink=shrink)
        drawn["path_noise"] = draw_path_noise(config, jax.random.fold_in(key, 5), batch)
    return drawn
