"""The networks of StyleGAN and ProGAN against the records of NVlabs/stylegan."""

import functools
import re
from collections.abc import Callable
from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stylegan_names
from golden_cases import Case, assert_near, nchw, nhwc, run

import ganzoo
from ganzoo.errors import UserError
from ganzoo.models.stylegan.config import PRESETS, PROGAN_PRESETS, StyleGANConfig
from ganzoo.models.stylegan.networks import (
    Generator,
    GrowingBlock,
    MappingNetwork,
    ShrinkingBlock,
    Synthesis,
    blurred,
    discriminator,
)
from ganzoo.testing import quick_jit

FIELDS = {
    "resolution": "image_size",
    "num_channels": "channels",
    "label_size": "label_size",
    "latent_size": "latent_size",
    "dlatent_size": "style_size",
    "mapping_layers": "mapping_layers",
    "mapping_fmaps": "mapping_features",
    "nonlinearity": "activation",
    "fmap_max": "channel_max",
    "use_pixel_norm": "pixel_norm",
    "use_instance_norm": "instance_norm",
    "const_input_layer": "constant_input",
    "mbstd_group_size": "minibatch_std_group",
}


def config_of(case: Case, base: StyleGANConfig = PRESETS["ffhq1024"].config, **fields: Any) -> StyleGANConfig:
    """The config of the original's arguments."""
    kwargs = case.options["static_kwargs"]
    fields |= {FIELDS[name]: value for name, value in kwargs.items() if name in FIELDS}
    if "fmap_base" in kwargs:
        fields["channel_base"] = 2 * kwargs["fmap_base"]
    if "blur_filter" in kwargs:
        fields["blur_filter"] = kwargs["blur_filter"] or ()
    if "fused_scale" in kwargs:
        fields["fused_scale"] = "always" if kwargs["fused_scale"] else "never"
    if base is not PRESETS["ffhq1024"].config:
        fields["style_size"] = kwargs.get("latent_size", base.style_size)
        fields["latent_size"] = fields["style_size"]
    return ganzoo.config.replaced(base, {"initial_resolution": 4, **fields})


def lods(case: Case, prefix: str) -> dict[str, float]:
    """The recorded levels of detail of the outputs of that name."""
    found = {name: re.fullmatch(rf"out/{prefix}_lod([\d.]+)", name) for name in case.arrays}
    return {name.removeprefix("out/"): float(match[1]) for name, match in found.items() if match}


def recorded_gradients(case: Case, scalar: str) -> dict[str, np.ndarray]:
    of = f"grad/{scalar}/"
    return {n.removeprefix(of): a for n, a in case.arrays.items() if n.startswith(of) and "__in__" not in n}


def parameters(case: Case, prefix: str = "params/") -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): a for n, a in case.arrays.items() if n.startswith(prefix)}


# Generator ----------------------------------------------------------------------------------------------------------


@golden_cases.over(golden_cases.files("sg1/mapping*"))
def test_mapping(case: Case) -> None:
    kwargs = case.options["static_kwargs"]
    config = config_of(case, image_size=4 * 2 ** ((kwargs["dlatent_broadcast"] or 2) // 2 - 1))
    module = MappingNetwork(config)
    labels = case["in/labels"] if config.label_size else None
    params = stylegan_names.generator(parameters(case))["params"]
    variables = {"statistics": {"w_average": np.zeros(config.style_size, np.float32)}}

    def value_and_gradients(params: dict, latents: Any, cot: Any) -> tuple:
        ws, back = jax.vjp(
            lambda *given: module.apply({"params": given[0], **variables}, given[1], labels), params, latents
        )
        return ws, back(cot)

    shape = (len(case["in/latents"]), config.style_count, config.style_size)
    theirs, cot = case.most_exact("dlatents"), case["in/cot"]
    if theirs.ndim == 2:  # one w, of which we give a copy to each input
        theirs, cot = (np.broadcast_to(a[:, None], shape) for a in (theirs, cot / config.style_count))
    ws, (gradients, back) = run(value_and_gradients, params, case["in/latents"], cot.astype(np.float32))
    assert_near(ws, theirs)
    scalar = "sum(dlatents*cot)"
    assert_near(gradients, stylegan_names.generator(recorded_gradients(case, scalar))["params"], golden_cases.GRADIENTS)
    assert_near(back, case[f"grad/{scalar}/__in__/latents"], golden_cases.GRADIENTS)


@golden_cases.over(golden_cases.files("sg1/synthesis_*"))
def test_synthesis(case: Case) -> None:
    config = config_of(case)
    variables = stylegan_names.generator(parameters(case))
    module, ws = Synthesis(config), case["in/dlatents"]
    noise = {"noise": variables["noise"]}

    def image(params: dict, ws: Any, lod: Any) -> Any:
        return nchw(module.apply({"params": params, **noise}, ws, lod))

    def value_and_gradients(params: dict, ws: Any, lod: Any, cot: Any) -> tuple:
        images, back = jax.vjp(lambda params, ws: image(params, ws, lod), params, ws)
        return images, back(cot)

    compiled = quick_jit(value_and_gradients)
    for name, lod in lods(case, "images_linear").items():
        images, (gradients, back) = compiled(variables["params"], ws, jnp.float32(lod), case["in/cot"])
        assert_near(images, case.most_exact(name))
        scalar = f"sum({name}*cot)"
        if theirs := recorded_gradients(case, scalar):
            assert_near(gradients, stylegan_names.generator(theirs)["params"], golden_cases.GRADIENTS)
            assert_near(back, case[f"grad/{scalar}/__in__/dlatents"], golden_cases.GRADIENTS)


@golden_cases.over([*golden_cases.files("sg1/synthesis_r32"), *golden_cases.files("sg1/synthesis_r16_variants")])
def test_networks_that_do_not_grow(case: Case) -> None:
    config = ganzoo.config.replaced(config_of(case), {"progressive": False})
    variables = stylegan_names.generator(parameters(case))
    images = run(lambda variables, ws: nchw(Synthesis(config).apply(variables, ws)), variables, case["in/dlatents"])
    assert_near(images, case.most_exact("images_fixed_lod0"))


@golden_cases.over(golden_cases.files("sg1/synthesis_r32"))
@pytest.mark.parametrize("lod", [1.0, 1.3, 2.0])
def test_the_size_in_training_is_the_full_one_without_what_is_repeated(case: Case, lod: float) -> None:
    config = config_of(case)
    variables = stylegan_names.generator(parameters(case))
    module, ws = Synthesis(config), case["in/dlatents"]
    whole = run(lambda v, ws: module.apply(v, ws, lod), variables, ws)
    small = run(lambda v, ws: module.apply(v, ws, lod, halvings=1), variables, ws)
    assert small.shape == (2, 16, 16, 3)
    assert_near(np.asarray(small).repeat(2, 1).repeat(2, 2), whole)


@golden_cases.over(golden_cases.files("sg1/g_style_*"))
def test_truncation_and_the_average_of_w(case: Case) -> None:
    config = config_of(case)
    generator = Generator(config)
    synthesis = stylegan_names.generator(parameters(case, "params/G_synthesis/"))
    mapping = stylegan_names.generator(parameters(case, "params/G_mapping/"))
    variables = {
        "params": {"mapping": mapping["params"], "synthesis": synthesis["params"]},
        "noise": {"synthesis": synthesis["noise"]},
        "statistics": {"mapping": {"w_average": case["params/dlatent_avg"]}},
    }
    truncations = {"psi1": {}, "psi0.7_cutoff8": {"psi": 0.7, "cutoff": 8}, "psi0.5_cutoff3": {"psi": 0.5, "cutoff": 3}}

    def images(variables: dict, latents: Any, lod: Any) -> dict:
        return {
            name: nchw(generator.apply(variables, latents, None, lod=lod, **options))
            for name, options in truncations.items()
        }

    compiled = quick_jit(images)
    for lod in ("0", "0.5", "1.3"):
        for name, actual in compiled(variables, case["in/latents"], jnp.float32(lod)).items():
            assert_near(actual, case[f"out/images_{name}_lod{lod}"])

    update = quick_jit(
        lambda v, z: generator.apply(v, z, update_average=True, method="styles", mutable=["statistics"])[1]
    )
    average = update(variables, case["in/latents"])["statistics"]["mapping"]["w_average"]
    assert_near(average, case["out/dlatent_avg_after_training_forward"])


@golden_cases.over(golden_cases.files("progan/g_paper_*"))
def test_progan_generator(case: Case) -> None:
    fused = case.options["static_kwargs"].get("fused_scale", True)
    config = config_of(case, PROGAN_PRESETS["paper"].config, fused_scale="always" if fused else "never")
    params = stylegan_names.generator(parameters(case))["params"]
    statistics = {"statistics": {"mapping": {"w_average": np.zeros(config.style_size, np.float32)}}}
    generator = Generator(config)

    def value_and_gradients(params: dict, latents: Any, lod: Any, cot: Any) -> tuple:
        def image(params: dict, latents: Any) -> Any:
            return nchw(generator.apply({"params": {"synthesis": params}, **statistics}, latents, None, lod=lod))

        images, back = jax.vjp(image, params, latents)
        return images, back(cot)

    compiled = quick_jit(value_and_gradients)
    for name, lod in lods(case, "images_linear").items():
        images, (gradients, back) = compiled(params, case["in/latents"], jnp.float32(lod), case["in/cot"])
        assert_near(images, case.most_exact(name))
        scalar = f"sum({name}*cot)"
        if theirs := recorded_gradients(case, scalar):
            assert_near(gradients, stylegan_names.generator(theirs)["params"], golden_cases.GRADIENTS)
            assert_near(back, case[f"grad/{scalar}/__in__/latents"], golden_cases.GRADIENTS)


@pytest.mark.parametrize("taps", [(1, 2, 1), (1, 3), (1, 2, 4), (4, 3, 2, 1)])
def test_the_blur_correlates_under_same_padding(taps: tuple[float, ...]) -> None:
    """A unit impulse becomes the taps in reverse, around the place that "SAME" gives it."""
    x = np.zeros((1, 9, 9, 1), np.float32)
    x[0, 4, 4, 0] = 1
    row = np.asarray(blurred(jnp.asarray(x), taps))[0, :, :, 0].sum(axis=0)
    expected = np.zeros(9)
    first = 4 - len(taps) // 2
    expected[first : first + len(taps)] = np.asarray(taps[::-1]) / sum(taps)
    np.testing.assert_allclose(row, expected, atol=1e-6)


# Discriminator ------------------------------------------------------------------------------------------------------


@golden_cases.over([*golden_cases.files("sg1/d_basic_*"), *golden_cases.files("progan/d_paper_*")])
def test_discriminator(case: Case) -> None:
    is_progan = case.name.startswith("d_paper")
    unfused = not case.options["static_kwargs"].get("fused_scale", True)
    config = config_of(case, **({"blur_filter": (), "halves_last": unfused} if is_progan else {}))
    module = discriminator(config)
    params = stylegan_names.discriminator(parameters(case))
    labels = case["in/labels"] if config.label_size else None
    images = nhwc(case["in/images"])

    def scores(params: dict, images: Any, lod: Any) -> Any:
        return module.apply({"params": params}, images, labels, lod)

    def loss(params: dict, images: Any, lod: Any) -> tuple[Any, Any]:
        logits = scores(params, images, lod)
        return jnp.mean(jax.nn.softplus(-logits)), logits

    def penalty(params: dict) -> tuple[Any, Any]:
        value = ganzoo.penalties.r1(lambda images: scores(params, images, 0.0), images)
        return jnp.mean(value), value

    compiled = quick_jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    for name, lod in lods(case, "scores_linear").items():
        (gradients, back), logits = compiled(params, images, jnp.float32(lod))
        assert_near(logits[:, None], case.most_exact(name))
        scalar = f"softplus(-{name}).mean"
        if theirs := recorded_gradients(case, scalar):
            assert_near(gradients, stylegan_names.discriminator(theirs), golden_cases.GRADIENTS)
            assert_near(nchw(back), case[f"grad/{scalar}/__in__/images"], golden_cases.GRADIENTS)
    gradients, value = run(jax.grad(penalty, has_aux=True), params)
    assert_near(value, case.most_exact("r1_penalty_lod0"))
    theirs = stylegan_names.discriminator(recorded_gradients(case, "r1_penalty_lod0.mean"))
    rest = golden_cases.unrecorded(gradients, theirs, golden_cases.GRADIENTS)
    assert set(rest) == {"conv.bias", "dense.bias", "out.bias"}
    assert all(not np.any(leaf) for leaf in rest.values())


@golden_cases.over(golden_cases.files("sg1/d_basic_r32"))
def test_the_discriminator_at_the_size_in_training(case: Case) -> None:
    config = config_of(case)
    module, params = discriminator(config), stylegan_names.discriminator(parameters(case))
    small = nhwc(case["in/images"])[:, ::2, ::2]
    large = small.repeat(2, 1).repeat(2, 2)
    for lod in (1.0, 1.4):
        whole = run(lambda p, x, lod=lod: module.apply({"params": p}, x, None, lod), params, large)
        part = run(lambda p, x, lod=lod: module.apply({"params": p}, x, None, lod, halvings=1), params, small)
        assert_near(part, whole)


@golden_cases.over(golden_cases.files("sg1/d_basic_r32"))
def test_networks_that_do_not_grow_judge(case: Case) -> None:
    config = ganzoo.config.replaced(config_of(case), {"progressive": False})
    module, params = discriminator(config), stylegan_names.discriminator(parameters(case))
    logits = run(lambda p, x: module.apply({"params": p}, x), params, nhwc(case["in/images"]))
    assert_near(logits[:, None], case.most_exact("scores_fixed_lod0"))


def test_progan_takes_labels_as_they_are() -> None:
    """z and the label side by side, normalised together, are what the dense layer of G sees; D ignores the label."""
    gan = ganzoo.create("progan", "tiny", label_size=3, style_size=11)
    state = jax.jit(gan.init)(jax.random.key(0))
    assert state.generator.params["synthesis"]["b4"]["input"]["kernel"].shape[0] == 8 + 3
    assert "mapping" not in state.generator.params
    z, labels = gan.latents(jax.random.key(1), jnp.arange(2)), np.eye(3, dtype=np.float32)[:2]
    ws = gan.styles.map(state, z, labels, ema=False)
    together = np.concatenate([z, labels], axis=1)
    expected = together / np.sqrt(np.square(together).mean(axis=1, keepdims=True) + 1e-8)
    assert_near(ws[:, 0], expected)
    images = jnp.zeros((2, *gan.image_shape))
    logits = [gan.discriminator.apply(state.discriminator.variables, images, each) for each in (labels, labels[::-1])]
    assert_near(logits[0], logits[1])


# Config -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": 100}, "nearest is 104|nearest is 96"),
        ({"initial_resolution": 12}, "initial_resolution = 12: must be one of 4, 8"),
        ({"mapping_layers": 0, "style_size": 7}, "style_size = 7: must be 8"),
        ({"use_styles": False, "constant_input": True}, "constant_input = True: must be False where use_styles is"),
        ({"batch_sizes": (16, 0)}, "batch_sizes = .*: must hold numbers of at least 1"),
        ({"learning_rates": ()}, "learning_rates = .*: must hold at least one number"),
        ({"style_mixing": 2.0}, "style_mixing = 2.0: must be in"),
        ({"training_images": 0}, "training_images = 0: must be at least 1"),
    ],
)
def test_bad_config(fields: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ganzoo.create("stylegan", "tiny", **fields)


def test_groups_must_divide_the_batch() -> None:
    gan = ganzoo.create("stylegan", "tiny")
    state = jax.eval_shape(gan.init, jax.random.key(0))
    with pytest.raises(UserError, match=r"minibatch_std_group = 4: must divide the .*batch of 6 images"):
        jax.eval_shape(gan.step, state, {"image": jnp.zeros((6, 8, 8, 3), jnp.uint8)}, jax.random.key(0))


# Precision ----------------------------------------------------------------------------------------------------------


BLOCKS = {"capture_intermediates": lambda module, _: isinstance(module, GrowingBlock | ShrinkingBlock)}


def at_precision(name: str, levels: int) -> ganzoo.GAN:
    return ganzoo.create(name, "tiny", image_size=16, low_precision_levels=levels)


@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_low_precision_stays_near_float32(name: str) -> None:
    exact, low = (at_precision(name, levels) for levels in (0, 1))
    z, images = golden_cases.draw(1, 4, 8), golden_cases.draw(2, 4, 16, 16, 3)
    for network, inputs in (("generator", z), ("discriminator", images)):
        variables = golden_cases.filled(getattr(exact, network), inputs)
        rough, expected = (
            np.asarray(
                run(
                    lambda v, x, gan=gan, network=network: getattr(gan, network).apply(v, x, lod=0.3), variables, inputs
                )
            )
            for gan in (low, exact)
        )
        assert rough.dtype == jnp.float32
        assert not np.array_equal(rough, expected)
        assert np.linalg.norm(rough - expected) < 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize(("levels", "expected"), [(1, "b16"), (9, "b16 b8")])
def test_the_smallest_level_and_the_parameters_stay_of_float32(levels: int, expected: str) -> None:
    gan = at_precision("stylegan", levels)
    z, images = jnp.zeros((4, 8)), jnp.zeros((4, 16, 16, 3))
    synthesise = functools.partial(gan.generator.apply, lod=1.0, method="synthesise")
    ws = jnp.zeros((4, gan.config.style_count, 8))
    state = jax.eval_shape(gan.init, jax.random.key(0))
    assert state == jax.eval_shape(at_precision("stylegan", 0).init, jax.random.key(0))

    def low(apply: Callable, network: Any, *inputs: Any, **options: Any) -> set[str]:
        """The blocks that give bfloat16."""
        seen = jax.eval_shape(
            lambda variables: apply(variables, *inputs, **options, **BLOCKS, mutable="intermediates")[1], network
        )
        blocks = jax.tree.leaves_with_path(seen)
        return {path[-3].key for path, x in blocks if x.dtype == jnp.bfloat16}

    critic, generator = state.discriminator.variables, state.generator.variables
    assert low(gan.discriminator.apply, critic, images) == set(expected.split())
    assert low(synthesise, generator, ws) == set(expected.split())
    assert low(gan.discriminator.apply, critic, images[:, ::2, ::2], lod=1.0, halvings=1) == {*expected.split()} - {
        "b16"
    }
    assert low(synthesise, generator, ws, halvings=1) == {*expected.split()} - {"b16"}
    assert jax.eval_shape(gan.generator.apply, generator, z).dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_mixed_precision_trains_and_stays_near_float32(name: str) -> None:
    wide, narrow = (at_precision(name, levels) for levels in (0, 2))
    state = quick_jit(wide.init)(jax.random.key(0))
    batch = {"image": np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)}
    (_, a), (after, b) = (run(gan.stages[-1].step, state, batch, jax.random.key(1)) for gan in (wide, narrow))
    assert all(leaf.dtype in (jnp.float32, jnp.int32, jnp.uint32) for leaf in jax.tree.leaves(after))
    for metric in ("generator/loss", "discriminator/loss"):
        assert b[metric].value == pytest.approx(a[metric].value, rel=0.1, abs=0.02)
