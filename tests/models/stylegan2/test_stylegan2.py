"""StyleGAN2's settings, sampling and draws: the published rows, the rules of "auto", truncation, and bad input."""

from dataclasses import replace

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ganzoo
from ganzoo import losses, objectives
from ganzoo.errors import UserError
from ganzoo.models import stylegan2
from ganzoo.models.config import finite
from ganzoo.models.stylegan2.config import PRESETS, StyleGAN2Config, auto_batch_size, fill_defaults
from ganzoo.ops import pixels
from ganzoo.testing import quick_jit

CONFIGS = {name: preset.config for name, preset in PRESETS.items()}


@pytest.fixture(scope="module")
def gan() -> ganzoo.GAN:
    return ganzoo.create("stylegan2", "tiny", label_size=3)


@pytest.fixture(scope="module")
def state(gan: ganzoo.GAN):
    state = gan.init(jax.random.key(0))
    statistics = {"mapping": {"w_average": jnp.full(gan.config.style_size, 0.5)}}
    return replace(state, ema={**state.ema, "statistics": statistics})


# Settings -----------------------------------------------------------------------------------------------------------

AUTO = [  # image size, devices -> batch, gamma, half-life in thousand images (NVlabs/stylegan3, docs/configs.md)
    (128, 1, 32, 0.1024, 10),
    (128, 8, 64, 0.0512, 20),
    (256, 1, 16, 0.8192, 5),
    (256, 2, 32, 0.4096, 10),
    (256, 8, 64, 0.2048, 20),
    (512, 1, 8, 6.5536, 2.5),
    (512, 4, 32, 1.6384, 10),
    (1024, 1, 4, 52.4288, 1.25),
    (1024, 8, 32, 6.5536, 10),
]


@pytest.mark.parametrize(("size", "devices", "batch", "gamma", "thousand"), AUTO)
def test_auto_is_the_published_rule(size, devices, batch, gamma, thousand) -> None:
    config, chosen = fill_defaults(replace(CONFIGS["auto"], image_size=size), 0, devices)
    assert chosen == auto_batch_size(size, devices) == batch
    assert config.r1_gamma == pytest.approx(gamma)
    assert config.ema_half_life == thousand * 1000
    assert config.channel_base == (32768 if size >= 512 else 16384)
    assert config.generator_learning_rate == (0.002 if size >= 1024 else 0.0025)
    assert config.minibatch_std_group == min(batch // devices, 4)
    assert config.mapping_layers == 2


def test_what_is_given_stays() -> None:
    config, batch = fill_defaults(replace(CONFIGS["auto"], r1_gamma=3.0), 48, 2)
    assert (config.r1_gamma, batch, config.ema_half_life) == (3.0, 48, 15_000)
    assert fill_defaults(CONFIGS["paper256"], 64, 8) == (CONFIGS["paper256"], 64)


def test_rows_of_the_published_table() -> None:
    for name, (rate, gamma, half_life, group) in {
        "stylegan2": (0.002, 10, 10_000, 4),
        "paper256": (0.0025, 1, 20_000, 8),
        "paper512": (0.0025, 0.5, 20_000, 8),
        "paper1024": (0.002, 2, 10_000, 4),
        "cifar": (0.0025, 0.01, 500_000, 32),
    }.items():
        row = CONFIGS[name]
        assert (row.generator_learning_rate, row.discriminator_learning_rate) == (rate, rate)
        assert (row.r1_gamma, row.ema_half_life, row.minibatch_std_group) == (gamma, half_life, group)
        assert row.low_precision_levels == 4
    cifar = CONFIGS["cifar"]
    assert (cifar.path_length_weight, cifar.style_mixing, cifar.discriminator_architecture) == (0, 0, "orig")
    assert (cifar.ema_ramp, cifar.mapping_layers) == (0.05, 2)


def test_widths_of_configuration_f() -> None:
    by_size = {level.resolution: level.features for level in CONFIGS["paper1024"].levels}
    assert by_size == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    assert CONFIGS["paper1024"].style_count == 18


def test_the_lazy_correction_of_adam() -> None:
    """One step of Adam with beta1 = 0 moves by the rate, whatever the gradient is."""
    config = CONFIGS["paper256"]
    for network, k in (("generator", 4), ("discriminator", 16)):
        adam = stylegan2.optimizer(config, network)
        params = {"w": jnp.float32(1)}
        updates, _ = adam.update({"w": jnp.float32(7)}, adam.init(params), params)
        assert float(updates["w"]) == pytest.approx(-0.0025 * k / (k + 1), rel=1e-5)


def test_gradients_that_are_no_numbers_are_harmless() -> None:
    cleaned, _ = finite().update({"w": jnp.array([jnp.nan, jnp.inf, -jnp.inf, 2.0])}, (), None)
    np.testing.assert_array_equal(cleaned["w"], [0, 1e5, -1e5, 2])


# Sampling -----------------------------------------------------------------------------------------------------------


def test_truncation_moves_towards_the_average(gan, state) -> None:
    z, labels = gan.latents(jax.random.key(1), jnp.arange(4)), jnp.eye(3)[jnp.arange(4) % 3]
    whole, half, none = (gan.generate(state, z, labels, psi=psi) for psi in (1.0, 0.5, 0.0))
    assert float(jnp.abs(none - none[:1]).max()) < 1e-6  # the average image, whatever the latent
    assert 0 < float(jnp.abs(half - none).mean()) < float(jnp.abs(whole - none).mean())
    np.testing.assert_array_equal(gan.generate(state, z, labels, psi=0.0, cutoff=0), whole)
    np.testing.assert_allclose(gan.generate(state, z, labels, psi=0.0, cutoff=4), none, atol=1e-6)


def test_styles_go_in_one_call_and_mix_by_layer(gan, state) -> None:
    bound = gan.generator.bind(state.ema)
    ws = bound.styles(gan.latents(jax.random.key(1), jnp.arange(2)), jnp.eye(3)[:2])
    assert ws.shape == (2, gan.config.style_count, gan.config.style_size)
    mixed = jnp.concatenate([ws[:1, :2], ws[1:, 2:]], axis=1)
    images = [bound.synthesis(w) for w in (ws[:1], mixed, ws[1:])]
    assert images[0].shape == (1, *gan.image_shape)
    assert float(jnp.abs(images[1] - images[0]).max()) > 1e-4
    assert float(jnp.abs(images[1] - images[2]).max()) > 1e-4


def test_noise_is_that_of_the_key_of_an_image(gan, state) -> None:
    params = jax.tree.map(lambda leaf: leaf, state.ema["params"])
    params["synthesis"]["b8"]["conv0"]["noise_strength"] = jnp.float32(1)
    noisy = replace(state, ema={**state.ema, "params": params})
    z, labels = gan.latents(jax.random.key(1), jnp.zeros(3, jnp.int32)), jnp.eye(3)[jnp.zeros(3, jnp.int32)]
    keys = jax.random.split(jax.random.key(5), 3)
    images = gan.generate(noisy, z, labels, noise=keys)
    assert float(jnp.abs(images[0] - images[1]).max()) > 1e-3
    np.testing.assert_allclose(gan.generate(noisy, z[:1], labels[:1], noise=keys[1:2])[0], images[1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("low", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_stays_near_float32(low: str) -> None:
    fields = {"image_size": 16, "channel_base": 96, "path_length_interval": 2, "r1_interval": 2}
    wide = ganzoo.create("stylegan2", "tiny", **fields)
    narrow = ganzoo.create("stylegan2", "tiny", low_precision=low, low_precision_levels=2, **fields)
    state = wide.init(jax.random.key(0))
    batch = {"image": np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)}
    (_, a), (after, b) = (golden_cases.run(gan.step, state, batch, jax.random.key(1)) for gan in (wide, narrow))
    assert all(leaf.dtype in (jnp.float32, jnp.int32, jnp.uint32) for leaf in jax.tree.leaves(after))
    for name in ("generator/loss", "discriminator/loss", "generator/path_length", "discriminator/r1"):
        assert b[name].value == pytest.approx(a[name].value, rel=0.1)


# Augmentation -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_logits_of_reals_count_and_p_0_is_no_augmentation() -> None:
    """Those of R1, too; before p moves, both losses are those of the model without augmentation."""
    bare, gan = (ganzoo.create("stylegan2", "tiny", augment=augment) for augment in ("none", "color"))
    plain, augmented = (stylegan2.networks(each.config, each.generator, each.discriminator) for each in (bare, gan))
    state, key = gan.init(jax.random.key(0)), jax.random.key(1)
    batch = {"image": np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)}

    def critics(networks):
        return objectives.discriminator(networks, losses.non_saturating), objectives.r1(networks, 1.0)

    def values(state, key):
        params, without, found = state.discriminator.params, replace(state, augment=None), []
        for ours, theirs in zip(critics(augmented), critics(plain), strict=True):
            value, (state, _) = ours(params, state, batch, key)
            expected, _ = theirs(params, without, batch, key)
            found.append((value, expected, state.augment))
        logits, _ = plain.logits(params, state, pixels.to_float(batch["image"]), None)
        return found, jnp.sum(jnp.sign(logits))

    found, signs = golden_cases.run(values, state, key)
    for i, (value, expected, strength) in enumerate(found, start=1):
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        assert (float(strength.count), float(strength.signs)) == (8 * i, i * float(signs))


# Objectives -----------------------------------------------------------------------------------------------------------


def test_relativistic_pairing_is_a_config() -> None:
    """Both losses look at D(real) - D(fake), so a constant added to all logits has no gradient."""
    gan = ganzoo.create("stylegan2", "tiny", loss="relativistic", label_size=3)
    networks = stylegan2.networks(gan.config, gan.generator, gan.discriminator)
    state = quick_jit(gan.init)(jax.random.key(0))
    batch = {
        "image": np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8),
        "label": np.eye(3, dtype=np.float32)[np.arange(8) % 3],
    }
    critic = objectives.discriminator(networks, losses.relativistic, labels="resampled")
    drawn = critic.with_draws(batch, jax.random.key(1))["drawn"]
    np.testing.assert_array_equal(drawn["fake"]["label"], batch["label"])  # pairs share their label
    gradient = golden_cases.run(
        lambda params: jax.grad(lambda p: critic(p, state, batch, jax.random.key(1))[0])(params),
        state.discriminator.params,
    )
    assert np.abs(gradient["b4"]["out"]["bias"]).max() < 1e-7 < np.abs(gradient["b4"]["out"]["kernel"]).max()


# Bad input ----------------------------------------------------------------------------------------------------------

REFUSED = {
    "image_size": (17, "the nearest is"),
    "channels": (0, "at least 1"),
    "mapping_layers": (9, "be 1 to 8"),
    "channel_base": (4, "at least the resolution"),
    "minibatch_std_channels": (3, "divide the"),
    "style_mixing": (1.5, r"be in \[0, 1\]"),
    "resample_filter": ((1.0, -1.0), "positive sum"),
    "conv_clamp": (-1.0, "0 or more"),
    "micro_batch": (-1, "0 or more"),
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_config_that_cannot_be(field: str) -> None:
    value, words = REFUSED[field]
    with pytest.raises(UserError, match=words):
        StyleGAN2Config(**{"image_size": 16, field: value})


def test_batches_that_do_not_suit_the_model() -> None:
    def step(batch_size: int, **fields):
        gan = ganzoo.create("stylegan2", "tiny", **fields)
        batch = {"image": jax.ShapeDtypeStruct((batch_size, *gan.image_shape), jnp.uint8)}
        return jax.eval_shape(gan.step, jax.eval_shape(gan.init, jax.random.key(0)), batch, jax.random.key(0))

    with pytest.raises(UserError, match=r"minibatch_std_group = 4: must divide the .*6 images"):
        step(6)
    with pytest.raises(UserError, match="micro_batch = 3: must divide the batch of 8 images"):
        step(8, micro_batch=3)
    with pytest.raises(UserError, match="path_length_batch_shrink = 3: must divide"):
        step(8, path_length_batch_shrink=3)


@pytest.mark.parametrize(
    ("psi", "cutoff", "words"), [(1e3, None, "psi"), (float("nan"), None, "psi"), (0.5, 9, "cutoff")]
)
def test_truncation_out_of_range(gan, state, psi, cutoff, words) -> None:
    z = gan.latents(jax.random.key(1), jnp.arange(3))
    with pytest.raises(UserError, match=words):
        gan.generate(state, z, jnp.eye(3), psi=psi, cutoff=cutoff)


def test_styles_of_another_depth(gan, state) -> None:
    bound = gan.generator.bind(state.ema)
    with pytest.raises(UserError, match=r"takes \[N, 4, w\]"):
        bound.synthesis(jnp.zeros((1, 5, 8)))
